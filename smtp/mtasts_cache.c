/* SPDX-License-Identifier: MIT */
#include "smtp/mtasts_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/sys/fs.h"
#include "lib/sys/io.h"

enum {
	FILE_MAX = MTA_STS_POLICY_MAX + 256,
	DAY = 86400,
};

static const char head_domain[] = "domain: ";
static const char head_fetched[] = "fetched: ";
static const char head_id[] = "id: ";

static TAILQ_HEAD(lru, sts_entry) lru = TAILQ_HEAD_INITIALIZER(lru);
static struct htab *entries;
static char *folder;

static int64_t
now_seconds(void)
{
	return io_now() / 1000000;
}

/* The name is a host name: it has no '/', and no '.' in front. */
static char *
path_of(const struct sts_entry *e)
{
	return mem_sprintf("%s/%s", folder, e->domain);
}

/* ---- the index ---- */

static void
entry_free(struct sts_entry *e)
{
	htab_remove(entries, span_of(e->domain));
	TAILQ_REMOVE(&lru, e, lru);
	free(e->reason);
	free(e->domain);
	free(e);
}

/* The file's time of modification is the time of last use. */
static void
note_use(const struct sts_entry *e, const char *path)
{
	struct timespec when[2] = {{.tv_sec = e->used}, {.tv_sec = e->used}};

	if (utimensat(AT_FDCWD, path, when, 0) < 0)
		log_warn("set time of %s: %m", path);
}

static void
drop_policy(struct sts_entry *e)
{
	char *path = path_of(e);

	if (e->fetched && unlink(path) < 0 && errno != ENOENT)
		log_warn("remove %s: %m", path);
	e->fetched = 0;
	e->id[0] = '\0';
	free(path);
}

struct sts_entry *
mtasts_cache_find(const char *domain)
{
	return htab_get(entries, span_of(domain));
}

struct sts_entry *
mtasts_cache_get(const char *domain)
{
	struct sts_entry *e = mtasts_cache_find(domain);

	if (e)
		return e;
	if (htab_count(entries) >= MTASTS_DOMAINS_MAX) {
		e = TAILQ_LAST(&lru, lru);
		drop_policy(e);
		entry_free(e);
	}
	e = mem_alloc(sizeof(*e));
	e->domain = mem_strdup(domain);
	e->used = now_seconds();
	htab_put(entries, span_of(domain), e);
	TAILQ_INSERT_HEAD(&lru, e, lru);
	return e;
}

int64_t
mtasts_cache_ttl(const struct sts_entry *e)
{
	int64_t age = now_seconds() - e->fetched;

	if (e->fetched == 0 || age >= e->max_age)
		return 0;
	/* A clock that was set back must not make it last longer. */
	return e->max_age - (age > 0 ? age : 0);
}

bool
mtasts_cache_is_due(const struct sts_entry *e)
{
	int64_t age = now_seconds() - e->fetched;

	return e->fetched && (age > DAY || age > e->max_age / 2 || age < 0);
}

/* ---- files ---- */

/* Cut "NAME: value" and the line end off the front of rest. */
static bool
cut_line(struct span *rest, const char *name, struct span *value)
{
	long end = span_find(*rest, '\n');

	if (end < 0 || !span_starts_nocase(*rest, name))
		return false;
	*value = span_make(rest->data, (size_t)end);
	*value = span_from(*value, strlen(name));
	*rest = span_from(*rest, (size_t)end + 1);
	return true;
}

/* Fill in e from its file; policy and when it was fetched. */
static bool
read_policy(struct sts_entry *e, struct mta_sts_policy *policy)
{
	char *path = path_of(e);
	struct buf text = BUF_INIT;
	struct span rest, value, id;
	const char *reason = NULL;
	bool ok = false;

	if (!io_read_file(path, FILE_MAX, &text)) {
		log_warn("read %s: %m", path);
		goto out;
	}
	rest = buf_span(&text);
	/* A file under a temporary name is nobody's policy. */
	ok = cut_line(&rest, head_domain, &value) &&
	     span_equal_cstr(value, e->domain) &&
	     cut_line(&rest, head_fetched, &value) &&
	     num_parse(value, 1, INT64_MAX / 2, &e->fetched) &&
	     cut_line(&rest, head_id, &id) && id.len <= MTA_STS_ID_MAX &&
	     mta_sts_parse_policy(rest, policy, &reason);
	if (!ok) {
		log_warn("%s is damaged%s%s", path, reason ? ": " : "",
			 reason ? reason : "");
		goto out;
	}
	snprintf(e->id, sizeof(e->id), "%.*s", SPAN_ARG(id));
	e->max_age = policy->max_age;
out:
	buf_free(&text);
	free(path);
	return ok;
}

