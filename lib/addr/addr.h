/* SPDX-License-Identifier: MIT */
/*
 * addr - one mail address (RFC 5321 section 4.1.2, RFC 5322 section 3.4).
 *
 * Internal form: localpart@domain with the quotes of the local part removed
 * (`a b@example.com`), the null sender is "". External form: quoted where RFC
 * 5321 needs it (`"a b"@example.com`).
 */
#ifndef LIB_ADDR_ADDR_H
#define LIB_ADDR_ADDR_H

#include <stdbool.h>

#include "lib/base/buf.h"

/* Position of the '@' that separates the domain (the last one), or -1. */
long addr_at(struct span addr);
struct span addr_localpart(struct span addr);
/* "" when there is none. */
struct span addr_domain(struct span addr);

/* Append the external (internal) form. */
void addr_quote(struct span internal, struct buf *out);
void addr_unquote(struct span external, struct buf *out);

/*
 * Split user+ext with the delimiters of recipient_delimiter. Returns the
 * length of user, or s.len when there is no extension; mailer-daemon,
 * double-bounce and (with "-") owner-x and x-request are never split.
 */
size_t addr_split_extension(struct span localpart, const char *delimiters);

/* ASCII lower case of the domain; the local part stays. */
void addr_fold_domain(struct buf *addr);

/*
 * The argument of MAIL FROM or RCPT TO as clients write it: "<a@b>",
 * "<@route:a@b>", and unless strict also "a@b", "Name <a@b>", "a@b (c)".
 * Sets out to the internal form and *rest to what follows (ESMTP
 * parameters). false: syntax error, *what says which.
 */
bool addr_parse_path(struct span arg, bool strict, struct buf *out,
		     struct span *rest, const char **what);

/* Domain syntax: RFC 1123 name (a trailing dot is not allowed). */
bool addr_valid_hostname(struct span s);
/* What may stand behind the '@': a literal, or a host name whose labels may
 * hold UTF-8 (RFC 6531; the caller knows whether that is wanted). */
bool addr_valid_domain(struct span s);
/* [1.2.3.4] or [IPv6:...]; ip gets the plain address when not NULL. */
bool addr_valid_literal(struct span s, struct buf *ip);

#endif
