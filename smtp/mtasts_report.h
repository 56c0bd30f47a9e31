/* SPDX-License-Identifier: MIT */
/*
 * mtasts_report - results of TLS, counted for each domain and day (UTC), and
 * the reports of finished days (RFC 8460).
 *
 * Below data_directory/tlsrpt: "state" has the counts of the day under way, so
 * that a restart loses a minute at most; a report is a file named as section
 * 5.1 says, "HOST!DOMAIN!BEGIN!END.json". It is written once, when its day is
 * over, and removed after REPORT_KEEP_SECONDS. Sending it is for others.
 *
 * Only domains that ask for reports get one. What is above the limits is
 * counted without its details, or not at all.
 */
#ifndef SMTP_MTASTS_REPORT_H
#define SMTP_MTASTS_REPORT_H

#include <stdint.h>

#include "lib/base/htab.h"
#include "lib/base/strvec.h"
#include "lib/smtp/tlsrpt.h"

struct event_base;
struct dns_ask;
struct ipc_msg;

enum {
	REPORT_DAY = 86400,
	REPORT_DOMAINS_MAX = 5000,
	REPORT_POLICIES_MAX = 8,     /* of a domain in a day */
	REPORT_DETAILS_MAX = 100,    /* of a policy */
	REPORT_BYTES_MAX = 32 << 20, /* of all texts in memory */
	REPORT_FILES_MAX = 20000,
	REPORT_KEEP_SECONDS = 30 * REPORT_DAY,
};

struct report_detail {
	enum tlsrpt_result result;
	char *client_addr, *server_addr, *mx_host, *reason; /* never NULL */
	int64_t count;
};

struct report_policy {
	enum tlsrpt_policy_type type;
	char *domain; /* where it is */
	struct strvec strings, mx;
	int64_t ok, failed;
	struct report_detail *details;
	size_t n;
};

enum report_wish {
	REPORT_UNKNOWN,
	REPORT_WANTED,
	REPORT_UNWANTED,
};

struct report_domain {
	char *name;
	enum report_wish wish;
	struct dns_ask *txt;
	int64_t asked; /* io_monotonic() */
	struct report_policy policies[REPORT_POLICIES_MAX];
	size_t n;
};

/* A day's counts. */
struct report_day {
	int64_t begin;        /* seconds since the epoch; 0: none */
	struct htab *domains; /* struct report_domain by name */
	size_t bytes;         /* of texts */
};

void mtasts_report_start(struct event_base *base);
/* A MSG_TLS_RESULT. */
void mtasts_report_take(const struct ipc_msg *msg);
/* Before the process ends: write what is not written. */
void mtasts_report_flush(void);

/* ---- within a day ---- */

void report_day_open(struct report_day *day, int64_t begin);
void report_day_close(struct report_day *day);
/* NULL: there are too many. */
struct report_domain *report_domain_get(struct report_day *day,
					struct span name);
/* The policy that looks like this one, which is borrowed and whose counts do
 * not matter. NULL: there are too many. */
struct report_policy *report_policy_get(struct report_day *day,
					struct report_domain *d,
					const struct report_policy *like);
/* Add count failures of this kind. The texts of like are borrowed. */
void report_failed(struct report_day *day, struct report_policy *p,
		   const struct report_detail *like);

/* ---- files (mtasts_report_file.c) ---- */

void report_files_open(void);
bool report_state_save(const struct report_day *day);
/* false: there is no state, day is closed. */
bool report_state_load(struct report_day *day);
/* The report of a domain that wants one. */
void report_put_json(const struct report_day *day,
		     const struct report_domain *d, struct buf *out);
void report_write(const struct report_day *day, const struct report_domain *d);
void report_remove_old(void);

#endif
