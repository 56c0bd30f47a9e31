/* SPDX-License-Identifier: MIT */
#include "lib/conf/conf_log.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/base/span.h"
#include "lib/conf/conf.h"
#include "lib/sys/logsink.h"

#define ENV_SOCKET "POSTLOG_SERVICE"
#define ENV_HOSTNAME "POSTLOG_HOSTNAME"
#define ENV_PIPE "POSTLOG_PIPE"
#define ENV_TAG "MAIL_LOGTAG"

/* The user of a set-gid program must not choose what lines look like. */
static const char *
env_or(const char *name, const char *dflt)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : dflt;
}

/* As syslogd would log a host's name. */
static char *
first_label(const char *host)
{
	return mem_strndup(host, strcspn(host, "."));
}

/* The descriptor that master left us; our children shall not have it. */
static void
take_pipe(void)
{
	const char *text = secure_getenv(ENV_PIPE);
	struct stat st;
	int64_t fd;

	if (!text)
		return;
	if (num_parse(span_of(text), 0, INT_MAX, &fd) &&
	    fstat((int)fd, &st) == 0 && S_ISFIFO(st.st_mode) &&
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0)
		logsink_set_pipe((int)fd);
	unsetenv(ENV_PIPE);
}

void
conf_log_export_pipe(int fd)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", fd);
	setenv(ENV_PIPE, text, 1);
}

void
conf_log_open_early(const char *process)
{
	char *host = first_label(env_or(ENV_HOSTNAME, "amnesiac"));
	struct logsink s = {
	    .process = process,
	    .syslog_name = env_or(ENV_TAG, "postfix"),
	    .socket = env_or(ENV_SOCKET, NULL),
	    .hostname = host,
	    .hold = true,
	};

	take_pipe();
	logsink_open(&s);
	free(host);
}

static bool
prefix_matches(struct span path, struct span prefix)
{
	while (prefix.len > 1 && prefix.data[prefix.len - 1] == '/')
		prefix.len--;
	if (path.len < prefix.len ||
	    memcmp(path.data, prefix.data, prefix.len) != 0)
		return false;
	return path.len == prefix.len || path.data[prefix.len] == '/' ||
	       prefix.data[prefix.len - 1] == '/';
}

unsigned
conf_log_file_mode(void)
{
	struct span text = span_of(conf->maillog_file_permissions);
	uint64_t mode;

	if (!num_parse_base(text, 8, 0777, &mode))
		log_fatal("file %s/main.cf: parameter "
			  "maillog_file_permissions: bad value: %s",
			  conf_directory(), conf->maillog_file_permissions);
	return (unsigned)mode;
}

bool
conf_log_file_allowed(void)
{
	struct span rest = span_of(conf->maillog_file_prefixes);
	struct span prefix;

	while (span_next_token(&rest, ", \t\r\n", &prefix)) {
		if (prefix_matches(span_of(conf->maillog_file), prefix))
			return true;
	}
	return false;
}

static char *
socket_path(bool relative)
{
	if (relative)
		return mem_sprintf("public/%s", conf->postlog_service_name);
	return mem_sprintf("%s/public/%s", conf->queue_directory,
			   conf->postlog_service_name);
}

static void
open_sink(const char *process, const char *syslog_name, unsigned flags)
{
	struct logsink s = {
	    .process = process,
	    .syslog_name = syslog_name,
	    .main_name = conf->syslog_name,
	    .facility = conf->syslog_facility,
	};
	char *path = NULL, *host = NULL;
	int code;

	if (!logsink_facility(conf->syslog_facility, &code))
		log_fatal("file %s/main.cf: parameter syslog_facility: "
			  "unrecognized value: %s",
			  conf_directory(), conf->syslog_facility);
	if (flags & CONF_LOG_DAEMON)
		s.main_name = env_or(ENV_TAG, conf->syslog_name);
	if (*conf->maillog_file) {
		s.socket = path = socket_path(flags & CONF_LOG_DAEMON);
		s.hostname = host = first_label(conf->myhostname);
		if ((flags & CONF_LOG_DIRECT) && conf_log_file_allowed()) {
			s.file = conf->maillog_file;
			s.file_mode = conf_log_file_mode();
		}
	}
	logsink_open(&s);
	free(path);
	free(host);
}

void
conf_log_open(const char *process, unsigned flags)
{
	/* "postfix", not "postfix/postfix". */
	if (strcmp(process, conf->syslog_name) == 0)
		open_sink(process, "", flags);
	else
		open_sink(process, conf->syslog_name, flags);
}

void
conf_log_open_ident(const char *ident, unsigned flags)
{
	open_sink(ident, "", flags);
}

void
conf_log_export(void)
{
	char *path = NULL;

	setenv(ENV_TAG, conf->syslog_name, 1);
	if (*conf->maillog_file) {
		path = socket_path(false);
		setenv(ENV_SOCKET, path, 1);
		setenv(ENV_HOSTNAME, conf->myhostname, 1);
	} else {
		unsetenv(ENV_SOCKET);
		unsetenv(ENV_HOSTNAME);
	}
	free(path);
}
