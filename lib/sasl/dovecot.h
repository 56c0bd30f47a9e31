/* SPDX-License-Identifier: MIT */
/*
 * dovecot - lines of Dovecot's auth protocol, version 1
 * (doc.dovecot.org, "Authentication Protocol"): fields separated by tab, the
 * first of them the command. Both sides of it; no input or output here.
 *
 * Every line is somebody else's bytes. A parsed message points into the line.
 * Fields and commands that are not known are skipped, as the protocol asks.
 */
#ifndef LIB_SASL_DOVECOT_H
#define LIB_SASL_DOVECOT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum {
	DOVECOT_MAJOR = 1,
	DOVECOT_MINOR = 0,
	/* A response of smtpd_sasl_response_limit, and the rest of AUTH. */
	DOVECOT_LINE_MAX = 16384,
	DOVECOT_FIELDS_MAX = 64,
};

enum dovecot_command {
	DOVECOT_OTHER, /* one that may be skipped */
	DOVECOT_VERSION,
	/* server */
	DOVECOT_MECH,
	DOVECOT_SPID,
	DOVECOT_CUID,
	DOVECOT_COOKIE,
	DOVECOT_DONE,
	DOVECOT_OK,
	DOVECOT_FAIL,
	DOVECOT_CONT, /* both */
	/* client */
	DOVECOT_CPID,
	DOVECOT_AUTH,
	DOVECOT_CANCEL,
};

struct dovecot_msg {
	enum dovecot_command command;
	uint32_t major;     /* VERSION */
	uint32_t id;        /* OK, FAIL, CONT, AUTH, CANCEL; CPID: the pid */
	struct span mech;   /* MECH, AUTH */
	unsigned flags;     /* MECH: MECH_* of lib/sasl/authn.h */
	struct span data;   /* CONT: base64; AUTH: its resp=, data NULL: none */
	struct span user;   /* OK, FAIL */
	struct span reason; /* FAIL */
	bool temporary;     /* FAIL */
	struct span rip;    /* AUTH */
};

/* line without its LF. false: it breaks the protocol. */
bool dovecot_parse(struct span line, struct dovecot_msg *out);

/* Is it a name that a mechanism can have (RFC 4422 section 3.1), and so one
 * that may be sent on? */
bool dovecot_valid_mech(struct span mech);
/* Are all bytes of base64's alphabet? Whether it makes sense is for the
 * server to say. */
bool dovecot_valid_base64(struct span text);

struct dovecot_request {
	struct span mech;
	const char *service;
	const char *addr, *server_addr;
	bool secured;
	struct span response; /* data NULL: none */
};

/* Append lines. What goes into them was checked by the functions above. */
void dovecot_put_hello(struct buf *out, uint32_t pid);
void dovecot_put_auth(struct buf *out, uint32_t id,
		      const struct dovecot_request *r);
void dovecot_put_cont(struct buf *out, uint32_t id, struct span data);

#endif
