/* SPDX-License-Identifier: MIT */
/*
 * stream - buffered SMTP input and output on a descriptor (RFC 5321, 2920).
 *
 * Used by the server and the client. Output is collected and written when
 * the input runs dry (just before the stream has to wait for the peer), when
 * stream_flush() asks for it, or when STREAM_OUT_MAX bytes are waiting; so a
 * pipelined group of commands is answered by one write.
 *
 * Input starts with STREAM_IN_MIN bytes of buffer, which grows up to
 * STREAM_IN_MAX while the peer fills it, and is given back when the stream
 * waits with nothing in it.
 *
 * Every problem of a descriptor is a status, sticky for the rest of the
 * stream's life: after the first one each call returns it again. Nothing here
 * logs.
 */
#ifndef LIB_SMTP_STREAM_H
#define LIB_SMTP_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buf.h"

enum {
	STREAM_IN_MIN = 8192,
	STREAM_IN_MAX = 65536,
	STREAM_OUT_MAX = 16384,
};

enum stream_status {
	STREAM_OK,
	STREAM_EOF,     /* the peer closed */
	STREAM_TIMEOUT, /* the time limit passed */
	STREAM_ERROR,   /* errno in struct stream */
	STREAM_STOP,    /* the wait function said so (not sticky) */
};

/*
 * How bytes come and go; replaced as a whole when TLS starts. read and write
 * return as read(2) and write(2) do on a non-blocking descriptor: -1 with
 * EAGAIN makes the stream wait in the direction that wait_write says.
 * pending: bytes that a read would return without asking the descriptor.
 * ready: a read would return something, or the end, without waiting.
 */
struct stream;
struct stream_ops {
	ssize_t (*read)(struct stream *s, void *data, size_t len);
	ssize_t (*write)(struct stream *s, const void *data, size_t len);
	bool (*pending)(struct stream *s);
	bool (*ready)(struct stream *s);
};

struct stream {
	int in_fd, out_fd;
	const struct stream_ops *ops;
	void *ops_data; /* of ops; the stream does not touch it */
	/*
	 * Called instead of waiting for input, when not NULL: deadline in
	 * microseconds of io_monotonic(), -1 none. 1 ready, 0 time-out, -1
	 * give up: STREAM_STOP.
	 */
	int (*wait_input)(struct stream *s, int64_t deadline);
	void *wait_data;
	bool wait_write;   /* set by ops->read, ops->write for their EAGAIN */
	int64_t timeout;   /* microseconds for one wait; 0: none */
	int64_t deadline;  /* of io_monotonic(); 0: none */
	int64_t max_ahead; /* the deadline is never further away */
	int min_rate;      /* bytes a second that move the deadline; 0: none */
	struct buf in;
	size_t in_pos; /* bytes at the front of in that were used */
	bool in_full;  /* the last read filled the buffer: more is likely */
	bool in_wait_write; /* the last read wants to write first (TLS) */
	struct buf cut;     /* what is kept of a line that is too long */
	size_t max_skip;    /* how much of it is skipped; 0: all */
	struct buf out;
	enum stream_status status;
	int error; /* errno of STREAM_ERROR */
	uint64_t bytes_in, bytes_out;
};

/* Both descriptors (the same for a socket) stay the caller's; their flags are
 * not touched: sockets are used with MSG_DONTWAIT, anything else after poll().
 */
void stream_init(struct stream *s, int in_fd, int out_fd);
/* Release the buffers; unsent output is dropped. */
void stream_free(struct stream *s);

/* Time limit of each wait for the peer, in microseconds; 0: none. */
void stream_set_timeout(struct stream *s, int64_t usec);
/*
 * Beside it a limit for all that follows, from now on; 0 removes it. With
 * min_rate > 0 every min_rate bytes received or sent give one second more,
 * but never more than usec in advance.
 */
void stream_set_deadline(struct stream *s, int64_t usec, int min_rate);

/* Forget a status and the deadline, to say a last word after a time-out. */
void stream_clear(struct stream *s);

/* ---- lines ---- */

enum {
	LINE_BARE_LF = 1 << 0, /* ended by LF without CR */
	LINE_CUT = 1 << 1,     /* longer than max; the rest was skipped */
	LINE_ENDLESS = 1 << 2, /* no end was found within max_skip bytes more */
};

/*
 * The next line without its line end, which is LF or CR LF; at most max
 * bytes. The span points into the stream until the next call and may contain
 * any byte. flags may be NULL. An unfinished line at the end of input is
 * STREAM_EOF.
 */
enum stream_status stream_read_line(struct stream *s, size_t max,
				    struct span *line, unsigned *flags);

/* ---- pieces: for lib/smtp/data.h and BDAT ---- */

/* Wait (flushing output first) until at least one more byte than now is
 * buffered. */
enum stream_status stream_fill(struct stream *s);
/* What is buffered; may be changed in place until consumed. */
char *stream_peek(struct stream *s, size_t *len);
void stream_consume(struct stream *s, size_t n);
/* Bytes buffered, or waiting in the descriptor (asks it without waiting): has
 * the peer sent ahead? */
bool stream_has_input(struct stream *s);
/* Drop buffered input. */
size_t stream_discard_input(struct stream *s);
/*
 * Other operations from now on, NULL: plain ones again. Buffered input is
 * dropped (STARTTLS: nothing that was sent in the clear may count after it).
 */
void stream_set_ops(struct stream *s, const struct stream_ops *ops, void *data);

/* ---- output ---- */

void stream_write(struct stream *s, struct span data);
void stream_printf(struct stream *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/*
 * Message content: LF becomes CR LF, a dot at the start of a line is doubled,
 * and a line longer than max_line bytes is broken with CR LF SPACE (0: never).
 * Content comes in pieces of any size; stream_content_end() completes the
 * last line and adds the "." line. Nothing is flushed.
 */
struct stream_content {
	struct stream *s;
	size_t max_line;
	size_t column; /* bytes of the current line so far; private */
	bool broken;   /* a line was too long */
};

void stream_content_begin(struct stream_content *c, struct stream *s,
			  size_t max_line);
void stream_content_write(struct stream_content *c, struct span piece);
/* length bytes at offset of fd. false: reading the file failed (errno), or
 * the stream has a status. */
bool stream_content_write_file(struct stream_content *c, int fd, int64_t offset,
			       int64_t length);
void stream_content_end(struct stream_content *c);
enum stream_status stream_flush(struct stream *s);

#endif
