/* SPDX-License-Identifier: MIT */
/* The text forms of tables: logical lines, key and value, rules. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/cidr.h"
#include "lib/table/table.h"
#include "lib/table/textmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
swallow(enum log_level level, const char *process, const char *line)
{
	(void)level;
	(void)process;
	(void)line;
}

static void
read_entries(struct span text)
{
	struct span line, key, value;
	struct textmap tm;

	textmap_init_text(&tm, text, "fuzz");
	while (textmap_next(&tm, &line)) {
		struct cidr net;
		char *error = NULL;

		if (line.len == 0 || line.len > text.len)
			abort();
		if (textmap_split(&tm, line, true, &key, &value) ==
			TEXTMAP_ENTRY &&
		    (key.len == 0 || value.len == 0))
			abort();
		cidr_parse(line, &net, &error);
		free(error);
	}
	textmap_free(&tm);
}

/* The input as the rules in a table's name, asked for pieces of itself. */
static void
look_up(const char *type, struct span text)
{
	char *spec = mem_sprintf("%s:{%.*s}", type, SPAN_ARG(text));
	struct table *t = table_open(spec, TABLE_QUIET | TABLE_UTF8);
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;

	for (size_t n = 0; n <= text.len && n < 64; n += 7)
		table_get(t, span_make(text.data, n), &value, &why);
	table_free(t);
	free(spec);
	buf_free(&value);
	why_free(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = {"regexp", "pcre", "cidr", "inline",
					    "static"};
	struct span text = span_make((const char *)data, size);

	log_set_sink(swallow);
	read_entries(text);
	/* glibc's regcomp() may take time that grows with 2 to the length. */
	if (size == 0 || size > 512)
		return 0;
	text.len = strnlen(text.data, text.len);
	look_up(types[data[0] % 5], span_from(text, 1));
	return 0;
}
