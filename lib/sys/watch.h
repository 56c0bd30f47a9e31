/* SPDX-License-Identifier: MIT */
/*
 * watch - were files replaced? For a process that may not read them any more.
 *
 * The directories of a file, and those of every symbolic link on the way to
 * it, are watched with inotify(7), which goes on after jail(): what counts is
 * the name, so that a file may be renamed into place, a link may be turned to
 * another file (certbot), and a link to a directory to another directory
 * (Kubernetes).
 */
#ifndef LIB_SYS_WATCH_H
#define LIB_SYS_WATCH_H

#include <stdbool.h>

struct watch;

/* Never NULL; without inotify (logged) nothing is ever noticed. */
struct watch *watch_new(void);
void watch_free(struct watch *w);
/* Relative paths are below the current directory. A file that does not exist
 * is watched for. At most WATCH_NAMES_MAX names; more are left out (logged). */
void watch_add(struct watch *w, const char *path);
/* Each path of a list of main.cf; "none" is no file. */
void watch_add_list(struct watch *w, const char *list);
/* To wait for; -1: none. */
int watch_fd(const struct watch *w);
/* Read what happened: was it about one of the names? Does not wait. */
bool watch_changed(struct watch *w);

enum { WATCH_NAMES_MAX = 256 };

#endif
