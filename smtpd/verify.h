/* SPDX-License-Identifier: MIT */
/*
 * verify - what the modules of verify(8) share (ADDRESS_VERIFICATION_README).
 *
 *   verify.c        the service: questions of smtpd, results from qmgr
 *   verify_cache.c  what is known, in address_verify_map or in memory
 *   verify_probe.c  the message that finds out
 */
#ifndef SMTPD_VERIFY_H
#define SMTPD_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/ipc/proto.h"

/*
 * What is known of an address; times in seconds since the epoch. Stored as
 * "status:probed:updated:text", as Postfix does.
 */
struct verify_entry {
	enum verify_status status;
	int64_t probed;  /* a probe was sent, and did not return yet; or 0 */
	int64_t updated; /* the result is from then; 0: none yet */
	struct buf text;
};

#define VERIFY_ENTRY_INIT                   \
	{                                   \
		VERIFY_TODO, 0, 0, BUF_INIT \
	}

enum { VERIFY_TEXT_MAX = 1000, VERIFY_MEMORY_MAX = 100000 };

/* The stored form. verify_entry_parse() trusts nothing: false on anything
 * else. */
void verify_entry_format(const struct verify_entry *e, struct buf *out);
bool verify_entry_parse(struct span text, struct verify_entry *e);
/* Is there nothing to be had from it any more? */
bool verify_entry_expired(const struct verify_entry *e, int64_t now);
/* Is it time to ask again, while it is still good? */
bool verify_entry_stale(const struct verify_entry *e, int64_t now);

/* As mail_owner: the file is its. "" and a map that cannot be written keep
 * everything in memory, at most VERIFY_MEMORY_MAX addresses. */
void verify_cache_open(void);
void verify_cache_close(void);
/* false: unknown. e is filled in. */
bool verify_cache_get(struct span address, struct verify_entry *e);
void verify_cache_put(struct span address, const struct verify_entry *e);
void verify_cache_delete(struct span address);
/* Look at some more entries and drop what expired. first: begin a pass; true:
 * the pass goes on. Logs its end. */
bool verify_cache_clean(bool first, int64_t now);

/* Queue a probe for address. false: it could not be written (logged). */
bool verify_probe_send(struct span address);

#endif
