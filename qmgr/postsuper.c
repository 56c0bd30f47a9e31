/* SPDX-License-Identifier: MIT */
/*
 * postsuper - delete, hold, release, requeue, expire messages, and put the
 * queue's directories in order (postsuper(1)).
 *
 * The queue has one owner. While qmgr runs it is asked to do what has to be
 * done; otherwise this program is the owner for the time being.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"
#include "lib/ipc/ipc.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_notify.h"
#include "lib/sys/jail.h"

enum {
	QMGR_SECONDS = 60,
	OWN_TRIES = 20, /* while another postsuper is at work */
	OWN_WAIT_USEC = 250000,
	SYNC_EVERY = 200, /* messages */
	ID_LINE_MAX = 1024,
};

/* In the order of the report. */
enum verb {
	VERB_REQUEUE,
	VERB_DELETE,
	VERB_EXPIRE,
	VERB_EXPIRE_RELEASE,
	VERB_HOLD,
	VERB_RELEASE,
	N_VERBS
};

static const struct {
	int op;             /* enum super_op */
	const char *done;   /* said of one message */
	const char *count;  /* said of them all */
	const char *queues; /* where it looks when not told */
} verbs[N_VERBS] = {
    {SUPER_REQUEUE, "requeued", "Requeued", "incoming active deferred hold"},
    {SUPER_DELETE, "removed", "Deleted",
     "maildrop incoming active deferred hold"},
    {SUPER_EXPIRE, "expired", "Force-expired", "incoming active deferred hold"},
    {SUPER_EXPIRE_RELEASE, "expired", "Force-expired",
     "incoming active deferred hold"},
    {SUPER_HOLD, "placed on hold", "Placed on hold",
     "incoming active deferred"},
    {SUPER_RELEASE, "released from hold", "Released from hold", "hold"},
};

static const char *const queue_names[] = {"maildrop", "incoming", "active",
					  "deferred", "hold",     "bounce",
					  "defer",    "trace",    "flush"};

enum { N_QUEUE_NAMES = sizeof(queue_names) / sizeof(queue_names[0]) };

struct job {
	struct strvec ids[N_VERBS]; /* "ALL" among them: all */
	bool asked[N_VERBS];
	struct strvec queues; /* named on the command line */
	bool structure, purge;
	const char *config_dir;
	struct queue *q; /* we own it, or */
	struct ipc qmgr; /* qmgr does */
	bool connected;
	long done[N_VERBS];
	unsigned unsynced;
};

static _Noreturn void
usage(void)
{
	log_fatal("usage: postsuper [-c config_dir] [-d queue_id (delete)] "
		  "[-e queue_id (expire)] [-f queue_id (expire and/or "
		  "un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] "
		  "[-p (purge temporary files)] [-r queue_id (requeue)] "
		  "[-s (structure fix)] [-S (redundant structure fix)]"
		  "[-v (verbose)] [queue...]");
}

/* ---- the command line ---- */

static void
add_id(struct job *j, enum verb v, const char *id)
{
	if (!queue_id_valid(span_of(id)))
		log_warn("invalid mail queue id: %s", id);
	else
		strvec_add(&j->ids[v], id);
}

static void
read_ids(struct job *j, enum verb v)
{
	char line[ID_LINE_MAX];

	while (fgets(line, sizeof(line), stdin)) {
		struct span s = span_trim(span_of(line));

		line[s.data - line + (long)s.len] = '\0';
		add_id(j, v, s.data);
	}
}

static void
add_argument(struct job *j, enum verb v, const char *argument)
{
	j->asked[v] = true;
	if (strcmp(argument, "-") == 0)
		read_ids(j, v);
	else
		add_id(j, v, argument);
}

static void
add_queue(struct job *j, const char *name)
{
	for (size_t i = 0; i < N_QUEUE_NAMES; i++)
		if (strcmp(name, queue_names[i]) == 0) {
			strvec_add(&j->queues, name);
			return;
		}
	log_fatal("invalid directory name: %s", name);
}

