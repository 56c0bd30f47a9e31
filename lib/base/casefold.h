/* SPDX-License-Identifier: MIT */
/*
 * casefold - make text comparable without case.
 *
 * ASCII folding knows A to Z only. Unicode folding is the full case folding
 * of Unicode (CaseFolding, status C and F, without the Turkic forms): one
 * code point may become up to three. Bytes that are not valid UTF-8 are
 * copied unchanged.
 */
#ifndef LIB_BASE_CASEFOLD_H
#define LIB_BASE_CASEFOLD_H

#include "lib/base/buf.h"

/* Append the folded text. */
void casefold_ascii(struct span text, struct buf *out);
void casefold_utf8(struct span text, struct buf *out);

#endif
