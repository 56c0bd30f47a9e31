/* SPDX-License-Identifier: MIT */
#include "conf/postconf.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/table/table.h"

static void
print_all(const char *const *words)
{
	for (; *words; words++)
		puts(*words);
}

static int
compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
print_map_types(void)
{
	struct strvec names = STRVEC_INIT;
	const char *name;

	for (size_t i = 0; (name = table_type_name(i)); i++)
		strvec_add(&names, name);
	qsort(names.v, names.n, sizeof(*names.v), compare_words);
	print_all((const char *const *)names.v);
	strvec_free(&names);
}

/* What a build without TLS answers: nothing, to a mode that exists. */
static void
check_tls_mode(const char *mode)
{
	static const char *const modes[] = {"compile-version", "run-version",
					    "public-key-algorithms"};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(modes[i], mode))
			return;
	log_warn("unknown 'postconf -T' mode: %s", mode);
	exit(1);
}

void
pc_show_lists(struct postconf *pc, const char *tls_mode)
{
	static const char *const server[] = {"cyrus", "dovecot", NULL};
	static const char *const client[] = {"cyrus", NULL};
	static const char *const locks[] = {"flock", "fcntl", "dotlock", NULL};

	if (pc->mode & PC_SASL_SERVER)
		print_all(server);
	else if (pc->mode & PC_SASL_CLIENT)
		print_all(client);
	else if (pc->mode & PC_LOCKS)
		print_all(locks);
	else if (pc->mode & PC_MAPS)
		print_map_types();
	else if (pc->mode & PC_TLS)
		check_tls_mode(tls_mode);
	else
		log_fatal("-%c: bounce templates are not supported by this "
			  "version",
			  pc->mode & PC_BOUNCE ? 'b' : 't');
}
