/* SPDX-License-Identifier: MIT */
/* tcp:host:port - one line asks, one line answers (tcp_table(5)). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/table_impl.h"
#include "lib/table/table_peer.h"

enum { LINE_LIMIT = 4096 }; /* of an answer, its newline included */

static bool
open_tcp(struct table *t)
{
	char *error = NULL;

	t->data = table_peer_open(false, span_of(t->name), &error);
	if (t->data)
		return true;
	table_fail(t, "open %s: %s", t->spec, error);
	free(error);
	return false;
}

static void
close_tcp(struct table *t)
{
	table_peer_free(t->data);
	t->data = NULL;
}

/* What the other side must not take for the end of a word or line. */
static void
encode(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c > ' ' && c < 127 && c != '%')
			buf_append_byte(out, (char)c);
		else
			buf_printf(out, "%%%02X", c);
	}
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
decode(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		int high, low;

		if (s.data[i] != '%') {
			buf_append_byte(out, s.data[i]);
			continue;
		}
		if (s.len - i < 3)
			return false;
		high = hex_digit(s.data[i + 1]);
		low = hex_digit(s.data[i + 2]);
		if (high < 0 || low < 0)
			return false;
		buf_append_byte(out, (char)(high << 4 | low));
		i += 2;
	}
	return true;
}

/* One line into p->in, of which len is what stands before the newline. */
static bool
read_line(struct table_peer *p, size_t *len)
{
	for (;;) {
		long nl = span_find(buf_span(&p->in), '\n');

		if (nl >= 0 && nl < LINE_LIMIT) {
			*len = (size_t)nl;
			return true;
		}
		if (p->in.len >= LINE_LIMIT) {
			log_warn("read TCP map reply from %s: text longer "
				 "than %d",
				 p->name, LINE_LIMIT);
			table_peer_disconnect(p);
			return false;
		}
		if (!table_peer_read(p)) {
			log_warn("read TCP map reply from %s: %s", p->name,
				 errno ? strerror(errno) : "unexpected EOF");
			return false;
		}
	}
}

/* "200 text" and its kin. */
static enum table_status
take_answer(struct table_peer *p, struct span line, struct buf *value,
	    struct why *why)
{
	struct span text = span_from(line, line.len < 4 ? line.len : 4);
	bool good = line.len >= 4 && line.data[3] == ' ' && decode(text, value);

	for (size_t i = 0; good && i < 3; i++)
		good = line.data[i] >= '0' && line.data[i] <= '9';
	if (good && !memcmp(line.data, "200", 3))
		return TABLE_FOUND;
	buf_reset(value);
	if (good && !memcmp(line.data, "500", 3))
		return TABLE_ABSENT;
	if (!good || memcmp(line.data, "400", 3) != 0)
		log_warn("read TCP map reply from %s: %s: %.*s", p->name,
			 good ? "bad status code" : "malformed reply",
			 SPAN_ARG(line));
	return table_retry(why);
}

static enum table_status
get_tcp(struct table *t, struct span key, struct buf *value, struct why *why)
{
	struct table_peer *p = t->data;
	struct buf question = BUF_INIT;
	enum table_status status;
	size_t len = 0;
	bool ok = false;

	buf_append_cstr(&question, "get ");
	encode(key, &question);
	buf_append_byte(&question, '\n');
	for (int i = 0; i < TABLE_PEER_TRIES && !ok; i++) {
		if (table_peer_ask(p, buf_span(&question)))
			ok = read_line(p, &len);
		else
			log_warn("connect to TCP map %s: %m", p->name);
	}
	buf_free(&question);
	if (!ok)
		return table_retry(why);
	status = take_answer(p, span_make(p->in.data, len), value, why);
	buf_reset(&p->in);
	return status;
}

const struct table_type table_type_tcp = {
    .name = "tcp",
    .pattern = true,
    .open = open_tcp,
    .get = get_tcp,
    .close = close_tcp,
};
