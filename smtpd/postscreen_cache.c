/* SPDX-License-Identifier: MIT */
#include "smtpd/postscreen_cache.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"
#include "lib/table/table.h"
#include "smtpd/postscreen_tests.h"

enum {
	WAIT_USEC = 50000, /* between two questions to the process before */
	WAIT_MAX = 200,    /* of them */
	CLEAN_BATCH = 200, /* entries looked at, then clients get their turn */
};

/* Where Postfix notes, too, when it was last cleaned. */
static const char last_cleanup[] = "_LAST_CACHE_CLEANUP_COMPLETED_";

/*
 * Berkeley DB files have one process at a time: ours as long as it runs
 * (HELD), or, where the administrator wrote proxy: because several services
 * share the cache, for the time of each access (SHARED). LMDB (FREE) locks by
 * itself.
 */
enum mode { MODE_NONE, MODE_HELD, MODE_SHARED, MODE_FREE };

static struct {
	enum mode mode;
	struct table *table; /* SHARED: only during an access */
	int lock;
	struct event *timer, *yield;
	bool cleaning;
	unsigned retained, dropped;
} cache = {.lock = -1};

/* ---- one process at a time ---- */

static bool
set_lock(int command, short type)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET};
	int rc;

	do {
		rc = fcntl(cache.lock, command, &l);
	} while (rc < 0 && errno == EINTR);
	return rc == 0;
}

/* The kernel says who has the lock: no file could be wrong about it. */
static void
ask_holder(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(cache.lock, F_GETLK, &l) == 0 && l.l_type != F_UNLCK &&
	    l.l_pid > 0)
		kill(l.l_pid, SIGUSR1);
}

static void
take_lock(const char *path)
{
	cache.lock =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (cache.lock < 0)
		log_fatal("open %s: %m", path);
	if (cache.mode == MODE_SHARED) {
		set_lock(F_SETLKW, F_WRLCK);
		return;
	}
	for (int i = 0; !set_lock(F_SETLK, F_WRLCK); i++) {
		if (i == WAIT_MAX)
			log_fatal("%s: another process uses this cache", path);
		ask_holder();
		usleep(WAIT_USEC);
	}
}

/* ---- opening ---- */

/* "proxy:btree:/x" is opened by this process itself. */
static const char *
map_spec(void)
{
	const char *spec = conf->postscreen_cache_map;

	while (span_starts_nocase(span_of(spec), "proxy:"))
		spec += 6;
	return spec;
}

static enum mode
choose_mode(void)
{
	if (!*conf->postscreen_cache_map)
		return MODE_NONE;
	if (span_starts_nocase(span_of(map_spec()), "lmdb:"))
		return MODE_FREE;
	return map_spec() != conf->postscreen_cache_map ? MODE_SHARED
							: MODE_HELD;
}

/* The path of the table, for the lock and a damaged file; NULL: none. */
static char *
map_path(const char *suffix)
{
	const char *colon = strchr(map_spec(), ':');

	return colon && colon[1] == '/' ? mem_sprintf("%s%s", colon + 1, suffix)
					: NULL;
}

static bool
move_damaged(void)
{
	static const char *const suffixes[] = {".db", ".lmdb"};
	bool moved = false;

	for (int i = 0; i < 2; i++) {
		char *from = map_path(suffixes[i]);
		char *to = mem_sprintf("%s.bad", from ? from : "");

		if (from && rename(from, to) == 0) {
			log_warn("%s is damaged: moved to %s", from, to);
			moved = true;
		}
		free(from);
		free(to);
	}
	return moved;
}

static void
open_table(void)
{
	cache.table = table_open(map_spec(), TABLE_WRITE | TABLE_QUIET);
	if (table_error(cache.table) && move_damaged()) {
		table_free(cache.table);
		cache.table = table_open(map_spec(), TABLE_WRITE | TABLE_QUIET);
	}
	if (table_error(cache.table))
		log_fatal("postscreen_cache_map: %s", table_error(cache.table));
}

static void
become(uid_t uid, gid_t gid)
{
	if (geteuid() != uid && uid == 0 && seteuid(0) < 0)
		log_fatal("seteuid(0): %m");
	if (getegid() != gid && setegid(gid) < 0)
		log_fatal("setegid: %m");
	if (geteuid() != uid && seteuid(uid) < 0)
		log_fatal("seteuid: %m");
}

/* Between these two cache.table can be used, when begin says so. */
static bool
begin_access(void)
{
	if (cache.mode != MODE_SHARED || cache.table)
		return cache.table;
	if (!set_lock(F_SETLKW, F_WRLCK))
		return false;
	cache.table = table_open(map_spec(), TABLE_WRITE | TABLE_QUIET);
	if (!table_error(cache.table))
		return true;
	log_warn("postscreen_cache_map: %s", table_error(cache.table));
	table_free(cache.table);
	cache.table = NULL;
	set_lock(F_SETLK, F_UNLCK);
	return false;
}

static void
end_access(void)
{
	if (cache.mode != MODE_SHARED || !cache.table)
		return;
	table_free(cache.table);
	cache.table = NULL;
	set_lock(F_SETLK, F_UNLCK);
}

