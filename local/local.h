/* SPDX-License-Identifier: MIT */
/*
 * local - delivery to the accounts of this host (local(8)).
 *
 * A worker expands one recipient of a message into deliveries: aliases,
 * .forward files and :include: files lead to more addresses (which recurse
 * while they are local), to files and to commands; what is not local, and
 * what an owner alias or an :include: file made its own, is collected and
 * enters the queue as a new message.
 *
 * Everything that needs the rights of a user goes through lib/deliver/
 * as_user.h: a helper process keeps root, the workers and their parent do
 * not.
 *
 * Each delivery within a recipient is logged as it happens (local_report());
 * the queue manager gets one answer per recipient when all are done.
 */
#ifndef LOCAL_LOCAL_H
#define LOCAL_LOCAL_H

#include <pwd.h>

#include "lib/base/htab.h"
#include "lib/base/strvec.h"
#include "lib/deliver/as_user.h"
#include "lib/dsn/why.h"
#include "lib/service/agent.h"
#include "lib/table/table.h"

enum {
	LOCAL_DEPTH_MAX = 100,    /* addresses that lead to addresses */
	LOCAL_ITEMS_MAX = 100000, /* destinations of one recipient */
};

/* What is being expanded: decides about commands and files. */
enum local_origin {
	FROM_MESSAGE,
	FROM_ALIAS,
	FROM_FORWARD,
	FROM_INCLUDE,
};

/* With whose rights: see as_user.h. */
struct local_rights {
	uid_t uid;
	gid_t gid;
	char user[AS_USER_NAME_MAX]; /* "" when the ids have no name */
};

/* The recipient's account; copied from the password file. */
struct local_account {
	char *name, *home, *shell;
	uid_t uid;
	gid_t gid;
};

/*
 * One address on its way. Strings are borrowed from whoever calls the next
 * level, so that each level changes only its own copy.
 */
struct local_addr {
	const struct local_addr *parent; /* whose expansion this is */
	const char *address;             /* internal form */
	const char *orig_to;             /* "" : the address itself */
	const char *sender;              /* envelope sender for this part */
	const char *delivered;           /* for Delivered-To: */
	const char *dsn_orcpt, *dsn_envid;
	int dsn_notify, dsn_ret;
	const char *local;     /* local part as it is */
	const char *user;      /* without extension, lower case */
	const char *extension; /* NULL: none */
	const char *domain;
	char delimiter;                   /* between user and extension */
	const char *alias;                /* name of the alias being expanded */
	const struct local_account *home; /* whose .forward this is from */
	struct local_rights rights;
	enum local_origin origin;
	bool forward; /* local addresses go into a new message */
	bool relayed; /* by luser_relay */
	int depth;
};

/* A new message in the making. */
struct local_forward {
	struct local_forward *next;
	char *sender, *delivered, *orig_to, *dsn_orcpt, *dsn_envid;
	int dsn_notify, dsn_ret;
	struct strvec rcpts;
};

/* A failure that is not the recipient's own: it gets a notice from here. */
struct local_failure {
	struct local_failure *next;
	char *sender, *address, *orig_to, *dsn_orcpt;
	int dsn_notify;
	struct why why;
};

/* One recipient of the request. */
struct local_job {
	struct agent_request *req;
	size_t rcpt;
	struct copy_source source;
	const struct htab *loops; /* Delivered-To: of the message */
	struct htab *seen; /* what was delivered to already */
	struct local_forward *forwards;
	struct local_failure *failures;
	size_t n_failures;
	size_t n_items;
	size_t n_sent;
	bool deferred;
	struct why result; /* what the queue manager is to hear */
};

/* local_job.c */
void local_deliver_rcpt(struct agent_request *req, size_t i,
			const struct htab *loops);
/* A delivery of a's ended: log it, remember it for the answer. */
void local_report(struct local_job *j, const struct local_addr *a,
		  const struct why *why);
/* The same without the log line. */
void local_record(struct local_job *j, const struct local_addr *a,
		  const struct why *why);
void local_reportf(struct local_job *j, const struct local_addr *a,
		   const char *dsn, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* verify(8) only asks: report, deliver nothing. */
bool local_is_probe(const struct local_job *j);
/* Is what it says new? false: a duplicate that is to be left out. */
bool local_first_time(struct local_job *j, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Log each line of warnings. */
void local_warn(const struct buf *warnings);

/* local_addr.c: where an address leads to. */
void local_deliver_addr(struct local_job *j, struct local_addr *a);
/* One destination of an expansion, as alias_parse() made it; from is the
 * address that is expanded. extension: to be added to addresses, or NULL. */
void local_deliver_item(struct local_job *j, const struct local_addr *from,
			const char *item, const char *extension);
/* Complete text, find out whether it is local, go on. */
void local_deliver_text(struct local_job *j, const struct local_addr *from,
			const char *text, const char *extension);

/* local_alias.c */
void local_alias_open(void);
/* true: the address is an alias, and was seen to. */
bool local_alias(struct local_job *j, const struct local_addr *a);
/* Rights of default_privs. */
const struct local_rights *local_default_rights(void);

/* local_dotforward.c */
bool local_dotforward(struct local_job *j, const struct local_addr *a,
		      const struct local_account *acc);
/* :include: file. */
void local_include(struct local_job *j, const struct local_addr *a,
		   const char *path);
/* Each destination in the text of such a file; how many there were. */
size_t local_file_items(struct local_job *j, const struct local_addr *a,
			struct span text, const char *extension);

/* local_forward.c */
void local_forward_add(struct local_job *j, const struct local_addr *a,
		       const char *address);
/* Enter the new messages into the queue, report. */
void local_forward_all(struct local_job *j, const struct local_addr *top);
void local_forward_free(struct local_job *j);

/* local_mailbox.c */
void local_mailbox_open(void);
/* acc is NULL for a name that is no account. */
void local_mailbox(struct local_job *j, const struct local_addr *a,
		   const struct local_account *acc);
/* NULL: no such account, or *why is set. free() with account_free. */
struct local_account *local_account_find(const char *user, struct why *why);
void local_account_free(struct local_account *acc);
/* The helper's rules (as_user.h). */
bool local_rights_allowed(uid_t uid, gid_t gid, const char *user);
bool local_root_path_allowed(const char *path);

/* local_file.c: the last step. */
void local_to_file(struct local_job *j, const struct local_addr *a,
		   const char *path);
void local_to_maildir(struct local_job *j, const struct local_addr *a,
		      const struct as_user_id *id, const char *path);
void local_to_mbox(struct local_job *j, const struct local_addr *a,
		   const struct as_user_id *id, const char *path);
/* acc: for HOME and SHELL; may be NULL. */
void local_to_command(struct local_job *j, const struct local_addr *a,
		      const struct local_rights *rights,
		      const struct local_account *acc, const char *command);

/* local_expand.c: $user, $home, ... in a parameter's text. */
void local_expand(const char *text, const struct local_addr *a,
		  const struct local_account *acc, const char *allowed,
		  struct buf *out);
/* Bytes outside allowed become '_'; allowed NULL: none. */
void local_filter(const char *text, const char *allowed, struct buf *out);

/* local_transport.c: hand over to another delivery agent. */
void local_to_transport(struct local_job *j, const struct local_addr *a,
			const char *spec);

#endif
