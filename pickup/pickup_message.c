/* SPDX-License-Identifier: MIT */
#include "pickup/pickup_message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup.h"
#include "lib/conf/conf.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_own.h"
#include "lib/smtp/data.h"
#include "lib/sys/io.h"
#include "pickup/pickup_bounce.h"
#include "pickup/postdrop.h"

enum {
	CHUNK = 64 * 1024,
	STALE_SECONDS = 3600, /* an unfinished file that nobody writes */
};

/* A file in hand. */
struct drop {
	const char *name;
	char path[sizeof("maildrop/") + QUEUE_ID_MAX];
	struct stat st;
	struct queue_place place;
	char id[QUEUE_ID_MAX];
	struct envelope env;
};

/* ---- the file ---- */

static void
remove_file(const struct drop *d)
{
	if (unlink(d->path) < 0 && errno != ENOENT)
		log_warn("remove %s: %m", d->path);
}

/* Anybody in the postdrop group can put anything there. */
static bool
is_plain_file(const struct drop *d)
{
	return S_ISREG(d->st.st_mode) && d->st.st_nlink == 1;
}

/* What is unfinished belongs to its writer while that holds the lock. */
static bool
is_being_written(int fd)
{
	return flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static void
drop_unfinished(const struct drop *d)
{
	if (time(NULL) - d->st.st_mtime < STALE_SECONDS)
		return;
	log_warn("%s: removing unfinished file", d->path);
	remove_file(d);
}

enum opened {
	OPENED,
	SKIP,
};

/* On OPENED d->place.fd is open. */
static enum opened
open_drop(struct drop *d)
{
	int fd = open(d->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	enum queue_read got;

	if (fd < 0) {
		if (errno == ELOOP || errno == ENXIO)
			corrupt_move(d->path, d->name);
		else if (errno != ENOENT)
			log_warn("open %s: %m", d->path);
		return SKIP;
	}
	if (fstat(fd, &d->st) < 0 || !is_plain_file(d)) {
		log_warn("%s: not a plain file", d->path);
		corrupt_move(d->path, d->name);
		close(fd);
		return SKIP;
	}
	if (is_being_written(fd)) {
		close(fd);
		return SKIP;
	}
	got = queue_read_image(fd, 0, true, &d->place, d->id, &d->env);
	if (got == QUEUE_READ_OK && d->place.fd == fd)
		return OPENED;
	if (got == QUEUE_READ_END)
		drop_unfinished(d);
	else if (got == QUEUE_READ_ERROR)
		log_warn("read %s: %m", d->path);
	else
		corrupt_move(d->path, d->name);
	close(fd);
	return SKIP;
}

/* ---- through cleanup ---- */

static char *
dup_or_null(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

static void
put_envelope(struct cleanup *c, const struct drop *d)
{
	struct envelope *e = cleanup_envelope(c);

	e->sender = mem_strdup(d->env.sender);
	e->full_name = dup_or_null(d->env.full_name);
	e->encoding = dup_or_null(d->env.encoding);
	e->dsn_envid = dup_or_null(d->env.dsn_envid);
	e->dsn_ret = d->env.dsn_ret;
	e->rewrite = dup_or_null(d->env.rewrite);
	e->flags |= d->env.flags & DROP_FLAGS & ~(unsigned)ENVELOPE_MAILDROP;
	/* The file says who wrote it; its content may say anything. */
	e->uid = (int)d->st.st_uid;
}

static void
put_received(struct cleanup *c, const struct drop *d)
{
	struct buf line = BUF_INIT;
	time_t now = time(NULL);
	struct tm tm;
	char date[100];

	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %e %b %Y %H:%M:%S %z (%Z)", &tm);
	buf_printf(&line,
		   "Received: by %s (%s, from userid %ld)\n\tid %s; %s\n",
		   conf->myhostname, conf->mail_name, (long)d->st.st_uid,
		   cleanup_id(c), date);
	cleanup_prepend_header(c, buf_span(&line));
	buf_free(&line);
}

static bool
put_content(struct cleanup *c, const struct drop *d)
{
	int64_t at = d->place.content_offset, left = d->place.content_length;
	char *chunk = mem_alloc(CHUNK);
	bool ok = true;

	while (ok && left > 0 && !cleanup_failed(c)) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;

		ok = io_pread_all(d->place.fd, chunk, n, at);
		if (!ok)
			break;
		if (conf->cleanup_replace_stray_cr_lf)
			data_replace_cr(chunk, n);
		cleanup_content(c, span_make(chunk, n));
		at += (int64_t)n;
		left -= (int64_t)n;
	}
	free(chunk);
	return ok;
}

static void
put_recipients(struct cleanup *c, const struct drop *d)
{
	for (size_t i = 0; i < d->env.n_rcpts; i++) {
		const struct rcpt *r = &d->env.rcpts[i];

		cleanup_recipient(c, span_of(r->address), NULL, r->dsn_orcpt,
				  r->dsn_notify);
	}
}

/* A refusal for good goes back to the sender; other ones are tried again. */
static bool
refused(const struct drop *d, const char *id, const struct why *why)
{
	if (why_class(why) != WHY_BOUNCE) {
		log_warn("%s: message not taken now: %s", d->path,
			 buf_cstr(&why->text));
		return false;
	}
	if (!pickup_bounce(id, &d->place, &d->env, why))
		return false;
	remove_file(d);
	return true;
}

static bool
take(struct drop *d)
{
	struct why why = WHY_INIT;
	struct cleanup *c = cleanup_begin(CLEANUP_PICKUP, &why);
	char id[QUEUE_ID_MAX];
	bool done = false;

	if (!c) {
		log_warn("%s: %s", d->path, buf_cstr(&why.text));
		goto out;
	}
	memccpy(id, cleanup_id(c), '\0', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	put_envelope(c, d);
	log_info("%s: uid=%ld from=<%s>", id, (long)d->st.st_uid,
		 d->env.sender);
	put_recipients(c, d);
	put_received(c, d);
	if (!put_content(c, d)) {
		log_warn("read %s: %m", d->path);
		cleanup_abort(c);
		goto out;
	}
	done = cleanup_end(c, &why);
	if (done)
		remove_file(d);
	else
		done = refused(d, id, &why);
out:
	why_free(&why);
	return done;
}

bool
pickup_message(const char *name)
{
	struct drop d = {.name = name, .env = ENVELOPE_INIT};
	bool done = true;

	if (!queue_id_valid(span_of(name)))
		return true;
	snprintf(d.path, sizeof(d.path), "maildrop/%s", name);
	if (open_drop(&d) == OPENED) {
		done = take(&d);
		queue_place_close(&d.place);
		envelope_free(&d.env);
	}
	return done;
}
