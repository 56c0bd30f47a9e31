/* SPDX-License-Identifier: MIT */
/*
 * authc - the client side of SASL (RFC 4422), by libsasl2.
 *
 * The library picks the best of the mechanisms that are offered, have a
 * plug-in here and fit the policy. Challenges and responses are base64, as
 * SMTP has them. Whatever a server sends, a dialogue ends after
 * AUTHC_STEPS challenges. The password is in no message and no log, and
 * its memory is wiped.
 */
#ifndef LIB_SASL_AUTHC_H
#define LIB_SASL_AUTHC_H

#include "lib/sasl/authn.h"

enum {
	AUTHC_STEPS = 20,
	AUTHC_CHALLENGE_MAX = 65536, /* bytes of base64 */
};

/* Load the plug-ins; before jail(). type is smtp_sasl_type. false: reason. */
bool authc_open(const char *type, struct buf *reason);

struct authc_login {
	const char *service; /* "smtp", "lmtp" */
	const char *server;  /* the host's name */
	const char *user, *password;
	bool authzid; /* send the name as authorization identity, too */
	struct authn_policy policy;
};

struct authc; /* private */

/*
 * offered: names of mechanisms, separated by space. NULL: reason. mech gets the
 * one that was chosen; *initial says whether response holds a first
 * response (which may be empty).
 */
struct authc *authc_begin(const struct authc_login *login, const char *offered,
			  struct buf *mech, bool *initial, struct buf *response,
			  struct buf *reason);
/* The answer to a challenge. false: reason. */
bool authc_step(struct authc *c, struct span challenge, struct buf *response,
		struct buf *reason);
void authc_free(struct authc **c);

#endif
