/* SPDX-License-Identifier: MIT */
/*
 * milter_proto - packets of the milter protocol, as libmilter speaks it.
 *
 * A packet is a length of four bytes (big-endian, counting what follows), a
 * type of one byte, and data. Numbers have four bytes, strings end with a NUL.
 * Spans that parsing gives out point into the packet. Nothing here does I/O.
 */
#ifndef LIB_MILTER_MILTER_PROTO_H
#define LIB_MILTER_MILTER_PROTO_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

/* What the mail system sends. */
enum milter_event {
	MILTER_ABORT = 'A',
	MILTER_BODY = 'B',
	MILTER_CONNECT = 'C',
	MILTER_MACROS = 'D',
	MILTER_END = 'E', /* of the message */
	MILTER_HELO = 'H',
	MILTER_HEADER = 'L',
	MILTER_MAIL = 'M',
	MILTER_END_HEADERS = 'N',
	MILTER_OPTIONS = 'O', /* either way */
	MILTER_QUIT = 'Q',
	MILTER_RCPT = 'R',
	MILTER_DATA = 'T',
	MILTER_UNKNOWN = 'U',
};

/* What a milter answers. */
enum milter_answer {
	MILTER_ADD_RCPT = '+',
	MILTER_DELETE_RCPT = '-',
	MILTER_ADD_RCPT_ARGS = '2',
	MILTER_SHUTDOWN = '4',
	MILTER_ACCEPT = 'a',
	MILTER_REPLACE_BODY = 'b',
	MILTER_CONTINUE = 'c',
	MILTER_DISCARD = 'd',
	MILTER_CHANGE_FROM = 'e',
	MILTER_CONN_FAIL = 'f',
	MILTER_ADD_HEADER = 'h',
	MILTER_INSERT_HEADER = 'i',
	MILTER_CHANGE_HEADER = 'm',
	MILTER_PROGRESS = 'p',
	MILTER_QUARANTINE = 'q',
	MILTER_REJECT = 'r',
	MILTER_SKIP = 's',
	MILTER_TEMPFAIL = 't',
	MILTER_REPLY_CODE = 'y',
};

/* Protocol flags that a milter chooses from those that it is offered. */
enum {
	MILTER_NO_CONNECT = 0x1,
	MILTER_NO_HELO = 0x2,
	MILTER_NO_MAIL = 0x4,
	MILTER_NO_RCPT = 0x8,
	MILTER_NO_BODY = 0x10,
	MILTER_NO_HEADERS = 0x20,
	MILTER_NO_END_HEADERS = 0x40,
	MILTER_NR_HEADER = 0x80, /* NR_*: it will not reply to that event */
	MILTER_NO_UNKNOWN = 0x100,
	MILTER_NO_DATA = 0x200,
	MILTER_CAN_SKIP = 0x400,
	MILTER_RCPT_REJECTED = 0x800, /* tell it of refused recipients, too */
	MILTER_NR_CONNECT = 0x1000,
	MILTER_NR_HELO = 0x2000,
	MILTER_NR_MAIL = 0x4000,
	MILTER_NR_RCPT = 0x8000,
	MILTER_NR_DATA = 0x10000,
	MILTER_NR_UNKNOWN = 0x20000,
	MILTER_NR_END_HEADERS = 0x40000,
	MILTER_NR_BODY = 0x80000,
	MILTER_LEADING_SPACE = 0x100000, /* header values keep it */
};

enum {
	MILTER_ACTIONS = 0x1ff,       /* all that it may ask for */
	MILTER_CHUNK_MAX = 65535,     /* bytes of one body packet */
	MILTER_PACKET_MAX = 2 << 20,  /* bytes of one packet from a milter */
	MILTER_STAGES = 7,            /* that have macros */
	MILTER_SYMBOLS_MAX = 4096,    /* bytes of one list of macro names */
	MILTER_REPLY_MAX = 32 * 1024, /* bytes of an SMTP reply */
};

/* The stages of macros, in the numbers of the protocol. */
enum milter_stage {
	MACROS_CONNECT,
	MACROS_HELO,
	MACROS_MAIL,
	MACROS_RCPT,
	MACROS_DATA,
	MACROS_END,
	MACROS_END_HEADERS,
};

/* ---- writing ---- */

/* Append a packet to out; milter_packet_end() writes its length. */
size_t milter_packet_begin(struct buf *out, char type);
void milter_packet_end(struct buf *out, size_t begun);
void milter_put_number(struct buf *out, uint32_t n);
/* With its NUL; what follows a NUL within is cut off. */
void milter_put_string(struct buf *out, struct span s);

/* ---- reading ---- */

/* The length in four bytes, without the type: false with *length 0 when there
 * is no room for a type, or with the length when it is above the maximum. */
bool milter_parse_length(const unsigned char head[4], uint32_t *length);

struct milter_options {
	uint32_t version, actions, protocol;
	struct span symbols[MILTER_STAGES]; /* data NULL: not chosen */
	unsigned unknown_stages; /* how many of these were not understood */
	uint32_t unknown_stage;  /* one of them */
};

/* The answer to MILTER_OPTIONS. false: malformed. */
bool milter_parse_options(struct span data, struct milter_options *o);

struct milter_reply {
	char type;
	uint32_t index;          /* of a header; 0 when it has none */
	struct span name, value; /* of a header; an address and its
				    parameters (data NULL: none) */
	struct span text;        /* body, reply, reason */
};

/* false: the data is not what the type must have. An unknown type is taken
 * with its data as text. */
bool milter_parse_reply(char type, struct span data, struct milter_reply *r);

/*
 * Is text an SMTP reply that a milter may give: a code of class 4 or 5, the
 * same on each line, with enhanced codes of that class if any? "%%" becomes
 * "%"; lines stay separated by CR LF.
 */
bool milter_parse_smtp(struct span text, struct buf *out);

/* "SMFIC_MAIL", "SMFIR_ADDHEADER": as libmilter's documentation names them. */
const char *milter_event_name(char event);
const char *milter_answer_name(char answer);

#endif
