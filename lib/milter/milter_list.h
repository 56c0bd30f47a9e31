/* SPDX-License-Identifier: MIT */
/*
 * milter_list - a list of milters as main.cf has it (smtpd_milters,
 * non_smtpd_milters, values of smtpd_milter_maps): "inet:host:port",
 * "unix:path" (also "local:path"), or in braces with settings of its own,
 * "{ inet:host:port, connect_timeout=10s, default_action=accept }".
 */
#ifndef LIB_MILTER_MILTER_LIST_H
#define LIB_MILTER_MILTER_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum { MILTERS_MAX = 100 };

/* milter_default_action */
enum milter_default {
	MILTER_DEFAULT_TEMPFAIL,
	MILTER_DEFAULT_REJECT,
	MILTER_DEFAULT_ACCEPT,
	MILTER_DEFAULT_QUARANTINE,
	MILTER_DEFAULT_SHUTDOWN,
};

struct milter_spec {
	char *name; /* "inet:host:port", for messages */
	char *path; /* of a UNIX socket, or NULL */
	char *host; /* else these */
	int port;
	int64_t connect_timeout, command_timeout, content_timeout;
	enum milter_default action;
	int version;          /* of the protocol: 2, 3, 4, 6 */
	bool no_header_reply; /* of the extensions in milter_protocol */
};

struct milter_list {
	struct milter_spec *v;
	size_t n;
};

/*
 * Parse value. false: error says what is wrong, and the list is empty.
 * Nothing is looked up, but ports by name.
 */
bool milter_list_parse(struct milter_list *l, struct span value,
		       struct buf *error);
void milter_list_free(struct milter_list *l);

#endif
