/* SPDX-License-Identifier: MIT */
/*
 * postmap - what the modules of postmap(1) share.
 *
 * The same program is postalias(1) when it is called so: then a source is an
 * aliases(5) file, and keys are shown with a colon.
 */
#ifndef CONF_POSTMAP_H
#define CONF_POSTMAP_H

#include "lib/base/buf.h"
#include "lib/table/table.h"

struct textmap;

enum postmap_mode {
	MODE_CREATE,
	MODE_QUERY,
	MODE_DELETE,
	MODE_LIST,
};

struct postmap {
	bool alias; /* postalias */
	enum postmap_mode mode;
	const char *key;         /* of -q and -d */
	bool body, header, mime; /* -b -h -m */
	bool incremental;        /* -i */
	bool no_fold;            /* -f */
	bool base64;             /* -F */
	bool plain, nul;         /* -n -N */
	bool keep_root;          /* -o */
	bool default_mode;       /* -p */
	bool replace;            /* -r */
	bool ignore;             /* -w */
	bool no_utf8;            /* -u */
	bool force_utf8;         /* -U */
};

/* For table_open(). */
unsigned postmap_table_flags(const struct postmap *p);
/* "type:name", with the default type. */
char *postmap_spec(const char *arg);

/* Exit statuses: 0 found, 1 not. Errors are fatal. */
int postmap_query(const struct postmap *p, char **maps, int n);
int postmap_delete(const struct postmap *p, char **maps, int n);
int postmap_list(const struct postmap *p, const char *map);
void postmap_create(const struct postmap *p, const char *map);

/* -b, -h: read a message from standard input, call fn for each key. */
void postmap_message_keys(const struct postmap *p,
			  void (*fn)(void *arg, struct span key), void *arg);

/*
 * One line of an aliases(5) file. false: it was logged, skip it. key is the
 * internal form, value the external one.
 */
bool postmap_alias_entry(const struct textmap *tm, struct span line,
			 struct buf *key, struct buf *value);

#endif
