/* SPDX-License-Identifier: MIT */
/*
 * smtpd_text - the texts with macros that a session fills in: replies of DNS
 * lists (default_rbl_reply, rbl_reply_maps) and reject footers.
 *
 * A macro's value goes in as it is, once; characters that are not in
 * smtpd_expansion_filter become '_'.
 */
#ifndef SMTPD_TEXT_H
#define SMTPD_TEXT_H

#include "smtpd/smtpd_state.h"

/* Why a DNS list is the reason for a refusal: the $rbl_ macros. */
struct text_rbl {
	const char *class; /* "Client host", "Sender address", ... */
	const char *what;  /* address or name that is listed */
	const char *domain;
	const char *key;    /* of rbl_reply_maps: domain, with its filter */
	const char *reason; /* of the TXT records, or "" */
};

/* Read smtpd_expansion_filter. */
void smtpd_text_open(void);

/*
 * Append template with its macros replaced; rbl may be NULL. false: it makes
 * no sense, which was logged. *unknown counts names that do not exist, each of
 * which was logged and stands for nothing.
 */
bool smtpd_text_expand(struct smtpd *s, const struct text_rbl *rbl,
		       const char *template, struct buf *out,
		       unsigned *unknown);

/*
 * Take "554 text" apart. false: no code of class 4 or 5 with a space behind
 * it.
 */
bool smtpd_text_split(struct span reply, int *code, struct span *text);

#endif
