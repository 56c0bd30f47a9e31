/* SPDX-License-Identifier: MIT */
/* What a milter sends: packets, options, replies, changes of headers. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/milter/milter_conn.h"
#include "lib/milter/milter_edit.h"
#include "lib/milter/milter_proto.h"
#include "lib/sys/io.h"

/* Lines that start with white space belong to the one before. */
static size_t
count_headers(struct span section)
{
	size_t n = 0;
	bool start = true;

	for (size_t i = 0; i < section.len; i++) {
		if (start &&
		    ((section.data[i] != ' ' && section.data[i] != '\t') ||
		     i == 0))
			n++;
		start = section.data[i] == '\n';
	}
	return n;
}

/* Whatever a milter asks for, headers stay headers. */
static void
change_headers(struct milter_headers *h, const struct milter_reply *r)
{
	struct buf header = BUF_INIT, out = BUF_INIT;
	size_t before = h->n;

	milter_header_format(r->name, r->value, r->index & 1, &header);
	if (count_headers(buf_span(&header)) != 1)
		abort();
	if (r->type == MILTER_ADD_HEADER)
		milter_headers_add(h, buf_span(&header));
	else if (r->type == MILTER_INSERT_HEADER)
		milter_headers_insert(h, r->index, buf_span(&header));
	else
		milter_headers_change(h, r->index, r->name,
				      r->value.len ? buf_span(&header)
						   : r->value);
	if (h->n > before + 1 || h->n + 1 < before)
		abort();
	milter_headers_render(h, &out);
	if (out.len != h->bytes)
		abort();
	buf_free(&header);
	buf_free(&out);
}

static void
take_packet(struct milter_headers *h, char type, struct span data)
{
	struct milter_options o;
	struct milter_reply r;
	struct buf text = BUF_INIT;

	if (type == MILTER_OPTIONS)
		milter_parse_options(data, &o);
	if (!milter_parse_reply(type, data, &r))
		return;
	milter_answer_name(type);
	milter_event_name(type);
	if (type == MILTER_REPLY_CODE && milter_parse_smtp(r.text, &text) &&
	    (text.len < 3 || (text.data[0] != '4' && text.data[0] != '5')))
		abort();
	if (type == MILTER_ADD_HEADER || type == MILTER_INSERT_HEADER ||
	    type == MILTER_CHANGE_HEADER)
		change_headers(h, &r);
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct milter_conn c = MILTER_CONN_INIT;
	struct milter_headers h = MILTER_HEADERS_INIT;
	struct span packet;
	int fd[2];
	char type;

	if (size > 65536 || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		return 0;
	milter_headers_parse(
	    &h, span_of("Received: own\nA: 1\n 2\nB: 2\nA: 3\n"), true);
	if (size && send(fd[1], data, size, MSG_DONTWAIT) != (ssize_t)size)
		goto out;
	shutdown(fd[1], SHUT_WR);
	io_set_nonblocking(fd[0], true);
	c.fd = fd[0];
	while (milter_conn_read(&c, MILTER_END, io_monotonic() + 1000000, &type,
				&packet))
		take_packet(&h, type, packet);
	c.fd = -1;
	milter_conn_close(&c);
out:
	milter_headers_free(&h);
	close(fd[0]);
	close(fd[1]);
	return 0;
}
