/* SPDX-License-Identifier: MIT */
/* smtp_connect - a TCP or UNIX connection with a time limit. */
#ifndef SMTP_SMTP_CONNECT_H
#define SMTP_SMTP_CONNECT_H

#include "smtp/smtp_addr.h"

enum { SMTP_CONNECT_CONFIG = -2 };

/*
 * From smtp_bind_address(6), or the one address of inet_interfaces. timeout
 * in microseconds, 0: the system's. Returns a descriptor, -1 with errno, or
 * SMTP_CONNECT_CONFIG: the bind address is none, or cannot be used and
 * smtp_bind_address_enforce is set; a warning was logged.
 */
int smtp_connect(const struct smtp_addr *a, int64_t timeout);

#endif
