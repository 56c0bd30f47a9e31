/* SPDX-License-Identifier: MIT */
#include "pickup/sendmail.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/ipc/proto.h"
#include "lib/smtp/cmd.h"

/* -b x */
static void
set_mode(struct sendmail_options *o, const char *arg)
{
	switch (arg[0]) {
	case 'm':
		o->mode = MODE_ENQUEUE;
		break;
	case 'v':
		o->mode = MODE_ENQUEUE;
		o->flags |= ENVELOPE_VERIFY;
		break;
	case 'd':
	case 'l':
		o->mode = MODE_DAEMON;
		break;
	case 'p':
		o->mode = MODE_MAILQ;
		break;
	case 'i':
		o->mode = MODE_NEWALIASES;
		break;
	case 's':
		o->mode = MODE_SERVER;
		break;
	case 'h':
	case 'H':
		o->mode = MODE_IGNORE;
		break;
	default:
		log_fatal("unsupported: -b%c", arg[0]);
	}
}

/* -q, -qinterval, -qIid, -qRsite, -qSsite */
static void
set_flush(struct sendmail_options *o, const char *arg)
{
	o->mode = MODE_FLUSH;
	if (!arg || !*arg)
		return;
	switch (arg[0]) {
	case 'I':
		o->queue_id = arg + 1;
		break;
	case 'R':
		o->site = arg + 1;
		break;
	case 'S':
		log_fatal("-qS is not implemented");
	default:
		o->mode = MODE_IGNORE;
	}
}

static void
set_notify(struct sendmail_options *o, const char *arg)
{
	o->notify = cmd_parse_notify(span_of(arg));
	if (!o->notify)
		log_warn("bad -N option value -- ignored");
}

static void
set_ret(struct sendmail_options *o, const char *arg)
{
	o->ret = cmd_parse_ret(span_of(arg));
	if (o->ret == RET_NONE)
		log_warn("bad -R option value -- ignored");
}

static void
set_encoding(struct sendmail_options *o, const char *arg)
{
	if (!strcasecmp(arg, "8BITMIME"))
		o->encoding = "8bit";
	else if (!strcasecmp(arg, "7BIT"))
		o->encoding = "7bit";
	else
		log_fatal("-B option needs 8BITMIME or 7BIT");
}

/* Sendmail's own options: two of them mean something here. */
static void
set_sendmail_option(struct sendmail_options *o, const char *arg)
{
	if (arg[0] == 'A')
		o->aliases = arg[1] ? arg + 1 : NULL;
	else if (arg[0] == 'i' && arg[1] == '\0')
		o->keep_dot = true;
}

/* "/etc/postfix", or "/etc/postfix/main.cf" */
static void
set_config(struct sendmail_options *o, const char *arg)
{
	struct span dir = span_of(arg);

	if (span_ends_nocase(dir, "/main.cf"))
		dir.len -= strlen("/main.cf");
	free(o->config_dir);
	o->config_dir = mem_strndup(dir.data, dir.len);
}

static void
set_from_name(struct sendmail_options *o, const char *argv0)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
	const char *name = slash ? slash + 1 : argv0 ? argv0 : "sendmail";

	log_set_program(name);
	if (!strcmp(name, "mailq"))
		o->mode = MODE_MAILQ;
	else if (!strcmp(name, "newaliases"))
		o->mode = MODE_NEWALIASES;
}

static void
set_option(struct sendmail_options *o, int c, const char *arg)
{
	switch (c) {
	case 'B':
		set_encoding(o, arg);
		break;
	case 'C':
		set_config(o, arg);
		break;
	case 'F':
		o->full_name = arg;
		break;
	case 'G':
		o->gateway = true;
		break;
	case 'I':
		o->mode = MODE_NEWALIASES;
		break;
	case 'N':
		set_notify(o, arg);
		break;
	case 'R':
		set_ret(o, arg);
		break;
	case 'V':
		o->envid = arg;
		break;
	case 'X':
		if (arg[0] == 'V')
			log_fatal("-XV (VERP) is not available in this "
				  "version");
		break;
	case 'b':
		set_mode(o, arg);
		break;
	case 'f':
	case 'r':
		o->sender = arg;
		break;
	case 'i':
		o->keep_dot = true;
		break;
	case 'n':
		log_fatal("-n option not supported");
	case 'o':
		set_sendmail_option(o, arg);
		break;
	case 'q':
		set_flush(o, arg);
		break;
	case 't':
		o->extract = true;
		break;
	case 'v':
		o->verbose++;
		break;
	case '?':
		log_fatal("usage: sendmail [options]");
	default: /* A L O U c e h m p x: accepted, without effect */
		break;
	}
}

static void
check(const struct sendmail_options *o)
{
	bool recipients = o->recipients.n > 0;

	if (o->mode == MODE_MAILQ && recipients)
		log_fatal("display queue mode requires no recipient");
	if (o->mode == MODE_SERVER && recipients)
		log_fatal("stand-alone mode requires no recipient");
	if (o->mode == MODE_DAEMON && recipients)
		log_fatal("daemon mode requires no recipient");
	if (o->extract && (o->flags & ENVELOPE_VERIFY))
		log_fatal("-t option cannot be used with -bv");
}

void
sendmail_parse(int argc, char **argv, struct sendmail_options *o)
{
	int c;

	set_from_name(o, argv[0]);
	while ((c = getopt(argc, argv,
			   "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:q::r:tvx")) >
	       0)
		set_option(o, c, optarg);
	for (; optind < argc; optind++)
		strvec_add(&o->recipients, argv[optind]);
	if (o->verbose > 0)
		o->flags |= ENVELOPE_REPORT;
	if (o->verbose > 1 || getenv("MAIL_VERBOSE"))
		log_set_verbose(o->verbose > 1 ? o->verbose - 1 : 1);
	check(o);
}
