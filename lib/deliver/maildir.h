/* SPDX-License-Identifier: MIT */
/*
 * maildir - deliver one message into a Maildir, as the user who runs this.
 *
 * The message is written in tmp/, then moved into new/ under a name that
 * depends only on the message and the recipient: time of arrival, device,
 * a hash in the place of the inode, microseconds, host
 * (1795344911.V27I9f8e7d6c5b4a3921M506075.host.example.com). So a second
 * attempt, after a crash that lost the news of the first, finds the file of
 * the first and leaves it at that, when it has the same size. A file that a
 * reader has moved to cur/ meanwhile is looked for only when the message is
 * older than MAILDIR_RETRY_AGE.
 *
 * When this returns true, the file and its name are on disk.
 */
#ifndef LIB_DELIVER_MAILDIR_H
#define LIB_DELIVER_MAILDIR_H

#include "lib/deliver/copy.h"
#include "lib/dsn/why.h"

enum { MAILDIR_RETRY_AGE = 30 }; /* seconds */

struct maildir_request {
	const char *path; /* of the Maildir, with or without final '/' */
	struct copy_source source;
	struct span head;     /* header lines to put in front */
	const char *hostname; /* for the file name */
	int64_t arrival;      /* of the message, microseconds */
	struct span identity; /* what makes this delivery unique: queue id,
				 recipient number, address, way to here */
};

/*
 * true: delivered. false: why ("maildir delivery failed: ..."); 5.2.0 for
 * what only the owner can mend (access, no such directory), 5.2.2 no room
 * left for this user, 4.2.0 the rest.
 * access_problem is set when a warning about permissions is due.
 */
bool maildir_deliver(const struct maildir_request *req, bool *access_problem,
		     struct why *why);

#endif
