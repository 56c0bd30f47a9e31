/* SPDX-License-Identifier: MIT */
/*
 * textmap - the text form of tables and of the sources of databases: logical
 * lines, comments, continuation (postmap(1), "INPUT FILE FORMAT").
 *
 * A logical line starts with text; lines that start with white space continue
 * it (the white space stays). Empty lines and lines whose first text is '#'
 * are skipped, also between a line and its continuation. A NUL ends a line.
 * Text before the first logical line that starts with white space is logged
 * and skipped.
 */
#ifndef LIB_TABLE_TEXTMAP_H
#define LIB_TABLE_TEXTMAP_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/base/buf.h"

enum { TEXTMAP_LINE_MAX = 16 * 1024 * 1024 }; /* bytes of a logical line */

struct textmap {
	FILE *fp; /* or NULL: text, in memory */
	struct span text;
	char *name; /* for messages */
	struct buf line;
	struct buf ahead; /* the physical line that was read too many */
	bool have_ahead;
	int ahead_line;
	int physical; /* number of the last physical line */
	int number;   /* where the current logical line starts */
	bool failed;  /* read error or too long: errno */
	char *raw;    /* of getline() */
	size_t raw_cap;
};

/* Read fp (the caller closes it) or text (which must stay). */
void textmap_init_file(struct textmap *tm, FILE *fp, const char *name);
void textmap_init_text(struct textmap *tm, struct span text, const char *name);
void textmap_free(struct textmap *tm);
/* The next logical line, without its end; valid until the next call. false:
 * the end, or tm->failed. */
bool textmap_next(struct textmap *tm, struct span *line);

/* The text within the braces that word must begin and end with, trimmed.
 * false: *error (free()) says what is wrong. */
bool textmap_braces(struct span word, struct span *inner, char **error);
/* Cut the next word off a list that is separated by commas or white space
 * outside of braces. false: nothing is left. */
bool textmap_next_word(struct span *rest, struct span *word);

/*
 * "{ {rule}, {rule} }" as a table name: append the rules to out, a line each.
 * false: *error (free()) says what is wrong.
 */
bool textmap_inline_rules(const char *spec, struct buf *out, char **error);

enum textmap_entry {
	TEXTMAP_ENTRY,    /* key and value */
	TEXTMAP_NO_VALUE, /* or no key: not logged yet */
	TEXTMAP_BAD,      /* logged */
};

/* Is the line UTF-8? Logged when not. */
bool textmap_is_text(const struct textmap *tm, struct span line);
/*
 * Split a logical line at the first white space that is not quoted. Warns
 * with file and line. check_utf8: lines that are not UTF-8 are BAD.
 */
enum textmap_entry textmap_split(const struct textmap *tm, struct span line,
				 bool check_utf8, struct span *key,
				 struct span *value);

/*
 * The value of -F: a list of file names (comma, white space); append the
 * files with a newline between them, in base64. false: *error (free()).
 */
bool textmap_file_value(struct span names, struct buf *out, char **error);

#endif
