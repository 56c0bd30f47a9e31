/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdlib.h>

#include "conf/postconf.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

/* "service/type[/third]=value" */
struct request {
	const char *text;
	struct strvec parts;
	char *value;                 /* NULL with -X and -# */
	int column;                  /* -F */
	struct master_service entry; /* -Me: what to write */
	int seen;
};

struct requests {
	struct request *v;
	size_t n;
};

static void
check_parts(const struct postconf *pc, const struct request *r)
{
	size_t want = pc->mode & PC_MASTER ? 2 : 3;

	if (r->parts.n == want)
		return;
	if (pc->mode & PC_MASTER)
		log_fatal("-Me, -MX or -M# requires service_name/type");
	if (pc->mode & PC_FIELDS)
		log_fatal("-Fe or -FX requires service_name/type/field_name");
	log_fatal("-Pe or -PX requires service_name/type/parameter");
}

static void
check_value(const struct postconf *pc, struct request *r)
{
	struct buf what = BUF_INIT;

	if (pc->mode & PC_MASTER) {
		if (!mastercf_parse_line(span_of(r->value), &r->entry, &what)) {
			if (!strcmp(buf_cstr(&what), "bad field count"))
				log_fatal("bad field count: \"%s\"", r->text);
			log_fatal("%s", buf_cstr(&what));
		}
	} else if (pc->mode & PC_FIELDS) {
		struct master_service probe = {0};

		if (r->column == MASTER_FIELD_COMMAND
			? !*r->value
			: !mastercf_set_field(&probe, r->column, r->value,
					      &what))
			log_fatal("%s in \"%s\"",
				  what.len ? buf_cstr(&what)
					   : "invalid command field \"\"",
				  r->value);
		mastercf_free_service(&probe);
	} else if (strpbrk(r->value, " \t\r\n")) {
		log_fatal("-Pe does not accept whitespace in parameter "
			  "value");
	}
	buf_free(&what);
}

static void
parse_request(const struct postconf *pc, const char *text, struct request *r)
{
	struct span name = span_of(text);
	struct span value;

	*r = (struct request){.text = text};
	pc_check_request(text);
	if (pc->mode & PC_EDIT) {
		const char *what = maincf_split(span_of(text), &name, &value);

		if (what)
			log_fatal("%s: \"%s\"", what, text);
		r->value = mem_strndup(value.data, value.len);
	} else if (strchr(text, '=')) {
		log_fatal("-X or -# requires names without value");
	}
	{
		char *copy = mem_strndup(name.data, name.len);

		pc_split_request(copy, &r->parts);
		free(copy);
	}
	check_parts(pc, r);
	if (pc->mode & PC_FIELDS)
		r->column = pc_field_index(r->parts.v[2]);
	if (r->value)
		check_value(pc, r);
}

/* ---- changing one service ---- */

/* Remove every "-o name=..." of s. Returns the place of the first, or
 * SIZE_MAX. */
static size_t
remove_setting(struct master_service *s, const char *name)
{
	struct strvec kept = STRVEC_INIT;
	size_t first = SIZE_MAX;
	size_t options = s->n_options;

	for (size_t i = 0; i < s->argv.n; i++) {
		struct span n;
		struct span v;

		if (i + 1 < s->n_options && !strcmp(s->argv.v[i], "-o") &&
		    !maincf_split(span_of(s->argv.v[i + 1]), &n, &v) &&
		    (!strcmp(name, "*") || span_equal_cstr(n, name))) {
			if (first == SIZE_MAX)
				first = kept.n;
			options -= 2;
			i++;
			continue;
		}
		strvec_add(&kept, s->argv.v[i]);
	}
	strvec_free(&s->argv);
	s->argv = kept;
	s->n_options = options;
	return first;
}

static void
insert_setting(struct master_service *s, size_t place, const char *setting)
{
	struct strvec v = STRVEC_INIT;

	for (size_t i = 0; i <= s->argv.n; i++) {
		if (i == place) {
			strvec_add(&v, "-o");
			strvec_add(&v, setting);
		}
		if (i < s->argv.n)
			strvec_add(&v, s->argv.v[i]);
	}
	strvec_free(&s->argv);
	s->argv = v;
	s->n_options += 2;
}

static void
apply_setting(struct master_service *s, const struct request *r)
{
	size_t place = remove_setting(s, r->parts.v[2]);
	char *setting;

	if (!r->value)
		return;
	if (place == SIZE_MAX)
		place = s->n_options;
	setting = mem_sprintf("%s=%s", r->parts.v[2], r->value);
	insert_setting(s, place, setting);
	free(setting);
}

static void
apply_field(struct master_service *s, const struct request *r)
{
	struct buf what = BUF_INIT;

	/* The value was checked before. */
	if (r->column == MASTER_FIELD_COMMAND)
		mastercf_set_command(s, span_of(r->value));
	else
		mastercf_set_field(s, r->column, r->value, &what);
	buf_free(&what);
}

/* ---- the file ---- */

/* One logical line: its text, and the comments inside and behind it. */
struct entry {
	struct buf raw;       /* as it stands in the file */
	struct buf text;      /* joined */
	struct buf comments;  /* lines that are not text */
	struct buf commented; /* raw with '#' before each text line */
};

