/* SPDX-License-Identifier: MIT */
#include "lib/dsn/why.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/utf8.h"

void
why_free(struct why *w)
{
	buf_free(&w->text);
	buf_free(&w->mta);
	buf_free(&w->diagnostic);
	*w = (struct why)WHY_INIT;
}

void
why_reset(struct why *w)
{
	w->dsn[0] = '\0';
	w->code = 0;
	w->diag_type = NULL;
	buf_reset(&w->text);
	buf_reset(&w->mta);
	buf_reset(&w->diagnostic);
}

bool
why_is_set(const struct why *w)
{
	return w->dsn[0] != '\0';
}

static void
set_va(struct why *w, int code, const char *dsn, const char *fmt, va_list ap)
{
	struct buf text = BUF_INIT;

	if (dsn_code_length(span_of(dsn)) != strlen(dsn))
		log_panic("why_set: bad status code %s", dsn);
	/* The arguments may point into the text that is replaced. */
	buf_vprintf(&text, fmt, ap);
	utf8_printable(text.data, text.len, '?');
	why_reset(w);
	snprintf(w->dsn, sizeof(w->dsn), "%s", dsn);
	w->code = code;
	buf_free(&w->text);
	w->text = text;
}

void
why_set(struct why *w, const char *dsn, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_va(w, 0, dsn, fmt, ap);
	va_end(ap);
}

void
why_set_code(struct why *w, int code, const char *dsn, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_va(w, code, dsn, fmt, ap);
	va_end(ap);
}

void
why_prepend(struct why *w, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	utf8_printable(text.data, text.len, '?');
	buf_append_span(&text, buf_span(&w->text));
	buf_free(&w->text);
	w->text = text;
}

void
why_copy(struct why *to, const struct why *from)
{
	memcpy(to->dsn, from->dsn, sizeof(to->dsn));
	to->code = from->code;
	to->diag_type = from->diag_type;
	buf_set(&to->text, buf_span(&from->text));
	buf_set(&to->mta, buf_span(&from->mta));
	buf_set(&to->diagnostic, buf_span(&from->diagnostic));
}

enum why_class
why_class(const struct why *w)
{
	switch (w->dsn[0]) {
	case '2':
		return WHY_SENT;
	case '5':
		return WHY_BOUNCE;
	default:
		return WHY_DEFER;
	}
}

void
why_set_class(struct why *w, enum why_class c)
{
	if (why_is_set(w))
		w->dsn[0] = (char)('0' + c);
	w->code = 0;
}

/* One to three digits; returns their number. */
static size_t
digits(struct span s)
{
	size_t n = 0;

	while (n < s.len && n < 4 && isdigit((unsigned char)s.data[n]))
		n++;
	return n <= 3 ? n : 0;
}

size_t
dsn_code_length(struct span s)
{
	size_t subject, detail;

	if (s.len < 5 || !strchr("245", s.data[0]) || s.data[1] != '.')
		return 0;
	subject = digits(span_from(s, 2));
	if (!subject || 2 + subject >= s.len || s.data[2 + subject] != '.')
		return 0;
	detail = digits(span_from(s, 3 + subject));
	if (!detail)
		return 0;
	if (3 + subject + detail < s.len &&
	    !isspace((unsigned char)s.data[3 + subject + detail]))
		return 0;
	return 3 + subject + detail;
}

struct span
dsn_split(struct span text, const char *fallback, char dsn[DSN_CODE_MAX])
{
	size_t n = dsn_code_length(text);

	if (n == 0) {
		snprintf(dsn, DSN_CODE_MAX, "%s", fallback);
		return text;
	}
	memcpy(dsn, text.data, n);
	dsn[n] = '\0';
	return span_trim(span_from(text, n));
}

void
why_render_smtp(const struct why *w, struct buf *out)
{
	int code = w->code;

	if (code == 0)
		code = why_class(w) == WHY_SENT	    ? 250
		       : why_class(w) == WHY_BOUNCE ? 550
						    : 451;
	buf_printf(out, "%d %s ", code, w->dsn);
	buf_append_span(out, buf_span(&w->text));
}

const char *
why_status_word(const struct why *w)
{
	switch (why_class(w)) {
	case WHY_SENT:
		return "sent";
	case WHY_BOUNCE:
		return "bounced";
	default:
		return "deferred";
	}
}
