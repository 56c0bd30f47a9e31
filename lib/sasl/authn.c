/* SPDX-License-Identifier: MIT */
#include "lib/sasl/authn.h"

#include "lib/base/log.h"

static const struct authn_backend *backend;

static const struct {
	const char *word;
	unsigned avoid, need;
} options[] = {
    {"noplaintext", MECH_PLAINTEXT, 0},
    {"noactive", MECH_ACTIVE, 0},
    {"nodictionary", MECH_DICTIONARY, 0},
    {"noanonymous", MECH_ANONYMOUS, 0},
    {"forward_secrecy", 0, MECH_FORWARD_SECRECY},
    {"mutual_auth", 0, MECH_MUTUAL_AUTH},
};

bool
authn_parse_options(struct span text, struct authn_policy *out,
		    struct span *bad)
{
	struct span word;

	*out = (struct authn_policy){MECH_PRIVATE, 0};
	while (span_next_token(&text, ", \t\r\n", &word)) {
		bool known = false;

		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]);
		     i++) {
			if (!span_equal_cstr_nocase(word, options[i].word))
				continue;
			out->avoid |= options[i].avoid;
			out->need |= options[i].need;
			known = true;
		}
		if (!known) {
			*bad = word;
			return false;
		}
	}
	return true;
}

bool
authn_policy_allows(const struct authn_policy *p, unsigned flags)
{
	return !(flags & p->avoid) && (flags & p->need) == p->need;
}

bool
authn_open(const struct authn_settings *settings, struct buf *reason)
{
	static const struct {
		const char *type;
		const struct authn_backend *backend;
	} types[] = {{"cyrus", &authn_cyrus}, {"dovecot", &authn_dovecot}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(settings->type, types[i].type)) {
			backend = types[i].backend;
			return backend->open(settings, reason);
		}
	buf_printf(reason, "unsupported SASL server implementation: %s",
		   settings->type);
	return false;
}

void
authn_mechanisms(const struct authn_client *client, struct strvec *out)
{
	backend->mechanisms(client, out);
}

/* It goes into logs, headers and tables. */
static bool
usable_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.data[i] < ' ' || name.data[i] == 127)
			return false;
	return name.len > 0 && name.len <= AUTHN_NAME_MAX;
}

static enum authn_status
checked(struct authn *a, enum authn_status status)
{
	if (status == AUTHN_OK && !usable_name(buf_span(&a->username))) {
		if (a->username.data)
			log_warn("SASL: the user name that a client logged in "
				 "with is %s",
				 a->username.len ? "not usable" : "empty");
		buf_free(&a->username);
		buf_set_cstr(&a->reason, "Authentication backend error");
		return AUTHN_FAIL;
	}
	if (status != AUTHN_OK && status != AUTHN_CONTINUE &&
	    a->reason.len == 0)
		buf_set_cstr(&a->reason, "(reason unavailable)");
	buf_truncate(&a->reason, AUTHN_REASON_MAX);
	return status;
}

enum authn_status
authn_begin(struct authn *a, const struct authn_client *c, struct span mech,
	    struct span response)
{
	return checked(a, backend->begin(a, c, mech, response));
}

enum authn_status
authn_step(struct authn *a, struct span response)
{
	buf_reset(&a->challenge);
	return checked(a, backend->step(a, response));
}

void
authn_free(struct authn *a)
{
	if (a->conn)
		backend->end(a);
	buf_free(&a->challenge);
	buf_free(&a->username);
	buf_free(&a->reason);
	*a = (struct authn)AUTHN_INIT;
}

void
authn_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_free(b);
}
