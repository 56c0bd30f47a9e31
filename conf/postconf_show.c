/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdlib.h>

#include "conf/postconf.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"

static const char space[] = " \t\r\n\v\f";

/* value's words behind what stands in out, whose last line has *column
 * bytes. */
static void
append_words(struct buf *out, const char *value, bool fold)
{
	struct span rest = span_of(value);
	struct span word;
	size_t column = out->len;

	while (span_next_token(&rest, space, &word)) {
		bool start = out->len == 0;

		if (fold && !start && column + 1 + word.len > PC_LINE_MAX) {
			buf_printf(out, "\n%*s", PC_INDENT, "");
			column = PC_INDENT;
		} else if (!start) {
			buf_append_byte(out, ' ');
			column++;
		}
		buf_append_span(out, word);
		column += word.len;
	}
}

void
pc_print(const struct postconf *pc, const char *name, const char *value)
{
	struct buf out = BUF_INIT;

	if (pc->mode & PC_NO_VALUE) {
		buf_append_cstr(&out, name);
	} else {
		if (!(pc->mode & PC_NO_NAME))
			buf_printf(&out, "%s =", name);
		append_words(&out, value, pc->mode & PC_FOLD);
	}
	for (size_t i = 0; i < out.len; i++)
		if (out.data[i] != '\n' &&
		    (iscntrl((unsigned char)out.data[i])))
			out.data[i] = '?';
	buf_append_byte(&out, '\n');
	fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
}

/* The value of n that mode asks for. */
static const char *
value_of(struct postconf *pc, const struct pc_name *n)
{
	const struct maincf_entry *e;

	if (n->param >= 0 && !n->dflt)
		return pc->mode & PC_DEFAULTS
			   ? dict_default(&pc->dict, n->param)
			   : dict_value(&pc->dict, n->param);
	e = maincf_find(&pc->dict.main, span_of(n->name));
	if (e && !(pc->mode & PC_DEFAULTS))
		return e->value;
	return n->dflt ? n->dflt : "";
}

static void
show(struct postconf *pc, const struct pc_name *n)
{
	const char *value;
	struct buf expanded = BUF_INIT;
	struct buf error = BUF_INIT;
	bool raw = n->param >= 0 && conf_params[n->param].type == CONF_RAW;

	if ((pc->mode & PC_SET_ONLY) &&
	    !maincf_find(&pc->dict.main, span_of(n->name)))
		return;
	value = value_of(pc, n);
	if (pc->dict.error.len)
		log_fatal("%s", buf_cstr(&pc->dict.error));
	if ((pc->mode & PC_EXPAND) && !raw) {
		if (!dict_expand(&pc->dict, value, &expanded, &error)) {
			log_warn("%s", buf_cstr(&error));
			log_fatal("macro processing error");
		}
		value = buf_cstr(&expanded);
	}
	pc_print(pc, n->name, value);
	buf_free(&expanded);
	buf_free(&error);
}

void
pc_show_main(struct postconf *pc, char **argv)
{
	if (*argv) {
		for (; *argv; argv++) {
			const struct pc_name *n = pc_name(pc, *argv);

			if (n)
				show(pc, n);
			else
				log_warn("%s: unknown parameter", *argv);
		}
		return;
	}
	for (size_t i = 0; i < pc->n_names; i++)
		if (pc->names[i].listed &&
		    (pc->names[i].class & (int)pc->classes))
			show(pc, &pc->names[i]);
}
