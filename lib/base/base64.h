/* SPDX-License-Identifier: MIT */
/* base64 - RFC 4648 section 4, without line breaks. */
#ifndef LIB_BASE_BASE64_H
#define LIB_BASE_BASE64_H

#include "lib/base/buf.h"

/* Append. in must not point into out. */
void base64_encode(struct span in, struct buf *out);
/* Append; false (out as before) on anything but whole, padded groups. */
bool base64_decode(struct span in, struct buf *out);

#endif
