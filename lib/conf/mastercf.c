/* SPDX-License-Identifier: MIT */
#include "lib/conf/mastercf.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/conf/maincf.h"
#include "lib/sys/io.h"

static const char space[] = " \t\r\n\v\f";

static const char *const type_names[] = {
    [MASTER_INET] = "inet", [MASTER_UNIX] = "unix",
    [MASTER_FIFO] = "fifo", [MASTER_UNIX_DGRAM] = "unix-dgram",
    [MASTER_PASS] = "pass",
};

enum { N_TYPES = sizeof(type_names) / sizeof(type_names[0]) };

const char *
master_type_name(enum master_type t)
{
	return type_names[t];
}

static bool
set_type(struct master_service *s, const char *text)
{
	for (int i = 0; i < N_TYPES; i++) {
		if (strcmp(type_names[i], text))
			continue;
		s->type = (enum master_type)i;
		return true;
	}
	return false;
}

static bool
set_flag(const char *text, bool dflt, bool *out)
{
	if (!strcmp(text, "-"))
		*out = dflt;
	else if (!strcmp(text, "y"))
		*out = true;
	else if (!strcmp(text, "n"))
		*out = false;
	else
		return false;
	return true;
}

static bool
set_number(struct span s, int *out)
{
	int64_t n;

	if (s.len == 0 || s.data[0] == '-' || !num_parse(s, 0, INT_MAX, &n))
		return false;
	*out = (int)n;
	return true;
}

static bool
set_wakeup(struct master_service *s, const char *text)
{
	struct span t = span_of(text);

	s->wakeup = 0;
	s->wakeup_if_used = false;
	if (!strcmp(text, "-"))
		return true;
	if (t.len && t.data[t.len - 1] == '?') {
		s->wakeup_if_used = true;
		t.len--;
	}
	return set_number(t, &s->wakeup);
}

static bool
set_maxproc(struct master_service *s, const char *text)
{
	s->maxproc = conf ? conf->default_process_limit
			  : conf_defaults.default_process_limit;
	return !strcmp(text, "-") || set_number(span_of(text), &s->maxproc);
}

bool
mastercf_set_field(struct master_service *s, int column, const char *text,
		   struct buf *what)
{
	static const char *const names[] = {
	    "service", "type",   "private",       "unprivileged",
	    "chroot",  "wakeup", "process_limit",
	};
	bool ok = false;

	switch (column) {
	case MASTER_FIELD_NAME:
		ok = *text != '\0';
		break;
	case MASTER_FIELD_TYPE:
		ok = set_type(s, text);
		break;
	case MASTER_FIELD_PRIVATE:
		ok = set_flag(text, true, &s->private);
		break;
	case MASTER_FIELD_UNPRIV:
		ok = set_flag(text, true, &s->unpriv);
		break;
	case MASTER_FIELD_CHROOT:
		/* Debian's manual has n, Postfix before 3.0 had y. */
		ok = set_flag(text, false, &s->chroot);
		break;
	case MASTER_FIELD_WAKEUP:
		ok = set_wakeup(s, text);
		break;
	case MASTER_FIELD_MAXPROC:
		ok = set_maxproc(s, text);
		break;
	default:
		break;
	}
	if (!ok) {
		buf_printf(what, "invalid %s field \"%s\"", names[column],
			   text);
		return false;
	}
	if (column == MASTER_FIELD_NAME) {
		char *copy = mem_strdup(text);

		free(s->name);
		s->name = copy;
	}
	if ((size_t)column < s->field->n) {
		char *copy = mem_strdup(text);

		free(s->field->v[column]);
		s->field->v[column] = copy;
	}
	return true;
}

/* ---- command and arguments ---- */

/* The inside of "{...}" without the white space around it. */
static struct span
strip_braces(struct span token)
{
	int level = 0;
	size_t i;

	if (token.len == 0 || token.data[0] != '{')
		return token;
	for (i = 0; i < token.len; i++) {
		if (token.data[i] == '{')
			level++;
		else if (token.data[i] == '}' && --level == 0)
			break;
	}
	if (i == token.len)
		log_warn("master.cf: missing '}' in \"%.*s\"", SPAN_ARG(token));
	else if (i + 1 < token.len)
		log_warn("master.cf: syntax error after '}' in \"%.*s\"",
			 SPAN_ARG(token));
	return span_trim(span_make(token.data + 1, i - 1));
}

/* The options of Postfix daemons that take a value. */
static bool
option_has_value(char c)
{
	return c == 'o';
}

/* Add one argument from the option part; returns whether the next one is the
 * value of an option. */
static bool
add_option(struct strvec *argv, struct span arg)
{
	for (size_t i = 1; i < arg.len; i++) {
		if (!option_has_value(arg.data[i]))
			continue;
		if (i > 1)
			strvec_add_span(argv, span_make(arg.data, i));
		strvec_add(argv, "-o");
		if (i + 1 == arg.len)
			return true;
		strvec_add_span(argv, span_trim(span_from(arg, i + 1)));
		return false;
	}
	strvec_add_span(argv, arg);
	return false;
}

