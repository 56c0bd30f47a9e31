/* SPDX-License-Identifier: MIT */
/*
 * smtpd_action - what the result of an access table makes happen (access(5)):
 * OK, REJECT, HOLD, ..., or names of restrictions.
 */
#ifndef SMTPD_ACTION_H
#define SMTPD_ACTION_H

#include "smtpd/smtpd_rules.h"

/* A look-up: the table, what a refusal is about, the answer. */
struct lookup {
	struct smtpd *s;
	struct table *table;
	struct subject about;
	struct buf value;
	struct buf key; /* that was found */
	enum table_status status;
	const char *source; /* instead of a table, for messages */
};

/*
 * Fill why with a reply "4.7.1 text" of a table: the status is adapted to what
 * was looked up (kind); dflt is the text of an empty one.
 */
void smtpd_action_set_reply(struct why *why, int code, struct span text,
			    enum rule_list_kind kind, const char *dflt);

/* Do what l->value says. VERDICT_REJECT: why is the reply. */
enum verdict smtpd_action_run(struct lookup *l, struct why *why);

#endif
