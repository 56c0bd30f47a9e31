/* SPDX-License-Identifier: MIT */
/*
 * logsink - log lines to syslogd or postlogd over a datagram socket.
 *
 * To syslogd (/dev/log): "<PRI>Mon dd hh:mm:ss IDENT[PID]: TEXT", local time.
 * To postlogd: the finished line, "Mon dd hh:mm:ss HOST IDENT[PID]: TEXT",
 * which postlogd appends to maillog_file as it is.
 *
 * IDENT is SYSLOG_NAME/PROCESS. The socket is connected here, before chroot,
 * and survives fork. When the peer goes away the sink connects again by path;
 * while nobody listens it tries once a second, and lines are lost (counted;
 * the next line that gets through is followed by one that tells the number).
 * A full socket is waited for at most logsink_set_wait() milliseconds.
 *
 * Of a datagram socket the kernel queues ten lines (max_dgram_qlen), so that
 * busy processes wait for postlogd at every other line. What master starts
 * therefore writes into one pipe that they all share; the socket is for the
 * others, and for when nobody reads from the pipe any more.
 */
#ifndef LIB_SYS_LOGSINK_H
#define LIB_SYS_LOGSINK_H

#include <stdbool.h>
#include <stddef.h>

/* Strings are copied. */
struct logsink {
	const char *process;     /* "smtpd" */
	const char *syslog_name; /* of this process: "postfix/submission" */
	const char *main_name;   /* for log_info_as() lines; NULL: the same */
	const char *facility;    /* "mail" */
	const char *socket;      /* of postlogd; NULL: syslogd */
	const char *hostname;    /* postlogd: for its lines */
	/* Written to by ourselves while nobody listens on socket; NULL: never.
	 * "/dev/stdout" is this process's standard output. */
	const char *file;
	unsigned file_mode; /* of a new one; 0 means 0600 */
	/* This is provisional: keep lines (a few) that nobody takes, and send
	 * them with the next logsink_open(). A fatal one goes to standard
	 * error then. */
	bool hold;
};

/* The sink of lib/base/log.h from now on. May be called again. */
void logsink_open(const struct logsink *s);

/*
 * The pipe to postlogd, not blocking; it is used in the place of the socket of
 * postlogd, and belongs to the sink from now on.
 */
void logsink_set_pipe(int fd);

/* How long one line may wait for room in the socket or pipe; 1000 unless set. */
void logsink_set_wait(int msec);

/* "mail", "local0": the syslog code, shifted (LOG_MAIL). */
bool logsink_facility(const char *name, int *code);

/*
 * Open a log file for appending, creating it with mode whatever the umask is;
 * "/dev/stdout" is a duplicate of standard output. -1: errno.
 */
int logsink_open_file(const char *path, unsigned mode);

/* A line as postlogd gets it, without newline; returns its length. */
size_t logsink_format_line(char *out, size_t size, const char *hostname,
			   const char *ident, const char *text);

#endif
