/* SPDX-License-Identifier: MIT */
/* pipe_attr - the attributes of a pipe(8) service in master.cf, and the
 * argument vector that they make for a request. */
#ifndef LOCAL_PIPE_ATTR_H
#define LOCAL_PIPE_ATTR_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/strvec.h"
#include "lib/service/agent.h"

/* flags= */
enum {
	PIPE_BLANK = 1 << 0,       /* B: empty line at the end */
	PIPE_DELIVERED = 1 << 1,   /* D: Delivered-To:, loop check */
	PIPE_FROM = 1 << 2,        /* F: "From " line */
	PIPE_ORIG_RCPT = 1 << 3,   /* O: X-Original-To: */
	PIPE_RETURN = 1 << 4,      /* R: Return-Path: */
	PIPE_FINAL = 1 << 5,       /* X: this is the final delivery */
	PIPE_FOLD_HOST = 1 << 6,   /* h */
	PIPE_QUOTE = 1 << 7,       /* q */
	PIPE_FOLD_USER = 1 << 8,   /* u */
	PIPE_DOT = 1 << 9,         /* . */
	PIPE_QUOTE_FROM = 1 << 10, /* > */
};

struct pipe_attr {
	unsigned flags;
	uid_t uid;
	gid_t gid;
	char *user;      /* login name */
	char *chroot;    /* or NULL */
	char *directory; /* or NULL */
	char *eol;       /* NULL: LF */
	char *null_sender;
	int64_t size; /* 0: no limit */
	struct strvec argv;
};

/* What is wrong ends the process (start-up). */
void pipe_attr_parse(const struct strvec *args, struct pipe_attr *out);
/* The users and groups; after pipe_attr_parse(). Fatal, too. */
void pipe_attr_find_user(struct pipe_attr *a, const char *value);

/*
 * The command for req: macros replaced; an argument with one that stands for
 * a recipient appears once for each. false: an unknown macro (logged).
 */
bool pipe_argv(const struct pipe_attr *a, const struct agent_request *req,
	       struct strvec *out);

/* C escapes (\n, \015, \\); the result is to be freed. */
char *pipe_unescape(const char *text);

#endif
