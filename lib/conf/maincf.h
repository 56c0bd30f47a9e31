/* SPDX-License-Identifier: MIT */
/*
 * maincf - the settings of one main.cf as written, and the logical lines that
 * main.cf and master.cf share (postconf(5), master(5)).
 *
 * A logical line starts with text; lines that begin with white space continue
 * it. Empty lines and lines whose first visible byte is '#' are skipped, also
 * in front of a continuation.
 */
#ifndef LIB_CONF_MAINCF_H
#define LIB_CONF_MAINCF_H

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/strvec.h"
#include "lib/conf/params.h"

enum {
	MAINCF_FILE_MAX = 8 * 1024 * 1024,
	MAINCF_VALUE_MAX = 1024 * 1024,
};

/* A reader over text, which must outlive it. Start with pos and line 0. */
struct logical {
	struct span text;
	size_t pos;
	int line;       /* physical lines read so far */
	int first;      /* where the last logical line starts */
	struct buf buf; /* the last logical line, without line ends */
};

/* false at the end. A NUL byte ends its physical line. */
bool logical_next(struct logical *l);
void logical_free(struct logical *l);

struct maincf_entry {
	char *name;
	char *value; /* without surrounding white space, not expanded */
	int line;    /* of main.cf; 0: from the command line */
};

struct maincf {
	struct maincf_entry *v; /* one per name; the last setting won */
	size_t n;
	size_t cap;
	char *path;
	int by_param[CONF_PARAM_COUNT]; /* index in v plus 1; 0: not set */
};

/*
 * Read dir/main.cf. Errors ("PATH, line N: what") and warnings are appended
 * to the lists. false: the file cannot be read (errno), m holds only path.
 */
bool maincf_read(struct maincf *m, const char *dir, struct strvec *errors,
		 struct strvec *warnings);
/* The same from memory; path is for messages. */
void maincf_parse(struct maincf *m, const char *path, struct span text,
		  struct strvec *errors, struct strvec *warnings);
void maincf_free(struct maincf *m);
/* "name=value" of a -o option overrides. false: what says why not. */
bool maincf_override(struct maincf *m, struct span setting, const char **what);
/* NULL: not set. */
const struct maincf_entry *maincf_find(const struct maincf *m,
				       struct span name);

/*
 * Split "name = value"; white space around both is dropped. NULL, or what is
 * wrong in Postfix's words.
 */
const char *maincf_split(struct span line, struct span *name,
			 struct span *value);

#endif
