/* SPDX-License-Identifier: MIT */
/*
 * loop - the Delivered-To: headers of a message, by which a mail forwarding
 * loop is recognised.
 */
#ifndef LIB_DELIVER_LOOP_H
#define LIB_DELIVER_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/htab.h"

enum {
	LOOP_HEADER_MAX = 1024 * 1024, /* bytes of headers that are read */
	LOOP_MAX = 1000,               /* Delivered-To: headers that count */
};

/*
 * The addresses, internal form, lower case, as keys. Never NULL. Only the
 * message's own header is read.
 */
struct htab *loop_scan(int fd, int64_t offset, int64_t length);
/* Pure: the same of text. */
void loop_scan_text(struct span text, struct htab *out);
/* Without case. */
bool loop_has(const struct htab *loops, const char *address);

#endif
