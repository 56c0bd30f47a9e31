/* SPDX-License-Identifier: MIT */
/* What address probes found out goes to verify(8). */
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "lib/sys/io.h"
#include "qmgr/qmgr.h"

/* The connection is kept; verify(8) answers nothing, so nothing is read. */
static struct ipc link_ipc = {.fd = -1};

enum { PENDING_MAX = 256 * 1024 }; /* bytes that verify does not take */

/* Mail to our own sender of notices and probes is taken and goes nowhere. */
bool
verify_is_known(const struct active *a, size_t rcpt)
{
	const struct rcpt *r = &a->qm->env.rcpts[rcpt];
	struct span local = addr_localpart(span_of(r->address));

	return r->class == CLASS_LOCAL &&
	       span_equal_cstr_nocase(local, conf->double_bounce_sender);
}

static bool
link_up(void)
{
	char *path;
	bool ok;

	if (link_ipc.fd >= 0 && ipc_push(&link_ipc) != IPC_ERROR &&
	    link_ipc.out.len < PENDING_MAX)
		return true;
	if (link_ipc.fd >= 0)
		ipc_close(&link_ipc);
	path = mem_sprintf("private/%s", conf->address_verify_service_name);
	ok = ipc_connect(&link_ipc, path, 1);
	if (ok) {
		io_set_nonblocking(link_ipc.fd, true);
	} else {
		log_warn("connect to %s: %m", path);
		link_ipc.fd = -1;
	}
	free(path);
	return ok;
}

static void
send_update(const char *address, enum verify_status status, const char *text)
{
	/* Once more when the service was replaced meanwhile. */
	for (int i = 0; i < 2 && link_up(); i++) {
		enum ipc_status st;

		ipc_begin(&link_ipc, MSG_VERIFY_UPDATE);
		ipc_put_cstr(&link_ipc, A_RECIPIENT, address);
		ipc_put_num(&link_ipc, A_STATUS, status);
		ipc_put_cstr(&link_ipc, A_TEXT, text);
		ipc_end(&link_ipc);
		st = ipc_push(&link_ipc);
		if (st == IPC_OK || st == IPC_AGAIN)
			return;
		ipc_close(&link_ipc);
		link_ipc.fd = -1;
	}
}

static enum verify_status
status_of(const struct why *why)
{
	switch (why_class(why)) {
	case WHY_SENT:
		return VERIFY_OK;
	case WHY_BOUNCE:
		return VERIFY_BOUNCE;
	default:
		return VERIFY_DEFER;
	}
}

void
verify_report(const struct active *a)
{
	for (size_t i = 0; i < a->qm->env.n_rcpts; i++) {
		const struct rcpt *r = &a->qm->env.rcpts[i];
		const char *address = r->orig_to ? r->orig_to : r->address;
		const struct why *w = &a->result[i];

		if (why_is_set(w))
			send_update(address, status_of(w), buf_cstr(&w->text));
		else if (verify_is_known(a, i))
			send_update(address, VERIFY_OK,
				    "undeliverable postmaster notification "
				    "discarded");
	}
}
