/* SPDX-License-Identifier: MIT */
#include "tests/unit/queue_fixture.h"

#include <time.h>

#include "lib/cleanup/cleanup.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/ipc/proto.h"
#include "lib/route/route.h"
#include "lib/sys/io.h"

/* ---- what a message became ---- */

static struct buf content, logged;
static char list_text[4096]; /* recipients, "address<orig transport;" */
static unsigned env_flags;
static char env_encoding[16], env_sender[256], env_filter[256];

static void
catch_log(enum log_level level, const char *process, const char *line)
{
	(void)level;
	if (process)
		buf_printf(&logged, "%s: %s\n", process, line);
}

static bool
on_listing(void *arg, const struct queue_listing *l)
{
	const struct envelope *e = l->env;
	size_t at = 0;

	(void)arg;
	buf_reset(&content);
	buf_reserve(&content, (size_t)l->place->content_length);
	assert_true(io_pread_all(l->place->fd, content.data,
				 (size_t)l->place->content_length,
				 l->place->content_offset));
	content.len = (size_t)l->place->content_length;
	content.data[content.len] = '\0';
	for (size_t i = 0; i < e->n_rcpts; i++)
		at += (size_t)snprintf(
		    list_text + at, sizeof(list_text) - at, "%s%s%s %s:%s;",
		    e->rcpts[i].address, e->rcpts[i].orig_to ? "<" : "",
		    e->rcpts[i].orig_to ? e->rcpts[i].orig_to : "",
		    e->rcpts[i].transport, e->rcpts[i].nexthop);
	env_flags = e->flags;
	snprintf(env_encoding, sizeof(env_encoding), "%s",
		 e->encoding ? e->encoding : "");
	snprintf(env_sender, sizeof(env_sender), "%s", e->sender);
	snprintf(env_filter, sizeof(env_filter), "%s",
		 e->filter ? e->filter : "");
	return false;
}

struct message {
	enum cleanup_origin origin;
	const char *sender, *full_name;
	const char *rcpts[6];
	unsigned flags;
	const char *rewrite;
	size_t step;
};

static struct why result;
static char last_id[QUEUE_ID_MAX];

static bool
run(const struct message *m, const char *text)
{
	struct cleanup *c = cleanup_begin(m->origin, &result);
	struct envelope *e = cleanup_envelope(c);
	struct span s = span_of(text);
	bool ok;

	snprintf(last_id, sizeof(last_id), "%s", cleanup_id(c));
	buf_reset(&logged);
	e->sender = mem_strdup(m->sender ? m->sender : "s@ext.net");
	e->full_name = m->full_name ? mem_strdup(m->full_name) : NULL;
	e->flags = m->flags;
	if (m->rewrite)
		e->rewrite = mem_strdup(m->rewrite);
	if (m->origin == CLEANUP_SMTPD) {
		e->client_name = mem_strdup("localhost");
		e->client_addr = mem_strdup("127.0.0.1");
		e->client_proto = mem_strdup("ESMTP");
		e->client_helo = mem_strdup("h.ext.net");
	}
	for (size_t i = 0; m->rcpts[i]; i++)
		cleanup_recipient(c, span_of(m->rcpts[i]), NULL, NULL, 0);
	cleanup_prepend_header(c, span_of("Received: by me\n\tid x\n"));
	while (s.len) {
		size_t n = m->step && m->step < s.len ? m->step : s.len;

		cleanup_content(c, span_make(s.data, n));
		s = span_from(s, n);
	}
	ok = cleanup_end(c, &result);
	list_text[0] = '\0';
	buf_reset(&content);
	if (ok)
		queue_list(last_id, on_listing, NULL);
	return ok;
}

#define RECEIVED "Received: by me\n\tid x\n"

