/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "conf/postconf.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/expand.h"

const char *const pc_field_names[MASTER_FIELDS] = {
    "service", "type",   "private",       "unprivileged",
    "chroot",  "wakeup", "process_limit", "command",
};

int
pc_field_index(const char *name)
{
	for (int i = 0; i < MASTER_FIELDS; i++)
		if (!strcmp(pc_field_names[i], name))
			return i;
	log_fatal("invalid service attribute name: \"%s\"", name);
}

void
pc_split_request(const char *request, struct strvec *parts)
{
	struct span rest = span_of(request);
	long slash;

	/* A parameter or field name has no slash, nor has a type. */
	while ((slash = span_find(rest, '/')) >= 0) {
		strvec_add_span(parts, span_make(rest.data, (size_t)slash));
		rest = span_from(rest, (size_t)slash + 1);
	}
	strvec_add_span(parts, rest);
}

static bool
part_matches(const struct strvec *parts, size_t i, const char *text)
{
	return i >= parts->n || !strcmp(parts->v[i], "*") ||
	       !strcmp(parts->v[i], text);
}

bool
pc_matches(const struct master_service *s, const struct strvec *parts)
{
	return part_matches(parts, 0, s->field->v[MASTER_FIELD_NAME]) &&
	       part_matches(parts, 1, s->field->v[MASTER_FIELD_TYPE]);
}

/* ---- the line of a service ---- */

static bool
needs_braces(const char *arg)
{
	return strpbrk(arg, " \t\r\n") != NULL;
}

static void
append_argument(const char *arg, struct buf *out)
{
	bool braces = needs_braces(arg);

	if (braces)
		buf_append_byte(out, '{');
	buf_append_cstr(out, arg);
	if (braces)
		buf_append_byte(out, '}');
}

/* "name = value" of a -o option as "name=value". */
static void
append_setting(const char *setting, struct buf *out)
{
	struct span name;
	struct span value;
	struct buf joined = BUF_INIT;

	if (maincf_split(span_of(setting), &name, &value)) {
		append_argument(setting, out);
		return;
	}
	buf_append_span(&joined, name);
	buf_append_byte(&joined, '=');
	buf_append_span(&joined, value);
	append_argument(buf_cstr(&joined), out);
	buf_free(&joined);
}

static void
new_line(struct buf *out, size_t *line)
{
	buf_printf(out, "\n%*s", PC_INDENT, "");
	*line = out->len - PC_INDENT;
}

/* The command and its arguments. The line that out ends with starts at
 * line. */
static void
append_command(const struct master_service *s, bool fold, size_t line,
	       struct buf *out)
{
	bool after_option = false;

	buf_append_cstr(out, s->command);
	for (size_t i = 0; i < s->argv.n; i++) {
		bool option =
		    i + 1 < s->n_options && !strcmp(s->argv.v[i], "-o");
		size_t len =
		    strlen(s->argv.v[i]) + (needs_braces(s->argv.v[i]) ? 2 : 0);

		if (fold && (option || after_option ||
			     out->len - line + 1 + len >= PC_LINE_MAX))
			new_line(out, &line);
		else
			buf_append_byte(out, ' ');
		append_argument(s->argv.v[i], out);
		if (option) {
			buf_append_byte(out, ' ');
			append_setting(s->argv.v[++i], out);
		}
		after_option = option;
	}
}

void
pc_format_service(const struct master_service *s, bool fold, struct buf *out)
{
	static const size_t columns[] = {0, 11, 17, 25, 33, 41, 49, 57};
	size_t start = out->len;

	for (int i = 0; i < MASTER_FIELD_COMMAND; i++) {
		buf_append_cstr(out, s->field->v[i]);
		do
			buf_append_byte(out, ' ');
		while (out->len - start < columns[i + 1]);
	}
	append_command(s, fold, start, out);
	buf_append_byte(out, '\n');
}

/* ---- showing ---- */

/* In a -o value: the other -o settings of the service, its name, main.cf. */
struct scope {
	struct postconf *pc;
	const struct master_service *s;
	struct buf value;
};

static const char *
scope_lookup(void *arg, struct span wanted)
{
	struct scope *scope = arg;
	const struct master_service *s = scope->s;

	for (size_t i = 0; i + 1 < s->n_options; i++) {
		struct span name;
		struct span value;

		if (strcmp(s->argv.v[i], "-o") ||
		    maincf_split(span_of(s->argv.v[++i]), &name, &value) ||
		    !span_equal(name, wanted))
			continue;
		buf_set(&scope->value, value);
		return buf_cstr(&scope->value);
	}
	if (span_equal_cstr(wanted, "service_name"))
		return s->name;
	return dict_lookup(&scope->pc->dict, wanted);
}

/* Replace the text of each -o value by its expansion. */
static void
expand_options(struct postconf *pc, struct master_service *s)
{
	struct strvec expanded = STRVEC_INIT;
	struct scope scope = {.pc = pc, .s = s};

	for (size_t i = 0; i < s->argv.n; i++) {
		bool setting = i > 0 && i < s->n_options &&
			       !strcmp(s->argv.v[i - 1], "-o");
		struct buf out = BUF_INIT;
		struct buf error = BUF_INIT;
		struct span name;
		struct span value;

		if (!setting ||
		    maincf_split(span_of(s->argv.v[i]), &name, &value)) {
			strvec_add(&expanded, s->argv.v[i]);
			continue;
		}
		buf_append_span(&out, name);
		buf_append_byte(&out, '=');
		if (!expand_text(value, scope_lookup, &scope, &out, &error)) {
			log_warn("%s", buf_cstr(&error));
			log_fatal("macro processing error");
		}
		strvec_add_span(&expanded, buf_span(&out));
		buf_free(&out);
		buf_free(&error);
	}
	buf_free(&scope.value);
	strvec_free(&s->argv);
	s->argv = expanded;
}

