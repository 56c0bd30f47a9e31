/* SPDX-License-Identifier: MIT */
/*
 * postdrop - how a message is handed to postdrop(1) (by sendmail(1), and by
 * smtpd -S), so that who submits mail needs no rights on the queue.
 *
 * On standard input, lengths as 32 bits, little endian:
 *
 *	length, envelope	as envelope_encode() writes it; at most
 *				DROP_ENVELOPE_MAX bytes
 *	length, content		any number of times; LF line ends; at most
 *				DROP_CHUNK_MAX bytes each
 *	0			the end
 *
 * An end of input before the final 0 means that the sender gave up: nothing
 * is queued. On standard output:
 *
 *	id NAME			at once: the message's name in maildrop
 *	ok			it is on disk; or
 *	error DSN TEXT		it is not
 *
 * postdrop believes nothing of it: of the envelope it keeps the sender, the
 * full name, the recipients with their DSN options, the body type, and the
 * flags DROP_FLAGS; who submits is the real uid.
 */
#ifndef PICKUP_POSTDROP_H
#define PICKUP_POSTDROP_H

#include "lib/queue/envelope.h"

enum {
	DROP_ENVELOPE_MAX = 16 * 1024 * 1024,
	DROP_CHUNK_MAX = 64 * 1024,
	DROP_FLAGS = ENVELOPE_MAILDROP | ENVELOPE_EXTRACT | ENVELOPE_VERIFY |
		     ENVELOPE_REPORT,
};

#endif
