/* SPDX-License-Identifier: MIT */
/*
 * queue_append DIR [WRITERS [SECONDS [BYTES]]] - how many messages a second
 * can be accepted: as many processes commit messages as fast as they can. A
 * stand-in for qmgr reads what it is told.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/queue/queue.h"
#include "lib/sys/io.h"

enum { CLIENTS_MAX = 256 };

static void
commit_one(struct queue_writer *w, struct span text)
{
	struct envelope env = ENVELOPE_INIT;
	struct why why = WHY_INIT;
	struct queue_entry *e = queue_begin(w, &why);
	struct rcpt *r;

	if (!e)
		log_fatal("%s", buf_cstr(&why.text));
	env.sender = mem_strdup("sender@example.com");
	r = envelope_add_rcpt(&env);
	r->address = mem_strdup("recipient@example.net");
	r->transport = mem_strdup("smtp");
	r->nexthop = mem_strdup("example.net");
	queue_write(e, text);
	if (!queue_commit(e, &env, &why))
		log_fatal("%s", buf_cstr(&why.text));
	envelope_free(&env);
}

static long
write_until(int64_t deadline, size_t bytes)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char *text = mem_alloc(bytes);
	long n = 0;

	memset(text, 'x', bytes);
	while (io_monotonic() < deadline) {
		commit_one(w, span_make(text, bytes));
		n++;
	}
	queue_writer_free(w);
	free(text);
	return n;
}

/* Reads and forgets. */
static void
fake_qmgr(int listener)
{
	struct pollfd p[CLIENTS_MAX] = {{.fd = listener, .events = POLLIN}};
	nfds_t n = 1;
	char block[65536];

	for (;;) {
		if (poll(p, n, -1) < 0)
			continue;
		if (p[0].revents && n < CLIENTS_MAX)
			p[n++] =
			    (struct pollfd){.fd = accept(listener, NULL, NULL),
					    .events = POLLIN};
		for (nfds_t i = 1; i < n; i++)
			if (p[i].revents &&
			    read(p[i].fd, block, sizeof(block)) <= 0) {
				close(p[i].fd);
				p[i].fd = -1;
			}
	}
}

static pid_t
start_fake_qmgr(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX,
				 .sun_path = "public/qmgr"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	unlink(sa.sun_path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, CLIENTS_MAX) < 0)
		log_fatal("public/qmgr: %m");
	pid = fork();
	if (pid == 0)
		fake_qmgr(fd);
	close(fd);
	return pid;
}

static void
report(const long *count, int writers, int64_t seconds)
{
	struct rusage ru;
	long total = 0;
	double cpu;

	for (int i = 0; i < writers; i++)
		total += count[i];
	getrusage(RUSAGE_CHILDREN, &ru);
	cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
	      (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
	printf("%ld messages, %.0f per second, %.1f us of CPU each\n", total,
	       (double)total / (double)seconds,
	       total ? cpu / (double)total : 0);
}

int
main(int argc, char **argv)
{
	static struct conf settings = {.hash_queue_names = "deferred",
				       .hash_queue_depth = 1,
				       .mail_owner = "root",
				       .setgid_group = "root"};
	int64_t writers = 20, seconds = 5, bytes = 4096, deadline;
	long *count;
	pid_t qmgr;

	conf = &settings;
	if (argc > 2)
		num_parse(span_of(argv[2]), 1, 200, &writers);
	if (argc > 3)
		num_parse(span_of(argv[3]), 1, 600, &seconds);
	if (argc > 4)
		num_parse(span_of(argv[4]), 1, 1 << 30, &bytes);
	if (argc < 2 || chdir(argv[1]) < 0 || !queue_make_directories())
		log_fatal("usage: queue_append directory [writers [seconds "
			  "[bytes]]]");
	count = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	qmgr = start_fake_qmgr();
	deadline = io_monotonic() + seconds * 1000000;
	for (int i = 0; i < writers; i++)
		if (fork() == 0) {
			count[i] = write_until(deadline, (size_t)bytes);
			_exit(0);
		}
	for (int i = 0; i < writers; i++)
		wait(NULL);
	report(count, (int)writers, seconds);
	kill(qmgr, SIGTERM);
	return 0;
}
