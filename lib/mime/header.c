/* SPDX-License-Identifier: MIT */
#include "lib/mime/header.h"

enum reader_state {
	AT_START, /* of a line, nothing collected */
	IN_NAME,
	IN_SPACE, /* between name and colon */
	IN_BODY,
	AT_NEXT, /* of a line, a header collected */
};

#define SENDER HEADER_ADDR_SENDER
#define RCPT HEADER_ADDR_RECIPIENT
#define EXTRACT HEADER_EXTRACT
#define RESENT HEADER_RESENT
#define MIME HEADER_IS_MIME

/* In alphabetical order: header_find() halves it. */
static const struct header_def defs[] = {
    {"apparently-to", HEADER_APPARENTLY_TO, RCPT},
    {"bcc", HEADER_BCC, RCPT | EXTRACT},
    {"cc", HEADER_CC, RCPT | EXTRACT},
    {"content-length", HEADER_CONTENT_LENGTH, 0},
    {"content-transfer-encoding", HEADER_CONTENT_TRANSFER_ENCODING, MIME},
    {"content-type", HEADER_CONTENT_TYPE, MIME},
    {"date", HEADER_DATE, 0},
    {"delivered-to", HEADER_DELIVERED_TO, 0},
    {"disposition-notification-to", HEADER_DISPOSITION_NOTIFICATION_TO, SENDER},
    {"errors-to", HEADER_ERRORS_TO, SENDER},
    {"from", HEADER_FROM, SENDER},
    {"mail-followup-to", HEADER_MAIL_FOLLOWUP_TO, SENDER},
    {"message-id", HEADER_MESSAGE_ID, 0},
    {"mime-version", HEADER_MIME, MIME},
    {"received", HEADER_RECEIVED, 0},
    {"reply-to", HEADER_REPLY_TO, SENDER},
    {"resent-bcc", HEADER_RESENT_BCC, RCPT | EXTRACT | RESENT},
    {"resent-cc", HEADER_RESENT_CC, RCPT | EXTRACT | RESENT},
    {"resent-date", HEADER_RESENT_DATE, RESENT},
    {"resent-from", HEADER_RESENT_FROM, SENDER | RESENT},
    {"resent-message-id", HEADER_RESENT_MESSAGE_ID, RESENT},
    {"resent-reply-to", HEADER_RESENT_REPLY_TO, RCPT | RESENT},
    {"resent-sender", HEADER_RESENT_SENDER, SENDER | RESENT},
    {"resent-to", HEADER_RESENT_TO, RCPT | EXTRACT | RESENT},
    {"return-path", HEADER_RETURN_PATH, SENDER},
    {"return-receipt-to", HEADER_RETURN_RECEIPT_TO, SENDER},
    {"sender", HEADER_SENDER, SENDER},
    {"subject", HEADER_SUBJECT, 0},
    {"to", HEADER_TO, RCPT | EXTRACT},
};

static const struct header_def other_def = {"", HEADER_OTHER, 0};
static const struct header_def mime_def = {"content-", HEADER_MIME, MIME};

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Order of name against the lower-case key. */
static int
compare(struct span name, const char *key)
{
	for (size_t i = 0; i < name.len; i++) {
		int d =
		    (unsigned char)lower(name.data[i]) - (unsigned char)key[i];

		if (d || !key[i])
			return d ? d : 1;
	}
	return key[name.len] ? -1 : 0;
}

