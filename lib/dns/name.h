/* SPDX-License-Identifier: MIT */
/* name - domain names as users write them, to the form DNS wants. */
#ifndef LIB_DNS_NAME_H
#define LIB_DNS_NAME_H

#include <stdbool.h>

#include "lib/base/buf.h"

/*
 * Append name in ASCII (A-labels, IDNA2008 with UTS #46 mapping), without a
 * final dot. false when it can be no domain name: empty label, label over 63
 * or name over 253 bytes, bytes that are neither UTF-8 nor printable ASCII.
 */
bool dns_name_to_ascii(struct span name, struct buf *out);

#endif
