/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/conf/conf.h"
#include "lib/queue/queue.h"
#include "lib/sys/io.h"

/*
 * A process never uses a microsecond twice, so time and process number make
 * an id unique; what a recycled process number and a clock that was set back
 * can still do is caught by O_EXCL when the message gets a file of its name.
 *
 * Short: five hexadecimal digits of microseconds, so that the first ones
 * spread over the hash directories, then 20 bits of seconds and the process
 * number in 16 bits (or 24 when it needs them: another length, so the two
 * never meet).
 *
 * Long: seconds in six digits of base 52, microseconds in four, a 'z', the
 * process number in base 51, which has no 'z'.
 */
enum {
	LONG_SECONDS = 6,
	LONG_USEC = 4,
	LONG_MIN = LONG_SECONDS + LONG_USEC + 2,
	SHORT_USEC = 5, /* digits */
	SECONDS_MASK = 0xFFFFF,
	HASH_DEPTH_MAX = 32,
};

static const char digits[] =
    "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

/* v in the first base digits, at least width of them, behind out. */
static size_t
put_base(char *out, uint64_t v, unsigned base, size_t width)
{
	char rev[24];
	size_t n = 0;

	do {
		rev[n++] = digits[v % base];
		v /= base;
	} while (v && n < sizeof(rev));
	while (n < width)
		rev[n++] = digits[0];
	for (size_t i = 0; i < n; i++)
		out[i] = rev[n - 1 - i];
	out[n] = '\0';
	return n;
}

/* The process number; a system call per message would be one too many. */
static pid_t own_pid;

static void
forget_pid(void)
{
	own_pid = 0;
}

static uint64_t
get_pid(void)
{
	static bool registered;

	if (own_pid == 0) {
		if (!registered)
			registered =
			    pthread_atfork(NULL, NULL, forget_pid) == 0;
		own_pid = registered ? getpid() : 0;
	}
	return (uint64_t)(own_pid ? own_pid : getpid());
}

void
queue_id_new(char id[QUEUE_ID_MAX], int64_t *arrival_usec)
{
	static int64_t last;
	int64_t now = io_now();
	uint64_t sec, usec, pid = get_pid();
	size_t n;

	/* A clock that was set back a little is ridden out, not for ever. */
	if (now <= last && last - now < 60 * 1000000LL)
		now = last + 1;
	last = now;
	*arrival_usec = now;
	sec = (uint64_t)now / 1000000;
	usec = (uint64_t)now % 1000000;
	if (conf->enable_long_queue_ids) {
		n = put_base(id, sec, 52, LONG_SECONDS);
		n += put_base(id + n, usec, 52, LONG_USEC);
		id[n++] = 'z';
		put_base(id + n, pid, 51, 1);
		return;
	}
	if (pid > 0xFFFF)
		snprintf(id, QUEUE_ID_MAX, "%05X%05X%06X", (unsigned)usec,
			 (unsigned)(sec & SECONDS_MASK),
			 (unsigned)(pid & 0xFFFFFF));
	else
		snprintf(id, QUEUE_ID_MAX, "%05X%05X%04X", (unsigned)usec,
			 (unsigned)(sec & SECONDS_MASK), (unsigned)pid);
}

bool
queue_id_valid(struct span s)
{
	if (s.len < 1 || s.len >= QUEUE_ID_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.data[i]))
			return false;
	return true;
}

/* The text whose first characters name the hash directories: the id, or of a
 * long one its microseconds as a short one would show them. */
static void
hash_text(const char *id, char out[QUEUE_ID_MAX])
{
	long z = span_rfind(span_of(id), 'z');
	unsigned long usec = 0;

	if (z >= LONG_SECONDS + LONG_USEC && id[z + 1]) {
		for (long i = z - LONG_USEC; i < z; i++) {
			const char *p = strchr(digits, id[i]);

			usec = usec * 52 + (p ? (size_t)(p - digits) : 0);
		}
		snprintf(out, QUEUE_ID_MAX, "%0*lX", SHORT_USEC, usec);
		return;
	}
	snprintf(out, QUEUE_ID_MAX, "%s", id);
}

static bool
is_hashed(const char *queue_name)
{
	struct span rest = span_of(conf->hash_queue_names), name;

	while (span_next_token(&rest, ", \t\r\n", &name))
		if (span_equal_cstr(name, queue_name))
			return true;
	return false;
}

void
queue_path(const char *queue_name, const char *id, struct buf *out)
{
	char text[QUEUE_ID_MAX];
	int depth = conf->hash_queue_depth;
	size_t len;

	buf_reset(out);
	buf_printf(out, "%s/", queue_name);
	if (is_hashed(queue_name)) {
		hash_text(id, text);
		len = strlen(text);
		for (int i = 0; i < depth && i < HASH_DEPTH_MAX; i++)
			buf_printf(out, "%c/", (size_t)i < len ? text[i] : '_');
	}
	buf_append_cstr(out, id);
}
