/* SPDX-License-Identifier: MIT */
#include "conf/postconf.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/host.h"

static void
override(struct postconf *pc, const char *setting)
{
	const char *what;

	if (!maincf_override(&pc->dict.main, span_of(setting), &what))
		log_fatal("invalid parameter override: %s: %s", setting, what);
}

/* All of them, the last one ends the program. */
static void
fail(const struct strvec *errors)
{
	for (size_t i = 0; i + 1 < errors->n; i++)
		log_error("%s", errors->v[i]);
	log_fatal("%s", errors->v[errors->n - 1]);
}

static void
check_protocols(struct postconf *pc)
{
	struct buf value = BUF_INIT;
	struct buf error = BUF_INIT;

	if (!dict_expand(&pc->dict,
			 dict_lookup(&pc->dict, span_of("inet_protocols")),
			 &value, &error))
		log_warn("%s", buf_cstr(&error));
	else if (!host_check_protocols(buf_cstr(&value), &error))
		log_fatal("%s", buf_cstr(&error));
	buf_free(&value);
	buf_free(&error);
}

void
pc_read_main(struct postconf *pc)
{
	struct strvec errors = STRVEC_INIT;
	struct strvec warnings = STRVEC_INIT;
	struct maincf *m = &pc->dict.main;

	pc->dict.program = "postconf";
	pc->dict.config_dir = CONF_DEFAULT_DIR;
	if (pc->mode & PC_DEFAULTS) {
		maincf_parse(m, "main.cf", span_of(""), &errors, &warnings);
	} else {
		if (!maincf_read(m, pc->dir, &errors, &warnings))
			log_fatal("open %s: %s", m->path, strerror(errno));
		for (size_t i = 0; i < warnings.n; i++)
			log_warn("%s", warnings.v[i]);
		if (errors.n)
			fail(&errors);
	}
	for (size_t i = 0; i < pc->over.n; i++)
		override(pc, pc->over.v[i]);
	if (pc->dir_given && !(pc->mode & PC_DEFAULTS)) {
		char *s = mem_sprintf("config_directory=%s", pc->dir);

		override(pc, s);
		free(s);
	}
	check_protocols(pc);
	strvec_free(&errors);
	strvec_free(&warnings);
}

void
pc_read_master(struct postconf *pc, bool required)
{
	struct strvec errors = STRVEC_INIT;
	char *path = mem_sprintf("%s/master.cf", pc->dir);

	if (!mastercf_read(path, &pc->master, &errors)) {
		if (required || access(path, R_OK) == 0)
			fail(&errors);
		log_warn("%s", errors.v[0]);
	}
	strvec_free(&errors);
	free(path);
}
