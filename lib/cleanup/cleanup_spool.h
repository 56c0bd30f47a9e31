/* SPDX-License-Identifier: MIT */
/*
 * cleanup_spool - bytes that wait until milters have seen them: in memory,
 * and beyond SPOOL_MEMORY_MAX in a file without a name.
 */
#ifndef LIB_CLEANUP_CLEANUP_SPOOL_H
#define LIB_CLEANUP_CLEANUP_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum { SPOOL_MEMORY_MAX = 256 * 1024 };

struct spool;

struct spool *spool_new(void);
void spool_free(struct spool *s);
/* An error is remembered: spool_failed(). */
void spool_write(struct spool *s, struct span data);
int64_t spool_size(const struct spool *s);
bool spool_failed(const struct spool *s);
/* Append up to max bytes from offset to out. false: an error (remembered). */
bool spool_read(struct spool *s, int64_t offset, size_t max, struct buf *out);

#endif
