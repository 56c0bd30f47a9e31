/* SPDX-License-Identifier: MIT */
/* What look-up servers answer: tcp_table(5), socketmap_table(5). The first
 * byte chooses the protocol, the rest is sent by a server of our own. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sys/sock.h"
#include "lib/table/table_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWER_MAX = 200000 };

static struct {
	int listener;
	int port;
	pthread_mutex_t lock; /* of the answer: the last one may be under way */
	size_t len;
	char answer[ANSWER_MAX];
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
discard(enum log_level level, const char *process, const char *line)
{
	(void)level;
	(void)process;
	(void)line;
}

/* One answer per connection, then the end. */
static void *
serve(void *arg)
{
	char question[256];

	(void)arg;
	for (;;) {
		int fd = accept(server.listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (recv(fd, question, sizeof(question), 0) > 0) {
			pthread_mutex_lock(&server.lock);
			send(fd, server.answer, server.len,
			     MSG_NOSIGNAL | MSG_DONTWAIT);
			pthread_mutex_unlock(&server.lock);
		}
		close(fd);
	}
	return NULL;
}

static void
start(void)
{
	struct sock_addr any;
	pthread_t thread;

	if (!sock_addr_parse("127.0.0.1", 0, &any))
		abort();
	server.listener = socket(AF_INET, SOCK_STREAM, 0);
	if (server.listener < 0 ||
	    bind(server.listener, (struct sockaddr *)&any.ss, any.len) < 0 ||
	    listen(server.listener, 10) < 0 ||
	    !sock_local(server.listener, &any))
		abort();
	server.port = sock_addr_port(&any);
	log_set_sink(discard);
	if (pthread_create(&thread, NULL, serve, NULL) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	struct table *t;
	char spec[64];

	if (size == 0)
		return 0;
	if (!server.port)
		start();
	pthread_mutex_lock(&server.lock);
	server.len = size - 1 < ANSWER_MAX ? size - 1 : ANSWER_MAX;
	memcpy(server.answer, data + 1, server.len);
	pthread_mutex_unlock(&server.lock);
	snprintf(spec, sizeof(spec),
		 *data & 1 ? "tcp:127.0.0.1:%d"
			   : "socketmap:inet:127.0.0.1:%d:m",
		 server.port);
	t = table_open(spec, TABLE_QUIET);
	if (table_get(t, span_of("key"), &value, &why) == TABLE_RETRY &&
	    !why_is_set(&why))
		abort();
	table_free(t);
	buf_free(&value);
	why_free(&why);
	return 0;
}
