/* SPDX-License-Identifier: MIT */
/* postlog(1): log lines for shell scripts, where main.cf says. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"

static const struct {
	const char *name;
	enum log_level level;
} severities[] = {
    {"info", LEVEL_INFO},   {"warn", LEVEL_WARN},   {"warning", LEVEL_WARN},
    {"error", LEVEL_ERROR}, {"err", LEVEL_ERROR},   {"fatal", LEVEL_FATAL},
    {"crit", LEVEL_FATAL},  {"panic", LEVEL_PANIC},
};

static bool
find_severity(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(severities) / sizeof(severities[0]);
	     i++) {
		if (strcmp(severities[i].name, name) == 0) {
			*level = severities[i].level;
			return true;
		}
	}
	return false;
}

__attribute__((format(printf, 2, 3))) static void
log_at(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(level, NULL, fmt, ap);
	va_end(ap);
}

static void
log_words(enum log_level level, char **words, int n)
{
	struct buf text = BUF_INIT;

	for (int i = 0; i < n; i++) {
		if (i)
			buf_append_byte(&text, ' ');
		buf_append_cstr(&text, words[i]);
	}
	log_at(level, "%s", buf_cstr(&text));
	buf_free(&text);
}

/* A line longer than the log takes is cut there; its rest is skipped. */
static void
log_input(enum log_level level)
{
	char line[LOG_LINE_MAX + 2];
	bool inside = false;

	while (fgets(line, sizeof(line), stdin)) {
		size_t len = strcspn(line, "\n");
		bool complete = line[len] == '\n';

		line[len] = '\0';
		if (!inside)
			log_at(level, "%s", line);
		inside = !complete;
	}
}

struct options {
	const char *config_dir;
	const char *tag;
	enum log_level level;
};

static void
parse_arguments(int argc, char **argv, struct options *o)
{
	int c, verbose = 0;

	while ((c = getopt(argc, argv, "c:ip:t:v")) != -1) {
		switch (c) {
		case 'c':
			o->config_dir = optarg;
			break;
		case 'i': /* the process id is always logged */
			break;
		case 'p':
			if (!find_severity(optarg, &o->level))
				log_fatal("bad severity: \"%s\"", optarg);
			break;
		case 't':
			o->tag = optarg;
			break;
		case 'v':
			log_set_verbose(++verbose);
			break;
		default:
			log_fatal("usage: postlog [-c config_dir] [-i] [-p "
				  "priority] [-t tag] [-v] [text]");
		}
	}
}

int
main(int argc, char **argv)
{
	struct options o = {.level = LEVEL_INFO};
	struct conf_args args = {.program = "postlog"};

	log_set_program("postfix/postlog");
	parse_arguments(argc, argv, &o);
	args.config_dir = o.config_dir;
	conf_load(&args);
	if (o.tag) {
		conf_log_open_ident(o.tag, CONF_LOG_DIRECT);
		log_set_program(o.tag);
	} else {
		conf_log_open("postlog", CONF_LOG_DIRECT);
	}
	log_set_stderr_too(isatty(STDERR_FILENO));
	if (optind < argc)
		log_words(o.level, argv + optind, argc - optind);
	else
		log_input(o.level);
	if (o.level >= LEVEL_FATAL)
		sleep(1); /* scripts that loop should not do so quickly */
	return 0;
}
