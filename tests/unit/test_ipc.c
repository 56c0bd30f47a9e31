/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/ipc/ipc.h"

struct pair {
	struct ipc a, b;
};

static void
pair_open(struct pair *p)
{
	int fd[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	ipc_init(&p->a, fd[0]);
	ipc_init(&p->b, fd[1]);
}

static void
pair_close(struct pair *p)
{
	ipc_close(&p->a);
	ipc_close(&p->b);
}

static void
test_round_trip(void **state)
{
	struct pair p;
	struct ipc_msg msg;
	struct why w = WHY_INIT, got = WHY_INIT;
	struct buf dump = BUF_INIT;

	(void)state;
	pair_open(&p);
	why_set_code(&w, 550, "5.1.1", "no such\nuser");
	w.diag_type = "smtp";
	buf_set_cstr(&w.mta, "mx.example.com");
	ipc_begin(&p.a, MSG_RCPT_DONE);
	ipc_put_num(&p.a, A_INDEX, -7);
	ipc_put_why(&p.a, &w);
	ipc_end(&p.a);
	ipc_begin(&p.a, MSG_FLUSH);
	ipc_end(&p.a);
	assert_int_equal(ipc_flush(&p.a, 1), IPC_OK);
	assert_int_equal(ipc_recv(&p.b, &msg, 1), IPC_OK);
	assert_int_equal(msg.type, MSG_RCPT_DONE);
	assert_int_equal(ipc_num(&msg, A_INDEX, 0), -7);
	assert_true(ipc_get_why(&msg, &got));
	assert_string_equal(got.dsn, "5.1.1");
	assert_int_equal(got.code, 550);
	assert_string_equal(buf_cstr(&got.text), "no such?user");
	assert_string_equal(buf_cstr(&got.mta), "mx.example.com");
	assert_string_equal(got.diag_type, "smtp");
	ipc_dump(&msg, &dump);
	assert_non_null(strstr(buf_cstr(&dump), "rcpt_done index=-7 dsn=5.1.1"));
	assert_int_equal(ipc_recv(&p.b, &msg, 1), IPC_OK);
	assert_int_equal(msg.type, MSG_FLUSH);
	assert_false(ipc_has(&msg, A_SITE));
	assert_int_equal(ipc_recv(&p.b, &msg, 0), IPC_TIMEOUT);
	ipc_close(&p.a);
	assert_int_equal(ipc_recv(&p.b, &msg, 1), IPC_EOF);
	buf_free(&dump);
	why_free(&w);
	why_free(&got);
	pair_close(&p);
}

static void
put_deliver(struct ipc *c, int fd, const char *id)
{
	ipc_begin(c, MSG_BOUNCE);
	ipc_put_num(c, A_KIND, BOUNCE_FAILURE);
	ipc_put_cstr(c, A_QUEUE_ID, id);
	ipc_put_num(c, A_CONTENT_OFFSET, 0);
	ipc_put_num(c, A_CONTENT_LENGTH, 0);
	ipc_put_num(c, A_ARRIVAL, 0);
	ipc_put_cstr(c, A_SENDER, "");
	ipc_put_cstr(c, A_RECIPIENT, "x@example.com");
	ipc_end_fd(c, fd);
}

/* Several frames with a descriptor each, and some without, in one write. */
static void
test_descriptors(void **state)
{
	struct pair p;
	struct ipc_msg msg;
	char byte;

	(void)state;
	pair_open(&p);
	for (int i = 0; i < 3; i++) {
		int fd[2];

		assert_int_equal(pipe(fd), 0);
		byte = (char)('0' + i);
		assert_int_equal(write(fd[1], &byte, 1), 1);
		ipc_begin(&p.a, MSG_FLUSH);
		ipc_end(&p.a);
		put_deliver(&p.a, fd[0], "ABC");
		close(fd[0]);
		close(fd[1]);
	}
	assert_int_equal(ipc_push(&p.a), IPC_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ipc_recv(&p.b, &msg, 1), IPC_OK);
		assert_int_equal(msg.type, MSG_FLUSH);
		assert_int_equal(msg.fd, -1);
		assert_int_equal(ipc_recv(&p.b, &msg, 1), IPC_OK);
		assert_true(msg.fd >= 0);
		assert_int_equal(read(msg.fd, &byte, 1), 1);
		assert_int_equal(byte, '0' + i);
		close(msg.fd);
	}
	/* A frame that should carry one and does not. */
	put_deliver(&p.a, 0, "ABC");
	close(p.a.out_fds[0].fd);
	p.a.n_out_fds = 0;
	assert_int_equal(ipc_push(&p.a), IPC_OK);
	assert_int_equal(ipc_recv(&p.b, &msg, 1), IPC_BAD);
	pair_close(&p);
}

