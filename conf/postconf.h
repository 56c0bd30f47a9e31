/* SPDX-License-Identifier: MIT */
/* postconf - what the modules of postconf(1) share. */
#ifndef CONF_POSTCONF_H
#define CONF_POSTCONF_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/strvec.h"
#include "lib/conf/dict.h"
#include "lib/conf/mastercf.h"

/* One bit per option letter. */
enum {
	PC_SASL_SERVER = 1 << 0, /* -a */
	PC_SASL_CLIENT = 1 << 1, /* -A */
	PC_BOUNCE = 1 << 2,      /* -b */
	PC_DEFAULTS = 1 << 3,    /* -d */
	PC_EDIT = 1 << 4,        /* -e */
	PC_FOLD = 1 << 5,        /* -f */
	PC_FIELDS = 1 << 6,      /* -F */
	PC_NO_NAME = 1 << 7,     /* -h */
	PC_NO_VALUE = 1 << 8,    /* -H */
	PC_LOCKS = 1 << 9,       /* -l */
	PC_MAPS = 1 << 10,       /* -m */
	PC_MASTER = 1 << 11,     /* -M */
	PC_SET_ONLY = 1 << 12,   /* -n */
	PC_OVERRIDE = 1 << 13,   /* -o */
	PC_MAIN = 1 << 14,       /* -p */
	PC_PARAMS = 1 << 15,     /* -P */
	PC_TEMPLATES = 1 << 16,  /* -t */
	PC_TLS = 1 << 17,        /* -T */
	PC_EXPAND = 1 << 18,     /* -x */
	PC_EXCLUDE = 1 << 19,    /* -X */
	PC_COMMENT = 1 << 20,    /* -# */
	PC_CLASS = 1 << 21,      /* -C */
};

enum {
	PC_CLASS_BUILTIN = 1 << 0,
	PC_CLASS_SERVICE = 1 << 1,
	PC_CLASS_USER = 1 << 2,
	PC_CLASS_ALL = PC_CLASS_BUILTIN | PC_CLASS_SERVICE | PC_CLASS_USER,
};

/* A name that may be used in main.cf. */
struct pc_name {
	char *name;
	int param;        /* index in conf_params, or -1 */
	const char *dflt; /* of a service-defined name */
	int class;        /* PC_CLASS_ bits */
	bool listed;      /* printed without being asked for */
};

struct postconf {
	unsigned mode;
	unsigned classes;
	const char *dir;    /* of the configuration */
	bool dir_given;     /* -c or MAIL_CONFIG */
	struct strvec over; /* -o */
	struct dict dict;
	struct mastercf master;
	struct pc_name *names; /* sorted by strcmp() once all are known */
	size_t n_names;
	size_t cap_names;
};

/* ---- postconf_read.c ---- */

/* Read main.cf; any error is fatal. With PC_DEFAULTS it is not read. */
void pc_read_main(struct postconf *pc);
/* Read master.cf. A bad line is fatal, a missing file only when required. */
void pc_read_master(struct postconf *pc, bool required);

/* ---- postconf_names.c ---- */

/* Fill names: built-in, service-defined, and those that values mention. */
void pc_find_names(struct postconf *pc);
void pc_free_names(struct postconf *pc);
/* NULL: unknown. */
const struct pc_name *pc_name(const struct postconf *pc, const char *name);
/* Warn about settings that nothing uses; in main.cf, or in the -o options of
 * master.cf. */
void pc_warn_unused(struct postconf *pc);

/* ---- postconf_dbs.c ---- */

/*
 * Call used(arg, name) for each "source_attribute" name that the tables in
 * value (mysql:source) read from main.cf, and warn about what a configuration
 * file of a table (mysql:/file) sets without use.
 */
void pc_scan_tables(const char *value, void (*used)(void *arg, struct span),
		    void *arg);

/* ---- postconf_show.c ---- */

/* Print "name = value" with white space collapsed, in the way of mode. */
void pc_print(const struct postconf *pc, const char *name, const char *value);
/* Print value words, wrapped at the width of a line when PC_FOLD is set. */
enum { PC_LINE_MAX = 80, PC_INDENT = 4 };
/* argv: names, or none for all. */
void pc_show_main(struct postconf *pc, char **argv);

/* ---- postconf_master.c ---- */

/* -M, -F and -P without editing. */
void pc_show_master(struct postconf *pc, char **argv);
/* Append the line of s, with the line break; fold as -f does. */
void pc_format_service(const struct master_service *s, bool fold,
		       struct buf *out);
/* Split "a/b/c" (at most max parts) by '/'. */
void pc_split_request(const char *request, struct strvec *parts);
/* Does s match parts[0] (service) and parts[1] (type); "*" and missing parts
 * match everything. */
bool pc_matches(const struct master_service *s, const struct strvec *parts);
/* Index of a column by its name in -F; fatal when there is none. */
int pc_field_index(const char *name);
extern const char *const pc_field_names[MASTER_FIELDS];

/* ---- postconf_edit.c, postconf_edit_master.c ---- */

/* One file that is being rewritten: the old text, and what is to replace it. */
struct pc_edit {
	char *path;
	struct buf old;
	struct buf new;
};

void pc_edit_begin(struct pc_edit *e, const char *dir, const char *name);
/* Write e->new to disk, sync, and put it in place of the file. */
void pc_edit_commit(struct pc_edit *e);
/* The next physical line at *pos, with its line end; false at the end. */
bool pc_edit_line(const struct pc_edit *e, size_t *pos, struct span *line);
/* Is it empty, or a comment? */
bool pc_is_comment(struct span line);

/* -e, -X and -# of main.cf. */
void pc_edit_main(struct postconf *pc, char **argv);
/* The same with -M, -F or -P. */
void pc_edit_master(struct postconf *pc, char **argv);
/* What -e, -X and -# refuse: more than one line, comments. */
void pc_check_request(const char *text);

/* ---- postconf_lists.c ---- */

/* -a -A -l -m -T; -b and -t are refused. */
void pc_show_lists(struct postconf *pc, const char *tls_mode);

#endif
