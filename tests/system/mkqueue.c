/* SPDX-License-Identifier: MIT */
/*
 * mkqueue CONFIG_DIR - put messages into a queue, without daemons.
 *
 * Each line of standard input makes one message, and its id is printed:
 *
 *	QUEUE SENDER REASON SIZE RECIPIENT...
 *
 * QUEUE is maildrop, incoming, deferred or hold; "-" is the null sender, no
 * reason; '_' in the reason is a space. SIZE is the number of body lines. A
 * recipient with a leading '+' is done.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/queue/queue.h"
#include "lib/sys/io.h"
#include "lib/sys/jail.h"

enum { RCPTS_MAX = 100 };

struct line {
	struct strvec word;
	bool done[RCPTS_MAX];
};

static struct line *current;

static void
fill_envelope(struct line *l, struct envelope *env)
{
	const char *sender = l->word.v[1];

	env->sender = mem_strdup(strcmp(sender, "-") == 0 ? "" : sender);
	env->rewrite = mem_strdup("local");
	for (size_t i = 4; i < l->word.n && i < RCPTS_MAX; i++) {
		struct rcpt *r = envelope_add_rcpt(env);
		const char *to = l->word.v[i];

		l->done[i - 4] = *to == '+';
		to += *to == '+';
		r->address = mem_strdup(to);
		r->orig_to = mem_strdup(to);
		r->transport = mem_strdup("smtp");
		r->nexthop = mem_strdup("example.net");
	}
}

static void
commit(struct line *l, char id[QUEUE_ID_MAX])
{
	bool drop = strcmp(l->word.v[0], "maildrop") == 0;
	struct queue_writer *w =
	    queue_writer_new(drop ? "maildrop" : "incoming");
	struct envelope env = ENVELOPE_INIT;
	struct why why = WHY_INIT;
	struct queue_entry *e = queue_begin(w, &why);
	int64_t lines = 1;

	if (!e)
		log_fatal("%s", buf_cstr(&why.text));
	num_parse(span_of(l->word.v[3]), 0, 1000000, &lines);
	memcpy(id, queue_entry_id(e), QUEUE_ID_MAX);
	fill_envelope(l, &env);
	if (drop)
		env.flags = ENVELOPE_MAILDROP;
	queue_write(e, span_of("Subject: test\nX-Folded: a\n b\n\n"));
	while (lines-- > 0)
		queue_write(e, span_of("body line\n"));
	if (!queue_commit(e, &env, &why))
		log_fatal("%s", buf_cstr(&why.text));
	envelope_free(&env);
	queue_writer_free(w);
}

static void
place(struct queue *q, struct queue_message *m, const char *name,
      const char *reason)
{
	m->last = mem_calloc(m->env.n_rcpts, sizeof(*m->last));
	for (size_t i = 0; i < m->env.n_rcpts; i++) {
		char *text = mem_strdup(reason);

		for (char *p = text; *p; p++)
			if (*p == '_')
				*p = ' ';
		if (strcmp(reason, "-") != 0)
			why_set(&m->last[i], "4.4.1", "%s", text);
		if (current->done[i])
			queue_rcpt_done(q, m, i);
		free(text);
	}
	if (strcmp(name, "hold") == 0)
		queue_hold(q, m);
	else if (strcmp(name, "deferred") == 0)
		queue_defer(q, m, io_now() + 3600 * 1000000LL);
	else
		queue_release(q, m);
}

struct target {
	struct queue *q;
	const char *id;
};

static void
place_if_new(void *arg, struct queue_message *m)
{
	struct target *t = arg;

	if (strcmp(m->id, t->id) == 0)
		place(t->q, m, current->word.v[0], current->word.v[2]);
	else
		queue_release(t->q, m);
}

static void
make(char *text)
{
	struct line l = {0};
	char id[QUEUE_ID_MAX];
	struct target t = {.id = id};

	strvec_split(&l.word, span_of(text), " \n", false);
	if (l.word.n < 5)
		log_fatal("bad line: %s", text);
	current = &l;
	commit(&l, id);
	if (strcmp(l.word.v[0], "maildrop") != 0) {
		t.q = queue_own();
		if (!t.q)
			log_fatal("own the queue: %m");
		while (queue_scan_incoming(t.q, 100, place_if_new, &t))
			;
		queue_disown(t.q);
	}
	puts(id);
	strvec_free(&l.word);
}

int
main(int argc, char **argv)
{
	struct conf_args args = {.program = "postsuper"};
	struct jail owner = {0};
	char line[8192];

	log_set_program("mkqueue");
	if (argc != 2)
		log_fatal("usage: mkqueue config_dir");
	args.config_dir = argv[1];
	conf_load(&args);
	if (chdir(conf->queue_directory) < 0)
		log_fatal("chdir %s: %m", conf->queue_directory);
	owner.user = conf->mail_owner;
	jail(&owner);
	while (fgets(line, sizeof(line), stdin))
		make(line);
	return 0;
}
