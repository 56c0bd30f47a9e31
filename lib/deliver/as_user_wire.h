/* SPDX-License-Identifier: MIT */
/*
 * as_user_wire - what the parts of as_user say to each other: the fixed
 * struct for the helper, and the operations of MSG_AS_USER.
 */
#ifndef LIB_DELIVER_AS_USER_WIRE_H
#define LIB_DELIVER_AS_USER_WIRE_H

#include "lib/deliver/as_user.h"
#include "lib/ipc/ipc.h"

enum { BECOME_MAGIC = 0x50724265 };

/* One datagram to the helper; a socket travels with it. */
struct become {
	uint32_t magic;
	uint32_t kind;
	uint32_t uid;
	uint32_t gid;
	char user[AS_USER_NAME_MAX];
	char path[AS_USER_PATH_MAX];
	char root[AS_USER_PATH_MAX];
};

/* A_OPERATION of MSG_AS_USER */
enum as_user_op {
	OP_READ = 1, /* A_PATH, A_FLAGS: follow links. DONE: A_STATUS is enum
			as_user_read, A_DATA, A_FLAGS 1: there is more */
	OP_READ_MORE,
	OP_DIRECTORY, /* A_PATH */
	OP_MAILDIR,   /* A_PATH, A_NAME host, A_KEY identity, A_ARRIVAL,
			 A_DATA head */
	OP_MBOX,      /* A_PATH, A_FLAGS: locks and MBOX_*, A_DATA head */
	OP_COMMAND,   /* A_COMMAND or A_ARG*, A_ENV*, A_NAME shell, A_PATH
			 directory, A_FLAGS copy flags, A_EOL, A_TIME_LIMIT,
			 A_DATA head. DONE: A_DATA output */
	OP_SERVE,     /* A_ARG*, A_ENV*, A_TIME_LIMIT; the descriptor of
			 MSG_AS_USER_MESSAGE is the program's, then closed */
};

/* A_FLAGS of OP_MBOX beside MBOX_LOCK_* */
enum {
	OP_MBOX_LENIENT = 1 << 8,
	OP_MBOX_OWNER = 1 << 9, /* the file must be the user's */
};

enum { AS_USER_CHUNK = 128 * 1024, AS_USER_IDLE = 10 /* seconds */ };

/* The life of a recipient's process, from the moment it is the user. */
_Noreturn void as_user_child(int fd, const struct as_user_setup *setup,
			     bool is_root);

#endif
