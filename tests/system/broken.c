/* SPDX-License-Identifier: MIT */
/* broken heap|undefined|leak: a program with that mistake, for
 * test_sanitizer.py. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static volatile int index_beyond = 8;
static char *volatile kept;

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	kept = malloc((size_t)index_beyond);
	if (!kept)
		return 1;
	memset(kept, 0, 8);
	if (!strcmp(what, "heap"))
		return kept[index_beyond];
	if (!strcmp(what, "undefined"))
		return INT_MAX - index_beyond + argc * index_beyond > 0;
	if (!strcmp(what, "leak"))
		kept = NULL;
	return 0;
}
