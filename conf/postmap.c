/* SPDX-License-Identifier: MIT */
/* postmap, postalias - make, query and change lookup tables. */
#include "conf/postmap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"

static const char postmap_options[] = "+bc:d:fFhimnNopq:rsuUvw";
static const char postalias_options[] = "+c:d:finNopq:rsuvw";

_Noreturn static void
usage(const struct postmap *p)
{
	if (p->alias)
		log_fatal("usage: %s [-Nfinoprsuvw] [-c config_dir] [-d key] "
			  "[-q key] [map_type:]file...",
			  log_program());
	log_fatal("usage: %s [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] "
		  "[-q key] [map_type:]file...",
		  log_program());
}

static void
set_mode(struct postmap *p, enum postmap_mode mode, const char *key)
{
	if (p->mode != MODE_CREATE)
		log_fatal("specify only one of -s -q or -d");
	p->mode = mode;
	p->key = key;
}

/* The options without a value. false: unknown. */
static bool
set_flag(struct postmap *p, int letter)
{
	bool *const flags[256] = {
	    ['b'] = &p->body,        ['f'] = &p->no_fold,
	    ['F'] = &p->base64,      ['h'] = &p->header,
	    ['i'] = &p->incremental, ['m'] = &p->mime,
	    ['n'] = &p->plain,       ['N'] = &p->nul,
	    ['o'] = &p->keep_root,   ['p'] = &p->default_mode,
	    ['r'] = &p->replace,     ['u'] = &p->no_utf8,
	    ['U'] = &p->force_utf8,  ['w'] = &p->ignore,
	};

	if (letter < 0 || letter > 255 || !flags[letter])
		return false;
	*flags[letter] = true;
	return true;
}

static void
parse_options(struct postmap *p, int argc, char **argv, const char **config)
{
	const char *letters = p->alias ? postalias_options : postmap_options;
	int c, verbose = 0;

	while ((c = getopt(argc, argv, letters)) != -1) {
		switch (c) {
		case 'c':
			*config = optarg;
			if (setenv("MAIL_CONFIG", optarg, 1) < 0)
				log_fatal("out of memory");
			break;
		case 'd':
			set_mode(p, MODE_DELETE, optarg);
			break;
		case 'q':
			set_mode(p, MODE_QUERY, optarg);
			break;
		case 's':
			set_mode(p, MODE_LIST, NULL);
			break;
		case 'v':
			log_set_verbose(++verbose);
			break;
		default:
			if (!set_flag(p, c))
				usage(p);
		}
	}
	if ((p->body || p->header || p->mime) &&
	    (p->mode != MODE_QUERY || strcmp(p->key, "-") != 0))
		log_fatal("specify -b -h or -m only with \"-q -\"");
	if (p->mime && !p->body && !p->header)
		log_warn("ignoring -m option without -b or -h");
}

unsigned
postmap_table_flags(const struct postmap *p)
{
	bool message = p->body || p->header;
	unsigned flags = TABLE_QUIET;

	if (!p->no_fold)
		flags |= TABLE_FOLD_FIXED;
	if (conf->smtputf8_enable && !p->no_utf8 && (!message || p->force_utf8))
		flags |= TABLE_UTF8;
	if (p->base64)
		flags |= TABLE_BASE64;
	/* The later of both wins in the manual, neither in practice. */
	if (p->plain && !p->nul)
		flags |= TABLE_KEY_PLAIN;
	if (p->nul && !p->plain)
		flags |= TABLE_KEY_NUL;
	return flags;
}

char *
postmap_spec(const char *arg)
{
	if (strchr(arg, ':'))
		return mem_strdup(arg);
	return mem_sprintf("%s:%s", conf->default_database_type, arg);
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int
run(const struct postmap *p, char **maps, int n)
{
	switch (p->mode) {
	case MODE_QUERY:
		if (n == 0)
			usage(p);
		return postmap_query(p, maps, n);
	case MODE_DELETE:
		if (n == 0)
			usage(p);
		return postmap_delete(p, maps, n);
	case MODE_LIST:
		return n > 0 ? postmap_list(p, maps[0]) : 1;
	case MODE_CREATE:
		if (n == 0)
			usage(p);
		for (int i = 0; i < n; i++)
			postmap_create(p, maps[i]);
		return 0;
	}
	return 1;
}

int
main(int argc, char **argv)
{
	struct postmap p = {.mode = MODE_CREATE};
	const char *config = NULL, *name;
	char unknown[] = "postmap";
	int status;

	if (argc < 1)
		return 1;
	name = base_name(argv[0]);
	p.alias = !strcmp(name, "postalias");
	/* getopt() names the program in its complaints. */
	argv[0] = *name ? argv[0] + (name - argv[0]) : unknown;
	log_set_program(argv[0]);
	parse_options(&p, argc, argv, &config);
	conf_load(
	    &(struct conf_args){.program = p.alias ? "postalias" : "postmap",
				.config_dir = config});
	conf_log_open(p.alias ? "postalias" : "postmap", CONF_LOG_DIRECT);
	log_set_stderr_too(true);
	status = run(&p, argv + optind, argc - optind);
	if (fflush(stdout) != 0 || ferror(stdout))
		log_fatal("write output stream: %m");
	return status;
}
