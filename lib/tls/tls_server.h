/* SPDX-License-Identifier: MIT */
/*
 * tls_server - the smtpd_tls_* parameters, for the services that accept TLS:
 * smtpd, and postscreen in front of it.
 */
#ifndef LIB_TLS_TLS_SERVER_H
#define LIB_TLS_TLS_SERVER_H

#include <stdbool.h>

#include "lib/sys/watch.h"
#include "lib/tls/tls_context.h"
#include "lib/tls/tls_session.h"

enum tls_level {
	TLS_LEVEL_NONE,
	TLS_LEVEL_MAY,
	TLS_LEVEL_ENCRYPT,
};

/* text is the value of param; where it is empty the two old parameters count.
 * What is no level ends the program. */
enum tls_level tls_level_parse(const char *param, const char *text, bool use,
			       bool enforce);

/* For tls_context_new(); service: its name in master.cf. */
struct tls_config tls_server_config(enum tls_level level, bool ask_cert,
				    const char *service);
/* Its files; to be called before they are read, or a change in between would
 * go unnoticed. */
struct watch *tls_server_watch(const struct tls_config *c);
/* The ciphers of a connection; peer and the rest are the caller's. */
struct tls_wish tls_server_wish(enum tls_level level);

#endif
