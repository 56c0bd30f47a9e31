/* SPDX-License-Identifier: MIT */
/*
 * params - the table of main.cf parameters, generated from conf/params.def
 * (the fields are explained there).
 */
#ifndef LIB_CONF_PARAMS_H
#define LIB_CONF_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "conf_params.h" /* generated: CONF_PARAM_COUNT */
#include "lib/base/span.h"

enum conf_type {
	CONF_BOOL,
	CONF_INT,
	CONF_TIME,
	CONF_SIZE,
	CONF_STR,
	CONF_LIST,
	CONF_MAPS,
	CONF_RAW,
};

enum conf_kind {
	CONF_KIND_BUILTIN,
	CONF_KIND_SERVICE,
	CONF_KIND_LEGACY,
	CONF_KIND_NEWER,
	CONF_KIND_READONLY,
};

enum conf_status {
	CONF_STATUS_HERE,
	CONF_STATUS_LATER,
	CONF_STATUS_FILTER,
};

struct conf_param {
	const char *name;
	const char *dflt;
	const char *dflt_newer; /* NULL: the same, or it does not matter */
	const char *allow;      /* words separated by a space, or NULL */
	const char *used;       /* likewise */
	int64_t min;            /* of the number; seconds for a time */
	int64_t max;
	uint16_t offset; /* in struct conf */
	int16_t mirror;  /* index of the smtp_ parameter, or -1 */
	uint8_t type;    /* enum conf_type */
	uint8_t kind;    /* enum conf_kind */
	uint8_t status;  /* enum conf_status */
	char unit;       /* of a time without one */
	bool computed;   /* the default is not constant */
	bool runtime;    /* it comes from the host or the process */
};

/* CONF_PARAM_COUNT entries, sorted by strcmp() of the name. */
extern const struct conf_param conf_params[];

/* Index in conf_params, or -1. */
int conf_param_find(struct span name);
/* Does postconf list it, set or not? */
bool conf_param_is_listed(const struct conf_param *p);

#endif
