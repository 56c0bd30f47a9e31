/* SPDX-License-Identifier: MIT */
#define SYSLOG_NAMES /* facilitynames[] */
#include "lib/sys/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"

#define SYSLOG_SOCKET "/dev/log"

enum {
	LINE_SIZE = LOG_LINE_MAX + 512,
	SEND_TRIES = 3,
	RETRY_USEC = 1000000,
	HELD_MAX = 32,
};

static struct {
	int fd;
	char *ident;     /* "postfix/submission/smtpd" */
	char *main_name; /* "postfix" */
	char *hostname;
	char *path; /* of the socket */
	char *file;
	unsigned file_mode;
	bool postlog; /* path is postlogd's */
	int facility;
	int wait_msec;
	int64_t retry_at; /* io_monotonic() */
	unsigned long lost;
	bool in_report;
	bool hold;
	int pipe; /* to postlogd, or -1 */
} sink = {.fd = -1, .pipe = -1, .facility = LOG_MAIL, .wait_msec = 1000};

/* Lines that wait for the next logsink_open(). */
static struct {
	enum log_level level;
	char *process; /* or NULL */
	char *text;
} held[HELD_MAX];
static size_t n_held;

bool
logsink_facility(const char *name, int *code)
{
	for (const CODE *c = facilitynames; c->c_name; c++) {
		if (strcasecmp(c->c_name, name) == 0) {
			*code = c->c_val;
			return true;
		}
	}
	return false;
}

void
logsink_set_pipe(int fd)
{
	sink.pipe = fd;
}

void
logsink_set_wait(int msec)
{
	sink.wait_msec = msec;
}

int
logsink_open_file(const char *path, unsigned mode)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY;
	int fd;

	if (strcmp(path, "/dev/stdout") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	fd = open(path, flags | O_CREAT | O_EXCL, 0600);
	if (fd >= 0) {
		if (fchmod(fd, mode) == 0)
			return fd;
		close(fd);
	}
	return open(path, flags | O_CREAT, 0600);
}

/* "Mon dd hh:mm:ss " in the C locale, whatever the program has set. Several
 * lines of one second share the work. */