bool
mtasts_cache_load(struct sts_entry *e, struct mta_sts_policy *policy)
{
	if (mtasts_cache_ttl(e) == 0)
		return false;
	if (read_policy(e, policy))
		return true;
	drop_policy(e);
	return false;
}

void
mtasts_cache_store(struct sts_entry *e, struct span id, int64_t max_age,
		   struct span text)
{
	struct buf out = BUF_INIT;
	char *path = path_of(e);

	e->fetched = now_seconds();
	e->max_age = max_age;
	e->failed = 0;
	snprintf(e->id, sizeof(e->id), "%.*s", SPAN_ARG(id));
	buf_printf(&out, "%s%s\n%s%lld\n%s%s\n", head_domain, e->domain,
		   head_fetched, (long long)e->fetched, head_id, e->id);
	buf_append_span(&out, text);
	if (!fs_replace(path, out.data, out.len, 0600)) {
		log_warn("write %s: %m", path);
		e->fetched = 0;
	} else {
		note_use(e, path);
	}
	buf_free(&out);
	free(path);
}

void
mtasts_cache_failed(struct sts_entry *e, struct span id,
		    enum tlsrpt_result failure, const char *reason)
{
	e->failed = io_monotonic();
	snprintf(e->failed_id, sizeof(e->failed_id), "%.*s", SPAN_ARG(id));
	e->failure = failure;
	free(e->reason);
	e->reason = mem_strdup(reason);
}

/* The file knows it give or take a day. */
void
mtasts_cache_used(struct sts_entry *e)
{
	int64_t now = now_seconds();

	TAILQ_REMOVE(&lru, e, lru);
	TAILQ_INSERT_HEAD(&lru, e, lru);
	if (now - e->used <= DAY && now >= e->used)
		return;
	e->used = now;
	if (e->fetched) {
		char *path = path_of(e);

		note_use(e, path);
		free(path);
	}
}

/* ---- start and upkeep ---- */

static void
take_file(const char *name)
{
	struct mta_sts_policy policy = MTA_STS_POLICY_INIT;
	struct sts_entry *e;
	char *path = mem_sprintf("%s/%s", folder, name);
	struct stat st;

	/* What is no host name is a file that was being written. */
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    addr_valid_hostname(span_of(name)) &&
	    htab_count(entries) < MTASTS_DOMAINS_MAX) {
		e = mtasts_cache_get(name);
		e->used = st.st_mtime;
		if (!read_policy(e, &policy) || mtasts_cache_ttl(e) == 0) {
			e->fetched = 1;
			drop_policy(e);
			entry_free(e);
		}
	}
	mta_sts_policy_free(&policy);
	free(path);
}

void
mtasts_cache_open(void)
{
	struct dirent *entry;
	DIR *dir;

	entries = htab_new();
	folder = mem_sprintf("%s/mta_sts", conf->data_directory);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		log_warn("cannot make %s: %m", folder);
	dir = opendir(folder);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			take_file(entry->d_name);
	if (dir)
		closedir(dir);
}

void
mtasts_cache_sweep(struct strvec *due, size_t max)
{
	struct sts_entry *e = TAILQ_FIRST(&lru), *next;
	int64_t now = now_seconds();

	for (; e; e = next) {
		next = TAILQ_NEXT(e, lru);
		if (mtasts_cache_ttl(e) == 0) {
			drop_policy(e);
			/* Failures are not remembered for that long. */
			if (e->failed == 0 ||
			    io_monotonic() - e->failed >
				conf->postrider_mta_sts_retry_time)
				entry_free(e);
		} else if (due->n < max && mtasts_cache_is_due(e) &&
			   now - e->used < MTASTS_UNUSED_SECONDS) {
			strvec_add(due, e->domain);
		}
	}
}
