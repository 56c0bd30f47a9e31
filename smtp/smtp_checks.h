/* SPDX-License-Identifier: MIT */
/*
 * smtp_checks - smtp_header_checks, smtp_mime_header_checks,
 * smtp_nested_header_checks and smtp_body_checks (header_checks(5)). Of the
 * actions those are here that concern the text alone.
 */
#ifndef SMTP_SMTP_CHECKS_H
#define SMTP_SMTP_CHECKS_H

#include "lib/base/buf.h"
#include "lib/mime/mime.h"

/* Open the tables, before jail(). */
void smtp_checks_open(bool lmtp);
/* Is there any? */
bool smtp_checks_wanted(void);

/*
 * What becomes of a header, or of a line of the body: out gets the lines in
 * its place, each with its LF, or nothing. false: a table failed (logged).
 */
bool smtp_checks_header(const char *queue_id, enum mime_owner owner,
			struct span header, struct buf *out);
bool smtp_checks_body(const char *queue_id, struct span line, struct buf *out);

#endif
