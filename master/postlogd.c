/* SPDX-License-Identifier: MIT */
/*
 * postlogd(8): writes the lines that arrive on its datagram socket to
 * maillog_file. The file is opened with the privileges of master. When it was
 * renamed or removed (postfix logrotate, logrotate(8)) the process ends before
 * it reads more, and the next one opens a new file.
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
	LINE_MAX_BYTES = 8192,
	BATCH_BYTES = 64 * 1024, /* written with one call */
};

static struct {
	int fd;
	struct stat st; /* of the open file */
	bool watch;     /* a file that may be rotated */
} out = {.fd = -1};

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

/* Everything that waits on fd. */
static void
copy_lines(int fd)
{
	static struct buf batch;

	for (;;) {
		char *line = buf_reserve(&batch, LINE_MAX_BYTES + 1);
		ssize_t n = recv(fd, line, LINE_MAX_BYTES, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\0'))
			n--;
		if (n == 0)
			continue;
		/* Whoever may write here must not forge lines. */
		utf8_printable(line, (size_t)n, '?');
		batch.len += (size_t)n;
		buf_append_byte(&batch, '\n');
		if (batch.len >= BATCH_BYTES)
			write_batch(&batch);
	}
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
	if (!was_rotated())
		copy_lines(SERVICE_LISTEN_FD);
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
