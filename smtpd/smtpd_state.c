/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_state.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "smtpd/smtpd_dnsxl.h"
#include "smtpd/smtpd_drop.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_peer.h"
#include "smtpd/smtpd_proxy.h"
#include "smtpd/smtpd_route.h"

void
smtpd_state_init(struct smtpd *s, int in_fd, int out_fd)
{
	*s = (struct smtpd){.protocol = "SMTP", .where = "CONNECT"};
	stream_init(&s->st, in_fd, out_fd);
}

static void
reset_forward(struct smtpd_forward *f)
{
	buf_free(&f->name);
	buf_free(&f->addr);
	buf_free(&f->port);
	buf_free(&f->helo);
	buf_free(&f->proto);
	buf_free(&f->ident);
	*f = (struct smtpd_forward){0};
}

void
smtpd_mail_reset(struct smtpd *s)
{
	struct smtpd_mail *m = &s->mail;

	if (m->active)
		smtpd_milter_abort(s);
	if (m->cleanup)
		cleanup_abort(m->cleanup);
	if (m->drop)
		smtpd_drop_abort(m->drop);
	smtpd_proxy_free(m->proxy);
	for (size_t i = 0; i < m->n_rcpts; i++) {
		free(m->rcpts[i].address);
		free(m->rcpts[i].orcpt);
	}
	free(m->rcpts);
	buf_free(&m->sender);
	buf_free(&m->encoding);
	buf_free(&m->envid);
	buf_free(&m->queue_id);
	buf_free(&m->instance);
	buf_free(&m->mail_arg);
	buf_free(&m->redirect);
	buf_free(&m->filter);
	strvec_free(&m->bcc);
	strvec_free(&m->prepend);
	if (m->active)
		s->n_mails++;
	*m = (struct smtpd_mail){0};
	reset_forward(&s->forward);
	buf_free(&s->sasl.sender);
	buf_free(&s->recipient);
	smtpd_route_forget(s);
}

void
smtpd_mail_add_rcpt(struct smtpd *s, struct span address, const char *orcpt,
		    int notify)
{
	struct smtpd_mail *m = &s->mail;
	struct smtpd_rcpt *r;

	if (m->n_rcpts == m->cap_rcpts) {
		m->cap_rcpts = m->cap_rcpts ? m->cap_rcpts * 2 : 4;
		m->rcpts =
		    mem_realloc(m->rcpts, m->cap_rcpts, sizeof(*m->rcpts));
	}
	r = &m->rcpts[m->n_rcpts++];
	r->address = mem_strndup(address.data, address.len);
	r->orcpt = orcpt ? mem_strdup(orcpt) : NULL;
	r->notify = notify;
}

static void
free_tls(struct smtpd_tls *t)
{
	buf_free(&t->protocol);
	buf_free(&t->cipher);
	buf_free(&t->subject);
	buf_free(&t->issuer);
	buf_free(&t->cert_fingerprint);
	buf_free(&t->key_fingerprint);
	buf_free(&t->received);
}

void
smtpd_state_free(struct smtpd *s)
{
	smtpd_mail_reset(s);
	if (s->helo.len)
		smtpd_milter_abort(s);
	smtpd_milter_end(s);
	smtpd_peer_free(&s->peer);
	free_tls(&s->tls);
	buf_free(&s->sasl.method);
	buf_free(&s->sasl.username);
	buf_free(&s->helo);
	buf_free(&s->etrn_domain);
	smtpd_dnsxl_forget(s);
	for (size_t i = 0; i < SMTPD_STEPS; i++)
		why_free(&s->put_off[i]);
	why_free(&s->defer_if_permit);
	why_free(&s->defer_if_reject);
	transcript_free(&s->transcript);
	stream_free(&s->st);
}

const char *
smtpd_queue_id(const struct smtpd *s)
{
	return s->mail.queue_id.len ? buf_cstr(&s->mail.queue_id) : "NOQUEUE";
}