/* The content, in one piece and byte by byte. */
static void
check(struct message m, const char *in, const char *want)
{
	if (!m.rcpts[0] && !(m.flags & ENVELOPE_EXTRACT))
		m.rcpts[0] = "r@other.net";
	for (m.step = 0; m.step < 2; m.step++) {
		assert_true(run(&m, in));
		assert_string_equal(buf_cstr(&content), want);
	}
}

static void
check_refused(struct message m, const char *in, int code, const char *dsn,
	      const char *text)
{
	m.rcpts[0] = m.rcpts[0] ? m.rcpts[0] : "r@other.net";
	assert_false(run(&m, in));
	assert_int_equal(result.code, code);
	assert_string_equal(result.dsn, dsn);
	assert_string_equal(buf_cstr(&result.text), text);
}

static void
check_log(const char *want)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "cleanup: %s: %s\n", last_id, want);
	if (!strstr(buf_cstr(&logged), buf_cstr(&line)))
		fail_msg("not logged: %s\n%s", buf_cstr(&line),
			 buf_cstr(&logged));
	buf_free(&line);
}

static void
check_warned(const char *want)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "cleanup: warning: %s: %s\n", last_id, want);
	assert_non_null(strstr(buf_cstr(&logged), buf_cstr(&line)));
	buf_free(&line);
}

static const struct message remote = {.origin = CLEANUP_SMTPD};
static const struct message local = {.origin = CLEANUP_PICKUP,
				     .rewrite = "local"};

/* ---- headers ---- */

static void
test_remote(void **state)
{
	(void)state;
	check(remote, "Subject: x\nTo: a,b\n\nhi\n",
	      RECEIVED "Subject: x\nTo: a,b\n\nhi\n");
	check_log("message-id=<>");
	check(remote, "Subject: x\nbad line\n\nhi\n",
	      RECEIVED "Subject: x\n\nbad line\n\nhi\n");
	check(remote, "\nhi\n", RECEIVED "\nhi\n");
	check(remote, "hi\n", RECEIVED "\nhi\n");
	check(remote, "hi", RECEIVED "\nhi");
	check(remote, "", RECEIVED);
	check(remote, "From joe Mon\nSubject: x\n\nb\n",
	      RECEIVED "X-Mailbox-Line: From joe Mon\nSubject: x\n\nb\n");
	check(remote, ">From joe Mon\n\nb\n",
	      RECEIVED "X-Mailbox-Line: >From joe Mon\n\nb\n");
	check(remote, "A: b\nFrom joe\n", RECEIVED "A: b\n\nFrom joe\n");
	check(remote, "From ", RECEIVED "\nFrom ");
	check(remote, "Subject: x\n", RECEIVED "Subject: x\n");
	check(remote, "Subject: x\n\n", RECEIVED "Subject: x\n\n");
	check(remote,
	      "Bcc: a,\n b\nSubject: x\nReturn-Path: y\nContent-Length: 1\n"
	      "Message-Id: <a b> foo\nResent-Bcc: z\nx-drop: 1\n\n",
	      RECEIVED "Subject: x\nMessage-Id: <a b> foo\n\n");
	check_log("message-id=<a b> foo");
	check(remote, "Message-ID:\n <foo@bar>\n\n",
	      RECEIVED "Message-ID:\n <foo@bar>\n\n");
	check_log("message-id=<foo@bar>");
	assert_string_equal(env_encoding, "");
	check(remote, "Content-Transfer-Encoding: 8BIT\n\n\xfc",
	      RECEIVED "Content-Transfer-Encoding: 8BIT\n\n\xfc");
	assert_string_equal(env_encoding, "8bit");
	assert_string_equal(list_text, "r@other.net smtp:other.net;");
}

