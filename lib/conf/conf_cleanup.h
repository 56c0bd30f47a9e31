/* SPDX-License-Identifier: MIT */
/*
 * conf_cleanup - the settings of the master.cf line of the cleanup service.
 *
 * There is no cleanup process: its work is done by who takes a message in. The
 * -o settings of the line that cleanup_service_name names (a service of the
 * program "cleanup") apply there, and to that work only:
 *
 * - what only cleanup uses (header_checks, always_bcc, ...) overrides main.cf
 *   and the service's own line as a whole;
 * - what the service uses for itself as well (virtual_alias_maps, which say
 *   which recipients exist) keeps its value in conf, and cleanup asks here.
 */
#ifndef LIB_CONF_CONF_CLEANUP_H
#define LIB_CONF_CONF_CLEANUP_H

#include <stdbool.h>

#include "lib/base/strvec.h"

/*
 * After conf_load(): read that line. Settings of the first kind are appended to
 * over ("name=value"); true when there was one, so that the configuration must
 * be loaded again. A line that does not exist changes nothing. program:
 * "smtpd", "pickup".
 */
bool conf_cleanup_load(const char *program, struct strvec *over);

/* A setting of the second kind, expanded, or value when the line has none. It
 * stays valid. */
const char *conf_cleanup_setting(const char *name, const char *value);

#endif
