/* SPDX-License-Identifier: MIT */
/* conf_dir - which configuration directory a program reads. */
#ifndef LIB_CONF_CONF_DIR_H
#define LIB_CONF_CONF_DIR_H

/*
 * given, or when that is NULL $MAIL_CONFIG, or CONF_DEFAULT_DIR. A set-gid
 * program that an ordinary user started accepts only CONF_DEFAULT_DIR and the
 * directories that main.cf there lists (alternate_config_directories,
 * multi_instance_directories); another one is fatal. Not a copy.
 */
const char *conf_dir_choose(const char *given);

#endif