static void
test_local(void **state)
{
	struct message m = local;
	char want[512];

	(void)state;
	m.sender = "joe";
	m.full_name = "Joe Q. Public";
	check(m, "To: a, B <b@h>\nMessage-Id: <1>\nDate: x\n\nb\n",
	      RECEIVED "To: a@mx.example.org, B <b@h.example.org>\n"
		       "Message-Id: <1>\nDate: x\n"
		       "From: \"Joe Q. Public\" <joe@mx.example.org>\n\nb\n");
	assert_string_equal(env_sender, "joe@mx.example.org");
	m.full_name = "Joe Blow";
	check(m, "Message-Id: <1>\nDate: x\n\nb\n",
	      RECEIVED "Message-Id: <1>\nDate: x\n"
		       "From: Joe Blow <joe@mx.example.org>\n"
		       "To: undisclosed-recipients:;\n\nb\n");
	fixture_conf.header_from_format = "obsolete";
	check(m, "Cc: x@y.z\nMessage-Id: <1>\nDate: x\n\nb\n",
	      RECEIVED "Cc: x@y.z\nMessage-Id: <1>\nDate: x\n"
		       "From: joe@mx.example.org (Joe Blow)\n\nb\n");
	fixture_conf.header_from_format = "standard";
	m.full_name = NULL;
	m.sender = "";
	check(m, "To: a@b.c\nMessage-Id: <1>\nDate: x\n\nb\n",
	      RECEIVED "To: a@b.c\nMessage-Id: <1>\nDate: x\n"
		       "From: MAILER-DAEMON\n\nb\n");
	check(m,
	      "Resent-To: a\nResent-From: q\nResent-Date: z\n"
	      "Resent-Message-Id: <2>\n\nb\n",
	      RECEIVED "Resent-To: a@mx.example.org\n"
		       "Resent-From: q@mx.example.org\nResent-Date: z\n"
		       "Resent-Message-Id: <2>\n\nb\n");
	check_log("resent-message-id=<2>");
	check_log("message-id=<>");
	assert_true(run(&m, "From: a@b.c\nTo: a@b.c\nDate: x\n\nb\n") == false);
	m.rcpts[0] = "r@other.net";
	assert_true(run(&m, "From: a@b.c\nTo: a@b.c\nDate: x\n\nb\n"));
	snprintf(want, sizeof(want), ".%s@mx.example.org>\n\nb\n", last_id);
	assert_non_null(strstr(buf_cstr(&content), want));
	assert_non_null(strstr(buf_cstr(&content), "\nMessage-Id: <2"));
	assert_true(run(&m, "From: a@b.c\nTo: a@b.c\nMessage-Id: <1>\n\nb\n"));
	assert_non_null(strstr(buf_cstr(&content), "\nDate: "));
}

static void
test_limits(void **state)
{
	(void)state;
	fixture_conf.hopcount_limit = 3;
	check_refused(remote, "Received: a\nReceived: b\n\nx\n", 554, "5.4.0",
		      "Error: too many hops");
	check_warned("message rejected: hopcount exceeded");
	check(remote, "Received: a\n\nx\n", RECEIVED "Received: a\n\nx\n");
	fixture_conf.hopcount_limit = 50;
	fixture_conf.message_size_limit = 100;
	check_refused(remote,
		      "A: b\n\n0123456789012345678901234567890123456789"
		      "0123456789012345678901234567890123456789"
		      "0123456789012345678901234567890123456789\n",
		      552, "5.3.4", "Error: message file too big");
	fixture_conf.message_size_limit = 0;
	fixture_conf.header_size_limit = 30;
	check(remote, "X: 0123456789012345678901234567890123456789\nY: z\n\n",
	      RECEIVED "X: 012345678901234567890123456\nY: z\n\n");
	fixture_conf.header_size_limit = 102400;
}

/* ---- recipients ---- */

static void
check_rcpts(struct message m, const char *in, const char *want)
{
	assert_true(run(&m, in));
	assert_string_equal(list_text, want);
}

