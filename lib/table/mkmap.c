/* SPDX-License-Identifier: MIT */
#include "lib/table/mkmap.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/mkmap_impl.h"

static const struct mkmap_driver *const drivers[] = {
    &mkmap_driver_hash,
    &mkmap_driver_btree,
    &mkmap_driver_lmdb,
};

static const struct mkmap_driver *
find_driver(const char *type)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (!strcmp(drivers[i]->type, type))
			return drivers[i];
	return NULL;
}

bool
mkmap_supported(const char *type)
{
	return find_driver(type) != NULL;
}

int
mkmap_fail(struct mkmap *m, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (m->error)
		buf_free(&text);
	else
		m->error = buf_steal(&text);
	return -1;
}

static void
free_map(struct mkmap *m)
{
	free(m->label);
	free(m->path);
	free(m->error);
	buf_free(&m->key);
	buf_free(&m->value);
	free(m);
}

struct mkmap *
mkmap_open(const char *type, const char *name, unsigned flags, mode_t mode,
	   char **error)
{
	struct mkmap *m = mem_alloc(sizeof(*m));

	*error = NULL;
	m->driver = find_driver(type);
	m->flags = flags;
	if (!m->driver)
		*error = mem_sprintf("unsupported dictionary type: %s", type);
	else if (m->driver->open(m, name, mode, error))
		return m;
	free_map(m);
	return NULL;
}

static struct span
with_nul(struct buf *b, struct span s, bool nul)
{
	buf_set(b, s);
	if (nul)
		buf_append_byte(b, '\0');
	return buf_span(b);
}

bool
mkmap_put(struct mkmap *m, struct span key, struct span value, bool nul)
{
	int rc;

	if (m->error)
		return false;
	nul = nul && !(m->flags & MKMAP_PLAIN);
	rc = m->driver->put(m, with_nul(&m->key, key, nul),
			    with_nul(&m->value, value, nul),
			    m->flags & MKMAP_REPLACE);
	if (rc > 0 && !(m->flags & MKMAP_IGNORE))
		log_warn("%s: duplicate entry: \"%.*s\"", m->label,
			 SPAN_ARG(key));
	return rc >= 0;
}

int
mkmap_delete(struct mkmap *m, struct span key)
{
	int rc = 0;

	if (m->error)
		return -1;
	if (!(m->flags & MKMAP_PLAIN))
		rc = m->driver->del(m, with_nul(&m->key, key, true));
	if (rc == 0 && !(m->flags & MKMAP_NUL))
		rc = m->driver->del(m, with_nul(&m->key, key, false));
	return rc;
}

bool
mkmap_commit(struct mkmap *m, char **error)
{
	bool ok = !m->error && m->driver->commit(m);

	*error = NULL;
	if (!ok) {
		*error = m->error;
		m->error = NULL;
		m->driver->abort(m);
	}
	free_map(m);
	return ok;
}

void
mkmap_abort(struct mkmap *m)
{
	m->driver->abort(m);
	free_map(m);
}
