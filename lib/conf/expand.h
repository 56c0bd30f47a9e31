/* SPDX-License-Identifier: MIT */
/*
 * expand - $name expressions (postconf(5)).
 *
 * $name ${name} $(name), ${name?text} ${name?{text}} ${name:text}
 * ${name:{text}} ${name?{text}:{text}}, ${{a} OP {b} ? {text} : {text}} with
 * OP one of == != < <= > >=, each also with "level" behind it (release
 * numbers), and $$. What a name stands for is expanded again, so is the
 * chosen text. Nesting, number of steps and length of the result are limited.
 */
#ifndef LIB_CONF_EXPAND_H
#define LIB_CONF_EXPAND_H

#include <stdbool.h>

#include "lib/base/buf.h"

enum {
	EXPAND_DEPTH_MAX = 100,
	EXPAND_STEPS_MAX = 20000,
	EXPAND_LENGTH_MAX = 1024 * 1024,
};

/* The unexpanded value; NULL: undefined, which stands for "". The string is
 * only used before the next call. */
typedef const char *(*expand_lookup_fn)(void *arg, struct span name);

/* Append the expansion. false: error says what is wrong, in the words of
 * Postfix; out holds a part. */
bool expand_text(struct span text, expand_lookup_fn lookup, void *arg,
		 struct buf *out, struct buf *error);

/* The same, with values as they are: a '$' in one has no meaning. For texts
 * whose names stand for what strangers sent. */
bool expand_once(struct span text, expand_lookup_fn lookup, void *arg,
		 struct buf *out, struct buf *error);

/* Call lookup for each name that text mentions, in either branch, without
 * looking into the values (lookup's result is ignored). */
bool expand_scan(struct span text, expand_lookup_fn lookup, void *arg,
		 struct buf *error);

#endif
