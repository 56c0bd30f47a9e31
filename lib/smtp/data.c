/* SPDX-License-Identifier: MIT */
#include "lib/smtp/data.h"

#include <strings.h>

enum {
	AT_START,  /* at the start of a line */
	AT_DOT,    /* behind a dot that started the line */
	AT_DOT_CR, /* behind that and one CR, which is not written yet */
	AT_TEXT,   /* somewhere else in a line */
	AT_CR,     /* behind a CR, which is not written yet */
};

bool
bare_policy_parse(const char *text, enum bare_policy *policy)
{
	static const struct {
		const char *word;
		enum bare_policy policy;
	} words[] = {
	    {"no", BARE_ALLOW},      {"yes", BARE_NORMALIZE},
	    {"note", BARE_NOTE},     {"normalize", BARE_NORMALIZE},
	    {"reject", BARE_REJECT},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(text, words[i].word)) {
			*policy = words[i].policy;
			return true;
		}
	return false;
}

void
data_init(struct data_reader *d, enum bare_policy policy)
{
	*d = (struct data_reader){
	    .policy = policy, .after_crlf = true, .state = AT_START};
}

void
data_init_chunked(struct data_reader *d, enum bare_policy policy)
{
	*d = (struct data_reader){
	    .policy = policy, .chunked = true, .state = AT_TEXT};
}

struct span
data_held(struct data_reader *d)
{
	if (d->state != AT_CR && d->state != AT_DOT_CR)
		return span_make(NULL, 0);
	d->bare_cr = true;
	d->state = AT_TEXT;
	return span_make(d->keep_cr ? "\r" : " ", 1);
}

/* Where the conversion reads and writes; w never overtakes r. */
struct cursor {
	char *p;
	size_t len;
	size_t r, w;
	size_t lf; /* the first LF at or behind r, or len; valid if >= r */
	bool lf_known;
	struct span *held;
};

static void
put_line_end(struct data_reader *d, struct cursor *c, bool crlf)
{
	c->p[c->w++] = '\n';
	c->r++;
	d->after_crlf = crlf;
	d->state = d->chunked ? AT_TEXT : AT_START;
	if (!crlf)
		d->bare_lf = true;
}

/* The CR that was held back is content. */
static void
put_cr(struct data_reader *d, struct cursor *c)
{
	d->bare_cr = true;
	d->state = AT_TEXT;
	if (c->r > 0)
		c->p[c->w++] = d->keep_cr ? '\r' : ' ';
	else
		*c->held = span_make(d->keep_cr ? "\r" : " ", 1);
}

static void
put_text(struct cursor *c, size_t end)
{
	size_t n = end - c->r;

	if (c->w != c->r)
		memmove(c->p + c->w, c->p + c->r, n);
	c->w += n;
	c->r += n;
}

static size_t
next_lf(struct cursor *c)
{
	if (!c->lf_known || c->lf < c->r) {
		char *lf = memchr(c->p + c->r, '\n', c->len - c->r);

		c->lf = lf ? (size_t)(lf - c->p) : c->len;
		c->lf_known = true;
	}
	return c->lf;
}

/* Within a line: up to the next CR or line end. */
static void
take_text(struct data_reader *d, struct cursor *c)
{
	size_t lf = next_lf(c);
	char *cr = memchr(c->p + c->r, '\r', lf - c->r);

	if (cr) {
		put_text(c, (size_t)(cr - c->p));
		c->r++;
		d->state = AT_CR;
	} else {
		put_text(c, lf);
		if (c->r < c->len)
			put_line_end(d, c, false);
	}
}

/* A CR came before: is this byte the LF that makes it a line end? */
static void
take_after_cr(struct data_reader *d, struct cursor *c)
{
	bool dot = d->state == AT_DOT_CR;

	if (c->p[c->r] != '\n') {
		put_cr(d, c);
	} else if (dot && (d->after_crlf || d->policy == BARE_ALLOW)) {
		c->r++;
		d->done = true;
	} else {
		put_line_end(d, c, true);
	}
}

static void
take_after_dot(struct data_reader *d, struct cursor *c)
{
	switch (c->p[c->r]) {
	case '\r':
		c->r++;
		d->state = AT_DOT_CR;
		break;
	case '\n':
		if (d->policy == BARE_ALLOW) {
			c->r++;
			d->done = true;
			break;
		}
		/* FALLTHROUGH */
	default:
		d->state = AT_TEXT;
	}
}

size_t
data_convert(struct data_reader *d, char *p, size_t len, struct span *held,
	     struct span *out)
{
	struct cursor c = {.p = p, .len = len, .held = held};

	*held = span_make(NULL, 0);
	while (c.r < len && !d->done) {
		switch (d->state) {
		case AT_START:
			d->state = AT_TEXT;
			if (p[c.r] == '.') {
				c.r++;
				d->state = AT_DOT;
			}
			break;
		case AT_DOT:
			take_after_dot(d, &c);
			break;
		case AT_DOT_CR:
		case AT_CR:
			take_after_cr(d, &c);
			break;
		default:
			take_text(d, &c);
		}
	}
	*out = span_make(p, c.w);
	return c.r;
}

enum stream_status
data_read(struct data_reader *d, struct stream *s,
	  void (*fn)(void *arg, struct span piece), void *arg)
{
	while (!d->done) {
		struct span held, out;
		size_t len, used;
		char *p = stream_peek(s, &len);

		if (len == 0) {
			enum stream_status st = stream_fill(s);

			if (st != STREAM_OK)
				return st;
			continue;
		}
		used = data_convert(d, p, len, &held, &out);
		if (held.len)
			fn(arg, held);
		if (out.len)
			fn(arg, out);
		stream_consume(s, used);
	}
	return STREAM_OK;
}

void
data_replace_cr(char *p, size_t len)
{
	char *end = p + len;

	while (p < end && (p = memchr(p, '\r', (size_t)(end - p))))
		*p++ = ' ';
}
