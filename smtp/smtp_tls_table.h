/* SPDX-License-Identifier: MIT */
/*
 * smtp_tls_table - an entry of smtp_tls_policy_maps: a level, then attributes
 * name=value, separated by white space or comma.
 */
#ifndef SMTP_SMTP_TLS_TABLE_H
#define SMTP_SMTP_TLS_TABLE_H

#include "lib/tls/tls_client.h"

/* Empty: not given. Values that may be repeated are joined. */
struct smtp_tls_entry {
	enum tls_client_level level;
	struct buf protocols, grade, exclude, sni;
	struct buf match;   /* joined by "|" or ":" */
	struct buf tafiles; /* by comma */
	bool has_reuse, reuse;
};

/* false: logged; where names the entry in messages. Free in any case. */
bool smtp_tls_entry_parse(struct span text, const char *where,
			  struct smtp_tls_entry *e);
void smtp_tls_entry_free(struct smtp_tls_entry *e);

#endif
