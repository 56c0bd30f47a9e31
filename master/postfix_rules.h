/* SPDX-License-Identifier: MIT */
/* postfix_rules - a part of postfix check: smtpd_*_restrictions. */
#ifndef MASTER_POSTFIX_RULES_H
#define MASTER_POSTFIX_RULES_H

#include <stdbool.h>

#include "lib/conf/mastercf.h"

/*
 * Read the restriction lists of main.cf and of each smtpd line of master.cf
 * (path is its name) with its options. false: what is wrong was logged, with
 * file and line.
 */
bool postfix_check_rules(const char *path, const struct mastercf *cf);

#endif
