/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/ipc/ipc.h"
#include "tests/unit/queue_fixture.h"

static int fail_from, fail_count, fail_errno;

static int
fail_hook(enum queue_sys_op op)
{
	(void)op;
	if (fail_from > 0 && --fail_from > 0)
		return 0;
	if (fail_count > 0) {
		fail_count--;
		return fail_errno;
	}
	return 0;
}

/* The images of the only segment: how many, and that nothing follows. */
static int
count_images(const char *path)
{
	struct queue_place p;
	struct envelope env;
	int fd = open(path, O_RDONLY), n = 0;
	int64_t at = 0;

	assert_true(fd >= 0);
	while (queue_read_image(fd, at, true, &p, NULL, &env) ==
	       QUEUE_READ_OK) {
		envelope_free(&env);
		at += p.length;
		n++;
	}
	assert_int_equal(lseek(fd, 0, SEEK_END), at);
	close(fd);
	return n;
}

static void
test_segment(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char *path;
	int fd;

	(void)state;
	assert_int_equal(fixture_count("incoming"), 0);
	for (int i = 0; i < 5; i++)
		assert_true(fixture_commit(w, "text\n", 5, 1, NULL));
	path = fixture_only_file("incoming");
	assert_int_equal(count_images(path), 5);
	fd = open(path, O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	queue_writer_free(w);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	unlink(path);
	free(path);
}

/* Two at a time, one aborted: the others are whole. */
static void
test_abort_and_two(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct envelope env = ENVELOPE_INIT;
	struct why why = WHY_INIT;
	struct queue_entry *a = queue_begin(w, &why);
	struct queue_entry *b = queue_begin(w, &why);
	struct queue_entry *c = queue_begin(w, &why);
	char *path;

	(void)state;
	assert_string_not_equal(queue_entry_id(a), queue_entry_id(b));
	queue_write(a, span_of("aaa\n"));
	queue_write(b, span_of("bb\n"));
	queue_write(c, span_of("c\n"));
	queue_abort(a);
	assert_int_equal(queue_entry_size(b), 3);
	assert_true(queue_commit(b, &env, &why));
	assert_int_equal(env.size, 4);
	assert_true(queue_commit(c, &env, &why));
	queue_writer_free(w);
	path = fixture_only_file("incoming");
	assert_int_equal(count_images(path), 2);
	unlink(path);
	free(path);
	envelope_free(&env);
	why_free(&why);
}

static void
test_big(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	size_t len = 3 * 1024 * 1024 + 17;
	char *text = malloc(len), *path;
	struct why why = WHY_INIT;
	struct queue_entry *e;

	(void)state;
	memset(text, 'x', len);
	assert_true(fixture_commit(w, text, len, 3, NULL));
	path = fixture_only_file("incoming");
	assert_int_equal(count_images(path), 1);
	unlink(path);
	free(path);
	/* One that is given up leaves nothing. */
	e = queue_begin(w, &why);
	queue_write(e, span_make(text, len));
	assert_int_equal(fixture_count("incoming"), 1);
	queue_abort(e);
	assert_int_equal(fixture_count("incoming"), 0);
	queue_writer_free(w);
	why_free(&why);
	free(text);
}

static void
test_rotation(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char text[60000];

	(void)state;
	memset(text, 'y', sizeof(text));
	for (int i = 0; i < 150; i++)
		assert_true(fixture_commit(w, text, sizeof(text), 1, NULL));
	queue_writer_free(w);
	assert_in_range(fixture_count("incoming"), 3, 4);
}

/* Fail each operation in turn: refused means not there. */
static void
test_failures(void **state)
{
	size_t sizes[] = {10, 200000};

	(void)state;
	for (size_t s = 0; s < 2; s++) {
		char *text = calloc(1, sizes[s]);
		int failed = 0;

		for (int n = 1; n < 12; n++) {
			struct queue_writer *w = queue_writer_new("incoming");
			int there = 0;
			char *path;
			bool ok;

			assert_true(fixture_commit(w, "first\n", 6, 1, NULL));
			fail_from = n;
			fail_count = 1;
			fail_errno = n % 2 ? ENOSPC : EIO;
			queue_sys_hook = fail_hook;
			ok = fixture_commit(w, text, sizes[s], 1, NULL);
			queue_sys_hook = NULL;
			assert_true(fixture_commit(w, "last\n", 5, 1, NULL));
			queue_writer_free(w);
			failed += !ok;
			while (fixture_count("incoming")) {
				path = fixture_only_file("incoming");
				there += count_images(path);
				unlink(path);
				free(path);
			}
			assert_int_equal(there, ok ? 3 : 2);
		}
		assert_true(failed >= 2);
		free(text);
	}
}

static void
test_disk_full(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct envelope env = ENVELOPE_INIT;
	struct why why = WHY_INIT;
	struct queue_entry *e = queue_begin(w, &why);
	struct rlimit old, r;
	char block[4096] = "";

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	r = old;
	r.rlim_cur = 300000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
	for (int i = 0; i < 200; i++)
		queue_write(e, span_make(block, sizeof(block)));
	assert_false(queue_commit(e, &env, &why));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_string_equal(why.dsn, "4.3.1");
	assert_int_equal(why.code, 452);
	assert_string_equal(buf_cstr(&why.text), "Insufficient system storage");
	assert_int_equal(fixture_count("incoming"), 0);
	queue_writer_free(w);
	why_free(&why);
}

static void
test_minfree(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct why why = WHY_INIT;

	(void)state;
	fixture_conf.queue_minfree = INT64_MAX;
	assert_null(queue_begin(w, &why));
	fixture_conf.queue_minfree = 0;
	assert_string_equal(why.dsn, "4.3.1");
	queue_writer_free(w);
	why_free(&why);
}

/* Size of the newest file in a directory. */
static int64_t
newest_size(const char *dir)
{
	char cmd[64], size[32] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "stat -c %%s $(ls -td %s/* | head -1)", dir);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(size, sizeof(size), f));
	pclose(f);
	return strtol(size, NULL, 10);
}

