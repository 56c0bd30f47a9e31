/* SPDX-License-Identifier: MIT */
/* cleanup_internal - what the files of lib/cleanup share. */
#ifndef LIB_CLEANUP_CLEANUP_INTERNAL_H
#define LIB_CLEANUP_CLEANUP_INTERNAL_H

#include "lib/addr/rewrite.h"
#include "lib/base/buf.h"
#include "lib/base/htab.h"
#include "lib/base/strvec.h"
#include "lib/cleanup/cleanup.h"
#include "lib/cleanup/cleanup_spool.h"
#include "lib/mime/header.h"
#include "lib/mime/mime.h"
#include "lib/queue/queue.h"
#include "lib/table/table.h"

/* A recipient as received, before rewriting and expansion. */
struct cleanup_rcpt {
	char *address;
	char *orig_to; /* NULL: the address itself */
	char *orcpt;
	int notify;
};

enum cleanup_stage {
	STAGE_ENVELOPE,   /* nothing of the content yet */
	STAGE_PREPEND,    /* what the caller puts in front */
	STAGE_FIRST_LINE, /* of the content */
	STAGE_HEADERS,
	STAGE_BODY,
};

struct cleanup {
	enum cleanup_origin origin;
	enum cleanup_stage stage;
	struct queue_entry *entry;
	char id[QUEUE_ID_MAX];
	struct envelope env;
	struct why why; /* the first error */
	bool discard;

	/* what is to be done with this message */
	bool do_checks, do_maps, do_bcc;
	enum rewrite_context headers; /* how header addresses are completed */

	struct cleanup_rcpt *in;
	size_t n_in, cap_in;
	struct htab *seen;    /* duplicate filter */
	struct buf last_rcpt; /* for the log: the last one, rewritten */

	/* headers */
	struct header_reader reader;
	struct buf prepend;
	struct buf out;   /* headers on their way to the queue */
	uint64_t have;    /* 1 << enum header_id */
	bool utf8_header; /* one is not ASCII */
	bool resent;
	int hops;
	struct strvec extract, extract_resent; /* sendmail -t */
	unsigned addr_flags; /* of the header in hand: HEADER_ADDR_* */
	struct buf rest;     /* start of the line that was no header */

	/* body */
	struct mime *mime; /* NULL: nobody needs to look at it */
	bool separated;    /* the empty line behind the headers is written */

	/* what checks asked for */
	struct buf redirect;
	struct strvec bcc;
	size_t bcc_done; /* of these, those that are recipients now */

	/* milters: NULL when there are none for this message */
	struct milters *milters;
	bool own_milters; /* made here, for mail that is not from SMTP */
	milter_macro_fn macro; /* of the session */
	void *macro_arg;
	struct spool *spool;   /* the content, instead of in the entry */
	int64_t headers_size;  /* of the content; -1: not known yet */
	bool own_received;     /* it has the Received: of the caller */
	struct strvec rewritten; /* recipients, for own_milters */
};

struct cleanup_tables {
	bool open;
	struct maps *canonical, *sender_canonical, *recipient_canonical,
	    *virtual_alias, *sender_bcc, *recipient_bcc;
	struct maps *header_checks, *mime_header_checks, *nested_header_checks,
	    *body_checks, *milter_header_checks;
	/* message_drop_headers: 1 << enum header_id, and unknown names */
	uint64_t drop_ids;
	struct strvec drop_names;
	struct milter_list milters; /* non_smtpd_milters */
};

extern struct cleanup_tables cleanup_tables;

