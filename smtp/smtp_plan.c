/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_plan.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "smtp/smtp_host.h"
#include "smtp/smtp_srv.h"

bool
smtp_plan_make(const struct dest *d, bool lmtp, struct smtp_plan *p)
{
	*p = (struct smtp_plan){.dest = d, .lmtp = lmtp, .why = WHY_INIT};
	if (!smtp_addr_lookup(d, &p->addrs, &p->why))
		return false;
	p->hosts = mem_realloc(NULL, p->addrs.n, sizeof(*p->hosts));
	for (size_t i = 0; i < p->addrs.n; i++)
		p->hosts[i] = (struct smtp_plan_host){0};
	return true;
}

void
smtp_plan_free(struct smtp_plan *p)
{
	for (size_t i = 0; p->hosts && i < p->addrs.n; i++)
		if (p->hosts[i].found)
			smtp_tls_policy_free(&p->hosts[i].policy);
	free(p->hosts);
	smtp_addr_list_free(&p->addrs);
	why_free(&p->why);
	*p = (struct smtp_plan){.why = WHY_INIT};
}

struct smtp_plan_host *
smtp_plan_host(struct smtp_plan *p, size_t i)
{
	struct smtp_plan_host *h = &p->hosts[i];
	const struct smtp_tls_target t = {
	    .dest = p->dest, .addr = &p->addrs.v[i], .lmtp = p->lmtp};

	if (!h->found)
		h->allowed = smtp_tls_policy_find(&t, &h->policy);
	h->found = true;
	return h;
}

/* ---- in words ---- */

static const char *
signature(bool secure)
{
	return secure ? "signed" : "not signed";
}

static void
print_lookup(const struct smtp_plan *p, struct buf *out)
{
	const struct dest *d = p->dest;
	const struct smtp_host_policy how = smtp_host_policy();

	buf_printf(out, "destination %s: ", d->name);
	if (d->path)
		buf_append_cstr(out, "a UNIX socket\n");
	else if (smtp_srv_wanted(&how, d))
		buf_printf(out, "SRV records of %s\n", d->host);
	else if (d->mx && how.mx)
		buf_printf(out, "MX records of %s%s%s\n", d->host,
			   p->addrs.n ? ", " : "",
			   p->addrs.n ? signature(p->addrs.v[0].mx_secure)
				      : "");
	else
		buf_printf(out, "the addresses of %s, no MX records\n",
			   d->host);
	if (p->addrs.n && p->addrs.v[0].domain)
		buf_printf(out, "  an alias of %s\n", p->addrs.v[0].domain);
}

static void
print_address(const struct smtp_plan *p, size_t i, struct buf *out)
{
	const struct smtp_addr *a = &p->addrs.v[i];

	buf_printf(out, "%zu. %s[%s]", i + 1, a->host, a->text);
	if (a->port)
		buf_printf(out, ":%d, preference %d, address %s", a->port,
			   a->preference, signature(a->secure));
	if (a->canonical)
		buf_printf(out, ", an alias of %s", a->canonical);
	if (conf->smtp_mx_address_limit > 0 &&
	    i >= (size_t)conf->smtp_mx_address_limit)
		buf_append_cstr(out, ", beyond smtp_mx_address_limit");
	buf_append_byte(out, '\n');
}

static void
print_list(const char *what, const struct strvec *list, struct buf *out)
{
	if (!list->n)
		return;
	buf_printf(out, "   %s:", what);
	for (size_t i = 0; i < list->n; i++)
		buf_printf(out, "%s %s", i ? "," : "", list->v[i]);
	buf_append_byte(out, '\n');
}

/* Long ones, as whole certificates, are cut. */
static void
print_records(const struct tlsa_list *l, struct buf *out)
{
	enum { SHOWN_MAX = 200 };
	struct buf text = BUF_INIT;

	for (size_t i = 0; i < l->n; i++) {
		buf_reset(&text);
		tlsa_format(&l->v[i], &text);
		buf_printf(out, "   TLSA %.*s%s\n",
			   text.len > SHOWN_MAX ? SHOWN_MAX : (int)text.len,
			   buf_cstr(&text), text.len > SHOWN_MAX ? "..." : "");
	}
	buf_free(&text);
}

static const char *
trust(const struct smtp_tls_policy *p)
{
	if (p->web_pki)
		return "   trusted: the authorities of "
		       "postrider_mta_sts_ca_file\n";
	if (p->level == TLS_CLIENT_VERIFY || p->level == TLS_CLIENT_SECURE)
		return p->tlsa.n ? "   trusted: the trust anchors below\n"
				 : "   trusted: the authorities of "
				   "smtp_tls_CAfile, smtp_tls_CApath\n";
	return "";
}

static void
print_policy(const struct smtp_plan_host *h, struct buf *out)
{
	const struct smtp_tls_policy *p = &h->policy;

	if (!h->allowed) {
		buf_printf(out, "   no connection: %s\n",
			   buf_cstr(&p->why.text));
		return;
	}
	buf_printf(out, "   TLS level %s, because of %s: %s\n",
		   tls_client_level_name(p->level),
		   smtp_tls_origin_name(p->origin), buf_cstr(&p->reason));
	if (p->asked != p->level)
		buf_printf(out, "   configured: %s\n",
			   tls_client_level_name(p->asked));
	if (p->level == TLS_CLIENT_NONE)
		return;
	buf_printf(out, "   protocols %s, ciphers %s\n",
		   *p->protocols ? p->protocols : "any", p->grade);
	if (*p->sni)
		buf_printf(out, "   SNI %s\n", p->sni);
	print_list("certificate for one of", &p->names, out);
	print_list("fingerprints", &p->fingerprints, out);
	buf_append_cstr(out, trust(p));
	print_records(&p->tlsa, out);
	if (p->web_pki_audit)
		buf_append_cstr(out, "   MTA-STS policy in testing: for the "
				     "report only\n");
	if (span_starts_nocase(span_of(p->report_type), "sts"))
		print_list("MTA-STS policy", &p->report_strings, out);
}

void
smtp_plan_print(struct smtp_plan *p, struct buf *out)
{
	print_lookup(p, out);
	if (!p->addrs.n)
		buf_printf(out, "  no address: %s (%s)\n",
			   buf_cstr(&p->why.text), p->why.dsn);
	for (size_t i = 0; i < p->addrs.n; i++) {
		print_address(p, i, out);
		print_policy(smtp_plan_host(p, i), out);
	}
}
