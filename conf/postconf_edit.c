/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/postconf.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"

/* ---- a file that is rewritten as a whole ---- */

void
pc_edit_begin(struct pc_edit *e, const char *dir, const char *name)
{
	char *path = mem_sprintf("%s/%s", dir, name);
	/* The file behind a symbolic link is edited, the link stays. */
	char *real = realpath(path, NULL);

	*e = (struct pc_edit){.path = real ? real : mem_strdup(path)};
	if (!real || !io_read_file(e->path, MAINCF_FILE_MAX, &e->old))
		log_fatal("open %s for reading: %s", path, strerror(errno));
	free(path);
}

static void
sync_directory(const char *path)
{
	char *copy = mem_strdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		log_fatal("sync the directory of %s: %s", path,
			  strerror(errno));
	close(fd);
	free(copy);
}

void
pc_edit_commit(struct pc_edit *e)
{
	struct stat st;
	char *tmp = mem_sprintf("%s.tmp.XXXXXX", e->path);
	int fd;
	const char *failed = NULL;

	if (stat(e->path, &st) < 0)
		log_fatal("stat %s: %s", e->path, strerror(errno));
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		log_fatal("create %s: %s", tmp, strerror(errno));
	if ((st.st_uid != geteuid() || st.st_gid != getegid()) &&
	    fchown(fd, st.st_uid, st.st_gid) < 0)
		failed = "change the owner of";
	else if (fchmod(fd, st.st_mode & 07777) < 0)
		failed = "change the mode of";
	else if (!io_write_all(fd, e->new.data, e->new.len))
		failed = "write";
	else if (fsync(fd) < 0)
		failed = "sync";
	else if (rename(tmp, e->path) < 0)
		failed = "rename";
	if (failed) {
		int saved = errno;

		unlink(tmp);
		log_fatal("%s %s: %s", failed, tmp, strerror(saved));
	}
	close(fd);
	sync_directory(e->path);
	free(tmp);
	free(e->path);
	buf_free(&e->old);
	buf_free(&e->new);
}

bool
pc_edit_line(const struct pc_edit *e, size_t *pos, struct span *line)
{
	struct span rest = span_from(buf_span(&e->old), *pos);
	long end = span_find(rest, '\n');

	if (rest.len == 0)
		return false;
	*line = end < 0 ? rest : span_make(rest.data, (size_t)end + 1);
	*pos += line->len;
	return true;
}

bool
pc_is_comment(struct span line)
{
	struct span s = span_trim(line);

	return s.len == 0 || s.data[0] == '#';
}

/* ---- requests ---- */

struct request {
	char *name;
	char *line; /* "name = value", or NULL */
	int seen;
};

struct requests {
	struct request *v;
	size_t n;
};

void
pc_check_request(const char *text)
{
	while (isspace((unsigned char)*text) && *text != '\n')
		text++;
	if (strchr(text, '\n'))
		log_fatal("-e, -X, or -# accepts no multi-line input");
	if (*text == '#')
		log_fatal("-e, -X, or -# accepts no comment input");
}

static struct request *
find_request(struct requests *r, struct span name)
{
	for (size_t i = 0; i < r->n; i++)
		if (span_equal_cstr(name, r->v[i].name))
			return &r->v[i];
	return NULL;
}

static void
add_request(struct requests *r, struct span name, char *line)
{
	struct request *old = find_request(r, name);

	if (old) {
		if (line && old->line)
			log_warn("ignoring earlier request: '%s'", old->line);
		free(old->line);
		old->line = line;
		return;
	}
	r->v = mem_realloc(r->v, r->n + 1, sizeof(*r->v));
	r->v[r->n++] =
	    (struct request){mem_strndup(name.data, name.len), line, 0};
}

static void
parse_requests(const struct postconf *pc, char **argv, struct requests *r)
{
	for (; *argv; argv++) {
		struct span name;
		struct span value;
		const char *what;

		pc_check_request(*argv);
		if (!(pc->mode & PC_EDIT)) {
			name = span_trim(span_of(*argv));
			if (name.len == 0)
				log_fatal("-X or -# requires non-blank "
					  "parameter names");
			add_request(r, name, NULL);
			continue;
		}
		what = maincf_split(span_of(*argv), &name, &value);
		if (what)
			log_fatal("%s: \"%s\"", what, *argv);
		add_request(r, name,
			    mem_sprintf("%.*s = %.*s", SPAN_ARG(name),
					SPAN_ARG(value)));
	}
}

/* ---- main.cf ---- */

static struct span
line_name(struct span line)
{
	size_t n = 0;

	while (n < line.len && !isspace((unsigned char)line.data[n]) &&
	       line.data[n] != '=')
		n++;
	return span_make(line.data, n);
}

/* Text belongs to what was requested: drop it, or comment it out. */
static void
replace_line(const struct postconf *pc, struct pc_edit *e, struct span line)
{
	if (!(pc->mode & PC_COMMENT))
		return;
	buf_append_byte(&e->new, '#');
	buf_append_span(&e->new, line);
}

static void
append_new(struct pc_edit *e, const char *line)
{
	if (e->new.len && e->new.data[e->new.len - 1] != '\n')
		buf_append_byte(&e->new, '\n');
	buf_printf(&e->new, "%s\n", line);
}

static void
rewrite(const struct postconf *pc, struct pc_edit *e, struct requests *r)
{
	struct request *current = NULL;
	struct span line;
	size_t pos = 0;

	while (pc_edit_line(e, &pos, &line)) {
		if (pc_is_comment(line)) {
			buf_append_span(&e->new, line);
			continue;
		}
		if (!isspace((unsigned char)line.data[0])) {
			current = find_request(r, line_name(line));
			if (current && ++current->seen == 2)
				log_warn("%s/main.cf: multiple entries for "
					 "\"%s\"",
					 pc->dir, current->name);
			if (current && current->line)
				append_new(e, current->line);
		}
		if (current)
			replace_line(pc, e, line);
		else
			buf_append_span(&e->new, line);
	}
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].line && !r->v[i].seen)
			append_new(e, r->v[i].line);
}

void
pc_edit_main(struct postconf *pc, char **argv)
{
	struct requests r = {NULL, 0};
	struct pc_edit e;

	parse_requests(pc, argv, &r);
	pc_edit_begin(&e, pc->dir, "main.cf");
	rewrite(pc, &e, &r);
	pc_edit_commit(&e);
	for (size_t i = 0; i < r.n; i++) {
		free(r.v[i].name);
		free(r.v[i].line);
	}
	free(r.v);
}
