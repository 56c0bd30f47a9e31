/* SPDX-License-Identifier: MIT */
/*
 * Each line of the input is one of an authentication server, and a client's
 * mechanism or response: no field of the first leaves its line; what is sent on
 * of the second is one line, and means the same to the server.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/sasl/authn.h"
#include "lib/sasl/dovecot.h"
#include "lib/sasl/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_be_within(struct span part, struct span line)
{
	if (part.data && (part.data < line.data ||
			  part.data + part.len > line.data + line.len ||
			  memchr(part.data, '\t', part.len)))
		abort();
}

/* As smtpd sends a client's words on. */
static void
send_on(struct span mech, struct span response)
{
	struct dovecot_request r = {
	    .mech = mech,
	    .service = "smtp",
	    .addr = "192.0.2.1",
	    .server_addr = "192.0.2.2",
	    .response = response,
	};
	struct buf out = BUF_INIT;
	struct dovecot_msg m;

	if (!dovecot_valid_mech(mech) || !dovecot_valid_base64(response) ||
	    response.len > DOVECOT_LINE_MAX - 200)
		return;
	dovecot_put_auth(&out, 1, &r);
	if (span_find(buf_span(&out), '\n') != (long)out.len - 1)
		abort();
	/* The server understands what was meant. */
	if (!dovecot_parse(span_make(out.data, out.len - 1), &m) ||
	    m.command != DOVECOT_AUTH || !span_equal(m.mech, mech) ||
	    !span_equal(m.data, response))
		abort();
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_make((const char *)data, size), line, bad;
	struct span last = {"PLAIN", 5};
	struct authn_policy policy;
	struct span user, password;

	if (plain_parse(rest, &user, &password) &&
	    user.len + password.len + 2 > size)
		abort();
	authn_parse_options(rest, &policy, &bad);
	while (span_next_token(&rest, "\n", &line)) {
		struct dovecot_msg m;

		if (dovecot_parse(line, &m)) {
			must_be_within(m.mech, line);
			must_be_within(m.data, line);
			must_be_within(m.user, line);
			must_be_within(m.reason, line);
			must_be_within(m.rip, line);
			authn_policy_allows(&policy, m.flags);
		}
		send_on(last, line);
		last = line;
	}
	return 0;
}
