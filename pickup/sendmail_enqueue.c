/* SPDX-License-Identifier: MIT */
#include "pickup/sendmail.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/addr/rewrite.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/ipc/proto.h"
#include "lib/queue/submit.h"

enum {
	CHUNK = 64 * 1024,
	HEADER_MAX = 4 * 1024 * 1024, /* kept in memory for -t */
};

/* ---- who submits ---- */

struct user {
	char *name;
	char *full_name; /* or NULL */
	long uid;
};

/* The first part of the GECOS field; '&' is the login name, capitalized. */
static char *
gecos_name(const struct passwd *pw)
{
	struct buf out = BUF_INIT;

	for (const char *p = pw->pw_gecos; *p && !strchr(",;%", *p); p++) {
		if (*p != '&') {
			buf_append_byte(&out, *p);
			continue;
		}
		buf_append_cstr(&out, pw->pw_name);
		out.data[out.len - strlen(pw->pw_name)] =
		    (char)toupper((unsigned char)pw->pw_name[0]);
	}
	return out.len ? buf_steal(&out) : NULL;
}

static void
find_user(struct user *u)
{
	struct passwd *pw = getpwuid(getuid());

	u->uid = (long)getuid();
	if (!pw)
		log_fatal("unable to find the login name for user ID %ld",
			  u->uid);
	u->name = mem_strdup(pw->pw_name);
	u->full_name = gecos_name(pw);
}

/* ---- the envelope ---- */

struct addresses {
	char *first;
	size_t n;
};

static void
take_first(void *arg, struct span addr)
{
	struct addresses *a = arg;

	if (a->n++ == 0)
		a->first = mem_strndup(addr.data, addr.len);
}

/* Also "Name <user@site>"; "" and "<>" are the null sender. */
static char *
parse_sender(const char *text)
{
	struct addresses a = {NULL, 0};
	struct span trimmed = span_trim(span_of(text));

	if (trimmed.len == 0 || span_equal_cstr(trimmed, "<>"))
		return mem_strdup("");
	rewrite_header_scan(trimmed, take_first, &a);
	if (a.n != 1)
		log_warn("-f option specified malformed sender: %s", text);
	return a.first ? a.first : mem_strdup("");
}

static const char *
full_name(const struct sendmail_options *o, const struct user *u)
{
	const char *env = getenv("NAME");

	if (o->full_name)
		return o->full_name;
	return env && *env ? env : u->full_name;
}

