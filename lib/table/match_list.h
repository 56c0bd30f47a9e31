/* SPDX-License-Identifier: MIT */
/*
 * match_list - lists of patterns in main.cf: mynetworks, mydestination,
 * relay_domains, debug_peer_list.
 *
 * Elements are separated by comma or white space. "!x" excludes, "/file" is
 * replaced by the file's lines, "type:table" matches when the key is found.
 * The first element that matches decides.
 */
#ifndef LIB_TABLE_MATCH_LIST_H
#define LIB_TABLE_MATCH_LIST_H

#include "lib/table/table.h"

enum match_kind {
	MATCH_STRING,  /* exact, without case */
	MATCH_DOMAIN,  /* exact; with MATCH_PARENT also below the name;
			  without it ".example.com" is what is below */
	MATCH_ADDRESS, /* IP address or net/len, "[v6]/len" */
	MATCH_HOST,    /* client name or address (MATCH_DOMAIN on the name) */
};

enum { MATCH_PARENT = 1 }; /* parent_domain_matches_subdomains has the name */

struct match_list;

/* name is the parameter, for messages. Bad elements are logged; look-ups
 * that reach one answer RETRY. */
struct match_list *match_list_open(const char *name, const char *list,
				   enum match_kind kind, unsigned flags);
void match_list_free(struct match_list *m);
bool match_list_is_empty(const struct match_list *m);
/* FOUND, ABSENT or RETRY. */
enum table_status match_list_has(struct match_list *m, struct span key,
				 struct why *why);
/* MATCH_HOST. */
enum table_status match_list_has_host(struct match_list *m, const char *name,
				      const char *addr, struct why *why);

#endif
