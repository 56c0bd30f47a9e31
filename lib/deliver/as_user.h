/* SPDX-License-Identifier: MIT */
/*
 * as_user - do one thing with the rights of a recipient: read a file, deliver
 * to a mailbox, run a command.
 *
 * Three kinds of process:
 *
 *   worker     (mail_owner) talks to the queue manager, looks up, decides. It
 *		parses what strangers wrote and has no rights.
 *   helper     (root) was forked by as_user_start() before the service gave
 *		up its privilege. It reads one fixed struct at a time from
 *		workers (the sender's uid is checked, SCM_CREDENTIALS), asks
 *		the service's own rule whether that user may be had, and forks.
 *   recipient's process  (the user, for good; jail_become()) serves the
 *		operations below over a socket of its own to the worker. Only
 *		this one opens what users can put in the way.
 *
 * Rights that no user has (root's own mailbox) are bound to paths that the
 * helper works out itself. Without root everything runs as the one uid.
 *
 * A worker keeps the last two recipients' processes for the next message.
 */
#ifndef LIB_DELIVER_AS_USER_H
#define LIB_DELIVER_AS_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/deliver/command.h"
#include "lib/deliver/maildir.h"
#include "lib/deliver/mbox.h"
#include "lib/dsn/why.h"

enum {
	AS_USER_NAME_MAX = 64,
	AS_USER_PATH_MAX = 1024,
	AS_USER_FILE_MAX = 16 * 1024 * 1024, /* of a file that is read */
};

enum as_user_kind {
	AS_USER_PLAIN = 1,  /* uid and gid of user */
	AS_USER_SPOOL,      /* the same, with the group that may write into
			       mail_spool_directory; the mailbox there is
			       created for a user who cannot */
	AS_USER_FILE_OWNER, /* whoever owns path (a regular file); root's
			       file: the uid and gid that are given */
};

/* Whom to become. */
struct as_user_id {
	enum as_user_kind kind;
	uid_t uid;
	gid_t gid;
	const char *user; /* login name; "": the ids have none */
	const char *path; /* AS_USER_FILE_OWNER; else NULL */
	const char *root; /* chroot first (pipe), or NULL */
};

struct as_user_setup {
	const char *program;
	int64_t file_limit; /* bytes of any file that is written; 0: none */
	/* The helper's rule for AS_USER_PLAIN and the owners of files. */
	bool (*allow)(uid_t uid, gid_t gid, const char *user);
	/* May root's own process use this path? NULL: root is refused. */
	bool (*allow_root_path)(const char *path);
	/* The one chroot that may be asked for, or NULL. */
	const char *chroot;
};

/* In the service's init(): fork the helper. */
void as_user_start(const struct as_user_setup *setup);
/* In after_jail(): give up root here for good (the helper keeps it). */
void as_user_drop_root(void);

struct as_user;

/*
 * A process with these rights; valid until the next call. NULL: why (4.3.0).
 */
struct as_user *as_user_get(const struct as_user_id *id, struct why *why);
/* End the kept processes (a worker that goes idle). */
void as_user_forget(void);

/* Another message from here on: its source is handed over again. */
void as_user_new_message(void);

enum as_user_read {
	AS_USER_READ_OK,
	AS_USER_READ_ABSENT,  /* no such file */
	AS_USER_READ_REFUSED, /* warning says why */
	AS_USER_READ_ERROR,   /* why: the process is gone, or I/O */
};

/*
 * Read a regular file that belongs to the user or root and that not everybody
 * may write to. follow: a symbolic link is not refused.
 */
enum as_user_read as_user_read(struct as_user *u, const char *path, bool follow,
			       struct buf *out, struct buf *warning,
			       struct why *why);
/* Who that process is, known after the first operation. */
void as_user_ids(const struct as_user *u, uid_t *uid, gid_t *gid);
/* Is there such a directory? false: why is "%m" of it, class 4. */
bool as_user_has_directory(struct as_user *u, const char *path,
			   struct why *why);

/*
 * The deliveries of maildir.h, mbox.h and command.h. When the process is lost
 * on the way why is 4.3.0. warning gets lines for the log, separated by LF.
 */
bool as_user_maildir(struct as_user *u, const struct maildir_request *req,
		     struct buf *warning, struct why *why);
bool as_user_mbox(struct as_user *u, const struct mbox_request *req,
		  struct buf *warning, struct why *why);
bool as_user_command(struct as_user *u, const struct command_request *req,
		     struct buf *output, struct buf *warning, struct why *why);
/* command_serve(): fd is the program's. */
bool as_user_serve(struct as_user *u, const struct strvec *argv,
		   const struct strvec *env, int fd, int64_t time_limit,
		   struct why *why);

#endif
