/* SPDX-License-Identifier: MIT */
/* milter_one - one milter of a session, for milter.c: its greeting, one event
 * and the answer. */
#ifndef LIB_MILTER_MILTER_ONE_H
#define LIB_MILTER_MILTER_ONE_H

#include "lib/milter/milter.h"
#include "lib/milter/milter_conn.h"

enum milter_state {
	MILTER_NOT_YET, /* connected */
	MILTER_READY,
	MILTER_ACCEPTED, /* the rest of this message */
	MILTER_ENDED,    /* no more events: verdict and reply are for good */
};

struct milter_one {
	const struct milter_spec *spec;
	struct milter_conn conn;
	struct buf pending; /* packets on their way: those that nobody answers
			       wait for one that somebody does */
	enum milter_state state;
	enum milter_verdict verdict; /* of MILTER_ENDED */
	struct buf reply;
	uint32_t version, protocol;
	struct buf symbols[MILTER_STAGES];
	bool chosen[MILTER_STAGES]; /* symbols are the milter's */
	char skip; /* the event that it does not want until the message ends */
};

struct milters {
	struct milter_one *v;
	size_t n;
	milter_macro_fn macro;
	void *arg;
	const char *process;
	struct buf reply;
	struct buf out; /* packets in the making */
};

/* Connect and greet. false: logged. */
bool milter_one_start(struct milters *m, struct milter_one *o);
/* It broke down: close it, and settle on its default action. */
enum milter_verdict milter_one_fail(struct milters *m, struct milter_one *o);
/* What one that has ended says to everything. */
enum milter_verdict milter_one_settled(struct milters *m,
				       const struct milter_one *o);
bool milter_one_is_open(const struct milter_one *o);
/* Does it want the event; may macros for it be sent? */
bool milter_one_wants(const struct milter_one *o, char event);
bool milter_one_may_send(const struct milter_one *o, char event);
/*
 * An event: begin puts packets into m->out, macros first; the caller appends
 * the data; finish sends them and awaits the answer. content: what it may
 * change, at MILTER_END.
 */
size_t milter_one_begin(struct milters *m, struct milter_one *o, char event);
enum milter_verdict milter_one_finish(struct milters *m, struct milter_one *o,
				      char event, size_t begun,
				      const struct milter_content *content);
/* Let what is in m->out wait for the next packet that is sent. */
void milter_one_queue(struct milters *m, struct milter_one *o);
/* A packet without data that nobody answers. */
void milter_one_say(struct milters *m, struct milter_one *o, char event);

#endif
