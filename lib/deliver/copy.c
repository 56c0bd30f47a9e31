/* SPDX-License-Identifier: MIT */
#include "lib/deliver/copy.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/sys/io.h"

enum { CHUNK = 64 * 1024 };

static const char from_word[] = "From ";

/* What was held back because it could have become "From ". */
static void
release_match(struct copy_filter *f, struct buf *out)
{
	buf_append(out, from_word, f->match);
	f->match = 0;
	f->in_line = true;
}

static void
end_line(struct copy_filter *f, struct buf *out)
{
	if (f->eol)
		buf_append_cstr(out, f->eol);
	else
		buf_append_byte(out, '\n');
	f->in_line = false;
}

/* The first bytes of a line, one at a time, until it cannot be special. */
static void
line_start(struct copy_filter *f, char c, struct buf *out)
{
	if ((f->flags & COPY_QUOTE_FROM) && c == from_word[f->match]) {
		if (++f->match == sizeof(from_word) - 1) {
			buf_append_byte(out, '>');
			release_match(f, out);
		}
		return;
	}
	if (f->match)
		release_match(f, out);
	else if (c == '.' && (f->flags & COPY_QUOTE_DOT))
		buf_append_byte(out, '.');
	if (c == '\n') {
		end_line(f, out);
	} else {
		buf_append_byte(out, c);
		f->in_line = true;
	}
}

void
copy_filter_run(struct copy_filter *f, struct span piece, struct buf *out)
{
	const char *p = piece.data, *end = p + piece.len, *nl;

	f->any = f->any || piece.len > 0;
	while (p < end) {
		if (!f->in_line) {
			line_start(f, *p++, out);
			continue;
		}
		nl = memchr(p, '\n', (size_t)(end - p));
		buf_append(out, p, (size_t)((nl ? nl : end) - p));
		if (!nl)
			return;
		end_line(f, out);
		p = nl + 1;
	}
}

void
copy_filter_end(struct copy_filter *f, struct buf *out)
{
	if (f->match)
		release_match(f, out);
	if (f->in_line)
		end_line(f, out);
	if (f->flags & COPY_BLANK)
		end_line(f, out);
}

static enum copy_status
flush(struct buf *out, int fd, int64_t *written)
{
	if (out->len && !io_write_all(fd, out->data, out->len))
		return COPY_WRITE_ERROR;
	*written += (int64_t)out->len;
	buf_reset(out);
	return COPY_OK;
}

enum copy_status
copy_message(const struct copy_source *src, struct span head, unsigned flags,
	     const char *eol, int fd, int64_t *written)
{
	struct copy_filter f = {.flags = flags, .eol = eol};
	bool plain = flags == 0 && eol == NULL;
	enum copy_status st = COPY_OK;
	struct buf in = BUF_INIT, out = BUF_INIT;
	int64_t at = 0;

	*written = 0;
	buf_append_span(&out, head);
	while (st == COPY_OK && at < src->length) {
		int64_t left = src->length - at;
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		struct buf *to = plain ? &out : &in;

		buf_reserve(to, n);
		if (!io_pread_all(src->fd, to->data + to->len, n,
				  src->offset + at)) {
			st = COPY_READ_ERROR;
			break;
		}
		to->len += n;
		at += (int64_t)n;
		if (!plain) {
			copy_filter_run(&f, buf_span(&in), &out);
			buf_reset(&in);
		}
		if (at == src->length && !plain)
			copy_filter_end(&f, &out);
		if (at == src->length && plain && out.data[out.len - 1] != '\n')
			buf_append_byte(&out, '\n');
		st = flush(&out, fd, written);
	}
	if (st == COPY_OK && src->length == 0) {
		copy_filter_end(&f, &out);
		st = flush(&out, fd, written);
	}
	buf_free(&in);
	buf_free(&out);
	return st;
}

void
copy_from_line(const char *sender, const char *null_sender, int64_t now_usec,
	       struct buf *out)
{
	time_t now = (time_t)(now_usec / 1000000);
	char date[64] = "";
	struct tm tm;

	buf_append_cstr(out, from_word);
	if (*sender)
		addr_quote(span_of(sender), out);
	else
		buf_append_cstr(out,
				null_sender ? null_sender : "MAILER-DAEMON");
	if (localtime_r(&now, &tm))
		strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm);
	buf_printf(out, "  %s\n", date);
}

void
copy_header(const char *name, const char *address, bool brackets,
	    struct buf *out)
{
	size_t start;

	buf_printf(out, "%s: %s", name, brackets ? "<" : "");
	start = out->len;
	addr_quote(span_of(address), out);
	/* An address never starts a header line of its own. */
	for (size_t i = start; i < out->len; i++)
		if (out->data[i] == '\n' || out->data[i] == '\r' ||
		    out->data[i] == '\0')
			out->data[i] = '?';
	buf_append_cstr(out, brackets ? ">\n" : "\n");
}
