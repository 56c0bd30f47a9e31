/* SPDX-License-Identifier: MIT */
/* status - what an errno of a mailbox means for the sender (RFC 3463). */
#ifndef LIB_DELIVER_STATUS_H
#define LIB_DELIVER_STATUS_H

/*
 * 5.2.2 mailbox full for quota and file size limits, 4.x for what may go
 * away by itself, 5.2.0 for the rest (access, wrong kind of file).
 */
const char *status_of_errno(int error);

#endif
