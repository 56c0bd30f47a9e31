/* SPDX-License-Identifier: MIT */
/* probe - the sender of address probes (address_verify_sender). */
#ifndef LIB_SMTP_PROBE_H
#define LIB_SMTP_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

/*
 * The sender at a time, microseconds since the epoch, in internal form; empty
 * for the null sender. With address_verify_sender_ttl a part of it changes
 * with time, so that an address that was collected is soon of no use.
 */
void probe_sender(int64_t when, struct buf *out);
/* The same without the part that changes: whom mail to it is for. */
void probe_base_sender(struct buf *out);
/* Is address a sender of probes of this host, of now or just before? */
bool probe_is_sender(struct span address, int64_t now);

#endif
