/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_tls_policy.h"

#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/table/table.h"
#include "smtp/smtp_tls_dane.h"
#include "smtp/smtp_tls_site.h"
#include "smtp/smtp_tls_sts.h"
#include "smtp/smtp_tls_table.h"
#include "smtp/smtp_tls_tafile.h"

#define MATCH_SEPARATORS ", \t\r\n:"

static struct {
	bool lmtp;
	enum tls_client_level level; /* of main.cf */
	struct maps *maps, *per_site;
} tls;

/* The old parameters count when the new one is empty. */
static enum tls_client_level
main_level(void)
{
	const char *text = conf->smtp_tls_security_level;
	enum tls_client_level level;

	if (*text) {
		if (!tls_client_level_parse(span_of(text), &level))
			log_fatal("Invalid TLS level \"%s\"", text);
		return level;
	}
	if (conf->smtp_enforce_tls)
		return conf->smtp_tls_enforce_peername ? TLS_CLIENT_VERIFY
						       : TLS_CLIENT_ENCRYPT;
	return conf->smtp_use_tls ? TLS_CLIENT_MAY : TLS_CLIENT_NONE;
}

void
smtp_tls_policy_open(bool lmtp)
{
	tls.lmtp = lmtp;
	tls.level = main_level();
	tls.maps =
	    maps_open(lmtp ? "lmtp_tls_policy_maps" : "smtp_tls_policy_maps",
		      conf->smtp_tls_policy_maps, TABLE_FOLD_FIXED);
	if (!*conf->smtp_tls_policy_maps)
		tls.per_site =
		    maps_open(lmtp ? "lmtp_tls_per_site" : "smtp_tls_per_site",
			      conf->smtp_tls_per_site, TABLE_FOLD_FIXED);
	smtp_tls_tafile_read(conf->smtp_tls_trust_anchor_file);
}

const char *
smtp_tls_origin_name(enum smtp_tls_origin o)
{
	static const char *const names[] = {
	    "main.cf", "smtp_tls_policy_maps", "smtp_tls_per_site", "DANE",
	    "MTA-STS",
	};

	return names[o];
}

/* ---- the table ---- */

/* Without a socket type, as it is looked up. */
static const char *
key_of(const struct dest *d)
{
	struct span name = span_of(d->name);

	if (tls.lmtp && (span_starts_nocase(name, "inet:") ||
			 span_starts_nocase(name, "unix:")))
		return d->name + 5;
	return d->name;
}

/* What certificates of the nexthop have as name. */
static const char *
nexthop_of(const struct dest *d)
{
	return d->path ? conf->myhostname : d->host;
}

static enum table_status
find_entry(const char *key, struct buf *value, struct why *why)
{
	struct span name = span_of(key);
	enum table_status st;

	buf_reset(value);
	st = maps_get(tls.maps, name, value, why);
	if (st != TABLE_ABSENT || !name.len || name.data[0] == '[' ||
	    span_find(name, ':') >= 0)
		return st;
	while (st == TABLE_ABSENT) {
		long dot = span_find(span_from(name, 1), '.');

		if (dot < 0)
			break;
		name = span_from(name, (size_t)dot + 1);
		st = maps_get_partial(tls.maps, name, value, why);
	}
	return st;
}

static bool
config_problem(struct smtp_tls_policy *p)
{
	why_set(&p->why, "4.7.5", "client TLS configuration problem");
	return false;
}

static bool
from_table(const struct smtp_tls_target *t, struct smtp_tls_policy *p,
	   struct smtp_tls_entry *e, bool *found)
{
	const char *key = key_of(t->dest);
	struct buf value = BUF_INIT, where = BUF_INIT;
	struct why why = WHY_INIT;
	bool ok = true;

	buf_printf(&where, "%s_tls_policy_maps, next-hop destination \"%s\"",
		   tls.lmtp ? "lmtp" : "smtp", key);
	switch (find_entry(key, &value, &why)) {
	case TABLE_FOUND:
		*found = true;
		ok = smtp_tls_entry_parse(buf_span(&value), buf_cstr(&where),
					  e) ||
		     config_problem(p);
		break;
	case TABLE_RETRY:
		log_warn("%s: policy table lookup error", buf_cstr(&where));
		ok = config_problem(p);
		break;
	case TABLE_ABSENT:
		break;
	}
	if (ok && *found) {
		p->level = e->level;
		p->origin = SMTP_TLS_MAPS;
		buf_reset(&p->reason);
		buf_printf(&p->reason, "%s_tls_policy_maps: %s",
			   tls.lmtp ? "lmtp" : "smtp", key);
	}
	buf_free(&value);
	buf_free(&where);
	why_free(&why);
	return ok;
}

/* ---- what a level means ---- */

static void
replace(char **field, const char *text)
{
	free(*field);
	*field = mem_strdup(text);
}

