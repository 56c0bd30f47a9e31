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

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup.h"
#include "lib/conf/conf.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_own.h"
#include "lib/smtp/cmd.h"
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

static bool
remove_file(const struct drop *d)
{
	if (unlink(d->path) == 0 || errno == ENOENT)
		return true;
	log_warn("remove %s: %m", d->path);
	return false;
}

/* Files whose message is in the queue, but that cannot be removed: name ->
 * struct stat. */
static struct htab *taken;

/* During the first look at maildrop/ after a start: is a file's message in the
 * queue already, taken by a predecessor that died before the removal? */
static struct {
	bool over;
	struct htab *submitted; /* NULL: there was no file yet */
} first_look;

static bool
predecessor_took(const struct drop *d)
{
	if (first_look.over)
		return false;
	if (!first_look.submitted)
		first_look.submitted = queue_submitted();
	return queue_was_taken(first_look.submitted, d->id, (int)d->st.st_uid);
}

void
pickup_looked(void)
{
	if (first_look.submitted)
		htab_free(first_look.submitted, free);
	first_look.submitted = NULL;
	first_look.over = true;
}

/* The message is in the queue. */
static void
drop_taken(const struct drop *d)
{
	struct stat *st;

	if (remove_file(d))
		return;
	if (!taken)
		taken = htab_new();
	st = mem_alloc(sizeof(*st));
	*st = d->st;
	free(htab_put(taken, span_of(d->name), st));
}

/* Is it in the queue already? Then only its removal is tried again. */
static bool
was_taken(const struct drop *d)
{
	const struct stat *st = NULL;
	bool same;

	if (taken)
		st = htab_get(taken, span_of(d->name));
	if (!st)
		return false;
	same = st->st_dev == d->st.st_dev && st->st_ino == d->st.st_ino &&
	       st->st_ctim.tv_sec == d->st.st_ctim.tv_sec &&
	       st->st_ctim.tv_nsec == d->st.st_ctim.tv_nsec;
	if (!same || remove_file(d))
		free(htab_remove(taken, span_of(d->name)));
	return same;
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
	if (is_being_written(fd) || was_taken(d)) {
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

static bool
is_text(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			return false;
	return true;
}

/* What postdrop writes is: it goes into headers, commands and logs. */
static bool
is_clean(const struct envelope *e)
{
	bool clean = is_text(e->sender) && is_text(e->full_name) &&
		     is_text(e->encoding) && is_text(e->dsn_envid) &&
		     is_text(e->rewrite);

	for (size_t i = 0; i < e->n_rcpts && clean; i++) {
		const struct rcpt *r = &e->rcpts[i];

		clean = is_text(r->address) &&
			(!r->dsn_orcpt ||
			 cmd_orcpt_is_valid(span_of(r->dsn_orcpt)));
	}
	return clean;
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

/*
 * A refusal for good goes back to the sender; other ones are tried again. One
 * message's trouble is not another's, but a full disk is everybody's.
 */
static enum pickup_result
refused(const struct drop *d, const char *id, const struct why *why)
{
	if (why_class(why) != WHY_BOUNCE) {
		log_warn("%s: message not taken now: %s", d->path,
			 buf_cstr(&why->text));
		return strcmp(why->dsn, "4.3.1") == 0 ? PICKUP_NO_ROOM
						      : PICKUP_LATER;
	}
	if (!pickup_bounce(id, &d->place, &d->env, why))
		return PICKUP_LATER;
	drop_taken(d);
	return PICKUP_DONE;
}

static enum pickup_result
take(struct drop *d)
{
	struct why why = WHY_INIT;
	struct cleanup *c = cleanup_begin_as(CLEANUP_PICKUP, d->id, &why);
	char id[QUEUE_ID_MAX];
	enum pickup_result result = PICKUP_NO_ROOM;

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
		result = PICKUP_LATER;
		goto out;
	}
	/* The removal first: then a successor has nothing to find out. */
	cleanup_hold_back();
	if (cleanup_end(c, &why)) {
		drop_taken(d);
		result = PICKUP_DONE;
	} else {
		result = refused(d, id, &why);
	}
	cleanup_announce();
out:
	why_free(&why);
	return result;
}

enum pickup_result
pickup_message(const char *name)
{
	struct drop d = {.name = name, .env = ENVELOPE_INIT};
	enum pickup_result result = PICKUP_DONE;

	if (!queue_id_valid(span_of(name)))
		return PICKUP_DONE;
	snprintf(d.path, sizeof(d.path), "maildrop/%s", name);
	if (open_drop(&d) == OPENED) {
		if (predecessor_took(&d))
			remove_file(&d);
		else if (is_clean(&d.env))
			result = take(&d);
		else
			corrupt_move(d.path, d.name);
		queue_place_close(&d.place);
		envelope_free(&d.env);
	}
	return result;
}
