/* SPDX-License-Identifier: MIT */
/*
 * BDAT (RFC 3030): content in chunks of a length that the client says. The
 * bytes of a chunk are read in any case, since they follow the command
 * unasked: nothing in them can be taken for a command.
 */
#include "smtpd/smtpd_cmd.h"

#include "lib/base/log.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_data.h"
#include "smtpd/smtpd_rules.h"
#include "smtpd/smtpd_tls.h"

struct chunk {
	int64_t size; /* bytes that the client said */
	int64_t left; /* of them not read yet */
	bool last;
};

static bool
parse_chunk(struct span arg, struct chunk *c)
{
	struct span size, last, rest = arg;

	*c = (struct chunk){0};
	if (!span_next_token(&rest, " \t", &size) ||
	    !num_parse(size, 0, INT64_MAX, &c->size) || size.data[0] == '-')
		return false;
	c->left = c->size;
	if (!span_next_token(&rest, " \t", &last))
		return true;
	c->last = span_equal_cstr_nocase(last, "LAST");
	return c->last && span_trim(rest).len == 0;
}

/* ---- reading ---- */

/*
 * The next bytes of the chunk, as many as are there: they must be consumed
 * before the next call. false: the connection is lost.
 */
static bool
chunk_bytes(struct smtpd *s, struct chunk *c, char **p, size_t *len)
{
	*p = stream_peek(&s->st, len);
	if (*len == 0) {
		if (stream_fill(&s->st) != STREAM_OK) {
			s->in_data = true;
			return false;
		}
		*p = stream_peek(&s->st, len);
	}
	if ((int64_t)*len > c->left)
		*len = (size_t)c->left;
	c->left -= (int64_t)*len;
	return true;
}

static bool
skip_chunk(struct smtpd *s, struct chunk *c)
{
	char *p;
	size_t len;

	while (c->left > 0) {
		if (!chunk_bytes(s, c, &p, &len))
			return false;
		stream_consume(&s->st, len);
	}
	return true;
}

/* true: the whole chunk was content, or the content is refused by now. */
static bool
read_chunk(struct smtpd *s, struct chunk *c)
{
	struct smtpd_content *k = &s->mail.content;
	struct span held, out;
	char *p;
	size_t len;

	while (c->left > 0 && !k->too_big &&
	       !(k->reader.bare_lf && s->bare == BARE_REJECT)) {
		if (!chunk_bytes(s, c, &p, &len))
			return false;
		data_convert(&k->reader, p, len, &held, &out);
		if (held.len)
			smtpd_content_piece(s, held);
		if (out.len)
			smtpd_content_piece(s, out);
		stream_consume(&s->st, len);
	}
	return true;
}

/* ---- what becomes of a chunk ---- */

/* Call it before the reply: that may end the session by the errors. */
static void
chunk_failed(struct smtpd *s)
{
	s->mail.content.chunks = CHUNKS_FAILED;
}

/* After LAST nothing is left of the transaction, good or not. */
static bool
after_failure(struct smtpd *s, const struct chunk *c)
{
	if (c->last)
		smtpd_mail_reset(s);
	return false;
}

static bool
too_large(struct smtpd *s, struct chunk *c)
{
	if (conf->message_size_limit <= 0 ||
	    c->size <= conf->message_size_limit - (int64_t)s->data_bytes)
		return false;
	log_warn("%s: BDAT request from %s exceeds message size limit",
		 smtpd_queue_id(s), buf_cstr(&s->peer.namaddr));
	chunk_failed(s);
	if (skip_chunk(s, c))
		smtpd_reply(s, "552 5.3.4 Chunk exceeds message size limit");
	return true;
}

static bool
refuse_bare_lf(struct smtpd *s, const struct chunk *c)
{
	struct why why = WHY_INIT;

	if (!s->mail.content.reader.bare_lf || s->bare != BARE_REJECT)
		return false;
	rule_set_why(&why, conf->smtpd_forbid_bare_newline_reject_code, "5.2",
		     "%s Error: bare <LF> received", conf->myhostname);
	s->where = c->last ? "END-OF-MESSAGE" : "BDAT content";
	smtpd_log_action(s, "reject", span_of("bare <LF> received"));
	if (!c->last)
		s->where = "BDAT";
	smtpd_reply_why(s, &why);
	why_free(&why);
	return true;
}

