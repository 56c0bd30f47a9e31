/* SPDX-License-Identifier: MIT */
/*
 * postmulti - what the modules of postmulti(1) share.
 *
 * An instance is a configuration directory. The primary one is the default
 * directory; its main.cf lists the others (multi_instance_directories).
 * While the program runs, conf is that of the primary instance.
 */
#ifndef MASTER_POSTMULTI_H
#define MASTER_POSTMULTI_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/strvec.h"

enum {
	INSTANCES_MAX = 1000,
};

enum postmulti_mode {
	MODE_NONE,
	MODE_LIST,    /* -l */
	MODE_POSTFIX, /* -p */
	MODE_COMMAND, /* -x */
	MODE_EDIT,    /* -e */
};

enum postmulti_action {
	ACTION_INIT,
	ACTION_CREATE,
	ACTION_IMPORT,
	ACTION_DESTROY,
	ACTION_DEPORT,
	ACTION_ENABLE,
	ACTION_DISABLE,
	ACTION_ASSIGN,
	ACTION_COUNT,
};

/* The command line. The texts are those of argv. */
struct postmulti_request {
	enum postmulti_mode mode;
	enum postmulti_action action;
	int verbose;
	bool all, reverse;
	const char *group, *name;         /* -g, -i: NULL when not given */
	const char *new_group, *new_name; /* -G, -I */
	char **rest;                      /* command or name=value */
	int n_rest;
};

struct instance {
	char *config_directory, *queue_directory, *data_directory;
	char *name, *group; /* may be "" */
	bool enabled, primary;
};

/* The primary one is the first, then in the order of the list. */
struct instances {
	struct instance *v;
	size_t n;
};

/* "create" of ACTION_CREATE. */
const char *postmulti_action_name(enum postmulti_action action);

/* ---- postmulti_instance.c ---- */

/* All, the primary's main.cf first; a conflict between two is fatal. */
void instances_load(struct instances *all);
void instances_free(struct instances *all);
/* What dir/main.cf says. Fatal when that cannot be read. */
void instance_read(struct instance *in, const char *dir);
void instance_free(struct instance *in);
/* Fatal when in has a directory or a name of another one. */
void instances_check(const struct instances *all, const struct instance *in);
/* The same for the configuration directory of one that is to be added. */
void instances_check_new(const struct instances *all, const char *dir);
/* Is it the one that -i NAME means: a name, a directory, or "-"? */
bool instance_is(const struct instance *in, const char *name);
/* -i, -g: does the request mean it? Without both: yes. */
bool instance_selected(const struct instance *in,
		       const struct postmulti_request *r);

/* ---- postmulti_run.c ---- */

/* -l, -p and -x: the exit status. */
int postmulti_list(const struct instances *all,
		   const struct postmulti_request *r);
int postmulti_iterate(const struct instances *all,
		      const struct postmulti_request *r);
/* Run argv with the environment of in; true: exit status 0. */
bool postmulti_run(const struct instance *in, char *const *argv);

/* ---- postmulti_edit.c ---- */

int postmulti_edit(const struct instances *all,
		   const struct postmulti_request *r);
/* Log as the helper script does from here on, as Postfix. */
void postmulti_become_script(void);
/* postconf -c dir flag settings...; fatal when it fails. */
void postmulti_postconf(const char *dir, const char *flag,
			const struct strvec *settings);

/* ---- postmulti_make.c ---- */

/* The files of a new instance, unless its directory has some already. */
void instance_make(const struct instance *in);
/* Remove what instance_make() and the mail system made; what else is there
 * stays, with a warning. Fatal when the queue has messages. */
void instance_remove(const struct instance *in);

#endif
