/* SPDX-License-Identifier: MIT */
/*
 * alias - the right-hand side of an alias, a line of a .forward or :include:
 * file (aliases(5)).
 *
 * The syntax is that of an address list (RFC 5322), so quotes, comments,
 * "Name <address>" and groups work; a destination with spaces stands in
 * quotes: "|program argument".
 */
#ifndef LIB_ADDR_ALIAS_H
#define LIB_ADDR_ALIAS_H

#include <stdbool.h>

#include "lib/base/strvec.h"

enum alias_kind {
	ALIAS_ADDRESS, /* internal form; not completed */
	ALIAS_COMMAND, /* "|command" */
	ALIAS_FILE,    /* "/file/name", a Maildir with '/' at the end */
	ALIAS_HOME,    /* "~/file": below the home directory */
	ALIAS_INCLUDE, /* ":include:/file/name" */
};

enum { ALIAS_LINE_ITEMS_MAX = 100000 };

/*
 * Append the destinations of one line (or one table result) to out: quotes
 * and comments removed, internal form. "" stands for a quoted empty string.
 * Returns false when there were more than ALIAS_LINE_ITEMS_MAX.
 */
bool alias_parse(struct span text, struct strvec *out);

/*
 * What kind of destination item is; *arg is what follows the mark (the
 * command, the file name, the address).
 */
enum alias_kind alias_classify(const char *item, const char **arg);

/*
 * The next logical part of a .forward or :include: file: one line, cut at max
 * bytes; comment lines (first byte '#') and empty lines are skipped. false at
 * the end.
 */
bool alias_next_line(struct span *rest, size_t max, struct span *line);

#endif
