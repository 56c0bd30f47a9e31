/* SPDX-License-Identifier: MIT */
/* The parts of command.h that run nothing. */
#include <paths.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "lib/conf/conf.h"
#include "lib/deliver/command.h"

static const struct {
	int code;
	const char *dsn;
	const char *text;
} exits[] = {
    {EX_USAGE, "5.3.0", "command line usage error"},
    {EX_DATAERR, "5.6.0", "data format error"},
    {EX_NOINPUT, "5.3.0", "cannot open input"},
    {EX_NOUSER, "5.1.1", "user unknown"},
    {EX_NOHOST, "5.1.2", "host name unknown"},
    {EX_UNAVAILABLE, "5.3.0", "service unavailable"},
    {EX_SOFTWARE, "5.3.0", "internal software error"},
    {EX_OSERR, "4.3.0", "system resource problem"},
    {EX_OSFILE, "5.3.0", "critical OS file missing"},
    {EX_CANTCREAT, "5.2.0", "can't create user output file"},
    {EX_IOERR, "5.3.0", "input/output error"},
    {EX_TEMPFAIL, "4.3.0", "temporary failure"},
    {EX_PROTOCOL, "5.5.0", "remote error in protocol"},
    {EX_NOPERM, "5.7.0", "permission denied"},
    {EX_CONFIG, "5.3.5", "local configuration error"},
};

static void
set_exit(int code, const char *command, struct why *why)
{
	for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
		if (exits[i].code == code) {
			why_set(why, exits[i].dsn, "%s", exits[i].text);
			return;
		}
	why_set(why, "5.3.0", "Command died with status %d: \"%s\"", code,
		command);
}

void
command_status(int wait_status, bool timed_out, const char *command,
	       struct span output, struct why *why)
{
	size_t n = dsn_code_length(output);
	char dsn[DSN_CODE_MAX];

	if (timed_out) {
		why_set(why, "5.3.0", "Command time limit exceeded: \"%s\"",
			command);
	} else if (WIFSIGNALED(wait_status)) {
		why_set(why, "4.3.0", "Command died with signal %d: \"%s\"",
			WTERMSIG(wait_status), command);
	} else if (n) {
		struct span text = span_from(output, n);

		while (text.len && text.data[0] == ' ')
			text = span_from(text, 1);
		memcpy(dsn, output.data, n);
		dsn[n] = '\0';

		/* A failure cannot carry a code that means success. */
		why_set(why, *dsn == '2' ? "5.0.0" : dsn, "%.*s",
			SPAN_ARG(text));
		goto out;
	} else {
		set_exit(WEXITSTATUS(wait_status), command, why);
	}
	if (output.len)
		buf_printf(&why->text, ". Command output: %.*s",
			   SPAN_ARG(output));
out:
	if (output.len) {
		why->diag_type = "x-unix";
		buf_set(&why->diagnostic, span_trim(output));
	}
}

static void
export_one(struct span item, struct strvec *env)
{
	struct buf b = BUF_INIT;
	const char *value;

	if (item.len > 1 && item.data[0] == '{')
		item = span_trim(span_make(item.data + 1, item.len - 2));
	if (span_find(item, '=') > 0) {
		long at = span_find(item, '=');

		buf_append_span(&b,
				span_trim(span_make(item.data, (size_t)at)));
		buf_append_byte(&b, '=');
		buf_append_span(&b, span_trim(span_from(item, (size_t)at + 1)));
		strvec_add(env, buf_cstr(&b));
	} else if (item.len) {
		buf_append_span(&b, item);
		value = getenv(buf_cstr(&b));
		if (!value && span_equal_cstr(item, "MAIL_CONFIG"))
			value = conf_directory();
		if (value) {
			buf_printf(&b, "=%s", value);
			strvec_add(env, buf_cstr(&b));
		}
	}
	buf_free(&b);
}

void
command_base_env(struct strvec *env)
{
	struct strvec names = STRVEC_INIT;

	strvec_split(&names, span_of(conf->export_environment), ", \t\r\n",
		     true);
	for (size_t i = 0; i < names.n; i++)
		export_one(span_of(names.v[i]), env);
	strvec_free(&names);
	for (size_t i = 0; i < env->n; i++)
		if (!strncmp(env->v[i], "PATH=", 5))
			return;
	strvec_add(env, "PATH=" _PATH_DEFPATH);
}

bool
command_needs_shell(const char *command)
{
	return strpbrk(command, "!\"#$&'()*;<=>?[\\]^`{|}~\n%") != NULL;
}