void
postscreen_cache_open(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct passwd *pw = getpwnam(conf->mail_owner);
	bool root = geteuid() == 0;
	char *lock;

	cache.mode = choose_mode();
	if (cache.mode == MODE_NONE)
		return;
	/* Until the loop runs: a successor asks again. */
	sigaction(SIGUSR1, &ignore, NULL);
	/* The folder is the mail owner's; root opens nothing in it. */
	if (root && pw)
		become(pw->pw_uid, pw->pw_gid);
	lock = map_path(".lock");
	if (lock && cache.mode != MODE_FREE)
		take_lock(lock);
	free(lock);
	open_table();
	end_access();
	if (root)
		become(0, 0);
}

/* ---- cleaning ---- */

static void
schedule(int64_t usec)
{
	struct timeval tv = {(time_t)(usec / 1000000), usec % 1000000};

	event_add(cache.timer, &tv);
}

static void
end_cleanup(bool complete)
{
	struct why why = WHY_INIT;
	char now[24];

	cache.cleaning = false;
	log_info("cache %s %s cleanup: retained=%u dropped=%u entries",
		 conf->postscreen_cache_map, complete ? "full" : "partial",
		 cache.retained, cache.dropped);
	if (complete) {
		snprintf(now, sizeof(now), "%lld",
			 (long long)(io_now() / 1000000));
		table_put(cache.table, span_of(last_cleanup), span_of(now),
			  &why);
	}
	why_free(&why);
}

static void
look_at(struct span key, struct span value)
{
	int64_t now = io_now() / 1000000;
	struct why why = WHY_INIT;

	if (span_equal_cstr(key, last_cleanup))
		return;
	if (screen_entry_expires(value) +
		conf->postscreen_cache_retention_time / 1000000 >
	    now) {
		cache.retained++;
	} else {
		table_delete(cache.table, key, &why);
		cache.dropped++;
	}
	why_free(&why);
}

static void
clean_some(evutil_socket_t fd, short what, void *arg)
{
	bool first = !cache.cleaning;
	struct buf key = BUF_INIT, value = BUF_INIT;
	struct why why = WHY_INIT;
	enum table_status status = TABLE_FOUND;

	(void)fd;
	(void)what;
	(void)arg;
	if (!begin_access())
		return;
	if (first)
		cache.retained = cache.dropped = 0;
	cache.cleaning = true;
	/* A place in a shared file is lost between two accesses. */
	for (int i = 0; (i < CLEAN_BATCH || cache.mode == MODE_SHARED) &&
			status == TABLE_FOUND;
	     i++) {
		status = table_next(cache.table, first, &key, &value, &why);
		first = false;
		if (status == TABLE_FOUND)
			look_at(buf_span(&key), buf_span(&value));
	}
	if (status != TABLE_FOUND)
		end_cleanup(status == TABLE_ABSENT);
	end_access();
	schedule(cache.cleaning ? 1000
				: conf->postscreen_cache_cleanup_interval);
	buf_free(&key);
	buf_free(&value);
	why_free(&why);
}

/* When it is due, after the last one of whichever process. */
static void
schedule_first(void)
{
	struct buf value = BUF_INIT;
	int64_t last = 0, now = io_now(), due;

	postscreen_cache_get(last_cleanup, &value);
	num_parse(buf_span(&value), 0, INT64_MAX / 1000000, &last);
	due = last * 1000000 + conf->postscreen_cache_cleanup_interval - now;
	schedule(due < 0 ? 0
		 : due > conf->postscreen_cache_cleanup_interval
		     ? conf->postscreen_cache_cleanup_interval
		     : due);
	buf_free(&value);
}

static void
on_yield(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	(void)arg;
	postscreen_cache_yield();
}

void
postscreen_cache_start(struct event_base *base)
{
	if (cache.mode == MODE_NONE)
		return;
	if (cache.mode == MODE_HELD) {
		cache.yield = event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST,
					on_yield, NULL);
		event_add(cache.yield, NULL);
	}
	cache.timer = event_new(base, -1, 0, clean_some, NULL);
	if (conf->postscreen_cache_cleanup_interval > 0)
		schedule_first();
}

/* ---- entries ---- */

void
postscreen_cache_get(const char *addr, struct buf *entry)
{
	struct why why = WHY_INIT;

	buf_reset(entry);
	if (begin_access() &&
	    table_get(cache.table, span_of(addr), entry, &why) != TABLE_FOUND)
		buf_reset(entry);
	end_access();
	why_free(&why);
}

void
postscreen_cache_put(const char *addr, struct span entry)
{
	struct why why = WHY_INIT;

	if (begin_access())
		table_put(cache.table, span_of(addr), entry, &why);
	end_access();
	why_free(&why);
}

void
postscreen_cache_yield(void)
{
	if (cache.table) {
		if (cache.cleaning)
			end_cleanup(false);
		event_del(cache.timer);
		table_free(cache.table);
	}
	cache.table = NULL;
	cache.mode = MODE_NONE;
	if (cache.lock >= 0)
		close(cache.lock);
	cache.lock = -1;
}

void
postscreen_cache_stop(void)
{
	if (cache.mode == MODE_HELD)
		postscreen_cache_yield();
	else if (cache.mode != MODE_NONE)
		event_del(cache.timer);
}
