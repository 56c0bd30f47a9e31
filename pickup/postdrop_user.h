/* SPDX-License-Identifier: MIT */
/*
 * postdrop_user - authorized_submit_users: may the real uid submit mail?
 *
 * Elements are user names, "!name", "/file/name" with one name a line, and
 * "type:table". static:anything matches everybody. Other tables are asked
 * through postmap(1), run without the group's rights, so that this program,
 * which runs once a message, does not load the table libraries; a table that
 * cannot be asked authorizes nobody.
 */
#ifndef PICKUP_POSTDROP_USER_H
#define PICKUP_POSTDROP_USER_H

#include <stdbool.h>

bool drop_user_authorized(const char *list);

#endif