static void
test_aliases(void **state)
{
	struct message m = remote;

	(void)state;
	m.rcpts[0] = "list@x.test";
	m.rcpts[1] = "joe+foo@d3.test";
	check_rcpts(m, "\n",
		    "exp1@y.test<list@x.test smtp:y.test;"
		    "exp2@y.test<list@x.test smtp:y.test;"
		    "joe+foo@x.test<joe+foo@d3.test smtp:x.test;");
	m.rcpts[0] = "multi+x@d8.test";
	m.rcpts[1] = NULL;
	check_rcpts(m, "\n",
		    "a+x@x.test<multi+x@d8.test smtp:x.test;"
		    "plain+x@mx.example.org<multi+x@d8.test "
		    "local:mx.example.org;");
	m.rcpts[0] = "self@d7.test";
	check_rcpts(m, "\n",
		    "self@d7.test smtp:d7.test;"
		    "other@x.test<self@d7.test smtp:x.test;");
	m.rcpts[0] = "c2+e@x.test";
	check_rcpts(m, "\n", "c4+e@x.test<c2+e@x.test smtp:x.test;");
	check_refused((struct message){.origin = CLEANUP_SMTPD,
				       .rcpts = {"loop1@d7.test"}},
		      "\n", 451, "4.6.0", "Alias expansion error");
	check_warned("unreasonable virtual_alias_maps map nesting for "
		     "loop1@d7.test -- message not accepted, try again "
		     "later");
	fixture_conf.virtual_alias_expansion_limit = 1;
	check_refused(
	    (struct message){.origin = CLEANUP_SMTPD, .rcpts = {"list@x.test"}},
	    "\n", 451, "4.6.0", "Alias expansion error");
	fixture_conf.virtual_alias_expansion_limit = 1000;
	m.rcpts[0] = "h";
	m.rcpts[1] = "H";
	m.rcpts[2] = "h@mx.example.org";
	check_rcpts(m, "\n",
		    "h@mx.example.org<h local:mx.example.org;"
		    "h@mx.example.org local:mx.example.org;");
	fixture_conf.enable_original_recipient = false;
	check_rcpts(m, "\n", "h@mx.example.org local:mx.example.org;");
	fixture_conf.enable_original_recipient = true;
	fixture_conf.receive_override_options = "no_address_mappings";
	m.rcpts[0] = "list@x.test";
	m.rcpts[1] = NULL;
	check_rcpts(m, "\n", "list@x.test smtp:x.test;");
	fixture_conf.receive_override_options = "";
}

static void
test_bcc(void **state)
{
	struct message m = remote;

	(void)state;
	m.sender = "bccme@x.test";
	m.rcpts[0] = "u@x.test";
	fixture_conf.always_bcc = "always@bcc.test";
	check_rcpts(m, "\n",
		    "sbcc@bcc.test smtp:bcc.test;u@x.test smtp:x.test;"
		    "rbcc@bcc.test smtp:bcc.test;"
		    "always@bcc.test smtp:bcc.test;");
	m.origin = CLEANUP_FORWARD;
	check_rcpts(m, "\n", "u@x.test smtp:x.test;");
	fixture_conf.always_bcc = "";
}

static void
test_extract(void **state)
{
	struct message m = local;

	(void)state;
	m.flags = ENVELOPE_EXTRACT;
	check_rcpts(m, "To: a, \"b c\"@d <x>\nCc: g: e@f.g;\nBcc: h,h\n\n",
		    "a@mx.example.org<a local:mx.example.org;"
		    "x@mx.example.org<x local:mx.example.org;"
		    "e@f.g smtp:f.g;h@mx.example.org<h local:mx.example.org;");
	m.rcpts[0] = "argv@x.test";
	check_rcpts(m, "To: a\nResent-To: r1@x.y\nResent-Bcc: r2@x.y\n\n",
		    "argv@x.test smtp:x.test;r1@x.y smtp:x.y;"
		    "r2@x.y smtp:x.y;");
	m.rcpts[0] = NULL;
	assert_false(run(&m, "Subject: x\n\n"));
	assert_string_equal(result.dsn, "5.1.0");
}