/* Ciphers and protocols, where no table said otherwise. */
static void
fill_strength(struct smtp_tls_policy *p)
{
	bool must = tls_client_level_is_mandatory(p->level);

	if (!p->own_protocols)
		replace(&p->protocols, must ? conf->smtp_tls_mandatory_protocols
					    : conf->smtp_tls_protocols);
	if (!p->own_grade)
		replace(&p->grade, must ? conf->smtp_tls_mandatory_ciphers
					: conf->smtp_tls_ciphers);
	if (!p->own_exclude) {
		free(p->exclude);
		p->exclude =
		    must ? mem_sprintf("%s %s", conf->smtp_tls_exclude_ciphers,
				       conf->smtp_tls_mandatory_exclude_ciphers)
			 : mem_strdup(conf->smtp_tls_exclude_ciphers);
	}
}

/* Strategies become names. */
static void
add_names(const struct smtp_tls_target *t, struct span list,
	  struct strvec *names)
{
	const char *nexthop = nexthop_of(t->dest);
	const char *host = t->dest->path ? conf->myhostname : t->addr->host;
	struct span word;

	while (span_next_token(&list, MATCH_SEPARATORS, &word)) {
		if (span_equal_cstr_nocase(word, "nexthop")) {
			strvec_add(names, nexthop);
		} else if (span_equal_cstr_nocase(word, "hostname")) {
			strvec_add(names, host);
		} else if (span_equal_cstr_nocase(word, "dot-nexthop")) {
			char *dotted = mem_sprintf(".%s", nexthop);

			strvec_add(names, dotted);
			free(dotted);
		} else {
			strvec_add_span(names, word);
		}
	}
}

static void
add_fingerprints(struct span list, struct strvec *prints)
{
	struct span word;

	while (span_next_token(&list, ", \t\r\n|", &word)) {
		bool good = true;

		for (size_t i = 0; i < word.len; i++)
			good = good &&
			       strchr("0123456789abcdefABCDEF:", word.data[i]);
		if (good)
			strvec_add_span(prints, word);
		else
			log_warn("malformed fingerprint value: %.*s",
				 SPAN_ARG(word));
	}
}

static bool
fill_fingerprints(const struct smtp_tls_target *t, const char *list,
		  struct smtp_tls_policy *p)
{
	add_fingerprints(span_of(list), &p->fingerprints);
	if (p->fingerprints.n)
		return true;
	log_warn("nexthop domain %s: configured at fingerprint security "
		 "level, but with no fingerprints to match.",
		 nexthop_of(t->dest));
	return config_problem(p);
}

/* With trust anchors of its own, or those of main.cf. */
static bool
fill_anchors(const struct smtp_tls_entry *e, struct smtp_tls_policy *p)
{
	const char *files = e->tafiles.len ? buf_cstr(&e->tafiles)
					   : conf->smtp_tls_trust_anchor_file;

	return !*files || smtp_tls_tafile_add(files, &p->tlsa) ||
	       config_problem(p);
}

static bool
fill_authentication(const struct smtp_tls_target *t,
		    const struct smtp_tls_entry *e, struct smtp_tls_policy *p)
{
	const char *match = e->match.len ? buf_cstr(&e->match) : NULL;

	switch (p->level) {
	case TLS_CLIENT_FINGERPRINT:
		return fill_fingerprints(
		    t, match ? match : conf->smtp_tls_fingerprint_cert_match,
		    p);
	case TLS_CLIENT_VERIFY:
		add_names(
		    t,
		    span_of(match ? match : conf->smtp_tls_verify_cert_match),
		    &p->names);
		return fill_anchors(e, p);
	case TLS_CLIENT_SECURE:
		add_names(
		    t,
		    span_of(match ? match : conf->smtp_tls_secure_cert_match),
		    &p->names);
		return fill_anchors(e, p);
	default:
		return true;
	}
}

static bool
fill_sni(const struct smtp_tls_target *t, const struct smtp_tls_entry *e,
	 struct smtp_tls_policy *p)
{
	const char *name =
	    e->sni.len ? buf_cstr(&e->sni) : conf->smtp_tls_servername;

	if (p->level == TLS_CLIENT_NONE || !*name)
		return true;
	if (!strcasecmp(name, "hostname")) {
		replace(&p->sni, t->addr->host);
	} else if (!strcasecmp(name, "nexthop")) {
		replace(&p->sni, nexthop_of(t->dest));
	} else if (addr_valid_hostname(span_of(name))) {
		replace(&p->sni, name);
	} else {
		log_warn("\"%s_tls_servername = %s\" specifies an invalid "
			 "hostname",
			 tls.lmtp ? "lmtp" : "smtp", name);
		return config_problem(p);
	}
	return true;
}

bool
smtp_tls_policy_authenticate(const struct smtp_tls_target *t,
			     enum tls_client_level level,
			     struct smtp_tls_policy *p)
{
	const struct smtp_tls_entry none = {0};

	why_reset(&p->why);
	strvec_reset(&p->names);
	strvec_reset(&p->fingerprints);
	tlsa_list_free(&p->tlsa);
	p->level = level;
	fill_strength(p);
	return fill_authentication(t, &none, p) && fill_sni(t, &none, p);
}

