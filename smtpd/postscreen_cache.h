/* SPDX-License-Identifier: MIT */
/*
 * postscreen_cache - postscreen_cache_map: which client passed what, until
 * when (postscreen_tests.h has the form of an entry).
 *
 * A Berkeley DB file is kept open, by one process: at a reload the new process
 * asks the old one, which finishes its clients, to let go of it
 * (postscreen_cache_yield()); what those clients pass is not remembered then.
 * Services that share a cache name it proxy:btree:..., and open it for each
 * access; lmdb: needs neither.
 */
#ifndef SMTPD_POSTSCREEN_CACHE_H
#define SMTPD_POSTSCREEN_CACHE_H

#include <stdbool.h>

#include "lib/base/buf.h"

struct event_base;

/*
 * Open it, with the mail owner's rights; a database file that is damaged is
 * moved away. Fatal when there is no table after that. Before jail().
 */
void postscreen_cache_open(void);
/* Begin the cleanup every postscreen_cache_cleanup_interval, and listen for a
 * successor's request. */
void postscreen_cache_start(struct event_base *base);
/* "" when there is no entry. */
void postscreen_cache_get(const char *addr, struct buf *entry);
void postscreen_cache_put(const char *addr, struct span entry);
/* Write what is open, close it. */
void postscreen_cache_yield(void);
/* The process has only its last clients: no cleanup any more, and a file that
 * others wait for, or that a kill would tear, is closed. */
void postscreen_cache_stop(void);

#endif