static void
test_bad_address(void **state)
{
	struct message m = remote;

	(void)state;
	m.rcpts[0] = "x@1.2.3.4";
	m.rcpts[1] = "y@z.test";
	check_rcpts(m, "\n",
		    "x@1.2.3.4 error:5.1.3 bad address syntax;"
		    "y@z.test smtp:z.test;");
}

static void
test_canonical(void **state)
{
	struct message m = local;

	(void)state;
	m.sender = "a@sc.test";
	m.rcpts[0] = "b@sc.test";
	check(m,
	      "From: a@sc.test\nTo: d@sc.test\nResent-Reply-To: q@sc.test\n"
	      "Resent-Message-Id: <1>\nResent-Date: x\nResent-From: a@b.c\n"
	      "Resent-To: x@y.z\nMail-Followup-To: j@sc.test\n\n",
	      RECEIVED
	      "From: s@canon.test\nTo: r@canon.test\n"
	      "Resent-Reply-To: r@canon.test\n"
	      "Resent-Message-Id: <1>\nResent-Date: x\nResent-From: a@b.c\n"
	      "Resent-To: x@y.z\nMail-Followup-To: s@canon.test\n\n");
	assert_string_equal(env_sender, "s@canon.test");
	assert_string_equal(list_text,
			    "r@canon.test<b@sc.test smtp:canon.test;");
	/* remote headers are left alone */
	m.rewrite = "remote";
	check(m, "From: a@sc.test\n\n", RECEIVED "From: a@sc.test\n\n");
}

static void
test_masquerade(void **state)
{
	struct message m = local;

	(void)state;
	fixture_conf.masquerade_domains = "!in.ex.org ex.org";
	m.sender = "u@h.ex.org";
	check(m,
	      "From: root@h.ex.org\nSender: u@h.ex.org\nTo: x@in.ex.org\n"
	      "Message-Id: <1>\nDate: d\n\n",
	      RECEIVED "From: root@h.ex.org\nSender: u@ex.org\n"
		       "To: x@in.ex.org\nMessage-Id: <1>\nDate: d\n\n");
	assert_string_equal(env_sender, "u@ex.org");
	fixture_conf.masquerade_domains = "";
}

/* ---- checks ---- */

#define CONTEXT                                                          \
	" from localhost[127.0.0.1]; from=<s@ext.net> to=<r@other.net> " \
	"proto=ESMTP helo=<h.ext.net>"

static void
test_header_checks(void **state)
{
	(void)state;
	check_refused(remote, "Subject: reject\n\n", 550, "5.7.1",
		      "message content rejected");
	check_log("reject: header Subject: reject" CONTEXT
		  ": 5.7.1 message content rejected");
	check_refused(remote, "Subject: rej4dsn\n\n", 451, "4.6.7",
		      "some text");
	check(remote, "Subject: warn\n\n", RECEIVED "Subject: warn\n\n");
	check_log("warning: header Subject: warn" CONTEXT ": warning text");
	check(remote, "Subject: fold\n x\n\n",
	      RECEIVED "Subject: fold\n x\n\n");
	check_log("warning: header Subject: fold? x" CONTEXT);
	check(remote, "Subject: ignore\nA: b\n\n", RECEIVED "A: b\n\n");
	check(remote, "Subject: strip\n\n", RECEIVED "\n");
	check_log("strip: header Subject: strip" CONTEXT ": strip text");
	check(remote, "Subject: replace a\n\n", RECEIVED "Subject: was a\n\n");
	check_log("replace: header Subject: replace a" CONTEXT
		  ": Subject: was a");
	check(remote, "Subject: prepend\n\n",
	      RECEIVED "X-Pre: hello\nSubject: prepend\n\n");
	check(remote, "Subject: hold\n\n", RECEIVED "Subject: hold\n\n");
	assert_true(env_flags & ENVELOPE_HOLD);
	check(remote, "Subject: filter\n\n", RECEIVED "Subject: filter\n\n");
	assert_string_equal(env_filter, "f:[1.2.3.4]");
	assert_string_equal(list_text, "r@other.net f:[1.2.3.4];");
	check(remote, "Subject: redirect\n\n",
	      RECEIVED "Subject: redirect\n\n");
	assert_string_equal(list_text, "redir@x.test smtp:x.test;");
	check(remote, "Subject: bcc\n\n", RECEIVED "Subject: bcc\n\n");
	assert_string_equal(list_text, "r@other.net smtp:other.net;"
				       "bcc@x.test smtp:x.test;");
	check(remote, "Subject: discard\n\nx\n", "");
	check_log("discard: header Subject: discard" CONTEXT);
	check(remote, "Subject: unknown\n\n", RECEIVED "Subject: unknown\n\n");
	assert_non_null(strstr(buf_cstr(&logged),
			       "cleanup: warning: unknown command in "
			       "header_checks map: FOO bar\n"));
	check_log("message-id=<>");
	check_refused(remote, "Content-Type: x-reject\n\n", 550, "5.7.1",
		      "mimerej");
}