static int
listen_as_qmgr(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX,
				 .sun_path = "public/qmgr"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	unlink(sa.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void
expect_enqueued(struct ipc *c, const char *id, int64_t offset)
{
	struct ipc_msg msg;
	uint64_t number;
	char *path;

	assert_int_equal(ipc_recv(c, &msg, 5), IPC_OK);
	assert_int_equal(msg.type, MSG_ENQUEUED);
	assert_true(span_equal_cstr(ipc_get(&msg, A_QUEUE_ID), id));
	assert_int_equal(ipc_num(&msg, A_OFFSET, -1), offset);
	path = ipc_dup(&msg, A_SEGMENT);
	assert_int_equal(sscanf(path, "incoming/%16lX", &number), 1);
	assert_int_equal(access(path, F_OK), 0);
	free(path);
}

/* qmgr is told over one connection, and over another when it was restarted;
 * without it messages are accepted all the same. */
static void
test_notify(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char id[QUEUE_ID_MAX];
	int fd = listen_as_qmgr();
	struct ipc c;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 1, id));
	ipc_init(&c, accept(fd, NULL, NULL));
	expect_enqueued(&c, id, 0);
	assert_true(fixture_commit(w, "text\n", 5, 1, id));
	expect_enqueued(&c, id, newest_size("incoming") / 2);
	ipc_close(&c);
	close(fd);
	assert_true(fixture_commit(w, "text\n", 5, 1, id));
	queue_writer_free(w);
	w = queue_writer_new("incoming");
	fd = listen_as_qmgr();
	assert_true(fixture_commit(w, "text\n", 5, 1, id));
	ipc_init(&c, accept(fd, NULL, NULL));
	expect_enqueued(&c, id, 0);
	/* Restarted, with the old connection closed. */
	ipc_close(&c);
	assert_true(fixture_commit(w, "text\n", 5, 1, id));
	ipc_init(&c, accept(fd, NULL, NULL));
	expect_enqueued(&c, id, newest_size("incoming") / 2);
	ipc_close(&c);
	close(fd);
	queue_writer_free(w);
}

static void
test_maildrop(void **state)
{
	struct queue_writer *w = queue_writer_new("maildrop");
	char id[QUEUE_ID_MAX], path[64];
	struct stat st;

	(void)state;
	assert_true(fixture_commit(w, "drop\n", 5, 1, id));
	snprintf(path, sizeof(path), "maildrop/%s", id);
	assert_int_equal(count_images(path), 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0744);
	queue_writer_free(w);
}

static void
test_ids(void **state)
{
	char id[QUEUE_ID_MAX], last[QUEUE_ID_MAX] = "";
	struct buf path = BUF_INIT;
	int64_t when, before = 0;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		fixture_conf.enable_long_queue_ids = i % 2;
		queue_id_new(id, &when);
		assert_true(when > before);
		before = when;
		assert_string_not_equal(id, last);
		assert_true(queue_id_valid(span_of(id)));
		assert_in_range(strlen(id), 10, 17);
		if (!(i % 2))
			assert_int_equal(strspn(id, "0123456789ABCDEF"),
					 strlen(id));
		memcpy(last, id, sizeof(id));
	}
	fixture_conf.enable_long_queue_ids = false;
	/* The manual's example of a long id, and a short one. */
	queue_path("deferred", "3Pt2mN2VXxznjll", &path);
	assert_string_equal(buf_cstr(&path), "deferred/5/3Pt2mN2VXxznjll");
	queue_path("deferred", "ABCDEF123456", &path);
	assert_string_equal(buf_cstr(&path), "deferred/A/ABCDEF123456");
	queue_path("hold", "ABCDEF123456", &path);
	assert_string_equal(buf_cstr(&path), "hold/ABCDEF123456");
	fixture_conf.hash_queue_depth = 2;
	queue_path("deferred", "ABCDEF123456", &path);
	assert_string_equal(buf_cstr(&path), "deferred/A/B/ABCDEF123456");
	assert_false(queue_id_valid(span_of("../x")));
	assert_false(queue_id_valid(span_of("")));
	buf_free(&path);
}

#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_segment),  TEST(test_abort_and_two), TEST(test_big),
	    TEST(test_rotation), TEST(test_failures),      TEST(test_disk_full),
	    TEST(test_minfree),  TEST(test_maildrop),      TEST(test_notify),
	    TEST(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
