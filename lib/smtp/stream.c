/* SPDX-License-Identifier: MIT */
#include "lib/smtp/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/sys/io.h"

enum { CONTENT_CHUNK = 32768 };

/* ---- plain descriptors ---- */

static bool
fd_ready(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, 0) > 0;
}

static ssize_t
plain_read(struct stream *s, void *data, size_t len)
{
	ssize_t n = recv(s->in_fd, data, len, MSG_DONTWAIT);

	s->wait_write = false;
	if (n >= 0 || errno != ENOTSOCK)
		return n;
	if (!fd_ready(s->in_fd, POLLIN)) {
		errno = EAGAIN;
		return -1;
	}
	return read(s->in_fd, data, len);
}

static ssize_t
plain_write(struct stream *s, const void *data, size_t len)
{
	ssize_t n = send(s->out_fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	s->wait_write = true;
	if (n >= 0 || errno != ENOTSOCK)
		return n;
	if (!fd_ready(s->out_fd, POLLOUT)) {
		errno = EAGAIN;
		return -1;
	}
	/* A pipe that can take something blocks for more than PIPE_BUF. */
	return write(s->out_fd, data, len > 4096 ? 4096 : len);
}

static bool
plain_pending(struct stream *s)
{
	(void)s;
	return false;
}

static bool
plain_ready(struct stream *s)
{
	return fd_ready(s->in_fd, POLLIN);
}

static const struct stream_ops plain_ops = {
    .read = plain_read,
    .write = plain_write,
    .pending = plain_pending,
    .ready = plain_ready,
};

void
stream_init(struct stream *s, int in_fd, int out_fd)
{
	*s = (struct stream){
	    .in_fd = in_fd, .out_fd = out_fd, .ops = &plain_ops};
}

void
stream_free(struct stream *s)
{
	buf_free(&s->in);
	buf_free(&s->out);
	buf_free(&s->cut);
	s->in_pos = 0;
}

/* ---- time ---- */

void
stream_set_timeout(struct stream *s, int64_t usec)
{
	s->timeout = usec;
}

void
stream_set_deadline(struct stream *s, int64_t usec, int min_rate)
{
	s->deadline = usec > 0 ? io_monotonic() + usec : 0;
	s->max_ahead = usec;
	s->min_rate = min_rate;
}

static int64_t
wait_until(const struct stream *s)
{
	int64_t until = -1;

	if (s->timeout > 0)
		until = io_monotonic() + s->timeout;
	if (s->deadline > 0 && (until < 0 || s->deadline < until))
		until = s->deadline;
	return until;
}

static bool
too_late(const struct stream *s)
{
	return s->deadline > 0 && io_monotonic() >= s->deadline;
}

static void
credit(struct stream *s, ssize_t n)
{
	int64_t limit;

	if (s->deadline <= 0 || s->min_rate <= 0)
		return;
	s->deadline += (int64_t)n * 1000000 / s->min_rate;
	limit = io_monotonic() + s->max_ahead;
	if (s->deadline > limit)
		s->deadline = limit;
}

void
stream_clear(struct stream *s)
{
	s->status = STREAM_OK;
	s->deadline = 0;
}

static enum stream_status
fail(struct stream *s, enum stream_status status, int error)
{
	s->status = status;
	s->error = error;
	return status;
}

/* Wait for the direction that the last EAGAIN asked for. */
static enum stream_status
wait_for_peer(struct stream *s, bool writing, bool interruptible)
{
	int64_t until = wait_until(s);
	int n;

	for (;;) {
		if (writing)
			n = io_wait_writable(s->out_fd, until);
		else if (interruptible && s->wait_input)
			n = s->wait_input(s, until);
		else
			n = io_wait_readable(s->in_fd, until);
		if (n > 0)
			return STREAM_OK;
		if (n == 0)
			return fail(s, STREAM_TIMEOUT, ETIMEDOUT);
		if (!writing && interruptible && s->wait_input)
			return STREAM_STOP;
		if (errno != EINTR)
			return fail(s, STREAM_ERROR, errno);
	}
}

/* ---- output ---- */

enum stream_status
stream_flush(struct stream *s)
{
	size_t done = 0;

	while (s->status == STREAM_OK && done < s->out.len) {
		ssize_t n =
		    s->ops->write(s, s->out.data + done, s->out.len - done);

		if (n > 0) {
			done += (size_t)n;
			s->bytes_out += (size_t)n;
			credit(s, n);
		} else if (n < 0 && errno == EAGAIN) {
			wait_for_peer(s, s->wait_write, false);
		} else if (n == 0 || errno != EINTR) {
			fail(s, STREAM_ERROR, n == 0 ? EPIPE : errno);
		}
	}
	if (s->out.cap > STREAM_OUT_MAX)
		buf_free(&s->out);
	else
		buf_reset(&s->out);
	return s->status;
}

void
stream_write(struct stream *s, struct span data)
{
	while (s->status == STREAM_OK && data.len) {
		size_t room = STREAM_OUT_MAX > s->out.len
				  ? STREAM_OUT_MAX - s->out.len
				  : 0;
		size_t n = data.len < room ? data.len : room;

		buf_append(&s->out, data.data, n);
		data = span_from(data, n);
		if (data.len)
			stream_flush(s);
	}
}

void
stream_printf(struct stream *s, const char *fmt, ...)
{
	va_list ap;

	if (s->status != STREAM_OK)
		return;
	va_start(ap, fmt);
	buf_vprintf(&s->out, fmt, ap);
	va_end(ap);
	if (s->out.len >= STREAM_OUT_MAX)
		stream_flush(s);
}

/* ---- input ---- */

char *
stream_peek(struct stream *s, size_t *len)
{
	*len = s->in.len - s->in_pos;
	return s->in.data ? s->in.data + s->in_pos : NULL;
}

void
stream_consume(struct stream *s, size_t n)
{
	s->in_pos += n;
	if (s->in_pos >= s->in.len) {
		buf_reset(&s->in);
		s->in_pos = 0;
	}
}

size_t
stream_discard_input(struct stream *s)
{
	size_t n = s->in.len - s->in_pos;

	stream_consume(s, n);
	return n;
}

void
stream_set_ops(struct stream *s, const struct stream_ops *ops, void *data)
{
	stream_discard_input(s);
	s->ops = ops ? ops : &plain_ops;
	s->ops_data = data;
	s->in_full = s->in_wait_write = false;
}

bool
stream_has_input(struct stream *s)
{
	return s->in.len > s->in_pos || s->ops->ready(s);
}

/* Room for the next read: 8 KiB at first, twice as much when it was filled. */
static size_t
make_room(struct stream *s)
{
	size_t want = STREAM_IN_MIN - 1;

	if (s->in_pos) {
		buf_consume(&s->in, s->in_pos);
		s->in_pos = 0;
	}
	if (s->in_full && s->in.cap * 2 <= STREAM_IN_MAX)
		want = s->in.cap * 2 - s->in.len - 1;
	else if (s->in.cap > s->in.len + STREAM_IN_MIN / 4)
		want = s->in.cap - s->in.len - 1;
	/* The buf doubles by itself; ask for what is there already. */
	buf_reserve(&s->in, want);
	return s->in.cap - s->in.len - 1;
}

/* The stream is about to wait with nothing in it: give memory back. */
static void
shrink(struct stream *s)
{
	if (s->in.len == s->in_pos && s->in.cap > STREAM_IN_MIN * 2) {
		buf_free(&s->in);
		s->in_pos = 0;
	}
}

enum stream_status
stream_fill(struct stream *s)
{
	bool asked = s->in_full || s->ops->pending(s);

	if (stream_flush(s) != STREAM_OK)
		return s->status;
	for (;;) {
		ssize_t n;
		size_t room;

		if (too_late(s))
			return fail(s, STREAM_TIMEOUT, ETIMEDOUT);
		if (!asked) {
			enum stream_status st;

			shrink(s);
			st = wait_for_peer(s, s->in_wait_write, true);
			if (st != STREAM_OK)
				return st;
		}
		room = make_room(s);
		n = s->ops->read(s, s->in.data + s->in.len, room);
		s->in_full = n > 0 && (size_t)n == room;
		s->in_wait_write = false;
		if (n > 0) {
			s->in.len += (size_t)n;
			s->in.data[s->in.len] = '\0';
			s->bytes_in += (size_t)n;
			credit(s, n);
			return STREAM_OK;
		}
		if (n == 0)
			return fail(s, STREAM_EOF, 0);
		if (errno == EAGAIN)
			s->in_wait_write = s->wait_write;
		else if (errno != EINTR)
			return fail(s, STREAM_ERROR, errno);
		asked = false;
	}
}

/* Skip the rest of a line that is too long; true when its end was found.
 * skipped grows by the bytes that went. */
static bool
skip_line(struct stream *s, size_t *skipped)
{
	size_t len;
	char *p = stream_peek(s, &len);
	char *nl = len ? memchr(p, '\n', len) : NULL;

	len = nl ? (size_t)(nl - p) + 1 : len;
	stream_consume(s, len);
	*skipped += len;
	return nl != NULL;
}

static enum stream_status
read_long_line(struct stream *s, size_t max, struct span *line, unsigned *flags)
{
	enum stream_status st = STREAM_OK;
	size_t len, skipped = 0;
	const char *p = stream_peek(s, &len);

	buf_set(&s->cut, span_make(p, max));
	*flags |= LINE_CUT;
	while (!skip_line(s, &skipped)) {
		if (s->max_skip && skipped > s->max_skip) {
			*flags |= LINE_ENDLESS;
			break;
		}
		if ((st = stream_fill(s)) != STREAM_OK)
			return st;
	}
	*line = buf_span(&s->cut);
	return STREAM_OK;
}

enum stream_status
stream_read_line(struct stream *s, size_t max, struct span *line,
		 unsigned *flags)
{
	size_t seen = 0, len;
	unsigned ignored;

	if (!flags)
		flags = &ignored;
	*flags = 0;
	*line = span_make(NULL, 0);
	buf_free(&s->cut);
	for (;;) {
		const char *p = stream_peek(s, &len);
		const char *nl =
		    len > seen ? memchr(p + seen, '\n', len - seen) : NULL;
		enum stream_status st;

		if (nl) {
			size_t n = (size_t)(nl - p);
			bool cr = n && p[n - 1] == '\r';

			if (!cr)
				*flags |= LINE_BARE_LF;
			if (n - cr > max)
				return read_long_line(s, max, line, flags);
			*line = span_make(p, n - cr);
			s->in_pos += n + 1;
			return STREAM_OK;
		}
		if (len > max + 1)
			return read_long_line(s, max, line, flags);
		seen = len;
		if ((st = stream_fill(s)) != STREAM_OK)
			return st;
	}
}

/* ---- content ---- */

void
stream_content_begin(struct stream_content *c, struct stream *s,
		     size_t max_line)
{
	*c = (struct stream_content){.s = s, .max_line = max_line};
}

/* Part of one line, without its line end. */
static void
content_text(struct stream_content *c, struct span text)
{
	while (text.len) {
		size_t n = text.len;

		if (c->column == 0 && text.data[0] == '.')
			stream_write(c->s, span_of("."));
		if (c->max_line && c->column >= c->max_line) {
			stream_write(c->s, span_of("\r\n "));
			c->column = 1;
			c->broken = true;
		}
		if (c->max_line && n > c->max_line - c->column)
			n = c->max_line - c->column;
		stream_write(c->s, span_make(text.data, n));
		c->column += n;
		text = span_from(text, n);
	}
}

void
stream_content_write(struct stream_content *c, struct span piece)
{
	while (piece.len && c->s->status == STREAM_OK) {
		long nl = span_find(piece, '\n');
		size_t n = nl < 0 ? piece.len : (size_t)nl;

		content_text(c, span_make(piece.data, n));
		if (nl < 0)
			return;
		stream_write(c->s, span_of("\r\n"));
		c->column = 0;
		piece = span_from(piece, n + 1);
	}
}

bool
stream_content_write_file(struct stream_content *c, int fd, int64_t offset,
			  int64_t length)
{
	char *chunk = mem_alloc(CONTENT_CHUNK);
	bool ok = true;

	while (ok && length > 0 && c->s->status == STREAM_OK) {
		size_t n =
		    length < CONTENT_CHUNK ? (size_t)length : CONTENT_CHUNK;

		ok = io_pread_all(fd, chunk, n, offset);
		if (!ok)
			break;
		stream_content_write(c, span_make(chunk, n));
		offset += (int64_t)n;
		length -= (int64_t)n;
	}
	free(chunk);
	return ok && c->s->status == STREAM_OK;
}

void
stream_content_end(struct stream_content *c)
{
	if (c->column)
		stream_write(c->s, span_of("\r\n"));
	stream_write(c->s, span_of(".\r\n"));
}
