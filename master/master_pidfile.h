/* SPDX-License-Identifier: MIT */
/*
 * master_pidfile - the two lock files: pid/master.pid below queue_directory,
 * and master.lock in data_directory, so that neither is used twice. Each holds
 * the process id, right-aligned, as scripts expect it.
 */
#ifndef MASTER_MASTER_PIDFILE_H
#define MASTER_MASTER_PIDFILE_H

#include <stdbool.h>

/* Lock and write both; fatal when another master has them. */
void master_pidfile_take(void);
/* The locks go away; the files stay. */
void master_pidfile_release(void);
/* Is there a running master? For -t. */
bool master_pidfile_is_locked(void);

#endif