/* It becomes part of one header line. */
static char *
one_line(const char *s)
{
	char *copy = mem_strdup(s);

	for (char *p = copy; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = ' ';
	return copy;
}

static void
fill_envelope(const struct sendmail_options *o, const struct user *u,
	      struct envelope *env)
{
	const char *name = full_name(o, u);

	env->sender = o->sender ? parse_sender(o->sender) : mem_strdup(u->name);
	if (name)
		env->full_name = one_line(name);
	env->encoding = o->encoding ? mem_strdup(o->encoding) : NULL;
	env->dsn_envid = o->envid ? one_line(o->envid) : NULL;
	env->dsn_ret = o->ret;
	env->rewrite = mem_strdup(o->gateway ? "remote" : "local");
	env->flags = o->flags | ENVELOPE_MAILDROP;
	for (size_t i = 0; i < o->recipients.n; i++)
		sendmail_add_recipients(env, span_of(o->recipients.v[i]),
					o->notify);
}

/* ---- the message ---- */

/* The way of the content: lines are completed, cleaned and passed on. */
struct input {
	const struct sendmail_options *o;
	struct submit *submit;
	struct buf pending; /* an incomplete line */
	struct buf header;  /* for -t: until the envelope can be sent */
	bool keep_header;
	bool started; /* the first line is done */
	bool within;  /* a long line's first part was passed on */
	bool strip_cr;
	bool dot; /* the final dot was seen */
};

static void
put(struct input *in, struct span text)
{
	if (in->keep_header)
		buf_append_span(&in->header, text);
	else
		submit_content(in->submit, text);
}

/* sendmail_fix_line_endings */
static void
decide_line_ends(struct input *in, struct span line)
{
	const char *how = conf->sendmail_fix_line_endings;

	if (!strcasecmp(how, "always"))
		in->strip_cr = true;
	else if (!strcasecmp(how, "strict"))
		in->strip_cr = line.len > 1 && line.data[line.len - 2] == '\r';
}

/* The empty line ends the header; so does too much of it. */
static bool
ends_header(const struct input *in, struct span line)
{
	return line.len == 0 || in->header.len > HEADER_MAX;
}

static bool
is_from_line(struct span line)
{
	while (line.len && line.data[0] == '>')
		line = span_from(line, 1);
	return line.len > 5 && !memcmp(line.data, "From ", 5);
}

static void
open_message(struct input *in, struct envelope *env, const struct user *u)
{
	in->keep_header = false;
	if (in->o->extract)
		sendmail_extract(env, buf_span(&in->header), in->o->notify);
	if (env->n_rcpts == 0)
		log_fatal("%s(%ld): No recipient addresses found in message "
			  "header",
			  u->name, u->uid);
	submit_envelope(in->submit, env);
	put(in, buf_span(&in->header));
	buf_free(&in->header);
}

/* line still has its LF. */
static void
take_line(struct input *in, struct span line, struct envelope *env,
	  const struct user *u)
{
	if (!in->started)
		decide_line_ends(in, line);
	line.len--;
	while (in->strip_cr && line.len && line.data[line.len - 1] == '\r')
		line.len--;
	if (!in->within && !in->o->keep_dot && span_equal_cstr(line, ".")) {
		in->dot = true;
		return;
	}
	if (!in->started && !in->within && is_from_line(line))
		return;
	in->within = false;
	in->started = true;
	put(in, line);
	put(in, span_of("\n"));
	if (in->keep_header && ends_header(in, line))
		open_message(in, env, u);
}

/* No line end in sight: pass on what there is, but for a CR at its end. */
static void
pass_long_line(struct input *in, struct envelope *env, const struct user *u)
{
	size_t n = in->pending.len;

	if (n < CHUNK)
		return;
	if (in->pending.data[n - 1] == '\r')
		n--;
	put(in, span_make(in->pending.data, n));
	buf_consume(&in->pending, n);
	in->within = true;
	if (in->keep_header && in->header.len > HEADER_MAX)
		open_message(in, env, u);
}

static void
take_chunk(struct input *in, struct span chunk, struct envelope *env,
	   const struct user *u)
{
	while (chunk.len && !in->dot) {
		long nl = span_find(chunk, '\n');
		size_t n = nl < 0 ? chunk.len : (size_t)nl + 1;
		struct span line = span_make(chunk.data, n);

		chunk = span_from(chunk, n);
		if (nl < 0) {
			buf_append_span(&in->pending, line);
			pass_long_line(in, env, u);
			return;
		}
		if (in->pending.len) {
			buf_append_span(&in->pending, line);
			take_line(in, buf_span(&in->pending), env, u);
			buf_reset(&in->pending);
		} else {
			take_line(in, line, env, u);
		}
	}
}

static void
read_message(struct input *in, struct envelope *env, const struct user *u)
{
	char *chunk = mem_alloc(CHUNK);

	while (!in->dot) {
		ssize_t n = read(STDIN_FILENO, chunk, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			log_fatal("%s(%ld): error reading input: %m", u->name,
				  u->uid);
		if (n == 0)
			break;
		take_chunk(in, span_make(chunk, (size_t)n), env, u);
	}
	if ((in->pending.len || in->within) && !in->dot)
		take_chunk(in, span_of("\n"), env, u);
	if (in->keep_header)
		open_message(in, env, u);
	buf_free(&in->pending);
	free(chunk);
}

static void
finish(struct submit *submit, const struct user *u)
{
	struct why why = WHY_INIT;

	if (submit_end(submit, &why))
		return;
	if (!strcmp(why.dsn, "5.7.0"))
		log_fatal("%s", buf_cstr(&why.text));
	if (why_class(&why) == WHY_BOUNCE)
		log_fatal("%s(%ld): %s", u->name, u->uid, buf_cstr(&why.text));
	log_fatal("%s(%ld): queue file write error", u->name, u->uid);
}

void
sendmail_enqueue(const struct sendmail_options *o)
{
	struct envelope env = ENVELOPE_INIT;
	struct input in = {.o = o, .keep_header = o->extract};
	struct why why = WHY_INIT;
	struct user u;

	find_user(&u);
	fill_envelope(o, &u, &env);
	if (env.n_rcpts == 0 && !o->extract)
		log_fatal("%s(%ld): Recipient addresses must be specified on "
			  "the command line or via the -t option",
			  u.name, u.uid);
	in.submit = submit_begin(&why);
	if (!in.submit)
		log_fatal("%s(%ld): queue file write error", u.name, u.uid);
	if (!in.keep_header)
		submit_envelope(in.submit, &env);
	/* -bv looks at addresses only. */
	if (!(o->flags & ENVELOPE_VERIFY))
		read_message(&in, &env, &u);
	finish(in.submit, &u);
	if (o->flags & (ENVELOPE_VERIFY | ENVELOPE_REPORT))
		printf("Mail Delivery Status Report will be mailed to "
		       "<%s>.\n",
		       env.sender);
	envelope_free(&env);
	free(u.name);
	free(u.full_name);
}
