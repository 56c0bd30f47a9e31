/* SPDX-License-Identifier: MIT */
/* postfix check: do the restriction lists of each smtpd make sense? */
#include "master/postfix_rules.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/mastercf.h"
#include "lib/smtp/restriction.h"
#include "lib/sys/proc.h"

/* "name = value" as "name=value", as the service does with its options. */
static void
add_setting(struct strvec *over, const char *text)
{
	struct span all = span_trim(span_of(text));
	long at = span_find(all, '=');
	struct buf b = BUF_INIT;

	if (at <= 0)
		return;
	buf_append_span(&b, span_trim(span_make(all.data, (size_t)at)));
	buf_append_byte(&b, '=');
	buf_append_span(&b, span_trim(span_from(all, (size_t)at + 1)));
	strvec_add(over, buf_cstr(&b));
	buf_free(&b);
}

static void
add_settings(const struct master_service *s, struct strvec *over)
{
	for (size_t i = 0; i + 1 < s->n_options; i++)
		if (!strcmp(s->argv.v[i], "-o"))
			add_setting(over, s->argv.v[++i]);
}

/* In a child, whose configuration is that service's. */
static void
check_in_child(const char *path, const struct master_service *s)
{
	struct strvec over = STRVEC_INIT, errors = STRVEC_INIT;
	struct conf_args args = {
	    .program = "smtpd",
	    .config_dir = conf_directory(),
	    .over = &over,
	    .service_name = s ? s->name : NULL,
	};

	if (s)
		add_settings(s, &over);
	conf_load(&args);
	restriction_check_conf(&errors);
	for (size_t i = 0; i < errors.n; i++) {
		if (s && !strncmp(errors.v[i], "-o ", 3))
			log_error("%s, line %d: %s", path, s->line,
				  errors.v[i]);
		else
			log_error("%s", errors.v[i]);
	}
	_exit(errors.n ? 1 : 0);
}

/* s is NULL: main.cf alone. */
static bool
check_service(const char *path, const struct master_service *s)
{
	pid_t pid = proc_fork();
	int status;

	if (pid == 0)
		check_in_child(path, s);
	return pid > 0 && proc_wait(pid, false, -1, &status) && status == 0;
}

bool
postfix_check_rules(const char *path, const struct mastercf *cf)
{
	bool ok = check_service(path, NULL);

	/* What main.cf says is wrong once, not once per line. */
	for (size_t i = 0; ok && i < cf->n; i++)
		if (!strcmp(cf->v[i].command, "smtpd") && cf->v[i].n_options)
			ok = check_service(path, &cf->v[i]);
	return ok;
}