static void
parse(struct job *j, int argc, char **argv)
{
	static const char letters[] = "rdefhH"; /* as enum verb */
	int c, verbose = 0;

	while ((c = getopt(argc, argv, "c:d:e:f:h:H:pr:sSv")) > 0) {
		const char *verb = strchr(letters, c);

		if (verb)
			add_argument(j, (enum verb)(verb - letters), optarg);
		else if (c == 'c')
			j->config_dir = optarg;
		else if (c == 'p')
			j->purge = true;
		else if (c == 's' || c == 'S')
			j->structure = true;
		else if (c == 'v')
			log_set_verbose(++verbose);
		else
			usage();
	}
	for (; optind < argc; optind++)
		add_queue(j, argv[optind]);
}

/* ---- who does it ---- */

static bool
ask_qmgr(struct job *j)
{
	if (!j->connected)
		j->connected = queue_manager_connect(&j->qmgr, QMGR_SECONDS);
	return j->connected;
}

static void
find_owner(struct job *j)
{
	for (int i = 0; i < OWN_TRIES; i++) {
		j->q = queue_own();
		if (j->q)
			return;
		if (errno != EAGAIN)
			log_fatal("cannot use the queue: %m");
		if (ask_qmgr(j))
			return;
		usleep(OWN_WAIT_USEC);
	}
	log_fatal("the queue is in use by another process");
}

static int
super_by_qmgr(struct job *j, int op, const char *queue, const char *id)
{
	struct ipc_msg msg;
	int rc;

	ipc_begin(&j->qmgr, MSG_SUPER);
	ipc_put_num(&j->qmgr, A_OPERATION, op);
	ipc_put_cstr(&j->qmgr, A_QUEUE_ID, id);
	if (*queue)
		ipc_put_cstr(&j->qmgr, A_QUEUE_NAME, queue);
	ipc_end(&j->qmgr);
	if (ipc_flush(&j->qmgr, QMGR_SECONDS) != IPC_OK ||
	    ipc_recv(&j->qmgr, &msg, QMGR_SECONDS) != IPC_OK ||
	    msg.type != MSG_STATUS)
		log_fatal("no answer from the queue manager");
	rc = (int)ipc_num(&msg, A_STATUS, -1);
	if (rc < 0)
		log_warn("%s: %.*s", id, SPAN_ARG(ipc_get(&msg, A_REASON)));
	return rc;
}

/* 1 done, 0 not there, -1 error. */
static int
super_one(struct job *j, enum verb v, const char *queue, const char *id)
{
	int op = verbs[v].op, rc;

	if (!j->q)
		return super_by_qmgr(j, op, queue, id);
	rc = queue_super(j->q, op, queue, id);
	if (rc > 0 && ++j->unsynced >= SYNC_EVERY) {
		j->unsynced = 0;
		queue_sync(j->q);
	}
	return rc;
}

/* ---- one verb ---- */

static bool
wanted_queue(const struct job *j, enum verb v, const char *queue)
{
	struct span rest = span_of(verbs[v].queues), name;

	if (j->queues.n && !strvec_has(&j->queues, queue))
		return false;
	while (span_next_token(&rest, " ", &name))
		if (span_equal_cstr(name, queue))
			return true;
	return false;
}

/* Put on record what was done to a message. */
static void
note_done(struct job *j, enum verb v, const char *queue, const char *id,
	  bool say)
{
	bool released = v == VERB_EXPIRE_RELEASE && strcmp(queue, "hold") == 0;

	if (say)
		log_info("%s: %s", id, verbs[v].done);
	if (v == VERB_EXPIRE_RELEASE)
		j->done[VERB_EXPIRE]++;
	else
		j->done[v]++;
	if (released) {
		if (say)
			log_info("%s: %s", id, verbs[VERB_RELEASE].done);
		j->done[VERB_RELEASE]++;
	}
}

static void
do_id(struct job *j, enum verb v, const char *id)
{
	for (size_t i = 0; i < N_QUEUE_NAMES; i++) {
		const char *queue = queue_names[i];

		if (wanted_queue(j, v, queue) &&
		    super_one(j, v, queue, id) > 0) {
			note_done(j, v, queue, id, true);
			return;
		}
	}
}

struct all {
	struct job *j;
	enum verb v;
	struct strvec ids, queues;
};

