/* SPDX-License-Identifier: MIT */
#include "lib/conf/maincf.h"

#include <ctype.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/sys/io.h"

static bool
is_space(char c)
{
	return isspace((unsigned char)c);
}

static bool
is_blank_or_comment(struct span s)
{
	while (s.len && is_space(s.data[0]))
		s = span_from(s, 1);
	return s.len == 0 || s.data[0] == '#';
}

/* The physical line at pos, without its end; *next is behind it. */
static struct span
physical_line(const struct logical *l, size_t *next)
{
	struct span rest = span_from(l->text, l->pos);
	long end = span_find(rest, '\n');
	long nul;

	*next = end < 0 ? l->text.len : l->pos + (size_t)end + 1;
	if (end >= 0)
		rest.len = (size_t)end;
	nul = span_find(rest, '\0');
	if (nul >= 0)
		rest.len = (size_t)nul;
	return rest;
}

bool
logical_next(struct logical *l)
{
	bool started = false;

	buf_reset(&l->buf);
	while (l->pos < l->text.len) {
		size_t next;
		struct span s = physical_line(l, &next);
		bool skip = is_blank_or_comment(s);

		if (started && !skip && !is_space(s.data[0]))
			break;
		l->pos = next;
		l->line++;
		if (skip)
			continue;
		if (!started)
			l->first = l->line;
		started = true;
		buf_append_span(&l->buf, s);
	}
	return started;
}

void
logical_free(struct logical *l)
{
	buf_free(&l->buf);
}

const char *
maincf_split(struct span line, struct span *name, struct span *value)
{
	struct span s = span_trim(line);
	size_t n = 0;

	while (n < s.len && !is_space(s.data[n]) && s.data[n] != '=')
		n++;
	*name = span_make(s.data, n);
	s = span_from(s, n);
	while (s.len && is_space(s.data[0]))
		s = span_from(s, 1);
	if (name->len == 0)
		return "missing attribute name";
	if (s.len == 0 || s.data[0] != '=')
		return "missing '=' after attribute name";
	*value = span_trim(span_from(s, 1));
	return NULL;
}

static struct maincf_entry *
find_entry(const struct maincf *m, struct span name, int param)
{
	if (param >= 0)
		return m->by_param[param] ? &m->v[m->by_param[param] - 1]
					  : NULL;
	for (size_t i = 0; i < m->n; i++)
		if (span_equal_cstr(name, m->v[i].name))
			return &m->v[i];
	return NULL;
}

/* Add or replace; returns the entry that was there before, or NULL. */
static void
put_entry(struct maincf *m, struct span name, struct span value, int line,
	  struct strvec *warnings)
{
	int param = conf_param_find(name);
	struct maincf_entry *e = find_entry(m, name, param);

	if (e) {
		if (warnings && !span_equal_cstr(value, e->value)) {
			char *w = mem_sprintf("%s, line %d: overriding earlier "
					      "entry: %s=%s",
					      m->path, line, e->name, e->value);

			strvec_add(warnings, w);
			free(w);
		}
		free(e->value);
	} else {
		if (m->n == m->cap) {
			m->cap = m->cap ? m->cap * 2 : 32;
			m->v = mem_realloc(m->v, m->cap, sizeof(*m->v));
		}
		e = &m->v[m->n++];
		e->name = mem_strndup(name.data, name.len);
		if (param >= 0)
			m->by_param[param] = (int)m->n;
	}
	e->value = mem_strndup(value.data, value.len);
	e->line = line;
}

static void
add_message(struct strvec *list, const char *path, int line, const char *what,
	    struct span text)
{
	char *m =
	    line ? mem_sprintf("%s, line %d: %s: \"%.*s\"", path, line, what,
			       SPAN_ARG(text))
		 : mem_sprintf("%s: %s: \"%.*s\"", path, what, SPAN_ARG(text));

	strvec_add(list, m);
	free(m);
}

void
maincf_parse(struct maincf *m, const char *path, struct span text,
	     struct strvec *errors, struct strvec *warnings)
{
	struct logical l = {.text = text};

	*m = (struct maincf){.path = mem_strdup(path)};
	while (logical_next(&l)) {
		struct span line = buf_span(&l.buf);
		struct span name;
		struct span value;
		const char *what;

		if (is_space(line.data[0])) {
			add_message(warnings, path, 0,
				    "logical line must not start with "
				    "whitespace",
				    line);
			continue;
		}
		if (line.len > MAINCF_VALUE_MAX) {
			line.len = 60;
			add_message(errors, path, l.first,
				    "the line is too long", line);
			continue;
		}
		what = maincf_split(line, &name, &value);
		if (what)
			add_message(errors, path, l.first, what,
				    span_trim(line));
		else
			put_entry(m, name, value, l.first, warnings);
	}
	logical_free(&l);
}

bool
maincf_read(struct maincf *m, const char *dir, struct strvec *errors,
	    struct strvec *warnings)
{
	struct buf text = BUF_INIT;
	char *path = mem_sprintf("%s/main.cf", dir);
	bool ok = io_read_file(path, MAINCF_FILE_MAX, &text);

	if (ok)
		maincf_parse(m, path, buf_span(&text), errors, warnings);
	else
		*m = (struct maincf){.path = mem_strdup(path)};
	buf_free(&text);
	free(path);
	return ok;
}

bool
maincf_override(struct maincf *m, struct span setting, const char **what)
{
	struct span name;
	struct span value;

	*what = maincf_split(setting, &name, &value);
	if (*what)
		return false;
	put_entry(m, name, value, 0, NULL);
	return true;
}

const struct maincf_entry *
maincf_find(const struct maincf *m, struct span name)
{
	return find_entry(m, name, conf_param_find(name));
}

void
maincf_free(struct maincf *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].name);
		free(m->v[i].value);
	}
	free(m->v);
	free(m->path);
	*m = (struct maincf){0};
}