static void
test_body_checks(void **state)
{
	struct message m = remote;
	const char *mime =
	    "Content-Type: multipart/mixed; boundary=\"bb\"\n\npre\n--bb\n"
	    "Content-Foo: ign\nContent-Foo: repl\nSubject: warn\n\nx\n--bb\n"
	    "Content-Type: message/rfc822\n\nSubject: nested\n\nbodyprep\n"
	    "--bb--\nepi";

	(void)state;
	check_refused(remote, "A: b\n\nx\nbodyrej\n", 550, "5.7.1", "bodytext");
	check_log("reject: body bodyrej" CONTEXT ": 5.7.1 bodytext");
	check(remote, "A: b\n\nx\nbodyign\nbodyrepl\ny",
	      RECEIVED "A: b\n\nx\nwas replaced\ny");
	check(remote, mime,
	      RECEIVED "Content-Type: multipart/mixed; boundary=\"bb\"\n\n"
		       "pre\n--bb\nContent-Foo: done\nSubject: warn\n\nx\n"
		       "--bb\nContent-Type: message/rfc822\n\nSubject: nested\n"
		       "\nwas prepended\nbodyprep\n--bb--\nepi");
	check_log("warning: header Subject: nested" CONTEXT ": nested");
	m.origin = CLEANUP_FORWARD;
	m.rewrite = "remote";
	check(m, "A: b\n\nbodyrej\n", RECEIVED "A: b\n\nbodyrej\n");
	fixture_conf.receive_override_options = "no_header_body_checks";
	check(remote, "Subject: reject\n\nbodyrej\n",
	      RECEIVED "Subject: reject\n\nbodyrej\n");
	fixture_conf.receive_override_options = "";
}

static void
test_characters(void **state)
{
	(void)state;
	fixture_conf.message_reject_characters = "\\001\\t";
	fixture_conf.message_strip_characters = "\\002\\001%";
	cleanup_chars_open();
	check((struct message){.origin = CLEANUP_FORWARD, .rewrite = "remote"},
	      "A: b%\n\n%\001\n", RECEIVED "A: b%\n\n%\001\n");
	check_refused(remote, "A: b\n\nz\001y\n", 550, "5.7.1",
		      "disallowed character");
	/* our own Received: has a tab */
	check_log("reject: content ?id x" CONTEXT
		  ": 5.7.1 disallowed character");
	fixture_conf.message_reject_characters = "\\001";
	cleanup_chars_open();
	check_refused(remote, "A: b\n\nz\001y\n", 550, "5.7.1",
		      "disallowed character");
	check_log("reject: content z?y" CONTEXT ": 5.7.1 disallowed character");
	check(remote, "A: %b\002\n\n%x%\n", RECEIVED "A: b\n\nx\n");
	fixture_conf.message_reject_characters = "";
	fixture_conf.message_strip_characters = "";
	cleanup_chars_open();
	check(remote, "A: %b\n\n", RECEIVED "A: %b\n\n");
}

