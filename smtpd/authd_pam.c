/* SPDX-License-Identifier: MIT */
#include "smtpd/authd.h"

#include <pwd.h>
#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"

static const char service[] = "smtp";

enum { MESSAGES_MAX = 16 };

struct secret {
	const char *user, *password;
};

/* Modules ask for the password, perhaps for the name again; what they only
 * want to say goes to nobody. */
static int
converse(int n, const struct pam_message **msg, struct pam_response **out,
	 void *arg)
{
	const struct secret *s = arg;
	struct pam_response *r;

	if (n < 1 || n > MESSAGES_MAX)
		return PAM_CONV_ERR;
	/* The library frees both with free(). */
	r = calloc((size_t)n, sizeof(*r));
	if (!r)
		return PAM_BUF_ERR;
	for (int i = 0; i < n; i++) {
		if (msg[i]->msg_style == PAM_PROMPT_ECHO_OFF)
			r[i].resp = strdup(s->password);
		else if (msg[i]->msg_style == PAM_PROMPT_ECHO_ON)
			r[i].resp = strdup(s->user);
	}
	*out = r;
	return PAM_SUCCESS;
}

/* The delay after a failure is our parent's. */
static void
no_delay(int status, unsigned usec, void *arg)
{
	(void)status;
	(void)usec;
	(void)arg;
}

static enum authd_verdict
verdict_of(int status)
{
	switch (status) {
	case PAM_SUCCESS:
		return AUTHD_OK;
	case PAM_OPEN_ERR:
	case PAM_SYMBOL_ERR:
	case PAM_SERVICE_ERR:
	case PAM_SYSTEM_ERR:
	case PAM_BUF_ERR:
	case PAM_AUTHINFO_UNAVAIL:
	case PAM_CRED_UNAVAIL:
	case PAM_CONV_ERR:
	case PAM_ABORT:
	case PAM_MODULE_UNKNOWN:
		return AUTHD_TEMP;
	default:
		return AUTHD_FAIL;
	}
}

/* The superuser's password is not for guessing over the network. */
static bool
is_superuser(const char *user)
{
	struct passwd *pw = getpwnam(user);

	return pw && pw->pw_uid == 0;
}

enum authd_verdict
authd_pam(const char *user, const char *password, const char *rip)
{
	struct secret secret = {user, password};
	struct pam_conv conv = {converse, &secret};
	void (*delay)(int, unsigned, void *) = no_delay;
	const void *item;
	pam_handle_t *pam = NULL;
	int status = pam_start(service, user, &conv, &pam);

	if (status != PAM_SUCCESS) {
		log_warn("PAM: %s", pam_strerror(pam, status));
		return AUTHD_TEMP;
	}
	memcpy(&item, &delay, sizeof(item));
	pam_set_item(pam, PAM_FAIL_DELAY, item);
	pam_set_item(pam, PAM_TTY, service);
	if (*rip)
		pam_set_item(pam, PAM_RHOST, rip);
	status = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (status == PAM_SUCCESS)
		status = pam_acct_mgmt(pam, PAM_SILENT);
	if (verdict_of(status) == AUTHD_TEMP)
		log_warn("PAM: user %s: %s", user, pam_strerror(pam, status));
	pam_end(pam, status);
	if (status == PAM_SUCCESS && is_superuser(user)) {
		log_warn("user %s is the superuser: not logged in", user);
		return AUTHD_FAIL;
	}
	return verdict_of(status);
}
