/* SPDX-License-Identifier: MIT */
/* What postscreen's built-in engine makes of a client's bytes, line by line,
 * and of a cache entry and a list of block lists. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "smtpd/postscreen_line.h"
#include "smtpd/postscreen_sites.h"
#include "smtpd/postscreen_tests.h"

enum { LINE_MAX_BYTES = 64 };

static void
try_line(struct span line)
{
	struct buf addr = BUF_INIT;
	struct span verb, arg;

	screen_line_split(line, &verb, &arg);
	if (verb.len + arg.len > line.len || span_find(verb, ' ') >= 0)
		abort();
	screen_line_is_header(line);
	screen_line_address(arg, "FROM", &addr);
	if (addr.len > line.len)
		abort();
	screen_line_address(arg, "TO", &addr);
	buf_free(&addr);
}

static void
try_lines(struct span in)
{
	for (;;) {
		struct span line;
		size_t used;
		bool bare;

		if (screen_line_cut(in, LINE_MAX_BYTES, &line, &used, &bare) !=
		    SCREEN_LINE_COMPLETE)
			break;
		if (used == 0 || used > in.len || line.len >= used ||
		    line.len > LINE_MAX_BYTES || in.data[used - 1] != '\n')
			abort();
		try_line(line);
		in = span_from(in, used);
	}
	if (span_find(in, '\n') < 0 && in.len <= LINE_MAX_BYTES)
		try_line(in);
}

static void
try_entry(struct span text)
{
	struct buf entry = BUF_INIT, again = BUF_INIT;
	struct screen_tests t;

	if (screen_tests_begin(&t, text, TESTS_EARLY | TESTS_DEEP, 1000)) {
		screen_tests_format(&t, &entry);
		if (!screen_tests_begin(&t, buf_span(&entry), TESTS_EARLY,
					1000))
			abort();
		screen_tests_format(&t, &again);
		if (!span_equal(buf_span(&entry), buf_span(&again)))
			abort();
	}
	buf_free(&entry);
	buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = mem_strndup((const char *)data, size);
	struct buf error = BUF_INIT;
	struct sites sites;

	try_lines(span_make(copy, size));
	try_entry(span_of(copy));
	if (sites_parse(&sites, copy, &error)) {
		for (size_t i = 0; i < sites.n; i++)
			site_matches(&sites.v[i], "127.0.0.2");
		sites_free(&sites);
	}
	buf_free(&error);
	free(copy);
	return 0;
}