/* The first chunk begins the content, if it may come. */
static bool
begin(struct smtpd *s, struct chunk *c)
{
	struct smtpd_content *k = &s->mail.content;
	bool ok;

	if (k->chunks == CHUNKS_GOOD)
		return true;
	s->data_bytes = 0;
	/* The reply comes behind the bytes. */
	chunk_failed(s);
	if (s->mail.n_rcpts == 0)
		return skip_chunk(s, c) && smtpd_content_has_rcpt(s);
	if (too_large(s, c))
		return false;
	ok = smtpd_content_permitted(s) && smtpd_content_begin(s);
	if (!ok)
		return skip_chunk(s, c) && false;
	data_init_chunked(&k->reader, s->bare);
	k->reader.keep_cr = !conf->cleanup_replace_stray_cr_lf;
	k->chunks = CHUNKS_GOOD;
	return true;
}

/* The last line may have no end, and the last byte be a CR. */
static void
complete_content(struct smtpd *s)
{
	struct smtpd_content *k = &s->mail.content;
	struct span held = data_held(&k->reader);

	if (held.len)
		smtpd_content_piece(s, held);
	if (k->begun)
		smtpd_content_piece(s, span_of("\n"));
}

static bool
take_chunk(struct smtpd *s, struct chunk *c)
{
	struct smtpd_content *k = &s->mail.content;

	if (too_large(s, c) || !read_chunk(s, c))
		return false;
	if (c->last && c->left == 0)
		complete_content(s);
	if (c->left > 0 || k->too_big ||
	    (k->reader.bare_lf && s->bare == BARE_REJECT)) {
		chunk_failed(s);
		if (skip_chunk(s, c) && !refuse_bare_lf(s, c))
			smtpd_reply(s, "552 5.3.4 Error: message file too big");
		return false;
	}
	if (c->last)
		return smtpd_content_end(s);
	smtpd_reply(s, "250 2.0.0 Ok: %lld bytes", (long long)c->size);
	return true;
}

static bool
bad_chunk(struct smtpd *s, struct span arg)
{
	log_warn("%s: malformed BDAT command syntax from %s: BDAT%s%.*s",
		 smtpd_queue_id(s), buf_cstr(&s->peer.namaddr),
		 arg.len ? " " : "", SPAN_ARG(arg));
	smtpd_reply(s, "521 5.5.4 Syntax: BDAT count [LAST]");
	return false;
}

static bool
null_chunk(struct smtpd *s)
{
	log_warn("%s: null BDAT request from %s", smtpd_queue_id(s),
		 buf_cstr(&s->peer.namaddr));
	chunk_failed(s);
	smtpd_reply(s, "551 5.7.1 Null BDAT request");
	return false;
}

/* Where TLS must come first: the chunk is read, and nothing more. */
static bool
refuse_clear(struct smtpd *s, struct span arg)
{
	struct chunk c;

	if (!parse_chunk(arg, &c) || skip_chunk(s, &c))
		smtpd_reply(s, "530 5.7.0 Must issue a STARTTLS command first");
	return false;
}

bool
smtpd_cmd_bdat(struct smtpd *s, struct span arg)
{
	struct chunk c;

	if (smtpd_tls_missing(s))
		return refuse_clear(s, arg);
	if (s->ehlo_off & EHLO_CHUNKING) {
		/* Its data follow at once: the session ends. */
		smtpd_reply(s, "521 5.5.1 Error: command not implemented");
		return false;
	}
	if (!parse_chunk(arg, &c))
		return bad_chunk(s, arg);
	if (c.size == 0 && !c.last)
		return null_chunk(s);
	if (s->mail.content.chunks == CHUNKS_FAILED) {
		if (!skip_chunk(s, &c))
			return false;
		smtpd_reply(
		    s, "551 5.0.0 Discarded %lld bytes after earlier error",
		    (long long)c.size);
		return after_failure(s, &c);
	}
	if (begin(s, &c) && take_chunk(s, &c))
		return true;
	return s->in_data ? false : after_failure(s, &c);
}
