/* SPDX-License-Identifier: MIT */
/*
 * What tables and templates make a session say: results of access tables,
 * replies of DNS lists, footers, over addresses and names of a stranger.
 *
 * Input: a byte that chooses, then lines: table result or template, HELO,
 * sender, recipient.
 */
#include <fcntl.h>
#include <sanitizer/lsan_interface.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "smtpd/smtpd_access.h"
#include "smtpd/smtpd_action.h"
#include "smtpd/smtpd_footer.h"
#include "smtpd/smtpd_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const char settings[] =
    "compatibility_level = 3.6\nmyhostname = mx.example.com\n"
    "mydestination = example.com\ninet_interfaces = 127.0.0.1\n"
    "mynetworks = 10.0.0.0/8\nlocal_recipient_maps = inline:{alice=1}\n"
    "smtpd_restriction_classes = c\nc = permit_mynetworks, reject\n"
    "recipient_delimiter = +\nalias_maps =\nalias_database =\n"
    "smtpd_log_access_permit_actions = static:all\n"
    "smtpd_reject_footer_maps = pcre:{{/^550 (.*)/ $$$$client_name $$1}}\n"
    "default_rbl_reply = $rbl_code $rbl_what $sender_name\n";

static struct table *table;

/* For the restriction of that name. */
unsigned
sleep(unsigned seconds)
{
	(void)seconds;
	return 0;
}

static void
drop(enum log_level level, const char *process, const char *line)
{
	(void)level;
	(void)process;
	/* One line each. */
	if (strchr(line, '\n'))
		abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char dir[] = "/tmp/fuzz-access-XXXXXX";
	struct buf path = BUF_INIT;
	struct conf_args args = {.program = "smtpd", .config_dir = dir};
	int fd;

	(void)argc, (void)argv;
	if (!mkdtemp(dir))
		abort();
	buf_printf(&path, "%s/main.cf", dir);
	fd = open(path.data, O_WRONLY | O_CREAT, 0600);
	if (write(fd, settings, sizeof(settings) - 1) < 0)
		abort();
	close(fd);
	/* Values live as long as the process. */
	__lsan_disable();
	conf_load(&args);
	__lsan_enable();
	unlink(path.data);
	rmdir(dir);
	buf_free(&path);
	log_set_sink(drop);
	route_open();
	smtpd_access_open();
	smtpd_text_open();
	smtpd_footer_open();
	table = table_open("static:x", 0);
	return 0;
}

/* The next line, printable or not, without NUL. */
static void
next_line(struct span *rest, struct buf *out)
{
	long eol = span_find(*rest, '\n');
	struct span line = eol < 0 ? *rest : span_make(rest->data, (size_t)eol);

	*rest = eol < 0 ? span_of("") : span_from(*rest, (size_t)eol + 1);
	buf_set(out, line);
	buf_truncate(out, strlen(buf_cstr(out)));
}

static void
check_reply(const struct why *why)
{
	if (why->code / 100 != 4 && why->code / 100 != 5)
		abort();
	if (!dsn_code_length(span_of(why->dsn)))
		abort();
	if (why->dsn[0] - '0' != why->code / 100)
		abort();
}

static void
try_action(struct smtpd *s, struct span value, unsigned kind)
{
	struct lookup l = {
	    .s = s,
	    .table = table,
	    .about = {buf_cstr(&s->helo), "Helo command", kind % LIST_COUNT}};
	struct why why = WHY_INIT;

	buf_set(&l.value, value);
	if (smtpd_action_run(&l, &why) == VERDICT_REJECT)
		check_reply(&why);
	buf_free(&l.value);
	why_free(&why);
}

/* Every line of a reply has its codes, and nothing but CR LF ends one. */
static void
check_lines(const struct buf *reply)
{
	struct span rest = buf_span(reply);

	for (;;) {
		long eol = span_find(rest, '\r');

		if (rest.len < 4 || memcmp(rest.data, "550", 3) ||
		    rest.data[3] != (eol < 0 ? ' ' : '-'))
			abort();
		if (eol < 0)
			break;
		if ((size_t)eol + 1 >= rest.len || rest.data[eol + 1] != '\n')
			abort();
		rest = span_from(rest, (size_t)eol + 2);
	}
}

static void
try_template(struct smtpd *s, const struct buf *template)
{
	struct text_rbl rbl = {"Client host", buf_cstr(&s->helo), "bl.test",
			       "bl.test=127.0.0.2", buf_cstr(&s->recipient)};
	struct buf out = BUF_INIT;
	struct span text;
	unsigned unknown;
	int code;

	if (smtpd_text_expand(s, &rbl, buf_cstr(template), &out, &unknown) &&
	    smtpd_text_split(buf_span(&out), &code, &text) &&
	    (code < 400 || code > 599))
		abort();
	buf_set_cstr(&out, "550 5.1.1 no ");
	buf_append_span(&out, buf_span(template));
	for (size_t i = 0; i < out.len; i++)
		if (out.data[i] == '\r')
			out.data[i] = '?';
	smtpd_footer_add(s, &out);
	check_lines(&out);
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_make((const char *)data + 1, size - 1);
	struct buf first = BUF_INIT;
	static int null = -1;
	struct smtpd s;

	if (size == 0 || size > 4096)
		return 0;
	if (null < 0)
		null = open("/dev/null", O_RDWR);
	smtpd_state_init(&s, null, null);
	buf_set_cstr(&s.peer.name, "unknown");
	buf_set_cstr(&s.peer.reverse_name, "unknown");
	buf_set_cstr(&s.peer.addr, "192.0.2.1");
	buf_set_cstr(&s.peer.namaddr, "unknown[192.0.2.1]");
	next_line(&rest, &first);
	next_line(&rest, &s.helo);
	next_line(&rest, &s.mail.sender);
	next_line(&rest, &s.recipient);
	s.mail.active = data[0] & 1;
	s.where = data[0] & 2 ? "RCPT" : "END-OF-MESSAGE";
	if (data[0] & 4)
		try_template(&s, &first);
	else
		try_action(&s, buf_span(&first), data[0] >> 3);
	buf_free(&first);
	smtpd_state_free(&s);
	return 0;
}
