/* SPDX-License-Identifier: MIT */
/* Make a table from its source. */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf/postmap.h"
#include "lib/base/casefold.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/table/mkmap.h"
#include "lib/table/textmap.h"

enum { DEFAULT_MODE = 0644 };

struct creation {
	const struct postmap *p;
	struct mkmap *m;
	unsigned flags; /* of a table */
	struct buf key, value, folded;
};

/* What we do is done as the owner of the source, so that no link that he put
 * in our way makes us write with root's powers. */
static void
become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) < 0 || setegid(gid) < 0 || seteuid(uid) < 0)
		log_fatal("cannot become the owner of the input file: %m");
}

static void
become_root_again(void)
{
	if (seteuid(0) < 0 || setegid(getgid()) < 0)
		log_fatal("seteuid: %m");
}

static FILE *
open_source(const struct postmap *p, const char *name, struct stat *st,
	    bool *changed_user)
{
	FILE *fp = stdin;

	*changed_user = false;
	if (!p->incremental) {
		fp = fopen(name, "re");
		if (!fp)
			log_fatal("open %s: %m", name);
	}
	if (fstat(fileno(fp), st) < 0)
		log_fatal("fstat %s: %m", name);
	if (!p->keep_root && !p->incremental && geteuid() == 0 &&
	    st->st_uid != 0) {
		become(st->st_uid, st->st_gid);
		*changed_user = true;
	}
	return fp;
}

static struct span
fold(struct creation *c, struct span key)
{
	if (c->p->no_fold)
		return key;
	buf_reset(&c->folded);
	if (c->flags & TABLE_UTF8)
		casefold_utf8(key, &c->folded);
	else
		casefold_ascii(key, &c->folded);
	return buf_span(&c->folded);
}

static void
put(struct creation *c, struct span key, struct span value)
{
	mkmap_put(c->m, fold(c, key), value, true);
}

static void
put_files(struct creation *c, const struct textmap *tm, struct span key,
	  struct span names)
{
	char *error;

	buf_reset(&c->value);
	if (textmap_file_value(names, &c->value, &error))
		put(c, key, buf_span(&c->value));
	else
		log_warn("%s, line %d: %s: skipping this entry", tm->name,
			 tm->number, error);
	free(error);
}

static void
add_map_line(struct creation *c, const struct textmap *tm, struct span line)
{
	struct span key, value;

	switch (textmap_split(tm, line, c->flags & TABLE_UTF8, &key, &value)) {
	case TEXTMAP_BAD:
		return;
	case TEXTMAP_NO_VALUE:
		log_warn("%s, line %d: expected format: key whitespace value",
			 tm->name, tm->number);
		return;
	case TEXTMAP_ENTRY:
		break;
	}
	if (c->p->base64)
		put_files(c, tm, key, value);
	else
		put(c, key, value);
}

static void
add_alias_line(struct creation *c, const struct textmap *tm, struct span line)
{
	if ((c->flags & TABLE_UTF8) && !textmap_is_text(tm, line))
		return;
	buf_reset(&c->key);
	buf_reset(&c->value);
	if (postmap_alias_entry(tm, line, &c->key, &c->value))
		put(c, buf_span(&c->key), buf_span(&c->value));
}

/* What sendmail(8) and NIS expect in an alias database: the mark of a
 * complete one, and when and where it was made. */
static void
add_alias_marks(struct creation *c)
{
	char *now = mem_sprintf("%lld", (long long)time(NULL));

	mkmap_put(c->m, span_of("@"), span_of("@"), true);
	mkmap_put(c->m, span_of("YP_LAST_MODIFIED"), span_of(now), false);
	mkmap_put(c->m, span_of("YP_MASTER_NAME"), span_of(conf->myhostname),
		  false);
	free(now);
}

static void
read_source(struct creation *c, FILE *fp, const char *name)
{
	struct textmap tm;
	struct span line;

	textmap_init_file(&tm, fp, c->p->incremental ? "stdin" : name);
	while (textmap_next(&tm, &line)) {
		if (c->p->alias)
			add_alias_line(c, &tm, line);
		else
			add_map_line(c, &tm, line);
	}
	if (tm.failed) {
		char *what = mem_strdup(strerror(errno));

		mkmap_abort(c->m);
		log_fatal("read %s: %s", tm.name, what);
	}
	textmap_free(&tm);
	if (c->p->alias && !c->p->incremental)
		add_alias_marks(c);
}

static unsigned
make_flags(const struct postmap *p)
{
	unsigned flags = p->incremental ? MKMAP_UPDATE : 0;

	if (p->replace)
		flags |= MKMAP_REPLACE;
	if (p->ignore)
		flags |= MKMAP_IGNORE;
	if (p->plain && !p->nul)
		flags |= MKMAP_PLAIN;
	return flags;
}

/* Signals wait until the table is complete. */
static void
hold_signals(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, before);
}

static mode_t
table_mode(const struct postmap *p, const struct stat *source)
{
	if (p->default_mode || p->incremental || !S_ISREG(source->st_mode))
		return DEFAULT_MODE;
	return (mode_t)(0600 | (source->st_mode & 044));
}

_Noreturn static void
refuse_type(const char *spec, const char *type)
{
	struct table *t;

	/* A known type that is made otherwise, or an unknown one? */
	t = table_open(spec, TABLE_QUIET);
	if (table_error(t) &&
	    !strncmp(table_error(t), "unsupported", strlen("unsupported")))
		log_fatal("%s", table_error(t));
	log_fatal("unsupported dictionary type: %s does not support bulk-mode "
		  "creation.",
		  type);
}

void
postmap_create(const struct postmap *p, const char *map)
{
	struct creation c = {.p = p, .flags = postmap_table_flags(p)};
	char *spec = postmap_spec(map), *error;
	const char *colon = strchr(spec, ':');
	char *type = mem_strndup(spec, (size_t)(colon - spec));
	bool changed_user;
	sigset_t before;
	struct stat st;
	FILE *fp;

	fp = open_source(p, colon + 1, &st, &changed_user);
	if (!mkmap_supported(type))
		refuse_type(spec, type);
	hold_signals(&before);
	umask(0);
	c.m = mkmap_open(type, colon + 1, make_flags(p), table_mode(p, &st),
			 &error);
	if (!c.m)
		log_fatal("%s", error);
	read_source(&c, fp, colon + 1);
	if (!mkmap_commit(c.m, &error))
		log_fatal("%s", error);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (changed_user)
		become_root_again();
	if (fp != stdin)
		fclose(fp);
	buf_free(&c.key);
	buf_free(&c.value);
	buf_free(&c.folded);
	free(type);
	free(spec);
}
