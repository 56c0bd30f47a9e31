/* SPDX-License-Identifier: MIT */
/* postscreen_upstream_proxy_protocol. */
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "smtpd/postscreen_client.h"

void
postscreen_proxy_open(void)
{
	if (*conf->postscreen_upstream_proxy_protocol)
		log_fatal("postscreen_upstream_proxy_protocol: this version "
			  "does not know \"%s\"",
			  conf->postscreen_upstream_proxy_protocol);
}

bool
postscreen_proxy_enabled(void)
{
	return false;
}

void
postscreen_proxy(struct screen *s)
{
	postscreen_start_known(s);
}
