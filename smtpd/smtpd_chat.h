/* SPDX-License-Identifier: MIT */
/* smtpd_chat - replies to the client, and the log lines about a session. */
#ifndef SMTPD_CHAT_H
#define SMTPD_CHAT_H

#include "smtpd/smtpd_state.h"

/*
 * One reply line without CR LF, "250 2.0.0 Ok" or "250-...". A reply of class
 * 4 or 5 counts as an error; 421 and 521 end the session after it. A client
 * with too many errors waits smtpd_error_sleep_time for each reply.
 */
void smtpd_reply(struct smtpd *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void smtpd_reply_why(struct smtpd *s, const struct why *why);

/*
 * debug_peer_list, or option -v: the lines of the session are logged, as
 * "< NAME[ADDR]: EHLO ..." and "> NAME[ADDR]: 250 ...". smtpd_chat_begin() is
 * called once the client is known, smtpd_chat_end() when it is gone.
 */
void smtpd_chat_open(void);
void smtpd_chat_begin(struct smtpd *s);
void smtpd_chat_end(struct smtpd *s);
/* A command line came: for that log, and for notices (smtpd_notice.h). What
 * AUTH sends with it stays out. */
void smtpd_chat_heard(struct smtpd *s, struct span line);

/*
 * "ID: WHAT: RCPT from NAME[ADDR]: TEXT; from=<..> to=<..> proto=.. helo=<..>"
 * where what is reject, hold, discard, warn, ...
 */
void smtpd_log_action(struct smtpd *s, const char *what, struct span text);
/* The same for a refusal; why is the reply. */
void smtpd_log_reject(struct smtpd *s, const char *what, const struct why *why);

/* Input as it may appear in a log: \ooo and \r \n, at most max bytes of it. */
void smtpd_escape(struct span text, size_t max, struct buf *out);

#endif
