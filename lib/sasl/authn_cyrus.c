/* SPDX-License-Identifier: MIT */
/*
 * The back end in libsasl2: NAME.conf says how passwords are checked
 * (saslauthd, sasldb, other plug-ins). The library reads it, and loads its
 * plug-ins, when it is opened, which is before jail(); sockets and databases
 * it opens later, in the chroot if there is one.
 */
#include "lib/sasl/authn.h"

#include <sasl/sasl.h>
#include <sasl/saslutil.h>
#include <stdlib.h>

#include "lib/base/base64.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sasl/cyrus.h"

enum { RESPONSE_MAX = 65536 };

static const struct authn_settings *settings;

static bool
cyrus_open(const struct authn_settings *s, struct buf *reason)
{
	static sasl_callback_t callbacks[2];
	char *path = mem_strdup(s->config_path);
	int n = SASL_OK;

	settings = s;
	callbacks[0] = cyrus_log_callback();
	callbacks[1] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
	if (*path)
		n = sasl_set_path(SASL_PATH_TYPE_CONFIG, path);
	free(path);
	if (n != SASL_OK)
		buf_printf(reason,
			   "failed to set Cyrus SASL configuration path: "
			   "\"%s\"",
			   s->config_path);
	else if ((n = sasl_server_init(callbacks, s->path)) != SASL_OK)
		buf_printf(reason, "SASL per-process initialization failed: %s",
			   sasl_errstring(n, NULL, NULL));
	return n == SASL_OK;
}

static sasl_conn_t *
new_connection(const struct authn_client *c)
{
	sasl_security_properties_t props = cyrus_properties(&c->policy);
	const char *realm = *settings->realm ? settings->realm : NULL;
	sasl_conn_t *conn = NULL;
	int n;

	n = sasl_server_new(settings->service, settings->hostname, realm, NULL,
			    NULL, NULL, 0, &conn);
	if (n != SASL_OK) {
		log_warn("SASL per-connection server initialization: %s",
			 sasl_errstring(n, NULL, NULL));
		return NULL;
	}
	if (sasl_setprop(conn, SASL_SEC_PROPS, &props) != SASL_OK)
		sasl_dispose(&conn);
	return conn;
}

static void
cyrus_mechanisms(const struct authn_client *c, struct strvec *out)
{
	sasl_conn_t *conn = new_connection(c);
	const char *list = NULL;
	struct span rest, name;
	int n;

	if (!conn)
		return;
	n = sasl_listmech(conn, NULL, "", " ", "", &list, NULL, NULL);
	if (n != SASL_OK)
		log_warn("SASL: no list of mechanisms: %s",
			 sasl_errstring(n, NULL, NULL));
	rest = span_of(n == SASL_OK ? list : NULL);
	while (span_next_token(&rest, " ", &name))
		if (out->n < AUTHN_MECHS_MAX)
			strvec_add_span(out, name);
	sasl_dispose(&conn);
}

static bool
is_temporary(int n)
{
	return n == SASL_FAIL || n == SASL_NOMEM || n == SASL_BUFOVER ||
	       n == SASL_TRYAGAIN || n == SASL_UNAVAIL;
}

static void
take_name(struct authn *a)
{
	const void *name = NULL;

	if (sasl_getprop(a->conn, SASL_USERNAME, &name) == SASL_OK && name)
		buf_set_cstr(&a->username, name);
}

static enum authn_status
refuse(struct authn *a, int n)
{
	/* Which names there are is not told. */
	if (n == SASL_NOUSER)
		n = SASL_BADAUTH;
	buf_set_cstr(&a->reason, sasl_errstring(n, NULL, NULL));
	return is_temporary(n) ? AUTHN_TEMP : AUTHN_FAIL;
}

/* What the library said: out is the next challenge. */
static enum authn_status
take_result(struct authn *a, int n, const char *out, unsigned out_len)
{
	if (n == SASL_CONTINUE) {
		struct span text = span_make(out ? out : "", out ? out_len : 0);

		base64_encode(text, &a->challenge);
		return AUTHN_CONTINUE;
	}
	take_name(a);
	return n == SASL_OK ? AUTHN_OK : refuse(a, n);
}

/* 1 more byte than the result: the library ends it with NUL. */
static int
decode(struct span in, char **out, unsigned *len)
{
	unsigned room = (unsigned)in.len + 1;

	if (in.len > RESPONSE_MAX)
		return SASL_BUFOVER;
	*out = mem_alloc(room);
	return sasl_decode64(in.data, (unsigned)in.len, *out, room, len);
}

static void
forget(char *decoded, struct span in)
{
	if (decoded)
		explicit_bzero(decoded, in.len);
	free(decoded);
}

static enum authn_status
cyrus_begin(struct authn *a, const struct authn_client *c, struct span mech,
	    struct span response)
{
	char *decoded = NULL, *name;
	const char *out = NULL;
	unsigned len = 0, out_len = 0;
	int n = SASL_OK;

	a->conn = new_connection(c);
	if (!a->conn) {
		buf_set_cstr(&a->reason, "generic failure");
		return AUTHN_TEMP;
	}
	/* RFC 4954 section 4: "=" is a response of no bytes. */
	if (span_equal_cstr(response, "="))
		decoded = mem_alloc(1);
	else if (response.data)
		n = decode(response, &decoded, &len);
	if (n != SASL_OK) {
		forget(decoded, response);
		return refuse(a, n);
	}
	name = mem_strndup(mech.data, mech.len);
	n = sasl_server_start(a->conn, name, decoded, len, &out, &out_len);
	free(name);
	forget(decoded, response);
	return take_result(a, n, out, out_len);
}

static enum authn_status
cyrus_step(struct authn *a, struct span response)
{
	char *decoded = NULL;
	const char *out = NULL;
	unsigned len = 0, out_len = 0;
	int n = decode(response, &decoded, &len);

	if (n != SASL_OK) {
		forget(decoded, response);
		return refuse(a, n);
	}
	n = sasl_server_step(a->conn, decoded, len, &out, &out_len);
	forget(decoded, response);
	return take_result(a, n, out, out_len);
}

static void
cyrus_end(struct authn *a)
{
	sasl_conn_t *conn = a->conn;

	sasl_dispose(&conn);
	a->conn = NULL;
}

const struct authn_backend authn_cyrus = {
    .open = cyrus_open,
    .mechanisms = cyrus_mechanisms,
    .begin = cyrus_begin,
    .step = cyrus_step,
    .end = cyrus_end,
};
