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
	enum table_status status;
};

/* Do what l->value says. VERDICT_REJECT: why is the reply. */
enum verdict smtpd_action_run(struct lookup *l, struct why *why);

#endif
