/* SPDX-License-Identifier: MIT */
#include "lib/sasl/authc.h"

#include <sasl/sasl.h>
#include <sasl/saslutil.h>
#include <stdlib.h>

#include "lib/base/base64.h"
#include "lib/base/mem.h"
#include "lib/sasl/cyrus.h"

enum { CALLBACKS = 4 };

struct authc {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[CALLBACKS + 1];
	char *user, *authzid;
	sasl_secret_t *secret;
	size_t secret_size;
	int steps;
};

bool
authc_open(const char *type, struct buf *reason)
{
	static sasl_callback_t callbacks[2];
	int n;

	if (strcmp(type, "cyrus") != 0) {
		buf_printf(reason, "unsupported SASL client implementation: %s",
			   type);
		return false;
	}
	callbacks[0] = cyrus_log_callback();
	callbacks[1] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
	n = sasl_client_init(callbacks);
	if (n != SASL_OK)
		buf_printf(reason, "SASL library initialization: %s",
			   sasl_errstring(n, NULL, NULL));
	return n == SASL_OK;
}

/* ---- what the library asks for ---- */

static int
get_name(void *context, int id, const char **out, unsigned *len)
{
	const struct authc *c = context;

	*out = id == SASL_CB_USER ? c->authzid : c->user;
	if (len)
		*len = (unsigned)strlen(*out);
	return SASL_OK;
}

static int
get_password(sasl_conn_t *conn, void *context, int id, sasl_secret_t **out)
{
	const struct authc *c = context;

	(void)conn;
	(void)id;
	*out = c->secret;
	return SASL_OK;
}

static void
set_callbacks(struct authc *c)
{
	int (*name)(void *, int, const char **, unsigned *) = get_name;
	int (*password)(sasl_conn_t *, void *, int, sasl_secret_t **) =
	    get_password;

	c->callbacks[0] = (sasl_callback_t){SASL_CB_USER, NULL, c};
	c->callbacks[1] = (sasl_callback_t){SASL_CB_AUTHNAME, NULL, c};
	c->callbacks[2] = (sasl_callback_t){SASL_CB_PASS, NULL, c};
	c->callbacks[3] = cyrus_log_callback();
	c->callbacks[4] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
	memcpy(&c->callbacks[0].proc, &name, sizeof(name));
	memcpy(&c->callbacks[1].proc, &name, sizeof(name));
	memcpy(&c->callbacks[2].proc, &password, sizeof(password));
}

static void
set_secret(struct authc *c, struct span password)
{
	c->secret_size = sizeof(*c->secret) + password.len + 1;
	c->secret = mem_alloc(c->secret_size);
	c->secret->len = password.len;
	memcpy(c->secret->data, password.data, password.len);
}

/* ---- the dialogue ---- */

static void
fail(int n, struct buf *reason)
{
	buf_set_cstr(reason, sasl_errstring(n, NULL, NULL));
}

struct authc *
authc_begin(const struct authc_login *login, const char *offered,
	    struct buf *mech, bool *initial, struct buf *response,
	    struct buf *reason)
{
	struct authc *c = mem_alloc(sizeof(*c));
	sasl_security_properties_t props = cyrus_properties(&login->policy);
	const char *out = NULL, *chosen = NULL;
	unsigned len = 0;
	int n;

	*c = (struct authc){0};
	c->user = mem_strdup(login->user);
	c->authzid = mem_strdup(login->authzid ? login->user : "");
	set_secret(c, span_of(login->password));
	set_callbacks(c);
	n = sasl_client_new(login->service, login->server, NULL, NULL,
			    c->callbacks, 0, &c->conn);
	if (n == SASL_OK)
		n = sasl_setprop(c->conn, SASL_SEC_PROPS, &props);
	if (n == SASL_OK)
		n = sasl_client_start(c->conn, offered, NULL, &out, &len,
				      &chosen);
	if (n != SASL_OK && n != SASL_CONTINUE) {
		fail(n, reason);
		authc_free(&c);
		return NULL;
	}
	buf_set_cstr(mech, chosen);
	*initial = out != NULL;
	if (out)
		base64_encode(span_make(out, len), response);
	return c;
}

bool
authc_step(struct authc *c, struct span challenge, struct buf *response,
	   struct buf *reason)
{
	unsigned room = (unsigned)challenge.len + 1, in_len = 0, len = 0;
	const char *out = NULL;
	char *in;
	int n;

	if (++c->steps > AUTHC_STEPS || challenge.len > AUTHC_CHALLENGE_MAX) {
		fail(SASL_BADPROT, reason);
		return false;
	}
	in = mem_alloc(room);
	n = challenge.len
		? sasl_decode64(challenge.data, (unsigned)challenge.len, in,
				room, &in_len)
		: SASL_OK;
	if (n == SASL_OK) {
		n = sasl_client_step(c->conn, in, in_len, NULL, &out, &len);
		if (n == SASL_CONTINUE)
			n = SASL_OK;
	}
	free(in);
	if (n != SASL_OK) {
		fail(n, reason);
		return false;
	}
	if (out)
		base64_encode(span_make(out, len), response);
	return true;
}

void
authc_free(struct authc **cp)
{
	struct authc *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	sasl_dispose(&c->conn);
	explicit_bzero(c->secret, c->secret_size);
	free(c->secret);
	free(c->user);
	free(c->authzid);
	free(c);
}