static void
test_abort(void **state)
{
	struct cleanup *c;

	(void)state;
	c = cleanup_begin(CLEANUP_SMTPD, &result);
	cleanup_recipient(c, span_of("a@b.c"), "x", "rfc822;x", 0);
	cleanup_content(c, span_of("Subject: x\n\nbody"));
	assert_false(cleanup_failed(c));
	cleanup_abort(c);
	cleanup_abort(NULL);
}

/* ---- configuration ---- */

static const char *
table(const char *name, const char *type, const char *lines)
{
	char *spec = mem_sprintf("%s:%s/%s", type, fixture_dir, name);
	FILE *f = fopen(strchr(spec, ':') + 1, "w");

	assert_non_null(f);
	fputs(lines, f);
	fclose(f);
	return spec;
}

static void
configure_addresses(struct conf *c)
{
	c->swap_bangpath = c->allow_percent_hack = true;
	c->append_at_myorigin = c->append_dot_mydomain = true;
	c->resolve_dequoted_address = true;
	c->show_user_unknown_table_name = true;
	c->myhostname = c->myorigin = "mx.example.org";
	c->mydomain = "example.org";
	c->inet_interfaces = "127.0.0.1";
	c->inet_protocols = "ipv4";
	c->mydestination = "mx.example.org";
	c->recipient_delimiter = "+";
	c->empty_address_recipient = "MAILER-DAEMON";
	c->local_transport = "local:mx.example.org";
	c->default_transport = "smtp";
	c->propagate_unmatched_extensions = "canonical, virtual";
	c->header_address_token_limit = 10240;
	c->canonical_classes = "envelope_sender, envelope_recipient, "
			       "header_sender, header_recipient";
	c->sender_canonical_classes = "envelope_sender, header_sender";
	c->recipient_canonical_classes = "envelope_recipient, header_recipient";
	c->masquerade_classes =
	    "envelope_sender, header_sender, header_recipient";
	c->masquerade_exceptions = "root";
}

static void
configure_limits(struct conf *c)
{
	c->header_size_limit = 102400;
	c->hopcount_limit = 50;
	c->mime_nesting_limit = 100;
	c->mime_boundary_length_limit = 2048;
	c->line_length_limit = 2048;
	c->body_checks_size_limit = 51200;
	c->duplicate_filter_limit = 1000;
	c->virtual_alias_expansion_limit = 1000;
	c->virtual_alias_recursion_limit = 1000;
	c->virtual_alias_address_length_limit = 1000;
	c->extract_recipient_limit = 10240;
	c->enable_original_recipient = true;
	c->detect_8bit_encoding_header = true;
	c->header_from_format = "standard";
	c->undisclosed_recipients_header = "To: undisclosed-recipients:;";
	c->message_drop_headers = "bcc, content-length, resent-bcc, "
				  "return-path X-Drop";
}