static void
show_field(struct postconf *pc, const struct master_service *s, int column)
{
	char *label =
	    mem_sprintf("%s/%s/%s", s->field->v[MASTER_FIELD_NAME],
			s->field->v[MASTER_FIELD_TYPE], pc_field_names[column]);
	struct buf out = BUF_INIT;

	if (pc->mode & PC_NO_VALUE) {
		buf_append_cstr(&out, label);
	} else {
		if (!(pc->mode & PC_NO_NAME))
			buf_printf(&out, "%s = ", label);
		if (column == MASTER_FIELD_COMMAND)
			append_command(s, pc->mode & PC_FOLD, 0, &out);
		else
			buf_append_cstr(&out, s->field->v[column]);
	}
	buf_append_byte(&out, '\n');
	fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
	free(label);
}

struct setting {
	char *name;
	char *value;
};

static int
compare_settings(const void *a, const void *b)
{
	const struct setting *x = a;
	const struct setting *y = b;

	return strcmp(x->name, y->name);
}

/* The -o settings of s, the last one of each name, sorted. */
static struct setting *
settings_of(const struct master_service *s, size_t *n)
{
	struct setting *v = mem_calloc(s->n_options + 1, sizeof(*v));

	*n = 0;
	for (size_t i = 0; i + 1 < s->n_options; i++) {
		struct span name;
		struct span value;
		size_t j;

		if (strcmp(s->argv.v[i], "-o") ||
		    maincf_split(span_of(s->argv.v[++i]), &name, &value))
			continue;
		for (j = 0; j < *n; j++)
			if (span_equal_cstr(name, v[j].name))
				break;
		if (j == *n) {
			v[(*n)++].name = mem_strndup(name.data, name.len);
		} else {
			free(v[j].value);
		}
		v[j].value = mem_strndup(value.data, value.len);
	}
	qsort(v, *n, sizeof(*v), compare_settings);
	return v;
}

/* Returns whether there was one. */
static bool
show_settings(struct postconf *pc, const struct master_service *s,
	      const char *only)
{
	size_t n;
	struct setting *v = settings_of(s, &n);
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		char *label;

		if (!only || !strcmp(only, "*") || !strcmp(only, v[i].name)) {
			label = mem_sprintf(
			    "%s/%s/%s", s->field->v[MASTER_FIELD_NAME],
			    s->field->v[MASTER_FIELD_TYPE], v[i].name);
			pc_print(pc, label, v[i].value);
			free(label);
			any = true;
		}
		free(v[i].name);
		free(v[i].value);
	}
	free(v);
	return any;
}

static void
show_service(struct postconf *pc, const struct master_service *s,
	     const char *third, bool *matched)
{
	struct buf out = BUF_INIT;

	if (pc->mode & PC_PARAMS) {
		if (show_settings(pc, s, third) || !third)
			*matched = true;
		return;
	}
	*matched = true;
	if (pc->mode & PC_FIELDS) {
		for (int i = 0; i < MASTER_FIELDS; i++)
			if (!third || !strcmp(third, "*") ||
			    !strcmp(third, pc_field_names[i]))
				show_field(pc, s, i);
		return;
	}
	pc_format_service(s, pc->mode & PC_FOLD, &out);
	fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
}

static void
show_request(struct postconf *pc, const char *request)
{
	struct strvec parts = STRVEC_INIT;
	size_t max = pc->mode & PC_MASTER ? 2 : 3;
	bool matched = false;

	pc_split_request(request, &parts);
	if (parts.n > max || !*request) {
		if (pc->mode & PC_MASTER)
			log_fatal("-M option requires service_name[/type]");
		log_fatal("-%c option requires service_name[/type[/%s]]",
			  pc->mode & PC_FIELDS ? 'F' : 'P',
			  pc->mode & PC_FIELDS ? "field" : "parameter");
	}
	if ((pc->mode & PC_FIELDS) && parts.n == 3 && strcmp(parts.v[2], "*"))
		pc_field_index(parts.v[2]);
	for (size_t i = 0; i < pc->master.n; i++)
		if (pc_matches(&pc->master.v[i], &parts))
			show_service(pc, &pc->master.v[i],
				     parts.n > 2 ? parts.v[2] : NULL, &matched);
	if (!matched)
		log_warn("unmatched request: \"%s\"", request);
	strvec_free(&parts);
}

void
pc_show_master(struct postconf *pc, char **argv)
{
	bool matched;

	for (size_t i = 0; (pc->mode & PC_EXPAND) && i < pc->master.n; i++)
		expand_options(pc, &pc->master.v[i]);
	if (*argv) {
		for (; *argv; argv++)
			show_request(pc, *argv);
		return;
	}
	for (size_t i = 0; i < pc->master.n; i++)
		show_service(pc, &pc->master.v[i], NULL, &matched);
}
