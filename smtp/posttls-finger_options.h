/* SPDX-License-Identifier: MIT */
/* posttls-finger_options - the command line of posttls-finger(1), as settings
 * of the client that stand in the place of main.cf. */
#ifndef SMTP_POSTTLS_FINGER_OPTIONS_H
#define SMTP_POSTTLS_FINGER_OPTIONS_H

#include "lib/base/strvec.h"
#include "smtp/posttls-finger_probe.h"

struct finger_options {
	bool lmtp;
	bool plan;           /* -n: say what the client would do, that is all */
	bool dane_only;      /* -l dane-only; the setting is dane */
	char *target;        /* the destination */
	int reconnect_delay; /* seconds; 0: once only */
	int reconnect_max;
	struct finger_probe probe;
	struct strvec over; /* "name=value" */
};

/* Ends the program when there is something wrong. */
void finger_options_parse(int argc, char **argv, struct finger_options *o);
void finger_options_free(struct finger_options *o);

#endif
