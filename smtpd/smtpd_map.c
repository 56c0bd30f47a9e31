/* SPDX-License-Identifier: MIT */
/* check_*_access: the keys that are looked up (access(5)). */
#include "smtpd/smtpd_map.h"
#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"

/* ---- keys ---- */

/* true: stop, l->status says why. Patterns see whole keys only. */
static bool
find(struct lookup *l, struct span key, bool partial)
{
	struct why why = WHY_INIT;

	if (key.len == 0 || (partial && table_is_pattern(l->table)))
		return false;
	buf_reset(&l->value);
	l->status = table_get(l->table, key, &l->value, &why);
	if (l->status == TABLE_FOUND)
		buf_set(&l->key, key);
	if (l->status == TABLE_RETRY)
		log_warn("%s lookup error for \"%.*s\"", table_spec(l->table),
			 SPAN_ARG(key));
	why_free(&why);
	return l->status != TABLE_ABSENT;
}

static bool
find_domain(struct lookup *l, struct span domain, bool partial)
{
	bool parents = conf_list_has(conf->parent_domain_matches_subdomains,
				     "smtpd_access_maps");

	if (find(l, domain, partial))
		return true;
	if (domain.len && domain.data[0] == '[')
		return false;
	for (;;) {
		long dot = span_find(span_from(domain, 1), '.');

		if (dot < 0)
			return false;
		/* ".parent", or "parent" as the parameter says */
		domain = span_from(domain, (size_t)dot + 1);
		if (find(l, parents ? span_from(domain, 1) : domain, true))
			return true;
	}
}

bool
smtpd_map_find_domain(struct lookup *l, struct span domain)
{
	return find_domain(l, domain, false);
}

bool
smtpd_map_find_network(struct lookup *l, struct span addr)
{
	char sep = span_find(addr, ':') >= 0 ? ':' : '.';

	if (find(l, addr, false))
		return true;
	for (;;) {
		long at = span_rfind(addr, sep);

		if (at <= 0)
			return false;
		addr.len = (size_t)at;
		/* "2001:db8::" is "2001:db8" */
		while (addr.len && addr.data[addr.len - 1] == sep)
			addr.len--;
		if (find(l, addr, true))
			return true;
	}
}

/* Keys are in external form: "a b"@example.com, "a b"@. */
static bool
find_quoted(struct lookup *l, struct span user, struct span domain,
	    bool partial)
{
	struct buf internal = BUF_INIT, key = BUF_INIT;
	bool found;

	buf_set(&internal, user);
	buf_printf(&internal, "@%.*s", SPAN_ARG(domain));
	addr_quote(buf_span(&internal), &key);
	found = find(l, buf_span(&key), partial);
	buf_free(&internal);
	buf_free(&key);
	return found;
}

static bool
find_completed(struct lookup *l, struct span addr)
{
	struct span local = addr_localpart(addr), domain = addr_domain(addr);
	size_t n = addr_split_extension(local, conf->recipient_delimiter);
	struct span user = span_make(local.data, n);
	bool extended = n < local.len;

	return find_quoted(l, local, domain, false) ||
	       (extended && find_quoted(l, user, domain, true)) ||
	       find_domain(l, domain, true) ||
	       find_quoted(l, local, span_of(""), true) ||
	       (extended && find_quoted(l, user, span_of(""), true));
}

/* The address that is looked up is the one that mail to it would go to. */
static bool
find_address(struct lookup *l, struct span addr)
{
	struct buf completed = BUF_INIT;
	struct why why = WHY_INIT;
	bool found = true;

	if (addr.len == 0)
		return find(l, span_of(conf->smtpd_null_access_lookup_key),
			    false);
	buf_set(&completed, addr);
	if (route_complete(&completed, &why))
		found = find_completed(l, buf_span(&completed));
	else
		l->status = TABLE_RETRY;
	why_free(&why);
	buf_free(&completed);
	return found;
}

enum verdict
smtpd_map_finish(struct lookup *l, bool found, struct why *why)
{
	enum verdict v = VERDICT_DUNNO;

	if (found && l->status == TABLE_RETRY) {
		why_set_code(why, 451, "4.3.5",
			     "<%s>: %s rejected: Server configuration error",
			     l->about.value, l->about.name);
		v = VERDICT_REJECT;
	} else if (found)
		v = smtpd_action_run(l, why);
	buf_free(&l->value);
	buf_free(&l->key);
	return v;
}

