/* SPDX-License-Identifier: MIT */
/*
 * postlogd(8): writes the lines that arrive on its datagram socket, and in the
 * pipe from the processes that master started, to maillog_file. The file is
 * opened with the privileges of master. When it was renamed or removed (postfix
 * logrotate, logrotate(8)) the process ends before it reads more, and the next
 * one opens a new file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "lib/sys/logsink.h"

enum {
	PIPE_FD = SERVICE_LISTEN_FD + 1,
	LINE_MAX_BYTES = 8192,
	BATCH_BYTES = 64 * 1024, /* read or written with one call */
	READS_PER_EVENT = 64,    /* then signals get their turn */
};

static struct {
	int fd;
	struct stat st; /* of the open file */
	bool watch;     /* a file that may be rotated */
} out = {.fd = -1};

/* In a process of master's that is told so with -s 2. */
static bool
has_pipe(void)
{
	struct stat st;

	return fstat(PIPE_FD, &st) == 0 && S_ISFIFO(st.st_mode);
}

static void
open_file(void)
{
	logsink_set_wait(0); /* our own socket: nobody else would read it */
	if (!*conf->maillog_file)
		return;
	if (!conf_log_file_allowed())
		log_fatal("maillog_file value '%s' does not match any prefix "
			  "in maillog_file_prefixes",
			  conf->maillog_file);
	out.fd = logsink_open_file(conf->maillog_file, conf_log_file_mode());
	if (out.fd < 0 || fstat(out.fd, &out.st) < 0)
		log_fatal("open %s: %m", conf->maillog_file);
	out.watch = strncmp(conf->maillog_file, "/dev/", 5) != 0;
}

static bool
was_rotated(void)
{
	struct stat st;

	if (!out.watch)
		return false;
	if (stat(conf->maillog_file, &st) < 0)
		return errno == ENOENT;
	return st.st_ino != out.st.st_ino || st.st_dev != out.st.st_dev;
}

static void
write_batch(struct buf *batch)
{
	if (out.fd >= 0 && batch->len &&
	    !io_write_all(out.fd, batch->data, batch->len) && errno == EBADF)
		service_exit(1);
	buf_reset(batch);
}

static void
add_line(struct buf *batch, char *line, size_t n)
{
	while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\0'))
		n--;
	if (n == 0)
		return;
	/* Whoever may write here must not forge lines. */
	utf8_printable(line, n, '?');
	buf_append(batch, line, n);
	buf_append_byte(batch, '\n');
	if (batch->len >= BATCH_BYTES)
		write_batch(batch);
}

/* From the socket: a datagram is a line. */
static void
copy_datagrams(int fd, struct buf *batch)
{
	char line[LINE_MAX_BYTES];
	ssize_t n;

	for (int i = 0; i < READS_PER_EVENT; i++) {
		n = recv(fd, line, sizeof(line), MSG_DONTWAIT);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			add_line(batch, line, (size_t)n);
	}
}

/* Lines that are complete, and what is too long to be one; the rest stays in
 * from. */
static void
take_lines(struct buf *from, struct buf *batch)
{
	size_t done = 0;

	while (done < from->len) {
		struct span rest = span_from(buf_span(from), done);
		long nl = span_find(rest, '\n');
		size_t n = nl < 0 ? rest.len : (size_t)nl + 1;

		if (nl < 0 && n < LINE_MAX_BYTES)
			break;
		add_line(batch, from->data + done, n);
		done += n;
	}
	memmove(from->data, from->data + done, from->len - done);
	buf_truncate(from, from->len - done);
}

/* From the pipe: lines, of which the last may end in the next read. */
static void
copy_stream(int fd, struct buf *batch)
{
	static struct buf from;
	ssize_t n;

	for (int i = 0; i < READS_PER_EVENT; i++) {
		n = read(fd, buf_reserve(&from, BATCH_BYTES), BATCH_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		from.len += (size_t)n;
		take_lines(&from, batch);
	}
}

static void
copy_lines(int fd)
{
	static struct buf batch;

	if (fd == SERVICE_LISTEN_FD)
		copy_datagrams(fd, &batch);
	else
		copy_stream(fd, &batch);
	write_batch(&batch);
}

static void
on_lines(int fd)
{
	if (was_rotated())
		service_exit(0);
	copy_lines(fd);
}

/* What was sent before the mail system stopped is still logged. */
static void
on_stop(void)
{
	if (!was_rotated()) {
		copy_lines(SERVICE_LISTEN_FD);
		if (has_pipe())
			copy_lines(PIPE_FD);
	}
	service_exit(0);
}

int
main(int argc, char **argv)
{
	static const struct service def = {
	    .name = "postlogd",
	    .model = SERVICE_EVENT,
	    .flags = SERVICE_SINGLE,
	    .init = open_file,
	    .event_client = on_lines,
	    .event_stop = on_stop,
	};

	return service_main(argc, argv, &def);
}
