/* SPDX-License-Identifier: MIT */
/* Command lines, ESMTP parameters, xtext; replies of a server. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/smtp/cmd.h"
#include "lib/smtp/reply.h"

static void
parse_command(struct span line)
{
	struct span verb, arg, rest, key, value;
	struct buf out = BUF_INIT, again = BUF_INIT;
	const char *what;

	cmd_split(line, &verb, &arg);
	if (verb.len + arg.len > line.len)
		abort();
	if (addr_parse_path(arg, line.len & 1, &out, &rest, &what))
		while (cmd_next_param(&rest, &key, &value)) {
			cmd_parse_notify(value);
			cmd_parse_ret(value);
			buf_reset(&out);
			cmd_parse_orcpt(value, &out);
		}
	/* What is encoded decodes to itself. */
	buf_reset(&out);
	xtext_encode(line, &out);
	if (!xtext_decode(buf_span(&out), &again) ||
	    !span_equal(buf_span(&again), line))
		abort();
	buf_free(&out);
	buf_free(&again);
}

static void
parse_replies(const uint8_t *data, size_t size)
{
	struct reply r = REPLY_INIT;
	struct stream s;
	int fd[2];

	if (size > 65536 || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		return;
	if (size && send(fd[1], data, size, MSG_DONTWAIT) != (ssize_t)size)
		goto out;
	shutdown(fd[1], SHUT_WR);
	stream_init(&s, fd[0], fd[0]);
	stream_set_timeout(&s, 1000000);
	while (reply_read(&s, &r) == REPLY_OK) {
		struct buf text = BUF_INIT;

		if (r.code < 200 || r.code > 599 || r.lines == 0)
			abort();
		for (size_t i = 0; i < r.lines; i++)
			reply_line(&r, i);
		reply_text(&r, &text);
		buf_free(&text);
	}
	stream_free(&s);
	reply_free(&r);
out:
	close(fd[0]);
	close(fd[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse_command(span_make((const char *)data, size));
	parse_replies(data, size);
	return 0;
}
