/* SPDX-License-Identifier: MIT */
#include "lib/conf/conf_dir.h"

#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/conf/dict.h"

/* Does main.cf of the default directory allow dir to unprivileged callers? */
static bool
is_allowed_dir(const char *dir)
{
	static const char *const lists[] = {"alternate_config_directories",
					    "multi_instance_directories"};
	struct dict d = {.config_dir = CONF_DEFAULT_DIR, .program = "", 0};
	struct strvec errors = STRVEC_INIT;
	bool found = false;

	if (!strcmp(dir, CONF_DEFAULT_DIR))
		return true;
	maincf_read(&d.main, CONF_DEFAULT_DIR, &errors, &errors);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct buf list = BUF_INIT;
		struct buf error = BUF_INIT;
		struct strvec dirs = STRVEC_INIT;

		if (dict_expand(&d, dict_lookup(&d, span_of(lists[i])), &list,
				&error))
			strvec_split(&dirs, buf_span(&list), ", \t\r\n", false);
		found = found || strvec_has(&dirs, dir);
		strvec_free(&dirs);
		buf_free(&list);
		buf_free(&error);
	}
	strvec_free(&errors);
	dict_free(&d);
	return found;
}

const char *
conf_dir_choose(const char *given)
{
	const char *env = getenv("MAIL_CONFIG");
	const char *dir = given                   ? given
			  : env && env[0] != '\0' ? env
						  : CONF_DEFAULT_DIR;

	if (getauxval(AT_SECURE) && getuid() != 0 && !is_allowed_dir(dir))
		log_fatal("untrusted configuration directory name: %s", dir);
	return dir;
}
