/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_drop.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/ipc/proto.h"
#include "lib/queue/submit.h"
#include "smtpd/smtpd_state.h"

struct smtpd_drop {
	struct submit *submit;
};

struct smtpd_drop *
smtpd_drop_begin(struct buf *id, struct why *why)
{
	struct submit *submit = submit_begin(why);
	struct smtpd_drop *d;
	const char *name;

	if (!submit)
		return NULL;
	name = submit_id(submit, why);
	if (!name) {
		submit_abort(submit);
		return NULL;
	}
	buf_set_cstr(id, name);
	d = mem_alloc(sizeof(*d));
	d->submit = submit;
	return d;
}

static void
add_recipient(struct envelope *e, const char *address, const char *orcpt,
	      int notify)
{
	struct rcpt *r = envelope_add_rcpt(e);

	r->address = mem_strdup(address);
	r->dsn_orcpt = orcpt ? mem_strdup(orcpt) : NULL;
	r->dsn_notify = notify;
}

void
smtpd_drop_envelope(struct smtpd_drop *d, const struct smtpd *s)
{
	const struct smtpd_mail *m = &s->mail;
	struct envelope e = ENVELOPE_INIT;

	e.sender = mem_strdup(buf_cstr(&m->sender));
	e.flags = ENVELOPE_MAILDROP;
	if (m->encoding.len)
		e.encoding = mem_strdup(m->encoding.data);
	if (m->envid.len)
		e.dsn_envid = mem_strdup(m->envid.data);
	e.dsn_ret = m->ret;
	if (m->hold || m->filter.len)
		log_warn("%s: HOLD and FILTER have no effect in stand-alone "
			 "mode",
			 smtpd_queue_id(s));
	if (m->redirect.len)
		add_recipient(&e, m->redirect.data, NULL, 0);
	for (size_t i = 0; i < m->n_rcpts && !m->redirect.len; i++)
		add_recipient(&e, m->rcpts[i].address, m->rcpts[i].orcpt,
			      m->rcpts[i].notify);
	for (size_t i = 0; i < m->bcc.n && !m->redirect.len; i++)
		add_recipient(&e, m->bcc.v[i], NULL, NOTIFY_NEVER);
	submit_envelope(d->submit, &e);
	envelope_free(&e);
}

void
smtpd_drop_content(struct smtpd_drop *d, struct span piece)
{
	submit_content(d->submit, piece);
}

bool
smtpd_drop_end(struct smtpd_drop *d, struct why *why)
{
	bool ok = submit_end(d->submit, why);

	free(d);
	return ok;
}

void
smtpd_drop_abort(struct smtpd_drop *d)
{
	submit_abort(d->submit);
	free(d);
}
