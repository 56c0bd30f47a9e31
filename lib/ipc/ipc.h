/* SPDX-License-Identifier: MIT */
/*
 * ipc - frames of typed attributes over a UNIX stream socket.
 *
 * Wire form, little endian: u32 length of what follows, u16 message type,
 * u16 number of attributes, then per attribute u16 id, u32 length, value (a
 * number is 8 bytes). A frame is at most IPC_FRAME_MAX bytes. A descriptor
 * travels with the first byte of the frame it belongs to (SCM_RIGHTS).
 *
 * A frame that breaks a rule of proto.c makes the connection unusable: the
 * call returns IPC_BAD, and the caller closes it. It never ends the process.
 *
 * One struct ipc serves blocking code (ipc_flush, ipc_recv: with a time limit)
 * and event loops (ipc_fill, ipc_next, ipc_push: never wait, on a non-blocking
 * socket). Sending:
 *
 *	ipc_begin(&c, MSG_FLUSH);
 *	ipc_put_cstr(&c, A_SITE, "example.com");
 *	ipc_end(&c);
 *	if (ipc_flush(&c, 10) != IPC_OK) ...
 */
#ifndef LIB_IPC_IPC_H
#define LIB_IPC_IPC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/dsn/why.h"
#include "lib/ipc/proto.h"

enum {
	IPC_FRAME_MAX = 1024 * 1024,
	IPC_ATTRS_MAX = 1024, /* attributes in one frame */
	IPC_FDS_MAX = 64,     /* descriptors waiting in one direction */
};

enum ipc_status {
	IPC_OK,
	IPC_AGAIN,   /* nothing complete yet (event loops only) */
	IPC_EOF,     /* the peer closed; errno is ECONNRESET when it left
			something unread, else 0 */
	IPC_TIMEOUT,
	IPC_ERROR,   /* errno */
	IPC_BAD,     /* the peer broke the protocol */
};

struct ipc_value {
	enum msg_attr attr;
	struct span bytes;
	int64_t num;
};

/* A decoded frame; spans point into the ipc's input until the next call. */
struct ipc_msg {
	enum msg_type type;
	size_t n;
	struct ipc_value *v;
	int fd; /* -1, or a descriptor that the receiver must take or close */
};

struct ipc {
	int fd;
	struct buf in;
	size_t in_used; /* bytes at the front of in that were decoded */
	struct buf out;
	size_t frame;	/* start of the frame being built */
	uint16_t nattrs;
	struct ipc_value *values; /* of the last decoded frame */
	int in_fds[IPC_FDS_MAX];
	size_t n_in_fds;
	struct {
		size_t at; /* offset in out */
		int fd;
	} out_fds[IPC_FDS_MAX];
	size_t n_out_fds;
};

/* Takes over fd. */
void ipc_init(struct ipc *c, int fd);
/* Closes fd and every descriptor still waiting. fd becomes -1. */
void ipc_close(struct ipc *c);

/* Connect to a UNIX socket; false: errno. timeout in seconds. */
bool ipc_connect(struct ipc *c, const char *path, int timeout);

void ipc_begin(struct ipc *c, enum msg_type type);
void ipc_put_num(struct ipc *c, enum msg_attr attr, int64_t value);
/* Text that breaks the attribute's rule is made to fit: cut, CR LF NUL '?'. */
void ipc_put(struct ipc *c, enum msg_attr attr, struct span value);
void ipc_put_cstr(struct ipc *c, enum msg_attr attr, const char *value);
/* The A_DSN A_TEXT A_CODE A_MTA A_DIAGNOSTIC A_DIAG_TYPE of a why. */
void ipc_put_why(struct ipc *c, const struct why *w);
void ipc_end(struct ipc *c);
/* The frame carries a duplicate of fd. */
void ipc_end_fd(struct ipc *c, int fd);

/* Blocking: send all that was built. timeout in seconds. */
enum ipc_status ipc_flush(struct ipc *c, int timeout);
/* Blocking: the next frame. timeout in seconds, -1: for ever. A signal whose
 * handler returns makes it fail with IPC_ERROR and EINTR. */
enum ipc_status ipc_recv(struct ipc *c, struct ipc_msg *msg, int timeout);

/* Event loops: read what is there / decode the next frame / write. ipc_push
 * returns IPC_AGAIN while something is left to write. */
enum ipc_status ipc_fill(struct ipc *c);
enum ipc_status ipc_next(struct ipc *c, struct ipc_msg *msg);
enum ipc_status ipc_push(struct ipc *c);
bool ipc_pending(const struct ipc *c);

bool ipc_has(const struct ipc_msg *msg, enum msg_attr attr);
struct span ipc_get(const struct ipc_msg *msg, enum msg_attr attr);
int64_t ipc_num(const struct ipc_msg *msg, enum msg_attr attr, int64_t dflt);
/* A copy (free()); "" when absent. */
char *ipc_dup(const struct ipc_msg *msg, enum msg_attr attr);
/* false when there is no valid status code in it. */
bool ipc_get_why(const struct ipc_msg *msg, struct why *w);

/* For logs and tests: "deliver queue_id=... sender=...". */
void ipc_dump(const struct ipc_msg *msg, struct buf *out);

/* The peer's effective uid (SO_PEERCRED), or (uid_t)-1. */
unsigned ipc_peer_uid(int fd);

#endif