static void
configure_tables(struct conf *c)
{
	c->virtual_alias_maps =
	    table("virt", "texthash",
		  "list@x.test exp1@y.test exp2@y.test\n@d3.test @x.test\n"
		  "multi@d8.test a@x.test, plain\nself@d7.test self@d7.test, "
		  "other@x.test\nloop1@d7.test loop2@d7.test\n"
		  "loop2@d7.test loop1@d7.test\n");
	c->canonical_maps = table(
	    "canon", "texthash", "c2@x.test c3\nc3@mx.example.org c4@x.test\n");
	c->sender_canonical_maps =
	    table("sc", "texthash", "@sc.test s@canon.test\n");
	c->recipient_canonical_maps =
	    table("rc", "texthash", "@sc.test r@canon.test\n");
	c->sender_bcc_maps =
	    table("sbcc", "texthash", "bccme@x.test sbcc@bcc.test\n");
	c->recipient_bcc_maps =
	    table("rbcc", "texthash", "u@x.test rbcc@bcc.test\n");
	c->header_checks = table(
	    "hc", "regexp",
	    "/^Subject: reject$/ REJECT\n"
	    "/^Subject: rej4dsn/ REJECT 4.6.7 some text\n"
	    "/^Subject: warn/ WARN warning text\n"
	    "/^Subject: fold/ WARN\n/^Subject: ignore/ IGNORE\n"
	    "/^Subject: strip/ STRIP strip text\n"
	    "/^Subject: replace (.*)/ REPLACE Subject: was $1\n"
	    "/^Subject: prepend/ PREPEND X-Pre: hello\n"
	    "/^Subject: hold/ HOLD\n/^Subject: filter/ FILTER f:[1.2.3.4]\n"
	    "/^Subject: redirect/ REDIRECT redir@x.test\n"
	    "/^Subject: bcc/ BCC bcc@x.test\n/^Subject: discard/ DISCARD\n"
	    "/^Subject: unknown/ FOO bar\n");
	c->mime_header_checks =
	    table("mhc", "regexp",
		  "/^Content-Type: x-rej/ REJECT mimerej\n"
		  "/^Content-Foo: ign/ IGNORE\n/^Content-Foo: "
		  "repl/ REPLACE Content-Foo: done\n");
	c->nested_header_checks =
	    table("nhc", "regexp", "/^Subject: nested/ WARN nested\n");
	c->body_checks = table("bc", "regexp",
			       "/^bodyrej/ REJECT bodytext\n"
			       "/^bodyign/ IGNORE\n/^bodyrepl/ REPLACE was "
			       "replaced\n/^bodyprep/ PREPEND was "
			       "prepended\n");
}

/* Every other string is "". */
static void
fill_strings(struct conf *c)
{
	const char **strings[] = {
	    &c->always_bcc,
	    &c->content_filter,
	    &c->default_filter_nexthop,
	    &c->double_bounce_sender,
	    &c->empty_address_default_transport_maps_lookup_key,
	    &c->empty_address_relayhost_maps_lookup_key,
	    &c->internal_mail_filter_classes,
	    &c->local_recipient_maps,
	    &c->masquerade_domains,
	    &c->message_reject_characters,
	    &c->message_strip_characters,
	    &c->parent_domain_matches_subdomains,
	    &c->proxy_interfaces,
	    &c->receive_override_options,
	    &c->relay_domains,
	    &c->relay_recipient_maps,
	    &c->relay_transport,
	    &c->relayhost,
	    &c->relocated_maps,
	    &c->remote_header_rewrite_domain,
	    &c->sender_dependent_default_transport_maps,
	    &c->sender_dependent_relayhost_maps,
	    &c->transport_maps,
	    &c->virtual_alias_domains,
	    &c->virtual_mailbox_domains,
	    &c->virtual_mailbox_maps,
	    &c->virtual_transport,
	};

	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		*strings[i] = "";
}

static int
setup(void **state)
{
	if (fixture_setup(state) < 0)
		return -1;
	setenv("TZ", "UTC", 1);
	fill_strings(&fixture_conf);
	configure_addresses(&fixture_conf);
	configure_limits(&fixture_conf);
	configure_tables(&fixture_conf);
	log_set_sink(catch_log);
	cleanup_open();
	return 0;
}

static int
teardown(void **state)
{
	buf_free(&content);
	buf_free(&logged);
	why_free(&result);
	return fixture_teardown(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_remote),
	    cmocka_unit_test(test_local),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_aliases),
	    cmocka_unit_test(test_bcc),
	    cmocka_unit_test(test_extract),
	    cmocka_unit_test(test_bad_address),
	    cmocka_unit_test(test_canonical),
	    cmocka_unit_test(test_masquerade),
	    cmocka_unit_test(test_header_checks),
	    cmocka_unit_test(test_body_checks),
	    cmocka_unit_test(test_characters),
	    cmocka_unit_test(test_abort),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