static int
put_time(char *out, size_t size)
{
	static const char month[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static char text[48];
	static time_t of;
	time_t now = time(NULL);
	struct tm tm;

	if (now != of || !text[0]) {
		if (!localtime_r(&now, &tm))
			gmtime_r(&now, &tm);
		snprintf(text, sizeof(text), "%.3s %2d %02d:%02d:%02d ",
			 month + 3 * tm.tm_mon, tm.tm_mday, tm.tm_hour,
			 tm.tm_min, tm.tm_sec);
		of = now;
	}
	return snprintf(out, size, "%s", text);
}

static size_t
clamp(int n, size_t size)
{
	if (n < 0)
		return 0;
	return (size_t)n < size ? (size_t)n : size - 1;
}

size_t
logsink_format_line(char *out, size_t size, const char *hostname,
		    const char *ident, const char *text)
{
	size_t n = clamp(put_time(out, size), size);

	n += clamp(snprintf(out + n, size - n, "%s %s[%ld]: %s", hostname,
			    ident, (long)getpid(), text),
		   size - n);
	return n;
}

static size_t
format_syslog(char *out, size_t size, int priority, const char *ident,
	      const char *text)
{
	size_t n =
	    clamp(snprintf(out, size, "<%d>", sink.facility | priority), size);

	n += clamp(put_time(out + n, size - n), size - n);
	n += clamp(snprintf(out + n, size - n, "%s[%ld]: %s", ident,
			    (long)getpid(), text),
		   size - n);
	return n;
}

static void
disconnect(void)
{
	if (sink.fd >= 0)
		close(sink.fd);
	sink.fd = -1;
}

static bool
reconnect(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (!sink.path || strlen(sink.path) >= sizeof(sun.sun_path) ||
	    io_monotonic() < sink.retry_at)
		return false;
	memcpy(sun.sun_path, sink.path, strlen(sink.path));
	sink.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sink.fd >= 0 &&
	    connect(sink.fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return true;
	disconnect();
	sink.retry_at = io_monotonic() + RETRY_USEC;
	return false;
}

static bool
wait_for_room(int fd, int64_t deadline)
{
	return io_monotonic() < deadline && io_wait_writable(fd, deadline) != 0;
}

static int64_t
wait_deadline(void)
{
	return io_monotonic() + (int64_t)sink.wait_msec * 1000;
}

/* One write of at most PIPE_BUF bytes does not mix with those of others. */
static bool
write_pipe(char *line, size_t len)
{
	int64_t deadline = 0;

	line[len] = '\n';
	while (write(sink.pipe, line, len + 1) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN) {
			/* Nobody can ever read it. */
			close(sink.pipe);
			sink.pipe = -1;
			return false;
		}
		if (!deadline)
			deadline = wait_deadline();
		if (!wait_for_room(sink.pipe, deadline))
			return false;
	}
	return true;
}

static bool
send_datagram(const char *line, size_t len)
{
	int64_t deadline = 0;
	int tries = 0;

	while (tries < SEND_TRIES) {
		if (sink.fd < 0 && !reconnect())
			return false;
		if (send(sink.fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS) {
			if (!deadline)
				deadline = wait_deadline();
			if (!wait_for_room(sink.fd, deadline))
				return false;
			continue;
		}
		disconnect();
		tries++;
	}
	return false;
}

static bool
append_to_file(char *line, size_t len)
{
	int fd = logsink_open_file(sink.file, sink.file_mode);
	bool ok;

	if (fd < 0)
		return false;
	line[len] = '\n';
	ok = io_write_all(fd, line, len + 1);
	close(fd);
	return ok;
}

static bool
deliver(enum log_level level, const char *ident, const char *text)
{
	static const int priority[] = {LOG_INFO, LOG_WARNING, LOG_ERR, LOG_CRIT,
				       LOG_CRIT};
	char line[LINE_SIZE + 1];
	size_t len;
	bool ok;

	if (sink.postlog)
		len = logsink_format_line(line, LINE_SIZE, sink.hostname, ident,
					  text);
	else
		len = format_syslog(line, LINE_SIZE, priority[level], ident,
				    text);
	_Static_assert(LINE_SIZE < PIPE_BUF, "a line is one write");
	ok = sink.postlog && sink.pipe >= 0 && write_pipe(line, len);
	/* A pipe that is merely full stays the way to go. */
	if (!ok && (!sink.postlog || sink.pipe < 0))
		ok = send_datagram(line, len);
	if (!ok && sink.file)
		ok = append_to_file(line, len);
	return ok;
}

static void
report_lost(void)
{
	char text[80];
	unsigned long lost = sink.lost;

	if ((sink.fd < 0 && sink.pipe < 0) || sink.in_report)
		return;
	sink.in_report = true;
	snprintf(text, sizeof(text),
		 "warning: %lu log lines of this process were lost", lost);
	if (deliver(LEVEL_WARN, sink.ident, text))
		sink.lost -= lost;
	sink.in_report = false;
}

static void
keep_line(enum log_level level, const char *process, const char *line)
{
	if (level >= LEVEL_FATAL) {
		dprintf(STDERR_FILENO, "%s: %s\n", log_program(), line);
	} else if (n_held < HELD_MAX) {
		held[n_held].level = level;
		held[n_held].process = process ? mem_strdup(process) : NULL;
		held[n_held++].text = mem_strdup(line);
	}
}

static void
sink_line(enum log_level level, const char *process, const char *line)
{
	char name[256];
	const char *ident = sink.ident;

	if (process) {
		snprintf(name, sizeof(name), "%s/%s", sink.main_name, process);
		ident = name;
	}
	if (deliver(level, ident, line)) {
		if (sink.lost)
			report_lost();
	} else if (sink.hold) {
		keep_line(level, process, line);
	} else {
		sink.lost++;
	}
}

static void
send_held(void)
{
	size_t n = n_held;

	n_held = 0;
	for (size_t i = 0; i < n; i++) {
		sink_line(held[i].level, held[i].process, held[i].text);
		free(held[i].process);
		free(held[i].text);
	}
}

static void
replace(char **to, const char *value)
{
	char *copy = value ? mem_strdup(value) : NULL;

	free(*to);
	*to = copy;
}

void
logsink_open(const struct logsink *s)
{
	char *ident = s->syslog_name && *s->syslog_name
			  ? mem_sprintf("%s/%s", s->syslog_name, s->process)
			  : mem_strdup(s->process);

	tzset(); /* /etc/localtime is out of reach after chroot */
	disconnect();
	free(sink.ident);
	sink.ident = ident;
	replace(&sink.main_name, s->main_name ? s->main_name : s->syslog_name);
	replace(&sink.hostname, s->hostname ? s->hostname : "localhost");
	sink.postlog = s->socket != NULL;
	replace(&sink.path, sink.postlog ? s->socket : SYSLOG_SOCKET);
	replace(&sink.file, sink.postlog ? s->file : NULL);
	sink.file_mode = s->file_mode ? s->file_mode : 0600;
	if (s->facility)
		logsink_facility(s->facility, &sink.facility);
	sink.retry_at = 0;
	sink.hold = s->hold;
	reconnect();
	log_set_sink(sink_line);
	if (!sink.hold)
		send_held();
}
