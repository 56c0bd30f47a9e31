/* SPDX-License-Identifier: MIT */
/*
 * mtasts_cache - MTA-STS policies that outlive the process: a file for each
 * domain below data_directory/mta_sts, with the policy as it was fetched
 * behind three lines of ours. What is in memory is an index without policies.
 *
 * Where the folder cannot be used (a warning) nothing is kept.
 */
#ifndef SMTP_MTASTS_CACHE_H
#define SMTP_MTASTS_CACHE_H

#include <stdint.h>
#include <sys/queue.h>

#include "lib/smtp/mta_sts.h"
#include "lib/smtp/tlsrpt.h"

enum {
	MTASTS_DOMAINS_MAX = 10000, /* the one unused for longest goes */
	MTASTS_UNUSED_SECONDS = 30 * 86400,
};

/* What is known of a domain. Borrowed from the cache, and gone at the next
 * mtasts_cache_get() or mtasts_cache_sweep(). */
struct sts_entry {
	TAILQ_ENTRY(sts_entry) lru;
	char *domain;
	/* Of the policy; fetched 0: there is none. Seconds of the wall clock.
	 */
	int64_t fetched, max_age;
	int64_t used;
	char id[MTA_STS_ID_MAX + 1];
	/* The last fetch, when it failed; io_monotonic(), 0: it did not. */
	int64_t failed;
	char failed_id[MTA_STS_ID_MAX + 1];
	enum tlsrpt_result failure;
	char *reason;
};

void mtasts_cache_open(void);
/* NULL: nothing is known. */
struct sts_entry *mtasts_cache_find(const char *domain);
/* Made when it was not there. */
struct sts_entry *mtasts_cache_get(const char *domain);

/* Seconds until its policy expires; 0: it has none that is valid. */
int64_t mtasts_cache_ttl(const struct sts_entry *e);
/* The policy; false: there is none (any more). */
bool mtasts_cache_load(struct sts_entry *e, struct mta_sts_policy *policy);
void mtasts_cache_store(struct sts_entry *e, struct span id, int64_t max_age,
			struct span text);
void mtasts_cache_failed(struct sts_entry *e, struct span id,
			 enum tlsrpt_result failure, const char *reason);
/* Mail goes by it. */
void mtasts_cache_used(struct sts_entry *e);

/* Remove what has expired; collect up to max names of domains that are in use
 * and whose policy should be fetched again. */
void mtasts_cache_sweep(struct strvec *due, size_t max);
bool mtasts_cache_is_due(const struct sts_entry *e);

#endif
