/* SPDX-License-Identifier: MIT */
#include "smtpd/verify.h"

#include <stdlib.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/table/table.h"

enum { CLEAN_AT_ONCE = 1000, USEC = 1000000 };

static struct table *table;   /* NULL: memory */
static struct htab *memory;   /* address to char * */
static int retained, dropped; /* of the pass over the table */

/* ---- entries ---- */

void
verify_entry_format(const struct verify_entry *e, struct buf *out)
{
	buf_printf(out, "%d:%lld:%lld:%s", (int)e->status, (long long)e->probed,
		   (long long)e->updated, buf_cstr(&e->text));
}

static bool
take_number(struct span *rest, int64_t max, int64_t *out)
{
	long colon = span_find(*rest, ':');

	if (colon < 0 ||
	    !num_parse(span_make(rest->data, (size_t)colon), 0, max, out))
		return false;
	*rest = span_from(*rest, (size_t)colon + 1);
	return true;
}

bool
verify_entry_parse(struct span text, struct verify_entry *e)
{
	int64_t status, probed, updated;

	if (!take_number(&text, VERIFY_TODO, &status) ||
	    !take_number(&text, INT64_MAX / USEC, &probed) ||
	    !take_number(&text, INT64_MAX / USEC, &updated) ||
	    text.len > VERIFY_TEXT_MAX)
		return false;
	e->status = (enum verify_status)status;
	e->probed = probed;
	e->updated = updated;
	buf_set(&e->text, text);
	return true;
}

bool
verify_entry_expired(const struct verify_entry *e, int64_t now)
{
	int64_t limit = e->status == VERIFY_OK
			    ? conf->address_verify_positive_expire_time
			    : conf->address_verify_negative_expire_time;

	if (e->updated == 0) /* a probe that never came back */
		return e->probed + limit / USEC < now;
	return e->updated + limit / USEC < now;
}

bool
verify_entry_stale(const struct verify_entry *e, int64_t now)
{
	int64_t limit = e->status == VERIFY_OK
			    ? conf->address_verify_positive_refresh_time
			    : conf->address_verify_negative_refresh_time;

	return e->updated + limit / USEC < now;
}

/* ---- where they are kept ---- */

void
verify_cache_open(void)
{
	memory = htab_new();
	if (!*conf->address_verify_map)
		return;
	table = table_open(conf->address_verify_map,
			   TABLE_WRITE | TABLE_FOLD_FIXED | TABLE_NO_PROXY);
	if (!table_error(table))
		return;
	log_warn("%s: results of address probes are kept in memory only",
		 conf->address_verify_map);
	table_free(table);
	table = NULL;
}

void
verify_cache_close(void)
{
	if (table)
		table_free(table);
	table = NULL;
}

bool
verify_cache_get(struct span address, struct verify_entry *e)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	bool ok = false;

	if (table) {
		ok = table_get(table, address, &value, &why) == TABLE_FOUND;
	} else {
		const char *text = htab_get(memory, address);

		ok = text != NULL;
		buf_set_cstr(&value, text ? text : "");
	}
	if (ok && !verify_entry_parse(buf_span(&value), e)) {
		log_warn("bad address verify table entry: %.100s",
			 buf_cstr(&value));
		ok = false;
	}
	buf_free(&value);
	why_free(&why);
	return ok;
}

void
verify_cache_put(struct span address, const struct verify_entry *e)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;

	verify_entry_format(e, &value);
	if (table) {
		if (!table_put(table, address, buf_span(&value), &why))
			log_warn("%s: %s", conf->address_verify_map,
				 buf_cstr(&why.text));
	} else if (htab_count(memory) < VERIFY_MEMORY_MAX ||
		   htab_get(memory, address)) {
		free(htab_put(memory, address, buf_steal(&value)));
	}
	buf_free(&value);
	why_free(&why);
}

void
verify_cache_delete(struct span address)
{
	struct why why = WHY_INIT;

	if (table)
		table_delete(table, address, &why);
	else
		free(htab_remove(memory, address));
	why_free(&why);
}

/* ---- cleaning ---- */

static bool
is_dead(struct span value, int64_t now)
{
	struct verify_entry e = VERIFY_ENTRY_INIT;
	bool dead =
	    !verify_entry_parse(value, &e) || verify_entry_expired(&e, now);

	buf_free(&e.text);
	return dead;
}

static void
clean_memory(int64_t now)
{
	struct span key;
	size_t pos = 0;
	void *value;

	while (htab_next(memory, &pos, &key, &value))
		if (is_dead(span_of(value), now)) {
			htab_remove(memory, key);
			free(value);
		}
}

static bool
clean_table(bool first, int64_t now)
{
	struct buf key = BUF_INIT, value = BUF_INIT;
	struct why why = WHY_INIT;
	bool more = true;

	if (first)
		retained = dropped = 0;
	for (int i = 0; i < CLEAN_AT_ONCE && more; i++) {
		buf_reset(&key);
		buf_reset(&value);
		more =
		    table_next(table, first, &key, &value, &why) == TABLE_FOUND;
		first = false;
		if (more && is_dead(buf_span(&value), now)) {
			table_delete(table, buf_span(&key), &why);
			dropped++;
		} else if (more) {
			retained++;
		}
	}
	buf_free(&key);
	buf_free(&value);
	why_free(&why);
	return more;
}

bool
verify_cache_clean(bool first, int64_t now)
{
	if (!table) {
		clean_memory(now);
		return false;
	}
	if (!table_has_sequence(table) || clean_table(first, now))
		return table_has_sequence(table);
	log_info("cache %s full cleanup: retained=%d dropped=%d entries",
		 conf->address_verify_map, retained, dropped);
	return false;
}
