/* SPDX-License-Identifier: MIT */
/* texthash: - a postmap(1) source, read into memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/memtable.h"
#include "lib/table/table_impl.h"
#include "lib/table/textmap.h"

static void
add_entry(struct table *t, const struct textmap *tm, struct span key,
	  struct span value)
{
	char *shown = mem_strndup(key.data, key.len);

	if (t->flags & TABLE_FOLD_FIXED)
		key = table_fold(t, key);
	if (!memtable_add(t, key, value, false))
		log_warn("%s, line %d: duplicate entry: \"%s\"", tm->name,
			 tm->number, shown);
	free(shown);
}

static void
add_files(struct table *t, const struct textmap *tm, struct span key,
	  struct span names)
{
	struct buf value = BUF_INIT;
	char *error;

	if (textmap_file_value(names, &value, &error))
		add_entry(t, tm, key, buf_span(&value));
	else
		log_warn("%s, line %d: %s: skipping this entry", tm->name,
			 tm->number, error);
	free(error);
	buf_free(&value);
}

static void
read_entries(struct table *t, struct textmap *tm)
{
	struct span line, key, value;

	while (textmap_next(tm, &line)) {
		switch (textmap_split(tm, line, t->flags & TABLE_UTF8, &key,
				      &value)) {
		case TEXTMAP_BAD:
			break;
		case TEXTMAP_NO_VALUE:
			log_warn("%s, line %d: expected format: key "
				 "whitespace value -- ignoring this line",
				 tm->name, tm->number);
			break;
		case TEXTMAP_ENTRY:
			if (t->flags & TABLE_BASE64)
				add_files(t, tm, key, value);
			else
				add_entry(t, tm, key, value);
			break;
		}
	}
}

static bool
open_texthash(struct table *t)
{
	struct textmap tm;
	FILE *fp = fopen(t->name, "re");

	if (!fp)
		return table_fail(t, "open database %s: %s", t->name,
				  strerror(errno));
	table_watch(t, fcntl(fileno(fp), F_DUPFD_CLOEXEC, 0), t->name);
	textmap_init_file(&tm, fp, t->name);
	read_entries(t, &tm);
	if (tm.failed)
		table_fail(t, "read %s: %s", t->name, strerror(errno));
	textmap_free(&tm);
	fclose(fp);
	return !t->error;
}

const struct table_type table_type_texthash = {
    .name = "texthash",
    .open = open_texthash,
    .get = memtable_get,
    .next = memtable_next,
    .close = memtable_close,
};
