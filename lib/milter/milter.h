/* SPDX-License-Identifier: MIT */
/*
 * milter - the milters of one SMTP session: one connection each, kept over
 * its messages (MILTER_README).
 *
 * Events go to all milters in the order of the list, until one of them
 * answers with something else than "continue". The content of a message goes
 * through them one after the other, so that each sees what the one before it
 * changed. A milter that does not answer in time, dies, or sends what the
 * protocol does not know gets its default action, for the rest of the session.
 * Everything is blocking, within the time limits of each milter.
 */
#ifndef LIB_MILTER_MILTER_H
#define LIB_MILTER_MILTER_H

#include "lib/base/strvec.h"
#include "lib/milter/milter_list.h"
#include "lib/milter/milter_proto.h"
#include "lib/sys/sock.h"

struct milters;

enum milter_verdict {
	MILTER_GO,
	MILTER_HOLD,  /* go on, and keep the message in the hold queue */
	MILTER_DROP,  /* say yes, and throw the message away */
	MILTER_REPLY, /* refuse with the text of milters_reply() */
};

/* The value of a macro ("i", "client_addr": without braces), or NULL. The
 * string is used before the next call. */
typedef const char *(*milter_macro_fn)(void *arg, struct span name);

/* list is borrowed, and must live as long. Nothing is connected yet. */
struct milters *milters_new(const struct milter_list *list,
			    milter_macro_fn macro, void *arg);
/* Says good-bye to those that are connected. */
void milters_free(struct milters *m);

/* Ask fn instead, and log as process (NULL: this program). */
void milters_speak_as(struct milters *m, const char *process,
		      milter_macro_fn macro, void *arg);
/* An SMTP reply, "550 5.7.1 text"; more lines are separated by CR LF. */
const char *milters_reply(const struct milters *m);
void milters_clear_reply(struct milters *m);

/* ---- events of the session ---- */

/* addr may be NULL: unknown. */
enum milter_verdict milters_connect(struct milters *m, struct span host,
				    const struct sock_addr *addr);
enum milter_verdict milters_helo(struct milters *m, struct span name);
/* argv[0] is the address as the client wrote it, then its parameters. */
enum milter_verdict milters_mail(struct milters *m, const struct strvec *argv);
enum milter_verdict milters_rcpt(struct milters *m, const struct strvec *argv);
/* A recipient was refused: for those who want to know. The macros say why. */
void milters_rcpt_refused(struct milters *m, const struct strvec *argv);
bool milters_want_refused(const struct milters *m);
enum milter_verdict milters_data(struct milters *m);
enum milter_verdict milters_unknown(struct milters *m, struct span verb);
/* The transaction is over, or never came to be. */
void milters_abort(struct milters *m);

/* ---- the content ---- */

size_t milters_count(const struct milters *m);

/* The content for one milter, and what it may do to it. */
struct milter_content {
	void *arg;
	/* The i-th header that it shall see, without final LF; false: no
	 * more. */
	bool (*header)(void *arg, size_t i, struct span *header);
	/* Up to max bytes of body with CR LF line ends, from where the last
	 * call ended; empty at the end. false: it cannot be read. */
	bool (*body)(void *arg, size_t max, struct span *piece);
	/* Do what it asks for; space: header values have a leading space of
	 * their own. false: the message fails, for a reason that the callee
	 * knows. */
	bool (*change)(void *arg, const struct milter_reply *r, bool space);
	/* HOLD came; GO on. */
	void (*hold)(void *arg);
};

/* All of a message through the i-th milter. On MILTER_REPLY milters_reply()
 * is empty when a function of content failed. */
enum milter_verdict milters_content(struct milters *m, size_t i,
				    const struct milter_content *content);

#endif
