/* SPDX-License-Identifier: MIT */
/*
 * conf - main.cf, evaluated, for the programs that read it (postconf(5)).
 *
 * The build generates struct conf from conf/params.def: one field per
 * parameter, named as the parameter ("2bounce_notice_recipient" is
 * _2bounce_notice_recipient), of the C type that its stanza gives it:
 *
 *	bool	bool			int	int
 *	time	int64_t, microseconds	size	int64_t, bytes
 *	str and every list type: const char *, expanded, never NULL
 *	raw	const char *, not expanded (its $names are for later)
 *
 * A daemon calls conf_load() once and reads conf->NAME afterwards. What a
 * master.cf line overrides with -o is in args. For the lmtp client every
 * smtp_* field holds the lmtp_* parameter (the stanza's "mirror").
 */
#ifndef LIB_CONF_CONF_H
#define LIB_CONF_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "conf_params.h" /* generated: struct conf */
#include "lib/base/buf.h"
#include "lib/base/strvec.h"

/* The configuration of this process. */
extern const struct conf *conf;

struct conf_args {
	const char *program;       /* smtpd, qmgr, lmtp, postqueue, ... */
	const char *config_dir;    /* NULL: $MAIL_CONFIG, else the default */
	const struct strvec *over; /* "name=value" of -o, in order; or NULL */
	const char *service_name;  /* $service_name; NULL in commands */
	bool daemon;               /* warn about what is set but unknown here */
};

/*
 * Read and evaluate config_dir/main.cf, set conf. Every error (file, line,
 * parameter, what was expected) is logged, all of them, before the process
 * ends with a fatal error. May be called again (master, on reload): what conf
 * pointed to before is gone then.
 */
void conf_load(const struct conf_args *args);

/* Where main.cf and master.cf were read from. */
const char *conf_directory(void);

/* See lib/conf/conf_dir.h. */
#define CONF_DEFAULT_DIR "/etc/postfix"

/*
 * Parameters that are not in the table: those that the administrator made up
 * (restriction classes, names used as $name) and per-transport ones
 * ("slow_destination_concurrency_limit"). Expanded; NULL when not set.
 * Valid until conf_load() is called again.
 */
const char *conf_get(const char *name);
/* Append where name was set and the name, for a message about its value:
 * "/etc/postfix/main.cf, line 7: name". */
void conf_where(const char *name, struct buf *out);
/*
 * "TRANSPORT + suffix" (suffix "_destination_concurrency_limit") when set or
 * built in, else dflt, the default parameter's value, as Postfix does for
 * transport_destination_* and *_time_limit. A bad value is logged once and
 * dflt used. Times are microseconds.
 */
int conf_transport_int(const char *transport, const char *suffix, int dflt);
int64_t conf_transport_time(const char *transport, const char *suffix,
			    int64_t dflt);

/* Expand $name ${name} $(name) ${name?x} ${name:x} ${{a}==b?..} in text. */
void conf_expand(const char *text, struct buf *out);

/* "10m", "3600s", "5" with unit dflt_unit (one of smhdw) to microseconds. */
bool conf_parse_time(const char *text, char dflt_unit, int64_t *usec);
bool conf_parse_bool(const char *text, bool *out);

/*
 * parent_domain_matches_subdomains and friends: is name in the list value?
 * Exact, ASCII case-insensitive.
 */
bool conf_list_has(const char *list, const char *name);

#endif
