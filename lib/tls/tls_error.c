/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_error.h"

#include <openssl/err.h>

#include "lib/base/log.h"

/* More than that is a loop of somebody's. */
enum { ERRORS_MAX = 20 };

void
tls_error_log(void)
{
	const char *file, *data;
	unsigned long code;
	int line, flags;

	for (int i = 0; i < ERRORS_MAX; i++) {
		char text[512];

		code = ERR_get_error_all(&file, &line, NULL, &data, &flags);
		if (code == 0)
			break;
		ERR_error_string_n(code, text, sizeof(text));
		log_warn("TLS library problem: %s:%s:%d:%s%s", text, file, line,
			 flags & ERR_TXT_STRING ? data : "",
			 flags & ERR_TXT_STRING ? ":" : "");
	}
	ERR_clear_error();
}

void
tls_error_clear(void)
{
	ERR_clear_error();
}

void
tls_error_reason(struct buf *out)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	buf_set_cstr(out, text ? text : "");
}