void
mastercf_set_command(struct master_service *s, struct span text)
{
	struct strvec tokens = STRVEC_INIT;
	bool options = true;
	bool value = false;

	strvec_split(&tokens, text, space, true);
	strvec_reset(&s->argv);
	s->n_options = 0;
	for (size_t i = 1; i < tokens.n; i++) {
		struct span arg = strip_braces(span_of(tokens.v[i]));

		if (value) {
			strvec_add_span(&s->argv, arg);
			value = false;
		} else {
			options = options && arg.len > 1 &&
				  arg.data[0] == '-' &&
				  !span_equal_cstr(arg, "--");
			if (options)
				value = add_option(&s->argv, arg);
			else
				strvec_add_span(&s->argv, arg);
		}
		if (options)
			s->n_options = s->argv.n;
	}
	free(s->command);
	s->command = mem_strdup(tokens.n ? tokens.v[0] : "");
	if (s->field->n > MASTER_FIELD_COMMAND) {
		free(s->field->v[MASTER_FIELD_COMMAND]);
		s->field->v[MASTER_FIELD_COMMAND] = mem_strdup(s->command);
	}
	strvec_free(&tokens);
}

/* ---- lines and files ---- */

void
mastercf_free_service(struct master_service *s)
{
	free(s->name);
	free(s->command);
	strvec_free(&s->argv);
	strvec_free(s->field);
	*s = (struct master_service){0};
}

bool
mastercf_parse_line(struct span line, struct master_service *out,
		    struct buf *what)
{
	struct master_service s = {0};
	struct span rest = line;
	struct span token;
	bool ok = true;

	for (int i = 0; i < MASTER_FIELD_COMMAND && ok; i++) {
		if (!span_next_token(&rest, space, &token)) {
			buf_append_cstr(what, "bad field count");
			ok = false;
			break;
		}
		strvec_add_span(s.field, token);
	}
	rest = span_trim(rest);
	if (ok && rest.len == 0) {
		buf_append_cstr(what, "bad field count");
		ok = false;
	}
	for (int i = 0; i < MASTER_FIELD_COMMAND && ok; i++)
		ok = mastercf_set_field(&s, i, s.field->v[i], what);
	if (!ok) {
		if (!span_equal_cstr(buf_span(what), "bad field count"))
			buf_printf(what, " in \"%.*s\"", SPAN_ARG(line));
		mastercf_free_service(&s);
		return false;
	}
	strvec_add(s.field, "");
	mastercf_set_command(&s, rest);
	*out = s;
	return true;
}

static void
add_service(struct mastercf *m, const struct master_service *s)
{
	if (m->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 32;
		m->v = mem_realloc(m->v, m->cap, sizeof(*m->v));
	}
	m->v[m->n++] = *s;
}

static void
add_error(struct strvec *errors, const char *path, int line, const char *what)
{
	char *m = mem_sprintf("file %s: line %d: %s", path, line, what);

	strvec_add(errors, m);
	free(m);
}

bool
mastercf_parse(const char *path, struct span text, struct mastercf *out,
	       struct strvec *errors)
{
	struct logical l = {.text = text};
	size_t before = errors->n;

	*out = (struct mastercf){0};
	while (logical_next(&l)) {
		struct span line = buf_span(&l.buf);
		struct master_service s;
		struct buf what = BUF_INIT;

		if (isspace((unsigned char)line.data[0])) {
			log_warn("%s: logical line must not start with "
				 "whitespace: \"%.*s\"",
				 path, SPAN_ARG(line));
		} else if (mastercf_parse_line(line, &s, &what)) {
			s.line = l.first;
			add_service(out, &s);
		} else {
			add_error(errors, path, l.first, buf_cstr(&what));
		}
		buf_free(&what);
	}
	logical_free(&l);
	return errors->n == before;
}

bool
mastercf_read(const char *path, struct mastercf *out, struct strvec *errors)
{
	struct buf text = BUF_INIT;
	bool ok;

	*out = (struct mastercf){0};
	if (io_read_file(path, MAINCF_FILE_MAX, &text)) {
		ok = mastercf_parse(path, buf_span(&text), out, errors);
	} else {
		char *m = mem_sprintf("open %s: %s", path, strerror(errno));

		strvec_add(errors, m);
		free(m);
		ok = false;
	}
	buf_free(&text);
	return ok;
}

void
mastercf_free(struct mastercf *m)
{
	for (size_t i = 0; i < m->n; i++)
		mastercf_free_service(&m->v[i]);
	free(m->v);
	*m = (struct mastercf){0};
}

const struct master_service *
mastercf_find(const struct mastercf *m, const char *name, enum master_type type)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].type == type && !strcmp(m->v[i].name, name))
			return &m->v[i];
	return NULL;
}
