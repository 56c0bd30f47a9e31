/* SPDX-License-Identifier: MIT */
/*
 * log - the one way to the log.
 *
 * Lines go to the sink that log_open() chose: syslog's socket, the postlogd
 * socket, or standard error. Text is passed through a filter that replaces
 * control bytes and bytes that are not valid UTF-8 by '?', and cut at
 * LOG_LINE_MAX. The level words follow Postfix: "warning: ", "error: ",
 * "fatal: ", "panic: " in front of the text, nothing for info.
 *
 * The sinks that need sockets live in lib/sys/logsink.h; until one is set,
 * lines go to standard error as "PROGRAM: TEXT", which is what commands want.
 */
#ifndef LIB_BASE_LOG_H
#define LIB_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum { LOG_LINE_MAX = 2000 };

enum log_level {
	LEVEL_INFO,
	LEVEL_WARN,
	LEVEL_ERROR,
	LEVEL_FATAL,
	LEVEL_PANIC,
};

/*
 * line is NUL terminated, already filtered, without ident, without newline.
 * process is NULL for the program itself, or the name given to log_info_as().
 */
typedef void (*log_sink_fn)(enum log_level level, const char *process,
			    const char *line);

/* name is kept (not copied): the text before ": " on standard error. */
void log_set_program(const char *name);
const char *log_program(void);
/* NULL sets standard error again. Sinks are called one after the other. */
void log_set_sink(log_sink_fn sink);
/* Also copy every line to standard error. */
void log_set_stderr_too(bool on);
/* Number of -v flags; log_debug() prints from level 1 on. */
void log_set_verbose(int level);
int log_verbose(void);
/* Called once by log_fatal/log_panic before the process ends; may be NULL. */
void log_set_cleanup(void (*fn)(void));

void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/*
 * Log under the name of a Postfix process whose work this program does, so
 * that log parsers find it: log_info_as("cleanup", "%s: message-id=%s", ..).
 */
void log_info_as(const char *process, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Exit status 1. Only at start-up, in commands, or out of memory. */
_Noreturn void log_fatal(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
/* The same with a status of <sysexits.h>. */
_Noreturn void log_fatal_code(int code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Our own invariant is broken: abort(). Nothing remote may reach this. */
_Noreturn void log_panic(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
void log_va(enum log_level level, const char *process, const char *fmt,
	    va_list ap) __attribute__((format(printf, 3, 0)));

#endif
