/* SPDX-License-Identifier: MIT */
/*
 * conf_log - send the log lines of this program where main.cf says:
 * maillog_file through postlogd, or syslogd (syslog_name, syslog_facility).
 */
#ifndef LIB_CONF_CONF_LOG_H
#define LIB_CONF_CONF_LOG_H

#include <stdbool.h>

enum {
	/* The working directory is queue_directory, also after chroot. */
	CONF_LOG_DAEMON = 1 << 0,
	/* Write maillog_file ourselves while postlogd is down: for commands of
	 * the superuser that run before the mail system does. */
	CONF_LOG_DIRECT = 1 << 1,
};

/*
 * Before conf_load(), for what goes wrong in it: the environment that master
 * and postfix(1) leave for their children (POSTLOG_SERVICE, POSTLOG_HOSTNAME,
 * MAIL_LOGTAG, POSTLOG_PIPE) decides. process is "smtpd".
 */
void conf_log_open_early(const char *process);

/* After conf_load(). */
void conf_log_open(const char *process, unsigned flags);

/* The same with the whole ident given: "postfix/postfix-script", "mytag". */
void conf_log_open_ident(const char *ident, unsigned flags);

/* Set that environment, after conf_load(). */
void conf_log_export(void);

/* In a child, for the program that it becomes: fd is the pipe to postlogd. */
void conf_log_export_pipe(int fd);

/* maillog_file_permissions; a bad value is fatal. */
unsigned conf_log_file_mode(void);

/* Is maillog_file below one of maillog_file_prefixes? */
bool conf_log_file_allowed(void);

#endif
