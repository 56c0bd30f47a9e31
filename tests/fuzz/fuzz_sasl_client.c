/* SPDX-License-Identifier: MIT */
/* The first line of the input is what a server offers, the others are its
 * challenges: each gets a response that is base64, or ends the dialogue. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/sasl/authc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* The DIGEST-MD5 plugin loses a few bytes of a directive that comes twice. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:_plug_strdup\nleak:libdigestmd5\n";
}

static void
dialogue(struct span offered, struct span rest)
{
	struct authc_login login = {.service = "smtp",
				    .server = "mail.example.com",
				    .user = "joe",
				    .password = "secret"};
	struct buf list = BUF_INIT, mech = BUF_INIT, response = BUF_INIT,
		   reason = BUF_INIT;
	bool initial;
	struct authc *c;
	struct span line;

	buf_set(&list, offered);
	c = authc_begin(&login, buf_cstr(&list), &mech, &initial, &response,
			&reason);
	if (!c && reason.len == 0)
		abort();
	while (c && span_next_token(&rest, "\n", &line)) {
		authn_wipe(&response);
		if (!authc_step(c, line, &response, &reason))
			break;
		if (span_find(buf_span(&response), '\n') >= 0)
			abort();
	}
	authc_free(&c);
	buf_free(&list);
	buf_free(&mech);
	buf_free(&reason);
	authn_wipe(&response);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool opened;
	struct span rest = span_make((const char *)data, size), offered;
	struct buf reason = BUF_INIT;

	if (!opened && !authc_open("cyrus", &reason))
		abort();
	opened = true;
	buf_free(&reason);
	if (span_next_token(&rest, "\n", &offered))
		dialogue(offered, rest);
	return 0;
}
