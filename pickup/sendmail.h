/* SPDX-License-Identifier: MIT */
/* sendmail - what the modules of sendmail(1) share. */
#ifndef PICKUP_SENDMAIL_H
#define PICKUP_SENDMAIL_H

#include <stdbool.h>

#include "lib/base/strvec.h"
#include "lib/queue/envelope.h"

enum sendmail_mode {
	MODE_ENQUEUE,
	MODE_DAEMON,     /* -bd, -bl: postfix start */
	MODE_MAILQ,      /* -bp */
	MODE_NEWALIASES, /* -bi, -I */
	MODE_SERVER,     /* -bs */
	MODE_FLUSH,      /* -q */
	MODE_IGNORE,     /* -bh, -bH, -qinterval */
};

struct sendmail_options {
	enum sendmail_mode mode;
	char *config_dir;
	const char *sender;    /* as given, or NULL */
	const char *full_name; /* as given, or NULL */
	const char *aliases;   /* -oA */
	const char *queue_id;  /* -qI */
	const char *site;      /* -qR */
	const char *encoding;
	const char *envid;
	int notify;
	int ret;
	int verbose;              /* -v: from the second on */
	unsigned flags;           /* ENVELOPE_VERIFY, ENVELOPE_REPORT */
	bool extract;             /* -t */
	bool keep_dot;            /* -i */
	bool gateway;             /* -G */
	struct strvec recipients; /* arguments, as given */
};

/* Fatal on bad usage. */
void sendmail_parse(int argc, char **argv, struct sendmail_options *o);

/* Append the addresses in text (a list as in a header) to env. */
void sendmail_add_recipients(struct envelope *env, struct span text,
			     int notify);
/* -t: the same from the recipient headers of a message's header. */
void sendmail_extract(struct envelope *env, struct span header, int notify);

/* Read the message, hand it to postdrop. Fatal on failure. */
void sendmail_enqueue(const struct sendmail_options *o);

#endif