/* Remember the first error. */
void cleanup_fail(struct cleanup *c, int code, const char *dsn, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));
/* Nothing more is to be done for this message. */
bool cleanup_is_over(const struct cleanup *c);
/* "warning: ID: ..." under the name of cleanup. */
void cleanup_warn(const struct cleanup *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A table could not answer for addr. */
void cleanup_map_problem(struct cleanup *c, const char *parameter,
			 const char *addr);

/* ---- cleanup_headers.c ---- */

extern const struct header_events cleanup_header_events;
void cleanup_header(struct cleanup *c, struct span header);
void cleanup_flush(struct cleanup *c);
/* Into the queue entry, or to where the milters will find it. */
void cleanup_put(struct cleanup *c, struct span data);
/* Bytes of content so far. */
int64_t cleanup_size(const struct cleanup *c);

/* ---- cleanup_checks.c ---- */

enum check_result {
	CHECK_KEEP,    /* as it is */
	CHECK_DROP,    /* leave it out */
	CHECK_REPLACE, /* by text */
};

/*
 * Apply one table to text; kind is "header" or "body". What is to be written
 * before it goes to out (with LF).
 */
enum check_result cleanup_check(struct cleanup *c, struct maps *checks,
				const char *parameter, const char *kind,
				struct span text, struct buf *replacement,
				struct buf *out);
/* The same for a header that a milter gave, with milter_header_checks. */
enum check_result cleanup_check_milter(struct cleanup *c, struct span header,
				       struct buf *replacement);
/* " from CLIENT; from=<..> to=<..> proto=.. helo=<..>" */
void cleanup_append_context(const struct cleanup *c, bool protocol,
			    struct buf *out);
/* Is there anything to look at in the body? */
struct mime *cleanup_mime_new(struct cleanup *c);

/* ---- cleanup_chars.c ---- */

void cleanup_chars_open(void);
/* message_reject_characters and message_strip_characters: false when there is
 * nothing to do, else out is what is left of text. */
bool cleanup_chars_filter(struct cleanup *c, struct span text, struct buf *out);

/* ---- cleanup_map.c ---- */

/*
 * Canonical mapping and masquerading of one address, in place; class is
 * "envelope_sender", "header_recipient", ... false: failed.
 */
bool cleanup_map_address(struct cleanup *c, struct buf *addr, const char *class,
			 bool sender);
/* Expand virtual aliases: list gets at least one address. */
bool cleanup_expand(struct cleanup *c, struct span addr, struct strvec *list);

/* ---- cleanup_rcpt.c ---- */

/* Rewrite the sender, then take in all recipients received so far. */
void cleanup_take_envelope(struct cleanup *c);
/* Recipients that the message itself named; bcc. */
void cleanup_finish_recipients(struct cleanup *c);
/* What milter_header_checks added to bcc; redirection. */
void cleanup_redirect(struct cleanup *c);
/* One more recipient, in internal form. orcpt may be NULL. */
void cleanup_add_rcpt(struct cleanup *c, struct span address,
		      const char *orcpt, int notify);
/* All that came from this address, as it was received. */
void cleanup_delete_rcpt(struct cleanup *c, struct span address);
void cleanup_free_recipients(struct cleanup *c);

/* ---- cleanup_milter.c ---- */

/* non_smtpd_milters, when they are for this message. */
void cleanup_own_milters(struct cleanup *c);
/* The message through its milters, then into the queue entry. */
void cleanup_run_milters(struct cleanup *c);
/* Say good-bye to the milters that are not the caller's. */
void cleanup_free_milters(struct cleanup *c);

/* ---- cleanup_milter_edit.c ---- */

struct milter_pass;

/* A message on its way through milters. */
struct milter_pass *milter_pass_new(struct cleanup *c);
void milter_pass_free(struct milter_pass *p);
/* What the next milter is given. */
void milter_pass_begin(struct milter_pass *p, struct milter_content *content);
/* The changed message is the message. */
void milter_pass_store(struct milter_pass *p);
/* Log "milter-WHAT: WHERE from CLIENT: TEXT; from=<> ..". */
void cleanup_log_milter(const struct cleanup *c, const char *what,
			const char *where, bool show_rcpt, const char *text);

/* ---- cleanup_route.c ---- */

void cleanup_route(struct cleanup *c);

#endif
