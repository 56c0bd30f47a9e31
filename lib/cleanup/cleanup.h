/* SPDX-License-Identifier: MIT */
/*
 * cleanup - take one message in (cleanup(8)).
 *
 * Completes and rewrites headers, applies header and body checks, expands
 * virtual aliases, adds bcc recipients, routes each recipient, and writes one
 * image to the queue. It runs inside smtpd, pickup, bounce and local. The
 * content streams through once.
 *
 *	c = cleanup_begin(CLEANUP_SMTPD, &why);
 *	cleanup_sender(c, ..); cleanup_recipient(c, ..); ...
 *	cleanup_content(c, ..); ...
 *	if (!cleanup_end(c, &why)) reply why; else reply queued as id
 *
 * Errors are remembered: after the first one the calls do nothing, and
 * cleanup_end() reports it.
 */
#ifndef LIB_CLEANUP_CLEANUP_H
#define LIB_CLEANUP_CLEANUP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"
#include "lib/dsn/why.h"
#include "lib/milter/milter.h"
#include "lib/queue/envelope.h"

enum cleanup_origin {
	CLEANUP_SMTPD,   /* from the network */
	CLEANUP_PICKUP,  /* from sendmail(1): local rewriting, bcc, -t */
	CLEANUP_BOUNCE,  /* notices: internal_mail_filter_classes rules */
	CLEANUP_FORWARD, /* local: alias and .forward */
};

struct cleanup;

/* Open the tables (once per process, before jail). */
void cleanup_open(void);

/* From now on cleanup_end() does not tell the queue manager about the message;
 * cleanup_announce() does, and ends that. For who must answer first. */
void cleanup_hold_back(void);
void cleanup_announce(void);

/* NULL: why says 4.3.0 (queue full, disk). The queue id exists from here. */
struct cleanup *cleanup_begin(enum cleanup_origin origin, struct why *why);
/* The same for a message that has a queue id already. */
struct cleanup *cleanup_begin_as(enum cleanup_origin origin, const char *id,
				 struct why *why);
const char *cleanup_id(const struct cleanup *c);
/* To be filled in by the caller before content: everything but the
 * recipients (sender unrewritten, flags, dsn_*, client_*, sasl_*, uid). */
struct envelope *cleanup_envelope(struct cleanup *c);
/* One recipient as received (internal form). orcpt may be NULL; orig_to NULL
 * means the address itself. */
void cleanup_recipient(struct cleanup *c, struct span address,
		       const char *orig_to, const char *orcpt, int notify);
/* Header lines in front of everything else (Received:, Delivered-To:), whole
 * lines with their LF. Before the first cleanup_content(). Checks see them. */
void cleanup_prepend_header(struct cleanup *c, struct span lines);
/*
 * The session's milters, connected, and at the stage of DATA: the content goes
 * through them at cleanup_end(). Before the first cleanup_content(). macro
 * answers for the session. Without this, messages that did not come by SMTP
 * meet non_smtpd_milters, for which a session is made up.
 *
 * When cleanup_end() is false and milters_reply() is not empty, that is the
 * reply to give.
 */
void cleanup_use_milters(struct cleanup *c, struct milters *m,
			 milter_macro_fn macro, void *arg);
/* Content with LF line ends, in pieces of any size (a piece may end within
 * a line). */
void cleanup_content(struct cleanup *c, struct span piece);
/* Has an error been remembered (stop reading early)? */
bool cleanup_failed(const struct cleanup *c);
/*
 * End of content: commit. true: accepted, on disk (also when the message was
 * discarded by a DISCARD action). false: why (552 5.3.4 too big, 550 5.7.1
 * rejected by a check, 554 5.4.0 too many hops, 451 4.3.0 a table failed, 451
 * 4.6.0 alias expansion, 550 5.1.0 no recipients). c is gone.
 */
bool cleanup_end(struct cleanup *c, struct why *why);
/* Throw away what was received. */
void cleanup_abort(struct cleanup *c);

#endif