static bool
collect(void *arg, const struct queue_listing *l)
{
	struct all *a = arg;
	const char *queue = l->queue_name;

	/* Whether a message is active only qmgr knows. */
	if (wanted_queue(a->j, a->v, queue) ||
	    (strcmp(queue, "incoming") == 0 &&
	     wanted_queue(a->j, a->v, "active"))) {
		strvec_add(&a->ids, l->id);
		strvec_add(&a->queues, queue);
	}
	return true;
}

static void
do_all(struct job *j, enum verb v)
{
	struct all a = {.j = j, .v = v};

	if (!queue_list(NULL, collect, &a))
		log_warn("read the queue: %m");
	for (size_t i = 0; i < a.ids.n; i++) {
		const char *queue = a.queues.v[i], *id = a.ids.v[i];
		int rc = 0;

		if (wanted_queue(j, v, queue))
			rc = super_one(j, v, queue, id);
		if (rc == 0 && wanted_queue(j, v, "active"))
			rc = super_one(j, v, "active", id);
		if (rc > 0)
			note_done(j, v, queue, id, log_verbose() > 0);
	}
	strvec_free(&a.ids);
	strvec_free(&a.queues);
}

static void
do_verb(struct job *j, enum verb v)
{
	if (strvec_has(&j->ids[v], "ALL")) {
		do_all(j, v);
		return;
	}
	for (size_t i = 0; i < j->ids[v].n; i++)
		do_id(j, v, j->ids[v].v[i]);
}

static void
report(const struct job *j)
{
	for (int v = 0; v < N_VERBS; v++) {
		bool asked = j->asked[v];

		if (v == VERB_EXPIRE_RELEASE)
			continue;
		if (v == VERB_EXPIRE)
			asked = asked || j->asked[VERB_EXPIRE_RELEASE];
		if (asked || j->done[v])
			log_info("%s: %ld message%s", verbs[v].count,
				 j->done[v], j->done[v] == 1 ? "" : "s");
	}
}

/* ---- start ---- */

/* The superuser; without root the one who owns the instance. */
static void
check_user(void)
{
	struct stat st;

	if (getuid() == 0)
		return;
	if (stat(conf->queue_directory, &st) < 0 || st.st_uid != getuid())
		log_fatal("use of this command is reserved for the superuser");
}

static void
ignore_file(void *arg, const char *id, int64_t next)
{
	(void)arg;
	(void)id;
	(void)next;
}

/* A scan removes what interrupted rewrites left; only the owner may. */
static void
purge(void)
{
	struct queue *q = queue_own();

	if (!q)
		return;
	while (queue_scan_deferred(q, "deferred", 1000, ignore_file, NULL) ||
	       queue_scan_deferred(q, "hold", 1000, ignore_file, NULL))
		;
	queue_disown(q);
}

static void
run_verbs(struct job *j)
{
	find_owner(j);
	for (int v = 0; v < N_VERBS; v++)
		do_verb(j, (enum verb)v);
	if (j->q)
		queue_disown(j->q);
	if (j->connected)
		ipc_close(&j->qmgr);
	report(j);
}

int
main(int argc, char **argv)
{
	struct job j = {0};
	struct conf_args args = {.program = "postsuper"};
	struct jail jail_def = {0};
	bool any = false;

	log_set_program("postsuper");
	conf_log_open_early("postsuper");
	log_set_stderr_too(true);
	parse(&j, argc, argv);
	args.config_dir = j.config_dir;
	conf_load(&args);
	conf_log_open("postsuper", CONF_LOG_DIRECT);
	check_user();
	if (chdir(conf->queue_directory) < 0)
		log_fatal("chdir %s: %m", conf->queue_directory);
	for (int v = 0; v < N_VERBS; v++)
		any = any || j.asked[v];
	if (!any && !j.structure && !j.purge)
		j.structure = j.purge = true;
	if (j.structure && !queue_make_directories())
		return 1;
	jail_def.user = conf->mail_owner;
	jail(&jail_def);
	if (j.structure && !queue_repair())
		return 1;
	if (j.purge)
		purge();
	if (any)
		run_verbs(&j);
	for (int v = 0; v < N_VERBS; v++)
		strvec_free(&j.ids[v]);
	strvec_free(&j.queues);
	return 0;
}
