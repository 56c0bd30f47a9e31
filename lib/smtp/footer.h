/* SPDX-License-Identifier: MIT */
/* footer - text behind a refusal (smtpd_reject_footer, postconf(5)). */
#ifndef LIB_SMTP_FOOTER_H
#define LIB_SMTP_FOOTER_H

#include "lib/base/buf.h"

/*
 * line is a reply of at least "NNN " without CR LF. text, with its macros
 * expanded, goes behind it, which makes it several lines with CR LF between
 * them, each with the reply's codes; "\n" in text begins another line, "\c" at
 * its start stays on the reply's own. Line ends within text (of macros) become
 * spaces in it.
 */
void footer_add(struct buf *line, struct buf *text);

#endif