const struct header_def *
header_find(struct span name)
{
	size_t low = 0, high = sizeof(defs) / sizeof(*defs);

	while (low < high) {
		size_t mid = (low + high) / 2;
		int d = compare(name, defs[mid].name);

		if (d == 0)
			return &defs[mid];
		if (d < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return span_starts_nocase(name, "content-") ? &mime_def : &other_def;
}

struct span
header_name(struct span header)
{
	long colon = span_find(header, ':');

	return span_trim(span_make(header.data, colon < 0 ? 0 : (size_t)colon));
}

struct span
header_body(struct span header)
{
	long colon = span_find(header, ':');

	return colon < 0 ? span_make("", 0)
			 : span_from(header, (size_t)colon + 1);
}

/* RFC 5322 section 3.6.8: printable ASCII without the colon. */
static bool
is_name_byte(unsigned char c)
{
	return c > 32 && c < 127 && c != ':';
}

bool
header_is_valid(struct span line)
{
	size_t i = 0;

	while (i < line.len && is_name_byte((unsigned char)line.data[i]))
		i++;
	if (i == 0)
		return false;
	while (i < line.len && (line.data[i] == ' ' || line.data[i] == '\t'))
		i++;
	return i < line.len && line.data[i] == ':';
}

void
header_reader_init(struct header_reader *r, size_t limit)
{
	buf_reset(&r->text);
	r->limit = limit;
	r->state = AT_START;
	buf_reset(&r->space);
	r->ended = false;
}

void
header_reader_free(struct header_reader *r)
{
	buf_free(&r->text);
	buf_free(&r->space);
}

static void
add_text(struct header_reader *r, struct span s)
{
	size_t room = r->text.len < r->limit ? r->limit - r->text.len : 0;

	buf_append(&r->text, s.data, s.len < room ? s.len : room);
}

static void
give_header(struct header_reader *r, const struct header_events *ev, void *arg)
{
	if (r->text.len && r->text.data[r->text.len - 1] == '\n')
		buf_truncate(&r->text, r->text.len - 1);
	ev->header(arg, buf_span(&r->text));
	buf_reset(&r->text);
}

static void
give_end(struct header_reader *r, const struct header_events *ev, void *arg,
	 bool empty_line)
{
	/* A name that turned out to be none keeps its white space. */
	buf_append_span(&r->text, buf_span(&r->space));
	buf_reset(&r->space);
	r->ended = true;
	ev->end(arg, empty_line, buf_span(&r->text));
	buf_reset(&r->text);
}

/* One byte of a name; false: the line is no header. */
static bool
name_byte(struct header_reader *r, char c)
{
	if (c == ':' && r->text.len) {
		buf_reset(&r->space);
		r->state = IN_BODY;
	} else if ((c == ' ' || c == '\t') && r->text.len &&
		   r->space.len < r->limit) {
		r->state = IN_SPACE;
		buf_append_byte(&r->space, c);
		return true;
	} else if (r->state == IN_SPACE || !is_name_byte((unsigned char)c) ||
		   r->text.len >= r->limit) {
		return false;
	}
	buf_append_byte(&r->text, c);
	return true;
}

/* The first byte of a line behind a header: does that go on? */
static bool
next_line(struct header_reader *r, char c, const struct header_events *ev,
	  void *arg)
{
	if (c == ' ' || c == '\t') {
		r->state = IN_BODY;
		return true;
	}
	give_header(r, ev, arg);
	r->state = AT_START;
	return false;
}

/* The body of a header, to the end of its line. Returns bytes used. */
static size_t
read_body(struct header_reader *r, struct span s)
{
	long nl = span_find(s, '\n');
	size_t n = nl < 0 ? s.len : (size_t)nl + 1;

	add_text(r, span_make(s.data, n));
	if (nl >= 0)
		r->state = AT_NEXT;
	return n;
}

size_t
header_reader_feed(struct header_reader *r, struct span piece,
		   const struct header_events *ev, void *arg)
{
	size_t i = 0;

	while (i < piece.len && !r->ended) {
		if (r->state == IN_BODY) {
			i += read_body(r, span_from(piece, i));
			continue;
		}
		if (r->state == AT_NEXT && next_line(r, piece.data[i], ev, arg))
			continue;
		if (r->state == AT_START && piece.data[i] == '\n') {
			give_end(r, ev, arg, true);
			return i + 1;
		}
		if (r->state == AT_START)
			r->state = IN_NAME;
		if (!name_byte(r, piece.data[i]))
			give_end(r, ev, arg, false);
		else
			i++;
	}
	return i;
}

void
header_reader_finish(struct header_reader *r, const struct header_events *ev,
		     void *arg)
{
	if (r->ended)
		return;
	if (r->state == IN_BODY || r->state == AT_NEXT)
		give_header(r, ev, arg);
	give_end(r, ev, arg, false);
}
