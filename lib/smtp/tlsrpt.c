/* SPDX-License-Identifier: MIT */
#include "lib/smtp/tlsrpt.h"

#include "lib/base/buf.h"
#include "lib/base/utf8.h"

static const char *const results[] = {
    [TLSRPT_SUCCESS] = "success",
    [TLSRPT_STARTTLS_NOT_SUPPORTED] = "starttls-not-supported",
    [TLSRPT_CERTIFICATE_HOST_MISMATCH] = "certificate-host-mismatch",
    [TLSRPT_CERTIFICATE_EXPIRED] = "certificate-expired",
    [TLSRPT_CERTIFICATE_NOT_TRUSTED] = "certificate-not-trusted",
    [TLSRPT_VALIDATION_FAILURE] = "validation-failure",
    [TLSRPT_TLSA_INVALID] = "tlsa-invalid",
    [TLSRPT_DNSSEC_INVALID] = "dnssec-invalid",
    [TLSRPT_DANE_REQUIRED] = "dane-required",
    [TLSRPT_STS_FETCH_ERROR] = "sts-policy-fetch-error",
    [TLSRPT_STS_POLICY_INVALID] = "sts-policy-invalid",
    [TLSRPT_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
};

static const char *const policies[] = {
    [TLSRPT_NO_POLICY] = "no-policy-found",
    [TLSRPT_STS] = "sts",
    [TLSRPT_TLSA] = "tlsa",
};

const char *
tlsrpt_result_name(enum tlsrpt_result r)
{
	return results[r];
}

const char *
tlsrpt_policy_name(enum tlsrpt_policy_type t)
{
	return policies[t];
}

bool
tlsrpt_result_parse(struct span name, enum tlsrpt_result *r)
{
	for (size_t i = 0; i < TLSRPT_RESULT_COUNT; i++)
		if (span_equal_cstr(name, results[i])) {
			*r = (enum tlsrpt_result)i;
			return true;
		}
	return false;
}

bool
tlsrpt_policy_parse(struct span name, enum tlsrpt_policy_type *t)
{
	for (size_t i = 0; i < TLSRPT_POLICY_COUNT; i++)
		if (span_equal_cstr(name, policies[i])) {
			*t = (enum tlsrpt_policy_type)i;
			return true;
		}
	return false;
}

/* ---- the TXT record ---- */

bool
tlsrpt_is_record(struct span text)
{
	static const char head[] = "v=TLSRPTv1;";

	return text.len >= sizeof(head) - 1 &&
	       memcmp(text.data, head, sizeof(head) - 1) == 0;
}

static void
add_uris(struct span list, struct strvec *uris)
{
	struct span uri;

	while (uris->n < TLSRPT_URIS_MAX && span_next_token(&list, ",", &uri)) {
		uri = span_trim(uri);
		if (span_starts_nocase(uri, "mailto:") ||
		    span_starts_nocase(uri, "https:"))
			strvec_add_span(uris, uri);
	}
}

bool
tlsrpt_parse_record(struct span text, struct strvec *uris)
{
	struct span field;

	strvec_reset(uris);
	if (!tlsrpt_is_record(text))
		return false;
	text = span_from(text, (size_t)span_find(text, ';') + 1);
	while (span_next_token(&text, ";", &field)) {
		long eq;

		field = span_trim(field);
		if (field.len == 0)
			continue;
		eq = span_find(field, '=');
		if (eq <= 0) {
			strvec_reset(uris);
			return false;
		}
		if (uris->n == 0 &&
		    span_equal_cstr(span_make(field.data, (size_t)eq), "rua"))
			add_uris(span_from(field, (size_t)eq + 1), uris);
	}
	return uris->n > 0;
}

/* ---- JSON ---- */

void
tlsrpt_put_json(struct buf *out, struct span text)
{
	buf_append_byte(out, '"');
	while (text.len) {
		size_t n = utf8_sequence(text.data, text.len);
		unsigned char c = (unsigned char)text.data[0];

		if (n == 0)
			buf_append_byte(out, '?');
		else if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else
			buf_append(out, text.data, n);
		text = span_from(text, n ? n : 1);
	}
	buf_append_byte(out, '"');
}
