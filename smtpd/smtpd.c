/* SPDX-License-Identifier: MIT */
/* smtpd - the SMTP server (smtpd(8)). */
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "lib/service/service.h"
#include "smtpd/smtpd_access.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_cmd.h"
#include "smtpd/smtpd_cmdfilter.h"
#include "smtpd/smtpd_data.h"
#include "smtpd/smtpd_footer.h"
#include "smtpd/smtpd_limits.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_notice.h"
#include "smtpd/smtpd_proxy.h"
#include "smtpd/smtpd_sasl.h"
#include "smtpd/smtpd_session.h"
#include "smtpd/smtpd_text.h"
#include "smtpd/smtpd_tls.h"
#include "smtpd/smtpd_upstream.h"
#include "smtpd/smtpd_xclient.h"

#include <pwd.h>
#include <unistd.h>

/*
 * "sendmail -bs" serves whoever started it: that user may send anything with
 * postdrop anyway. The mail owner gets the restrictions of network clients,
 * for tests of them.
 */
static bool
unrestricted(void)
{
	struct passwd *pw;

	if (!service_standalone())
		return false;
	pw = getpwnam(conf->mail_owner);
	return !pw || pw->pw_uid != getuid();
}

/* Tables are opened once, by the parent, before it gives up privilege. */
static void
init(void)
{
	if (!service_standalone()) {
		smtpd_tls_open();
		cleanup_open();
		smtpd_limits_open();
	}
	if (!unrestricted()) {
		route_open();
		smtpd_access_open();
	}
	smtpd_text_open();
	smtpd_footer_open();
	smtpd_notice_open();
	smtpd_chat_open();
	smtpd_data_open_tables();
	smtpd_ehlo_open();
	smtpd_milter_open();
	smtpd_sasl_open();
	smtpd_etrn_open();
	smtpd_session_open();
	smtpd_upstream_open();
	smtpd_proxy_open();
	smtpd_cmdfilter_open();
	smtpd_xclient_open_tables();
}

static void
serve(int fd)
{
	if (service_standalone())
		smtpd_session_run(
		    STDIN_FILENO, STDOUT_FILENO,
		    SESSION_STANDALONE |
			(unrestricted() ? SESSION_UNRESTRICTED : 0));
	else
		smtpd_session_run(fd, fd, 0);
}

int
main(int argc, char **argv)
{
	static const struct service smtpd = {
	    .name = "smtpd",
	    .model = SERVICE_SESSIONS,
	    .flags = SERVICE_TAKES_MAIL,
	    .init = init,
	    .serve = serve,
	    .watch_fd = smtpd_tls_watch_fd,
	    .watch_changed = smtpd_tls_watch_changed,
	    .worker_gone = smtpd_limits_worker_gone,
	    .parent_timer = smtpd_limits_timer,
	    .parent_linger = smtpd_limits_linger,
	};

	return service_main(argc, argv, &smtpd);
}
