/* SPDX-License-Identifier: MIT */
/*
 * dict - what every parameter is worth: main.cf over the defaults, some of
 * which depend on the host and the process. Unexpanded and as text; for
 * conf.c, which makes typed values of it, and postconf, which prints it.
 */
#ifndef LIB_CONF_DICT_H
#define LIB_CONF_DICT_H

#include "lib/conf/maincf.h"

enum { DICT_RUNTIME_MAX = 8 };

struct dict {
	struct maincf main;
	const char *config_dir; /* as given; borrowed */
	const char *program;    /* $process_name; borrowed */
	const char *service;    /* $service_name; borrowed, or NULL */
	struct buf error;       /* why a runtime default has no value */
	char *runtime[DICT_RUNTIME_MAX]; /* computed once */
	int busy; /* guards against myhostname <-> mydomain */
};

void dict_free(struct dict *d);
/* The default, and what is in effect. Valid until dict_free(). */
const char *dict_default(struct dict *d, int param);
const char *dict_value(struct dict *d, int param);
/* Any name; NULL when it is not defined. An expand_lookup_fn. */
const char *dict_lookup(void *dict, struct span name);
/* Append text with its $names replaced. false: error says why. */
bool dict_expand(struct dict *d, const char *text, struct buf *out,
		 struct buf *error);

#endif
