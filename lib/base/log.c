/* SPDX-License-Identifier: MIT */
#include "lib/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/utf8.h"

static struct {
	const char *program;
	log_sink_fn sink;
	bool stderr_too;
	int verbose;
	void (*cleanup)(void);
} logger = {.program = "postrider"};

void
log_set_program(const char *name)
{
	logger.program = name;
}

const char *
log_program(void)
{
	return logger.program;
}

void
log_set_sink(log_sink_fn sink)
{
	logger.sink = sink;
}

void
log_set_stderr_too(bool on)
{
	logger.stderr_too = on;
}

void
log_set_verbose(int level)
{
	logger.verbose = level;
}

int
log_verbose(void)
{
	return logger.verbose;
}

void
log_set_cleanup(void (*fn)(void))
{
	logger.cleanup = fn;
}

static void
log_to_stderr(const char *line)
{
	char out[LOG_LINE_MAX + 200];
	int n = snprintf(out, sizeof(out), "%s: %s\n", logger.program, line);

	if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0)
		return;
}

void
log_va(enum log_level level, const char *process, const char *fmt, va_list ap)
{
	static const char *const word[] = {"", "warning: ", "error: ",
					   "fatal: ", "panic: "};
	char line[LOG_LINE_MAX + 1];
	size_t skip;
	int saved = errno;

	skip = (size_t)snprintf(line, sizeof(line), "%s", word[level]);
	errno = saved;
	vsnprintf(line + skip, sizeof(line) - skip, fmt, ap);
	utf8_printable(line, strlen(line), '?');
	if (logger.sink)
		logger.sink(level, process, line);
	if (!logger.sink || logger.stderr_too)
		log_to_stderr(line);
	errno = saved;
}

#define LOG_FN(name, level)                                                    \
	void name(const char *fmt, ...)                                        \
	{                                                                      \
		va_list ap;                                                    \
                                                                               \
		va_start(ap, fmt);                                             \
		log_va(level, NULL, fmt, ap);                                        \
		va_end(ap);                                                    \
	}

LOG_FN(log_info, LEVEL_INFO)
LOG_FN(log_warn, LEVEL_WARN)
LOG_FN(log_error, LEVEL_ERROR)

void
log_info_as(const char *process, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_INFO, process, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	if (logger.verbose < 1)
		return;
	va_start(ap, fmt);
	log_va(LEVEL_INFO, NULL, fmt, ap);
	va_end(ap);
}

static void
run_cleanup(void)
{
	void (*fn)(void) = logger.cleanup;

	logger.cleanup = NULL;
	if (fn)
		fn();
}

void
log_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_FATAL, NULL, fmt, ap);
	va_end(ap);
	run_cleanup();
	exit(1);
}

void
log_fatal_code(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_FATAL, NULL, fmt, ap);
	va_end(ap);
	run_cleanup();
	exit(code);
}

void
log_panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_PANIC, NULL, fmt, ap);
	va_end(ap);
	run_cleanup();
	abort();
}
