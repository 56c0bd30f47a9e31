/* SPDX-License-Identifier: MIT */
/* postconf - show and edit main.cf and master.cf (postconf(1)). */
#include "conf/postconf.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"

static const char options[] = "aAbc:C:defFhHlmMno:pPtT:vxX#";

static const struct {
	char letter;
	unsigned bit;
} letters[] = {
    {'a', PC_SASL_SERVER}, {'A', PC_SASL_CLIENT}, {'b', PC_BOUNCE},
    {'C', PC_CLASS},       {'d', PC_DEFAULTS},    {'e', PC_EDIT},
    {'f', PC_FOLD},        {'F', PC_FIELDS},      {'h', PC_NO_NAME},
    {'H', PC_NO_VALUE},    {'l', PC_LOCKS},       {'m', PC_MAPS},
    {'M', PC_MASTER},      {'n', PC_SET_ONLY},    {'o', PC_OVERRIDE},
    {'p', PC_MAIN},        {'P', PC_PARAMS},      {'t', PC_TEMPLATES},
    {'T', PC_TLS},         {'x', PC_EXPAND},      {'X', PC_EXCLUDE},
    {'#', PC_COMMENT},
};

enum {
	N_LETTERS = sizeof(letters) / sizeof(letters[0]),
	EDITS = PC_EDIT | PC_EXCLUDE | PC_COMMENT,
	MASTERS = PC_MASTER | PC_FIELDS | PC_PARAMS,
	LISTS = PC_SASL_SERVER | PC_SASL_CLIENT | PC_BOUNCE | PC_LOCKS |
		PC_MAPS | PC_TEMPLATES | PC_TLS,
};

/* Options of which only one can be given; the first pair that clashes, in
 * this order, is reported. */
static const unsigned exclusive[] = {
    PC_DEFAULTS | EDITS | PC_SET_ONLY | PC_LOCKS | PC_MAPS | PC_SASL_SERVER |
	PC_SASL_CLIENT | PC_BOUNCE | PC_TEMPLATES | PC_TLS,
    PC_MASTER | PC_FIELDS | PC_PARAMS | PC_MAIN,
    PC_DEFAULTS | EDITS | PC_OVERRIDE,
    EDITS | PC_FOLD,
    EDITS | PC_EXPAND,
    EDITS | PC_NO_NAME | PC_NO_VALUE,
    EDITS | PC_CLASS,
};

/* With each way to see master.cf, what makes no sense. */
static const struct {
	unsigned with;
	unsigned bad;
} conflicts[] = {
    {PC_MASTER,
     LISTS | PC_DEFAULTS | PC_SET_ONLY | PC_NO_NAME | PC_NO_VALUE | PC_CLASS},
    {PC_FIELDS,
     LISTS | PC_DEFAULTS | PC_SET_ONLY | PC_EXCLUDE | PC_COMMENT | PC_CLASS},
    {PC_PARAMS, LISTS | PC_DEFAULTS | PC_SET_ONLY | PC_COMMENT | PC_CLASS},
};

static _Noreturn void
usage(const char *program)
{
	log_fatal("usage: %s [-a (server SASL types)] [-A (client SASL types)] "
		  "[-b (bounce templates)] [-c config_dir] [-C param_class] "
		  "[-d (parameter defaults)] [-e (edit configuration)] "
		  "[-f (fold lines)] [-F (master.cf fields)] [-h (no names)] "
		  "[-H (no values)] [-l (lock types)] [-m (map types)] "
		  "[-M (master.cf)] [-n (non-default parameters)] "
		  "[-o name=value (override parameter value)] "
		  "[-p (main.cf, default)] [-P (master.cf parameters)] "
		  "[-t (bounce templates)] [-T compile-version|run-version|"
		  "public-key-algorithms] [-v (verbose)] "
		  "[-x (expand parameter values)] [-X (exclude)] "
		  "[-# (comment-out)] [name...]",
		  program);
}

