/* SPDX-License-Identifier: MIT */
/*
 * mtasts_fetch - policy files over HTTPS (RFC 8461 section 3.3), with libcurl
 * in the event loop: no redirects, one minute, 64 KiB.
 */
#ifndef SMTP_MTASTS_FETCH_H
#define SMTP_MTASTS_FETCH_H

#include "lib/base/buf.h"
#include "lib/base/strvec.h"
#include "lib/smtp/tlsrpt.h"

struct event_base;
struct mtasts_fetch;

enum { MTASTS_FETCHES_MAX = 200 }; /* at a time */

void mtasts_fetch_start(struct event_base *base);

/*
 * result TLSRPT_SUCCESS: text is what the server sent; else reason says what
 * went wrong. Both are the caller's of fn for the time of the call.
 */
typedef void (*mtasts_fetch_fn)(void *arg, enum tlsrpt_result result,
				struct span text, const char *reason);

/*
 * Fetch the policy of a domain from one of these addresses. fn is called
 * exactly once, from the loop. NULL: there are too many already, fn is not
 * called.
 */
struct mtasts_fetch *mtasts_fetch_new(const char *domain,
				      const struct strvec *addresses,
				      mtasts_fetch_fn fn, void *arg);

#endif