static enum ipc_status
send_raw(const void *data, size_t len)
{
	struct pair p;
	struct ipc_msg msg;
	enum ipc_status st;

	pair_open(&p);
	assert_int_equal(write(p.a.fd, data, len), (ssize_t)len);
	shutdown(p.a.fd, SHUT_WR);
	st = ipc_recv(&p.b, &msg, 1);
	pair_close(&p);
	return st;
}

static void
test_bad_frames(void **state)
{
	static const unsigned char
	    huge[] = {0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0},
	    no_type[] = {4, 0, 0, 0, 0xff, 0x0f, 0, 0},
	    short_body[] = {2, 0, 0, 0, 1, 0},
	    missing[] = {4, 0, 0, 0, MSG_STATUS, 0, 0, 0},
	    foreign[] = {18, 0, 0, 0, MSG_FLUSH, 0, 1, 0, A_STATUS, 0, 8, 0,
			 0,  0, 1, 0, 0, 0, 0, 0, 0, 0},
	    newline[] = {11, 0, 0, 0, MSG_FLUSH, 0, 1, 0,
			 A_SITE, 0, 1, 0, 0, 0, '\n'},
	    overrun[] = {11, 0, 0, 0, MSG_FLUSH, 0, 1, 0,
			 A_SITE, 0, 9, 0, 0, 0, 'x'},
	    good[] = {11, 0, 0, 0, MSG_FLUSH, 0, 1, 0,
		      A_SITE, 0, 1, 0, 0, 0, 'x'},
	    trailing[] = {12, 0, 0, 0, MSG_FLUSH, 0, 1, 0,
			  A_SITE, 0, 1, 0, 0, 0, 'x', 'y'};

	(void)state;
	assert_int_equal(send_raw(huge, sizeof(huge)), IPC_BAD);
	assert_int_equal(send_raw(no_type, sizeof(no_type)), IPC_BAD);
	assert_int_equal(send_raw(short_body, sizeof(short_body)), IPC_BAD);
	assert_int_equal(send_raw(missing, sizeof(missing)), IPC_BAD);
	assert_int_equal(send_raw(foreign, sizeof(foreign)), IPC_BAD);
	assert_int_equal(send_raw(newline, sizeof(newline)), IPC_BAD);
	assert_int_equal(send_raw(overrun, sizeof(overrun)), IPC_BAD);
	assert_int_equal(send_raw(trailing, sizeof(trailing)), IPC_BAD);
	assert_int_equal(send_raw(good, sizeof(good)), IPC_OK);
	assert_int_equal(send_raw(good, sizeof(good) - 1), IPC_EOF);
}

/* Every message type's table entry is usable. */
static void
test_table(void **state)
{
	(void)state;
	for (unsigned t = 1; t < MSG_TYPE_COUNT; t++) {
		const struct msg_def *def = proto_msg(t);

		assert_non_null(def->name);
		for (const struct attr_rule *r = def->rules; r->attr; r++)
			assert_non_null(proto_attr(r->attr)->name);
	}
	for (unsigned a = 1; a < MSG_ATTR_COUNT; a++) {
		assert_non_null(proto_attr(a)->name);
		assert_true(proto_attr(a)->kind == ATTR_NUM ||
			    proto_attr(a)->max > 0);
	}
	assert_null(proto_msg(MSG_TYPE_COUNT));
	assert_null(proto_attr(MSG_ATTR_COUNT));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_descriptors),
	    cmocka_unit_test(test_bad_frames),
	    cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("ipc", tests, NULL, NULL);
}
