/* SPDX-License-Identifier: MIT */
/*
 * smtpd_state - one SMTP session: the client, the transaction, the counters.
 *
 * One struct per connection, zeroed by smtpd_state_init(). What belongs to
 * the mail transaction is in struct smtpd_mail and is reset by
 * smtpd_mail_reset() alone, whichever command ends it. Nothing in it grows
 * without a limit: recipients are counted (smtpd_recipient_limit), texts come
 * from lines of at most line_length_limit bytes or from tables.
 */
#ifndef SMTPD_STATE_H
#define SMTPD_STATE_H

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/strvec.h"
#include "lib/cleanup/cleanup.h"
#include "lib/dsn/why.h"
#include "lib/route/route.h"
#include "lib/service/rate_table.h"
#include "lib/smtp/data.h"
#include "lib/smtp/stream.h"
#include "lib/smtp/transcript.h"
#include "lib/table/table.h"

/* What a name look-up of the client came to. */
enum peer_status {
	PEER_OK,
	PEER_TEMP, /* 450: try again */
	PEER_BAD,  /* 550: no such name, or it does not lead back */
};

struct smtpd_peer {
	struct buf name;         /* verified host name, or "unknown" */
	struct buf reverse_name; /* as the PTR record says, or "unknown" */
	struct buf addr;         /* "1.2.3.4", "2001:db8::1", or "unknown" */
	struct buf rfc_addr;     /* "1.2.3.4", "IPv6:2001:db8::1" */
	struct buf port;         /* decimal, or "unknown" */
	struct buf namaddr;      /* "name[addr]" for logs */
	struct buf server_addr, server_port;
	enum peer_status name_status;
	enum peer_status reverse_status;
};

/* What TLS agreed on; all empty while the session is in the clear. */
struct smtpd_tls {
	bool active;
	bool have_cert;              /* the client sent one */
	bool cert_trusted;           /* the client's, by a known authority */
	struct buf protocol, cipher; /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
	int cipher_bits, cipher_max_bits;
	/* of the client's certificate, when it sent one */
	struct buf subject, issuer; /* their common names */
	struct buf cert_fingerprint, key_fingerprint;
	struct buf received; /* lines of the Received: header */
};

/* Who the client is by SASL; username is empty until AUTH succeeded. */
struct smtpd_sasl {
	struct buf method, username;
	struct buf sender; /* AUTH= of MAIL FROM; goes with the transaction */
};

/* What XFORWARD says of the client that the next message is from; all empty
 * without it. It goes with the transaction. */
struct smtpd_forward {
	bool active;
	bool client; /* some of the first line below was said */
	struct buf name, addr, port, helo, proto;
	struct buf ident; /* queue id on the other host */
	bool local;       /* that host's own mail */
};

/* One accepted recipient. */
struct smtpd_rcpt {
	char *address; /* internal form */
	char *orcpt;   /* "rfc822;..." or NULL */
	int notify;
};

/* The content that arrives, by DATA or in chunks. */
enum smtpd_chunks {
	CHUNKS_NONE, /* no BDAT since MAIL or RSET */
	CHUNKS_GOOD,
	CHUNKS_FAILED, /* what comes until LAST or RSET is thrown away */
};

struct smtpd_content {
	enum smtpd_chunks chunks;
	struct data_reader reader;
	int64_t bytes;  /* of content, with our header */
	uint64_t begun; /* bytes of a line whose end has not come */
	bool too_big;
};

struct smtpd_mail {
	bool active;       /* MAIL was accepted */
	bool requiretls;   /* RFC 8689 */
	bool smtputf8;     /* the client asked for SMTPUTF8 (RFC 6531) */
	struct buf sender; /* internal form; "" is the null sender */
	struct buf encoding;
	struct buf envid;
	int ret;
	int64_t size; /* SIZE=, or 0 */
	struct smtpd_rcpt *rcpts;
	size_t n_rcpts, cap_rcpts;
	size_t n_refused; /* RCPT over the limit */
	/* One of these from the first accepted recipient on. */
	struct cleanup *cleanup;
	struct smtpd_drop *drop;
	struct smtpd_proxy *proxy;
	struct buf mail_arg; /* of MAIL as it came, for the filter */
	struct buf queue_id;
	struct buf instance; /* for policy servers, once one was asked */
	struct smtpd_content content;
	/* what access tables asked for */
	bool hold;
	bool discard;
	struct buf redirect, filter;
	struct strvec bcc, prepend;
};

struct smtpd_drop;
struct smtpd_milter;
struct smtpd_proxy;

/* What comes before a recipient, and with smtpd_delay_reject waits for it. */
enum smtpd_step { SMTPD_CONNECT, SMTPD_HELO, SMTPD_MAIL, SMTPD_STEPS };

/* Counters of one command, for the line that ends a session. */
struct smtpd_stat {
	unsigned good, all;
};

enum { SMTPD_COMMANDS_MAX = 24 };

struct smtpd {
	struct stream st;
	struct smtpd_peer peer;
	struct rate_key client; /* as limits count it, when counted */
	bool counted;
	struct buf helo;
	const char *protocol; /* SMTP or ESMTP */
	bool standalone;      /* sendmail -bs: mail goes to postdrop */
	bool unrestricted;    /* the same, and no restriction applies */
	unsigned ehlo_off;    /* EHLO_* keywords that were not offered */
	enum bare_policy bare;
	struct smtpd_tls tls;
	struct smtpd_sasl sasl;
	enum table_status xforward; /* may it be used? */
	struct smtpd_forward forward;
	struct smtpd_milter *milter; /* NULL: no milters */
	bool line_bare_lf;   /* the command in hand ended with a bare LF */
	bool in_data;        /* the connection was lost within the content */
	uint64_t data_bytes; /* bytes of that content, in whole lines */
	struct smtpd_mail mail;

	const char *where;    /* command in hand, for logs: "CONNECT", "RCPT" */
	struct buf recipient; /* the RCPT (VRFY) in hand, internal form */
	struct route route;   /* of recipient, when route_known */
	bool route_known;
	struct buf etrn_domain;
	unsigned n_mails; /* transactions that are over */
	unsigned errors;  /* since the last mail that was taken */
	unsigned junk;    /* NOOP, RSET, ... likewise */
	bool pipelining;  /* unauthorized, was logged */
	bool hangup;
	int verbose;                  /* of the process, without this peer */
	struct transcript transcript; /* for smtpd_notice */
	unsigned error_classes;       /* to tell the postmaster about */
	bool denied; /* at the start, without smtpd_delay_reject */
	struct smtpd_stat stats[SMTPD_COMMANDS_MAX];

	/* restrictions: see smtpd_access.h */
	struct why defer_if_permit, defer_if_reject;
	struct why put_off[SMTPD_STEPS]; /* defer_if_permit of each step */
	unsigned warn_if_reject;
	int access_depth;       /* access tables that name restrictions */
	bool config_error;      /* warn_if_reject does not hide that */
	struct htab *dns_lists; /* see smtpd_dnsxl.h */
};

void smtpd_state_init(struct smtpd *s, int in_fd, int out_fd);
void smtpd_state_free(struct smtpd *s);

/* End of a transaction, with all that belongs to it: after DATA, the last
 * BDAT, RSET, HELO, EHLO, XCLIENT, at the end. */
void smtpd_mail_reset(struct smtpd *s);
void smtpd_mail_add_rcpt(struct smtpd *s, struct span address,
			 const char *orcpt, int notify);

/* The queue id, or "NOQUEUE". */
const char *smtpd_queue_id(const struct smtpd *s);

#endif