static void
entry_reset(struct entry *n)
{
	buf_reset(&n->raw);
	buf_reset(&n->text);
	buf_reset(&n->comments);
	buf_reset(&n->commented);
}

static void
entry_add(struct entry *n, struct span line)
{
	bool comment = pc_is_comment(line);
	struct span text = line;

	buf_append_span(&n->raw, line);
	if (comment) {
		buf_append_span(&n->comments, line);
		buf_append_span(&n->commented, line);
		return;
	}
	buf_append_byte(&n->commented, '#');
	buf_append_span(&n->commented, line);
	if (text.len && text.data[text.len - 1] == '\n')
		text.len--;
	buf_append_span(&n->text, text);
}

/* -M: the last request for an entry counts. */
static struct request *
find_entry_request(struct requests *r, const struct master_service *s)
{
	for (size_t i = r->n; i > 0; i--)
		if (pc_matches(s, &r->v[i - 1].parts))
			return &r->v[i - 1];
	return NULL;
}

static void
edit_whole_entry(const struct postconf *pc, struct pc_edit *e,
		 struct requests *r, const struct entry *n,
		 const struct master_service *s)
{
	struct request *hit = find_entry_request(r, s);

	if (!hit) {
		buf_append_span(&e->new, buf_span(&n->raw));
		return;
	}
	if (++hit->seen == 2 && hit->value)
		log_warn("%s/master.cf: multiple entries for \"%s/%s\"",
			 pc->dir, hit->parts.v[0], hit->parts.v[1]);
	if (pc->mode & PC_COMMENT) {
		buf_append_span(&e->new, buf_span(&n->commented));
		return;
	}
	if (hit->value)
		pc_format_service(&hit->entry, true, &e->new);
	buf_append_span(&e->new, buf_span(&n->comments));
}

static void
edit_part_of_entry(const struct postconf *pc, struct pc_edit *e,
		   struct requests *r, const struct entry *n,
		   struct master_service *s)
{
	bool hit = false;

	for (size_t i = 0; i < r->n; i++) {
		if (!pc_matches(s, &r->v[i].parts))
			continue;
		hit = true;
		r->v[i].seen++;
		if (pc->mode & PC_FIELDS)
			apply_field(s, &r->v[i]);
		else
			apply_setting(s, &r->v[i]);
	}
	if (!hit) {
		buf_append_span(&e->new, buf_span(&n->raw));
		return;
	}
	buf_append_span(&e->new, buf_span(&n->comments));
	if (e->new.len && e->new.data[e->new.len - 1] != '\n')
		buf_append_byte(&e->new, '\n');
	pc_format_service(s, true, &e->new);
}

static void
edit_entry(const struct postconf *pc, struct pc_edit *e, struct requests *r,
	   struct entry *n, int line)
{
	struct master_service s;
	struct buf what = BUF_INIT;

	if (n->raw.len == 0)
		return;
	if (!mastercf_parse_line(buf_span(&n->text), &s, &what))
		log_fatal("file %s: line %d: %s", e->path, line,
			  buf_cstr(&what));
	if (pc->mode & PC_MASTER)
		edit_whole_entry(pc, e, r, n, &s);
	else
		edit_part_of_entry(pc, e, r, n, &s);
	mastercf_free_service(&s);
	entry_reset(n);
}

static void
rewrite(const struct postconf *pc, struct pc_edit *e, struct requests *r)
{
	struct entry n = {0};
	struct span line;
	size_t pos = 0;
	int number = 0;
	int first = 0;

	while (pc_edit_line(e, &pos, &line)) {
		number++;
		if (!pc_is_comment(line) &&
		    !isspace((unsigned char)line.data[0])) {
			edit_entry(pc, e, r, &n, first);
			first = number;
			entry_add(&n, line);
		} else if (n.raw.len) {
			entry_add(&n, line);
		} else {
			buf_append_span(&e->new, line);
		}
	}
	edit_entry(pc, e, r, &n, first);
	buf_free(&n.raw);
	buf_free(&n.text);
	buf_free(&n.comments);
	buf_free(&n.commented);
}

/* -Me with a service that is not there adds it. */
static void
append_entries(struct pc_edit *e, const struct requests *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (!r->v[i].value || r->v[i].seen)
			continue;
		if (e->new.len && e->new.data[e->new.len - 1] != '\n')
			buf_append_byte(&e->new, '\n');
		pc_format_service(&r->v[i].entry, true, &e->new);
	}
}

void
pc_edit_master(struct postconf *pc, char **argv)
{
	struct requests r = {NULL, 0};
	struct pc_edit e;

	for (; *argv; argv++) {
		r.v = mem_realloc(r.v, r.n + 1, sizeof(*r.v));
		parse_request(pc, *argv, &r.v[r.n++]);
	}
	pc_edit_begin(&e, pc->dir, "master.cf");
	rewrite(pc, &e, &r);
	if (pc->mode & PC_MASTER)
		append_entries(&e, &r);
	pc_edit_commit(&e);
	for (size_t i = 0; i < r.n; i++) {
		strvec_free(&r.v[i].parts);
		free(r.v[i].value);
		mastercf_free_service(&r.v[i].entry);
	}
	free(r.v);
}