enum verdict
smtpd_map_no_ok(struct smtpd *s, const struct rule *r, enum verdict v,
		const char *value, struct why *why)
{
	if (v != VERDICT_OK || s->mail.discard)
		return v;
	log_warn("restriction %s returns OK for %s", r->def->name, value);
	log_warn("this is not allowed for security reasons");
	log_warn("use DUNNO instead of OK if you want to make an exception");
	return rule_config_error(s, why);
}

/* ---- rows ---- */

RULE_FN(check_client_map)
{
	struct lookup l = {
	    s,
	    r->table,
	    {buf_cstr(&s->peer.namaddr), "Client host", LIST_CLIENT},
	    BUF_INIT,
	    BUF_INIT,
	    TABLE_ABSENT};
	bool found = find_domain(&l, buf_span(&s->peer.name), false) ||
		     smtpd_map_find_network(&l, buf_span(&s->peer.addr));

	(void)about;
	return smtpd_map_finish(&l, found, why);
}

/* For local_header_rewrite_clients: to be in the table is enough. */
RULE_FN(check_address_map)
{
	struct lookup l = {
	    s,
	    r->table,
	    {buf_cstr(&s->peer.namaddr), "Client host", LIST_CLIENT},
	    BUF_INIT,
	    BUF_INIT,
	    TABLE_ABSENT};
	bool found = smtpd_map_find_network(&l, buf_span(&s->peer.addr));

	(void)about;
	(void)why;
	buf_free(&l.value);
	buf_free(&l.key);
	return found && l.status == TABLE_FOUND ? VERDICT_OK : VERDICT_DUNNO;
}

RULE_FN(check_reverse_client_map)
{
	struct lookup l = {s,
			   r->table,
			   {buf_cstr(&s->peer.reverse_name),
			    "Unverified Client host", LIST_CLIENT},
			   BUF_INIT,
			   BUF_INIT,
			   TABLE_ABSENT};
	bool found = find_domain(&l, buf_span(&s->peer.reverse_name), false);

	(void)about;
	return smtpd_map_no_ok(s, r, smtpd_map_finish(&l, found, why),
			       buf_cstr(&s->peer.reverse_name), why);
}

RULE_FN(check_helo_map)
{
	struct lookup l = {
	    s,        r->table, {buf_cstr(&s->helo), "Helo command", LIST_HELO},
	    BUF_INIT, BUF_INIT, TABLE_ABSENT};

	(void)about;
	return smtpd_map_finish(&l, find_domain(&l, buf_span(&s->helo), false),
				why);
}

RULE_FN(check_sender_map)
{
	struct lookup l = {
	    s,
	    r->table,
	    {buf_cstr(&s->mail.sender), "Sender address", LIST_SENDER},
	    BUF_INIT,
	    BUF_INIT,
	    TABLE_ABSENT};

	(void)about;
	return smtpd_map_finish(&l, find_address(&l, buf_span(&s->mail.sender)),
				why);
}

RULE_FN(check_recipient_map)
{
	struct lookup l = {
	    s,
	    r->table,
	    {buf_cstr(&s->recipient), "Recipient address", LIST_RECIPIENT},
	    BUF_INIT,
	    BUF_INIT,
	    TABLE_ABSENT};

	(void)about;
	return smtpd_map_finish(&l, find_address(&l, buf_span(&s->recipient)),
				why);
}

RULE_FN(check_etrn_map)
{
	struct lookup l = {
	    s,
	    r->table,
	    {buf_cstr(&s->etrn_domain), "Etrn command", LIST_ETRN},
	    BUF_INIT,
	    BUF_INIT,
	    TABLE_ABSENT};

	(void)about;
	if (s->etrn_domain.len == 0)
		return VERDICT_DUNNO;
	return smtpd_map_finish(
	    &l, find_domain(&l, buf_span(&s->etrn_domain), false), why);
}

RULE_FN(check_ccert_map)
{
	struct lookup l = {
	    s,
	    r->table,
	    {buf_cstr(&s->tls.subject), "Client certificate", LIST_CLIENT},
	    BUF_INIT,
	    BUF_INIT,
	    TABLE_ABSENT};
	bool found = false;

	(void)about;
	if (!s->tls.have_cert)
		return VERDICT_DUNNO;
	for (size_t i = 0; i < CCERT_KEYS && !found; i++) {
		if (r->ccert_keys[i] == CCERT_CERT)
			found =
			    find(&l, buf_span(&s->tls.cert_fingerprint), false);
		else if (r->ccert_keys[i] == CCERT_PUBKEY)
			found =
			    find(&l, buf_span(&s->tls.key_fingerprint), false);
	}
	return smtpd_map_finish(&l, found, why);
}
