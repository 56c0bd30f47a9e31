/* SPDX-License-Identifier: MIT */
/* postfix_tables - a part of postfix check: types of look-up tables. */
#ifndef POSTFIX_TABLES_H
#define POSTFIX_TABLES_H

/* Warn about each table in main.cf whose type this mail system does not
 * have: what needs such a table is deferred. */
void postfix_check_tables(void);

#endif
