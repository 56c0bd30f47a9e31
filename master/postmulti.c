/* SPDX-License-Identifier: MIT */
/* postmulti(1): several mail systems on one host. */
#include "master/postmulti.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"

static const char *const actions[ACTION_COUNT] = {
    [ACTION_INIT] = "init",       [ACTION_CREATE] = "create",
    [ACTION_IMPORT] = "import",   [ACTION_DESTROY] = "destroy",
    [ACTION_DEPORT] = "deport",   [ACTION_ENABLE] = "enable",
    [ACTION_DISABLE] = "disable", [ACTION_ASSIGN] = "assign",
};

const char *
postmulti_action_name(enum postmulti_action action)
{
	return actions[action];
}

_Noreturn static void
usage(void)
{
	log_fatal("Usage:postmulti -l [-v] [-a] [-g group] [-i instance] | "
		  "postmulti -p [-v] [-a] [-g group] [-i instance] command... "
		  "| postmulti -x [-v] [-a] [-i name] [-g group] command... | "
		  "postmulti -e action [-v] [-a] [-i name] [-g group] "
		  "[-I name] [-G group] [param=value ...]");
}

static enum postmulti_action
find_action(const char *name)
{
	for (int i = 0; i < ACTION_COUNT; i++)
		if (!strcmp(actions[i], name))
			return (enum postmulti_action)i;
	log_fatal("Invalid '-e' edit action '%s'. Specify 'create', "
		  "'destroy', 'import', 'deport', 'enable', 'disable', "
		  "'assign' or 'init'",
		  name);
}

static void
set_mode(struct postmulti_request *r, enum postmulti_mode mode)
{
	if (r->mode != MODE_NONE && r->mode != mode)
		log_fatal("Specify exactly one of '-e', '-l', '-p', '-x'");
	r->mode = mode;
}

/* All three select instances, and the first one with a name would win. */
static void
set_once(const char **to, const char *value)
{
	if (*to)
		log_fatal("Specity no more than one of '-a', '-g', '-i'");
	*to = value;
}

static void
take_option(struct postmulti_request *r, int c, const char *value)
{
	switch (c) {
	case 'a':
		r->all = true;
		break;
	case 'e':
		r->action = find_action(value);
		set_mode(r, MODE_EDIT);
		break;
	case 'g':
		set_once(&r->group, value);
		break;
	case 'i':
		set_once(&r->name, value);
		break;
	case 'l':
		set_mode(r, MODE_LIST);
		break;
	case 'p':
		set_mode(r, MODE_POSTFIX);
		break;
	case 'x':
		set_mode(r, MODE_COMMAND);
		break;
	case 'G':
		r->new_group = value;
		break;
	case 'I':
		r->new_name = value;
		break;
	case 'R':
		r->reverse = true;
		break;
	case 'v':
		log_set_verbose(++r->verbose);
		setenv("MAIL_VERBOSE", "", 1);
		break;
	default:
		usage();
	}
}

static void
parse_arguments(int argc, char **argv, struct postmulti_request *r)
{
	int c;

	while ((c = getopt(argc, argv, "+ae:g:i:G:I:lpRvx")) != -1)
		take_option(r, c, optarg);
	r->rest = argv + optind;
	r->n_rest = argc - optind;
	if (r->mode == MODE_NONE)
		log_fatal("Specify exactly one of '-e', '-l', '-p', '-x'");
	if (r->all + !!r->group + !!r->name > 1)
		log_fatal("Specity no more than one of '-a', '-g', '-i'");
	if (r->reverse && (r->mode == MODE_POSTFIX || r->mode == MODE_EDIT))
		log_fatal("The '-p' and '-e' options preclude the use of "
			  "'-R'");
}

/* -l, -p, -x */
static void
check_iterator(const struct postmulti_request *r)
{
	if (r->mode == MODE_LIST && r->n_rest)
		log_fatal("Command not allowed with '-l'");
	if (r->mode != MODE_LIST && !r->n_rest)
		log_fatal("Command required with '-p' or '-x' option");
	if (r->new_name || r->new_group)
		log_fatal("Cannot assign instance name or group without "
			  "'-e assign'");
}

static bool
is_new(const struct postmulti_request *r)
{
	return r->action == ACTION_CREATE || r->action == ACTION_IMPORT;
}

static void
check_edit(const struct postmulti_request *r)
{
	bool assigns = r->new_name || r->new_group;
	const char *name = actions[r->action];

	if (!is_new(r) && r->action != ACTION_INIT && !r->name)
		log_fatal("Select an instance via '-i name'");
	if (r->action == ACTION_ASSIGN && !assigns)
		log_fatal("Specify new instance name or group with "
			  "'-e assign'");
	if (assigns && r->action != ACTION_ASSIGN && !is_new(r))
		log_fatal("Cannot assign instance name or group with '-e %s'",
			  name);
	if (r->n_rest && !is_new(r))
		log_fatal("Parameter overrides not valid with '-e %s'", name);
	if (r->new_name && *r->new_name && strcmp(r->new_name, "-") &&
	    strncmp(r->new_name, "postfix-", 8))
		log_fatal("New instance name must start with 'postfix-'");
}

int
main(int argc, char **argv)
{
	struct postmulti_request r = {.mode = MODE_NONE};
	struct conf_args args = {.program = "postmulti"};
	const char *env = getenv("MAIL_CONFIG");
	struct instances all = {NULL, 0};
	int status;

	log_set_program("postmulti");
	conf_load(&args);
	conf_log_open_ident("postmulti", CONF_LOG_DIRECT);
	log_set_stderr_too(isatty(STDERR_FILENO));
	parse_arguments(argc, argv, &r);
	if (env && *env && strcmp(env, CONF_DEFAULT_DIR))
		log_fatal("Non-default configuration directory: "
			  "MAIL_CONFIG=%s",
			  env);
	if (r.mode == MODE_EDIT)
		check_edit(&r);
	else
		check_iterator(&r);
	conf_log_export();
	instances_load(&all);
	if (r.mode == MODE_EDIT)
		status = postmulti_edit(&all, &r);
	else if (r.mode == MODE_LIST)
		status = postmulti_list(&all, &r);
	else
		status = postmulti_iterate(&all, &r);
	instances_free(&all);
	return status;
}
