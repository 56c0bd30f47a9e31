/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <time.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/conf/expand.h"

static bool allowed[256];

struct filling {
	struct smtpd *s;
	const struct text_rbl *rbl;
	struct buf value; /* of the last macro */
	unsigned unknown;
};

/* One byte of a text with \t, \ooo and so on. */
static unsigned char
next_byte(const char **p)
{
	static const char letters[] = "abfnrtv";
	static const char bytes[] = "\a\b\f\n\r\t\v";
	const char *known;
	unsigned v = 0;
	int digits = 0;

	if (**p != '\\' || (*p)[1] == '\0')
		return (unsigned char)*(*p)++;
	(*p)++;
	while (digits < 3 && **p >= '0' && **p <= '7') {
		v = v * 8 + (unsigned)(*(*p)++ - '0');
		digits++;
	}
	if (digits)
		return (unsigned char)v;
	known = strchr(letters, **p);
	v = (unsigned char)(known ? bytes[known - letters] : **p);
	(*p)++;
	return (unsigned char)v;
}

void
smtpd_text_open(void)
{
	struct buf text = BUF_INIT;
	const char *p = conf->smtpd_expansion_filter;

	/* The default has "$%"; a value that is one name stands for another
	 * parameter. */
	if (p[0] == '$' && isalpha((unsigned char)p[1])) {
		conf_expand(p, &text);
		p = buf_cstr(&text);
	}
	while (*p)
		allowed[next_byte(&p)] = true;
	buf_free(&text);
}

/* ---- macros ---- */

static void
set_address(struct buf *out, struct span addr)
{
	if (addr.len == 0)
		buf_set_cstr(out, "<>");
	else
		buf_set(out, addr);
}

static void
set_localtime(struct buf *out)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[40];

	localtime_r(&now, &tm);
	buf_set(out, span_make(text, strftime(text, sizeof(text),
					      "%b %d %H:%M:%S", &tm)));
}

static bool
rbl_macro(const struct text_rbl *rbl, struct span name, struct buf *out)
{
	if (span_equal_cstr(name, "rbl_code"))
		buf_printf(out, "%d", conf->maps_rbl_reject_code);
	else if (span_equal_cstr(name, "rbl_domain"))
		buf_set_cstr(out, rbl->domain);
	else if (span_equal_cstr(name, "rbl_reason") ||
		 span_equal_cstr(name, "rbl_txt"))
		buf_set_cstr(out, rbl->reason);
	else if (span_equal_cstr(name, "rbl_what"))
		buf_set_cstr(out, rbl->what);
	else if (span_equal_cstr(name, "rbl_class"))
		buf_set_cstr(out, rbl->class);
	else
		return false;
	return true;
}

static bool
address_macro(struct span name, const char *prefix, struct span addr,
	      struct buf *out)
{
	struct span rest = span_from(name, strlen(prefix));

	if (!span_starts_nocase(name, prefix))
		return false;
	if (rest.len == 0)
		set_address(out, addr);
	else if (span_equal_cstr(rest, "_domain"))
		buf_set(out, addr_domain(addr));
	else if (span_equal_cstr(rest, "_name"))
		set_address(out, addr_localpart(addr));
	else
		return false;
	return true;
}

static bool
session_macro(struct smtpd *s, struct span name, struct buf *out)
{
	const struct {
		const char *name;
		const char *value;
	} known[] = {
	    {"client", buf_cstr(&s->peer.namaddr)},
	    {"client_address", buf_cstr(&s->peer.addr)},
	    {"client_name", buf_cstr(&s->peer.name)},
	    {"client_port", buf_cstr(&s->peer.port)},
	    {"reverse_client_name", buf_cstr(&s->peer.reverse_name)},
	    {"helo_name", buf_cstr(&s->helo)},
	    {"server_name", conf->myhostname},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (span_equal_cstr(name, known[i].name)) {
			buf_set_cstr(out, known[i].value);
			return true;
		}
	if (span_equal_cstr(name, "localtime")) {
		set_localtime(out);
		return true;
	}
	return address_macro(name, "sender", buf_span(&s->mail.sender), out) ||
	       address_macro(name, "recipient", buf_span(&s->recipient), out);
}

static const char *
find_macro(void *arg, struct span name)
{
	struct filling *f = arg;

	buf_reset(&f->value);
	if ((!f->rbl || !rbl_macro(f->rbl, name, &f->value)) &&
	    !session_macro(f->s, name, &f->value)) {
		log_warn("unknown macro name \"%.*s\" in expansion request",
			 SPAN_ARG(name));
		f->unknown++;
		return NULL;
	}
	for (size_t i = 0; i < f->value.len; i++)
		if (!allowed[(unsigned char)f->value.data[i]])
			f->value.data[i] = '_';
	return buf_cstr(&f->value);
}

bool
smtpd_text_expand(struct smtpd *s, const struct text_rbl *rbl,
		  const char *template, struct buf *out, unsigned *unknown)
{
	struct filling f = {.s = s, .rbl = rbl};
	struct buf error = BUF_INIT;
	bool ok = expand_once(span_of(template), find_macro, &f, out, &error);

	if (!ok)
		log_warn("%s", buf_cstr(&error));
	*unknown = f.unknown;
	buf_free(&f.value);
	buf_free(&error);
	return ok;
}

bool
smtpd_text_split(struct span reply, int *code, struct span *text)
{
	const char *p = reply.data;

	if (reply.len < 4 || (p[0] != '4' && p[0] != '5') ||
	    !isdigit((unsigned char)p[1]) || !isdigit((unsigned char)p[2]) ||
	    !isspace((unsigned char)p[3]))
		return false;
	*code = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
	*text = span_from(reply, 4);
	while (text->len && isspace((unsigned char)text->data[0]))
		*text = span_from(*text, 1);
	return true;
}