/* What the entry of a table says beside the level. */
static void
take_entry(struct smtp_tls_entry *e, struct smtp_tls_policy *p)
{
	if (e->protocols.len) {
		p->own_protocols = true;
		replace(&p->protocols, buf_cstr(&e->protocols));
	}
	if (e->grade.len) {
		p->own_grade = true;
		replace(&p->grade, buf_cstr(&e->grade));
	}
	if (e->exclude.len) {
		p->own_exclude = true;
		replace(&p->exclude, buf_cstr(&e->exclude));
	}
	if (e->has_reuse)
		p->reuse = e->reuse;
}

static bool
apply_dane(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	if (smtp_tls_dane_apply(t, p))
		return true;
	smtp_tls_sts_report_refused(t, p,
				    p->asked == TLS_CLIENT_DANE_ONLY
					? TLSRPT_DANE_REQUIRED
					: TLSRPT_DNSSEC_INVALID,
				    buf_cstr(&p->why.text));
	return false;
}

static bool
find(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	struct smtp_tls_entry e = {0};
	bool found = false, ok;

	if (tls.per_site && !maps_is_empty(tls.per_site))
		ok = smtp_tls_site_find(tls.per_site, tls.lmtp, key_of(t->dest),
					t->addr->host, p);
	else
		ok = from_table(t, p, &e, &found);
	if (ok) {
		p->asked = p->level;
		take_entry(&e, p);
		fill_strength(p);
		ok = fill_authentication(t, &e, p) && fill_sni(t, &e, p);
	}
	if (ok &&
	    (p->level == TLS_CLIENT_DANE || p->level == TLS_CLIENT_DANE_ONLY))
		ok = apply_dane(t, p);
	if (ok && !found && p->origin != SMTP_TLS_PER_SITE &&
	    p->level <= TLS_CLIENT_ENCRYPT)
		ok = smtp_tls_sts_apply(t, p);
	smtp_tls_entry_free(&e);
	return ok;
}

bool
smtp_tls_policy_find(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	*p = (struct smtp_tls_policy){
	    .level = tls.level,
	    .asked = tls.level,
	    .origin = SMTP_TLS_MAIN,
	    .why = WHY_INIT,
	    .protocols = mem_strdup(""),
	    .grade = mem_strdup(""),
	    .exclude = mem_strdup(""),
	    .sni = mem_strdup(""),
	    .reuse = conf->smtp_tls_connection_reuse,
	    .report_type = mem_strdup("no-policy-found"),
	    .report_domain = mem_strdup(t->dest->host),
	};
	buf_printf(&p->reason, "%s_tls_security_level",
		   tls.lmtp ? "lmtp" : "smtp");
	if (find(t, p))
		return true;
	log_warn("TLS policy lookup for %s/%s: %s", key_of(t->dest),
		 t->addr->host, buf_cstr(&p->why.text));
	return false;
}

void
smtp_tls_policy_free(struct smtp_tls_policy *p)
{
	buf_free(&p->reason);
	why_free(&p->why);
	free(p->protocols);
	free(p->grade);
	free(p->exclude);
	free(p->sni);
	strvec_free(&p->names);
	strvec_free(&p->fingerprints);
	tlsa_list_free(&p->tlsa);
	free(p->report_type);
	free(p->report_domain);
	strvec_free(&p->report_strings);
	strvec_free(&p->report_mx);
	*p = (struct smtp_tls_policy){.why = WHY_INIT};
}

static bool
same_list(const struct strvec *a, const struct strvec *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcasecmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static bool
same_records(const struct tlsa_list *a, const struct tlsa_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].usage != b->v[i].usage ||
		    a->v[i].selector != b->v[i].selector ||
		    a->v[i].mtype != b->v[i].mtype ||
		    !span_equal(buf_span(&a->v[i].data),
				buf_span(&b->v[i].data)))
			return false;
	return true;
}

bool
smtp_tls_policy_same(const struct smtp_tls_policy *have,
		     const struct smtp_tls_policy *want)
{
	return have->level == want->level && have->web_pki == want->web_pki &&
	       !strcmp(have->protocols, want->protocols) &&
	       !strcmp(have->grade, want->grade) &&
	       !strcmp(have->exclude, want->exclude) &&
	       !strcmp(have->sni, want->sni) &&
	       same_list(&have->names, &want->names) &&
	       same_list(&have->fingerprints, &want->fingerprints) &&
	       same_records(&have->tlsa, &want->tlsa);
}

void
smtp_tls_policy_set_level(struct smtp_tls_policy *p,
			  enum tls_client_level level,
			  enum smtp_tls_origin origin, const char *fmt, ...)
{
	va_list ap;

	p->level = level;
	p->origin = origin;
	buf_reset(&p->reason);
	va_start(ap, fmt);
	buf_vprintf(&p->reason, fmt, ap);
	va_end(ap);
	fill_strength(p);
}
