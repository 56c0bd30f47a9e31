/* SPDX-License-Identifier: MIT */
/*
 * restriction - the names that smtpd_*_restrictions may hold
 * (SMTPD_ACCESS_README): one row per name says what follows it, what must be
 * known before it has an opinion, and where it may stand. smtpd's own table
 * says what each does.
 *
 * The same reader serves smtpd, which compiles the lists, and postfix check,
 * which only wants to know whether they make sense.
 */
#ifndef LIB_SMTP_RESTRICTION_H
#define LIB_SMTP_RESTRICTION_H

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/strvec.h"
#include "lib/dns/dnsxl.h"

/* Which list a restriction stands in. */
enum rule_list_kind {
	LIST_CLIENT,
	LIST_HELO,
	LIST_SENDER,
	LIST_RELAY,
	LIST_RECIPIENT,
	LIST_ETRN,
	LIST_DATA,
	LIST_END_OF_DATA,
	LIST_COUNT,
	LIST_REWRITE, /* local_header_rewrite_clients */
};

enum rule_arg {
	ARG_NONE,
	ARG_TABLE,  /* type:table */
	ARG_DOMAIN, /* of a DNS list, with an optional filter "=d.d.d.d" */
	ARG_TIME,   /* seconds */
	ARG_ANY,    /* one word of a grammar of its own */
};

enum {
	/* what must be known for the rule to have an opinion */
	KNOW_HELO = 1 << 0,
	KNOW_SENDER = 1 << 1,
	KNOW_RECIPIENT = 1 << 2,
	RULE_GUARDS_RELAY = 1 << 3, /* keeps a list from being an open relay */
	RULE_OLD = 1 << 4,          /* a name of the past */
	RULE_IN_REWRITE = 1 << 5,   /* may stand in LIST_REWRITE */
	RULE_NOT_SMTPD = 1 << 6,    /* and only there */
	RULE_SERVER = 1 << 7,       /* ARG_ANY is a policy server */
};

struct restriction {
	const char *name;
	enum rule_arg arg;
	unsigned flags;
};

/* In ASCII without regard to case; NULL: no such name. */
const struct restriction *restriction_find(const char *name);

/* ---- lists ---- */

enum restriction_status {
	RESTRICTION_END,
	RESTRICTION_OK,
	RESTRICTION_CLASS, /* the word names a restriction class */
	RESTRICTION_BAD,   /* error says why; nothing more can be read */
};

struct restriction_reader {
	enum rule_list_kind kind;
	bool (*is_class)(const char *word);
	struct strvec words;
	size_t at;
	/* the last one read */
	const struct restriction *row; /* RESTRICTION_OK */
	const char *word;
	const char *arg; /* NULL: none; valid until the reader is freed */
	/* ARG_DOMAIN: arg without the filter, and that */
	struct span domain;
	bool has_filter;
	struct dnsxl_filter filter;
	struct buf error;
};

void restriction_reader_init(struct restriction_reader *r, const char *text,
			     enum rule_list_kind kind,
			     bool (*is_class)(const char *word));
void restriction_reader_free(struct restriction_reader *r);
enum restriction_status restriction_next(struct restriction_reader *r);

/* Every list of the configuration that conf_load() read: what is wrong with
 * it is appended to errors, with file and line. */
void restriction_check_conf(struct strvec *errors);

#endif
