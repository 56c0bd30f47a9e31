/* SPDX-License-Identifier: MIT */
#include "lib/queue/envelope.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * The stored form: the version, the numbers, the strings, the number of
 * recipients, the recipients. A string is its length plus one (0: NULL) and
 * its bytes, without NUL. Lengths and numbers are little endian.
 */
enum {
	VERSION = 1,
	RCPT_MIN = 5 * 4 + 2, /* five strings, notify, class */
};

struct string_field {
	size_t at;     /* offset of the pointer */
	bool required; /* never NULL */
};

#define FIELD(type, name, req)                   \
	{                                        \
		offsetof(struct type, name), req \
	}

static const struct string_field env_strings[] = {
    FIELD(envelope, sender, true),         FIELD(envelope, full_name, false),
    FIELD(envelope, encoding, false),      FIELD(envelope, dsn_envid, false),
    FIELD(envelope, rewrite, false),       FIELD(envelope, filter, false),
    FIELD(envelope, client_name, false),   FIELD(envelope, client_addr, false),
    FIELD(envelope, client_port, false),   FIELD(envelope, client_helo, false),
    FIELD(envelope, client_proto, false),  FIELD(envelope, sasl_method, false),
    FIELD(envelope, sasl_username, false), FIELD(envelope, sasl_sender, false),
};

static const struct string_field rcpt_strings[] = {
    FIELD(rcpt, address, true),    FIELD(rcpt, orig_to, false),
    FIELD(rcpt, dsn_orcpt, false), FIELD(rcpt, transport, false),
    FIELD(rcpt, nexthop, false),
};

enum {
	N_ENV_STRINGS = sizeof(env_strings) / sizeof(env_strings[0]),
	N_RCPT_STRINGS = sizeof(rcpt_strings) / sizeof(rcpt_strings[0]),
};

static char **
string_at(void *object, const struct string_field *f)
{
	return (char **)((char *)object + f->at);
}

static void
free_strings(void *object, const struct string_field *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(*string_at(object, &f[i]));
		*string_at(object, &f[i]) = NULL;
	}
}

void
envelope_free(struct envelope *e)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		free_strings(&e->rcpts[i], rcpt_strings, N_RCPT_STRINGS);
	free(e->rcpts);
	free_strings(e, env_strings, N_ENV_STRINGS);
	*e = (struct envelope)ENVELOPE_INIT;
}

struct rcpt *
envelope_add_rcpt(struct envelope *e)
{
	struct rcpt *r;

	if (e->n_rcpts == e->cap_rcpts) {
		e->cap_rcpts = e->cap_rcpts ? e->cap_rcpts * 2 : 1;
		e->rcpts =
		    mem_realloc(e->rcpts, e->cap_rcpts, sizeof(*e->rcpts));
	}
	r = &e->rcpts[e->n_rcpts++];
	*r = (struct rcpt){0};
	return r;
}

static void
put32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_append(b, &v, sizeof(v));
}

static void
put64(struct buf *b, int64_t v)
{
	uint64_t u = htole64((uint64_t)v);

	buf_append(b, &u, sizeof(u));
}

static void
put_strings(const void *object, const struct string_field *f, size_t n,
	    struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		const char *s = *string_at((void *)object, &f[i]);

		if (!s && f[i].required)
			s = "";
		put32(out, s ? (uint32_t)strlen(s) + 1 : 0);
		if (s)
			buf_append_cstr(out, s);
	}
}

void
envelope_encode(const struct envelope *e, struct buf *out)
{
	buf_append_byte(out, VERSION);
	put64(out, e->arrival);
	put64(out, e->size);
	put32(out, e->flags);
	put32(out, (uint32_t)e->dsn_ret);
	put32(out, (uint32_t)e->uid);
	put_strings(e, env_strings, N_ENV_STRINGS, out);
	put32(out, (uint32_t)e->n_rcpts);
	for (size_t i = 0; i < e->n_rcpts; i++) {
		const struct rcpt *r = &e->rcpts[i];

		put_strings(r, rcpt_strings, N_RCPT_STRINGS, out);
		buf_append_byte(out, (char)r->dsn_notify);
		buf_append_byte(out, (char)r->class);
	}
}

/* Cut len bytes off *in. */
static bool
take(struct span *in, void *out, size_t len)
{
	if (in->len < len)
		return false;
	memcpy(out, in->data, len);
	*in = span_from(*in, len);
	return true;
}

static bool
take32(struct span *in, uint32_t *v)
{
	if (!take(in, v, sizeof(*v)))
		return false;
	*v = le32toh(*v);
	return true;
}

static bool
take64(struct span *in, int64_t *v)
{
	uint64_t u;

	if (!take(in, &u, sizeof(u)))
		return false;
	*v = (int64_t)le64toh(u);
	return true;
}

static bool
take_strings(struct span *in, void *object, const struct string_field *f,
	     size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t len;

		if (!take32(in, &len) || (len == 0 && f[i].required))
			return false;
		if (len == 0)
			continue;
		len--;
		if (in->len < len ||
		    (len && memchr(in->data, '\0', len) != NULL))
			return false;
		*string_at(object, &f[i]) = mem_strndup(in->data, len);
		*in = span_from(*in, len);
	}
	return true;
}

static bool
take_rcpts(struct span *in, struct envelope *e)
{
	uint32_t n;

	if (!take32(in, &n) || n > in->len / RCPT_MIN)
		return false;
	if (n) {
		e->cap_rcpts = n;
		e->rcpts = mem_calloc(n, sizeof(*e->rcpts));
	}
	for (uint32_t i = 0; i < n; i++) {
		struct rcpt *r = envelope_add_rcpt(e);
		uint8_t notify, class;

		if (!take_strings(in, r, rcpt_strings, N_RCPT_STRINGS) ||
		    !take(in, &notify, 1) || !take(in, &class, 1))
			return false;
		r->dsn_notify = notify;
		r->class = class;
	}
	return true;
}

bool
envelope_decode(struct span data, struct envelope *e)
{
	uint8_t version;
	uint32_t flags, ret, uid;

	*e = (struct envelope)ENVELOPE_INIT;
	if (!take(&data, &version, 1) || version != VERSION ||
	    !take64(&data, &e->arrival) || !take64(&data, &e->size) ||
	    !take32(&data, &flags) || !take32(&data, &ret) ||
	    !take32(&data, &uid) ||
	    !take_strings(&data, e, env_strings, N_ENV_STRINGS) ||
	    !take_rcpts(&data, e) || data.len != 0) {
		envelope_free(e);
		return false;
	}
	e->flags = flags;
	e->dsn_ret = (int)ret;
	e->uid = (int)uid;
	return true;
}