static void
check_modes(unsigned mode)
{
	for (size_t i = 0; i < sizeof(exclusive) / sizeof(exclusive[0]); i++) {
		char first = 0;

		for (size_t j = 0; j < N_LETTERS; j++) {
			if (!(mode & exclusive[i] & letters[j].bit))
				continue;
			if (first)
				log_fatal("specify one of -%c -%c", first,
					  letters[j].letter);
			first = letters[j].letter;
		}
	}
	for (size_t i = 0; i < sizeof(conflicts) / sizeof(conflicts[0]); i++) {
		for (size_t j = 0; j < N_LETTERS; j++)
			if ((mode & conflicts[i].with) &&
			    (mode & conflicts[i].bad & letters[j].bit))
				log_fatal("with option -%c, do not specify -%c",
					  conflicts[i].with == PC_MASTER ? 'M'
					  : conflicts[i].with == PC_FIELDS
					      ? 'F'
					      : 'P',
					  letters[j].letter);
	}
}

static unsigned
parse_classes(const char *text)
{
	static const struct {
		const char *name;
		unsigned bits;
	} known[] = {{"builtin", PC_CLASS_BUILTIN},
		     {"service", PC_CLASS_SERVICE},
		     {"user", PC_CLASS_USER},
		     {"all", PC_CLASS_ALL}};
	struct span rest = span_of(text);
	struct span word;
	unsigned bits = 0;

	while (span_next_token(&rest, ", \t\r\n", &word)) {
		unsigned found = 0;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (span_equal_cstr_nocase(word, known[i].name))
				found = known[i].bits;
		if (!found)
			log_fatal("unknown -C option value \"%.*s\" in \"%s\"",
				  SPAN_ARG(word), text);
		bits |= found;
	}
	return bits;
}

static void
parse_options(struct postconf *pc, int argc, char **argv, const char **tls_mode)
{
	int c;
	int verbose = 0;

	while ((c = getopt(argc, argv, options)) > 0) {
		size_t i;

		for (i = 0; i < N_LETTERS && letters[i].letter != c; i++)
			continue;
		if (i < N_LETTERS)
			pc->mode |= letters[i].bit;
		if (c == 'c') {
			pc->dir = optarg;
			pc->dir_given = true;
		} else if (c == 'C') {
			pc->classes = parse_classes(optarg);
		} else if (c == 'o') {
			strvec_add(&pc->over, optarg);
		} else if (c == 'T') {
			*tls_mode = optarg;
		} else if (c == 'v') {
			log_set_verbose(++verbose);
		} else if (i == N_LETTERS) {
			usage(argv[0]);
		}
	}
}

static bool
has_assignment(char **argv)
{
	for (; *argv; argv++)
		if (strchr(*argv, '='))
			return true;
	return false;
}

static void
choose_directory(struct postconf *pc)
{
	const char *env = getenv("MAIL_CONFIG");

	if (pc->dir)
		return;
	pc->dir = CONF_DEFAULT_DIR;
	if (env && *env) {
		pc->dir = env;
		pc->dir_given = true;
	}
}

int
main(int argc, char **argv)
{
	struct postconf pc = {.classes = PC_CLASS_ALL};
	const char *tls_mode = NULL;

	log_set_program(argv[0]);
	parse_options(&pc, argc, argv, &tls_mode);
	argv += optind;
	/* A value makes it an edit, but not with what lists something. */
	if (!(pc.mode & LISTS) && has_assignment(argv))
		pc.mode |= PC_EDIT;
	check_modes(pc.mode);
	choose_directory(&pc);

	if (pc.mode & LISTS) {
		pc_show_lists(&pc, tls_mode);
	} else if (pc.mode & EDITS) {
		if (!*argv)
			log_fatal(pc.mode & PC_EDIT
				      ? "-e requires name=value argument"
				      : "missing service argument");
		if (pc.mode & MASTERS)
			pc_edit_master(&pc, argv);
		else
			pc_edit_main(&pc, argv);
	} else {
		pc_read_main(&pc);
		pc_read_master(&pc, pc.mode & MASTERS);
		pc_find_names(&pc);
		if (pc.mode & MASTERS)
			pc_show_master(&pc, argv);
		else
			pc_show_main(&pc, argv);
		if (!(pc.mode & PC_DEFAULTS))
			pc_warn_unused(&pc);
	}
	if (fflush(stdout) || ferror(stdout))
		log_fatal("write standard output: %m");
	pc_free_names(&pc);
	mastercf_free(&pc.master);
	dict_free(&pc.dict);
	strvec_free(&pc.over);
	return 0;
}
