/* SPDX-License-Identifier: MIT */
/* plain - what a client says with PLAIN (RFC 4616) and LOGIN. */
#ifndef LIB_SASL_PLAIN_H
#define LIB_SASL_PLAIN_H

#include <stdbool.h>

#include "lib/base/span.h"

enum {
	PLAIN_USER_MAX = 255,
	PLAIN_PASSWORD_MAX = 1024,
};

/* Not empty, at most max bytes, no control characters. */
bool plain_valid_text(struct span text, size_t max);

/*
 * "authorization NUL user NUL password", decoded. false: it is not of that
 * form, a part is not valid, or somebody wants to act for another. user and
 * password point into data; user is set, too, when only the rest is wrong.
 */
bool plain_parse(struct span data, struct span *user, struct span *password);

#endif
