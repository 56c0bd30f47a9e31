/* SPDX-License-Identifier: MIT */
/* smtp, lmtp - deliver mail to SMTP and LMTP servers. See smtp(8). */
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "lib/service/agent.h"
#include "lib/service/service.h"
#include "smtp/smtp_checks.h"
#include "smtp/smtp_deliver.h"
#include "smtp/smtp_ehlo.h"
#include "smtp/smtp_host.h"
#include "smtp/smtp_mail.h"
#include "smtp/smtp_tls.h"

static bool is_lmtp;

/* "flags=DORX" in master.cf. */
static unsigned
parse_flags(struct span letters)
{
	unsigned flags = 0;

	for (size_t i = 0; i < letters.len; i++) {
		switch (letters.data[i]) {
		case 'D':
			flags |= MAIL_ADD_DELIVERED_TO;
			break;
		case 'O':
			flags |= MAIL_ADD_ORIGINAL_TO;
			break;
		case 'R':
			flags |= MAIL_ADD_RETURN_PATH;
			break;
		case 'X':
			log_warn("flags=X has no effect on success notices "
				 "in this version");
			break;
		default:
			log_fatal("unknown flag: %c", letters.data[i]);
		}
	}
	return flags;
}

static void
smtp_init(void)
{
	const struct strvec *argv = service_argv();
	unsigned flags = 0;

	for (size_t i = 0; i < argv->n; i++) {
		struct span arg = span_of(argv->v[i]);

		if (!span_starts_nocase(arg, "flags="))
			log_fatal("unknown command-line argument: %s",
				  argv->v[i]);
		flags |= parse_flags(span_from(arg, 6));
	}
	smtp_deliver_init(is_lmtp, flags);
	smtp_ehlo_open();
	smtp_checks_open(is_lmtp);
	smtp_tls_open(is_lmtp, is_lmtp ? "lmtp" : "smtp");
	smtp_auth_open(is_lmtp);
	route_host_open();
	smtp_host_open();
}

static void
smtp_serve(int fd)
{
	agent_serve(fd, &smtp_deliver_ops);
}

int
main(int argc, char **argv)
{
	static struct service def = {
	    .name = "smtp",
	    .model = SERVICE_SESSIONS,
	    .init = smtp_init,
	    .serve = smtp_serve,
	    .watch_fd = smtp_tls_watch_fd,
	    .watch_changed = smtp_tls_watch_changed,
	};
	struct span program = span_of(argc > 0 ? argv[0] : "smtp");
	long slash = span_rfind(program, '/');

	if (slash >= 0)
		program = span_from(program, (size_t)slash + 1);
	is_lmtp = span_equal_cstr(program, "lmtp");
	if (is_lmtp)
		def.name = "lmtp";
	return service_main(argc, argv, &def);
}
