/* SPDX-License-Identifier: MIT */
/*
 * posttls-finger - what a server's TLS is like, and what the client would do
 * for a destination. See posttls-finger(1).
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "smtp/posttls-finger_options.h"
#include "smtp/posttls-finger_resolver.h"
#include "smtp/smtp_ehlo.h"
#include "smtp/smtp_host.h"
#include "smtp/smtp_plan.h"
#include "smtp/smtp_tls.h"

/* What others write to a log is what this is about. */
static void
to_stdout(enum log_level level, const char *process, const char *line)
{
	(void)level;
	(void)process;
	printf("%s: %s\n", log_program(), line);
	fflush(stdout);
}

/* ---- one address ---- */

/* smtp_tls_dane_insecure_mx_policy had a say. Returns whether that is all. */
static bool
insecure_mx(const struct smtp_addr *a, const struct smtp_tls_policy *p)
{
	const char *policy = conf->smtp_tls_dane_insecure_mx_policy;

	if (p->level == TLS_CLIENT_HALF_DANE)
		log_info("MX RRset insecure: log verified as trusted");
	else if (a->mx_secure)
		return false;
	else if (p->level == TLS_CLIENT_MAY && !strcasecmp(policy, "may"))
		log_info("MX RRset is insecure: try to encrypt");
	else if (p->level == TLS_CLIENT_ENCRYPT &&
		 !strcasecmp(policy, "encrypt"))
		log_info("TLSA RRs found, MX RRset insecure: just encrypt");
	else
		return false;
	return true;
}

/*
 * Without records there is nothing to see of DANE: then what the certificate
 * is worth by its authority is of interest. false: no connection, policy.why.
 */
static bool
settle(const struct finger_options *o, struct smtp_plan *plan, size_t i)
{
	const struct smtp_tls_target t = {
	    .dest = plan->dest, .addr = &plan->addrs.v[i], .lmtp = plan->lmtp};
	struct smtp_plan_host *h = smtp_plan_host(plan, i);
	struct smtp_tls_policy *p = &h->policy;

	if (!h->allowed || p->asked != TLS_CLIENT_DANE ||
	    insecure_mx(t.addr, p) || p->level > TLS_CLIENT_ENCRYPT)
		return h->allowed;
	if (o->dane_only || log_verbose())
		log_info("no TLSA records found, resorting to \"secure\"");
	return smtp_tls_policy_authenticate(&t, TLS_CLIENT_SECURE, p);
}

static struct smtp_session *
open_session(const struct finger_options *o, struct smtp_plan *plan, size_t i,
	     struct why *why)
{
	struct smtp_session *s;

	if (!settle(o, plan, i)) {
		why_copy(why, &plan->hosts[i].policy.why);
		return NULL;
	}
	s = smtp_session_open(&plan->addrs.v[i], plan->dest, plan->lmtp, why);
	if (!s)
		return NULL;
	/* It is the session's now. */
	smtp_tls_policy_free(&s->tls.policy);
	s->tls.policy = plan->hosts[i].policy;
	plan->hosts[i].found = false;
	return s;
}

static struct smtp_session *
open_any(const struct finger_options *o, struct smtp_plan *plan)
{
	const char *name = plan->dest->name;
	struct smtp_session *s = NULL;
	struct why why = WHY_INIT;

	if (plan->lmtp && !strncmp(name, "inet:", 5))
		name += 5;
	for (size_t i = 0; !s && i < plan->addrs.n; i++) {
		s = open_session(o, plan, i, &why);
		if (s)
			break;
		if (plan->dest->path)
			log_info("Failed to establish session to %s: %s", name,
				 buf_cstr(&why.text));
		else
			log_info("Failed to establish session to %s via %s: %s",
				 name, plan->addrs.v[i].host,
				 buf_cstr(&why.text));
	}
	why_free(&why);
	return s;
}

/* ---- the probe, and again ---- */

static void
reconnect(const struct finger_options *o, struct smtp_plan *plan)
{
	struct finger_probe p = o->probe;
	struct strvec seen = STRVEC_INIT;

	strvec_add(&seen, buf_cstr(&o->probe.server));
	p.server = (struct buf)BUF_INIT;
	p.again = true;
	p.chain = false;
	if (p.log)
		p.log = FINGER_SUMMARY | FINGER_CACHE;
	for (int i = 0; i < o->reconnect_max; i++) {
		struct smtp_session *s;

		log_info("Reconnecting after %d seconds", o->reconnect_delay);
		sleep((unsigned)o->reconnect_delay);
		s = open_any(o, plan);
		if (!s)
			break;
		finger_probe(&p, &s);
		if (!p.encrypted)
			break;
		if (strvec_has(&seen, buf_cstr(&p.server))) {
			log_info("Found a previously used server.  Done "
				 "reconnecting.");
			break;
		}
		strvec_add(&seen, buf_cstr(&p.server));
	}
	buf_free(&p.server);
	strvec_free(&seen);
}

static void
probe(struct finger_options *o, struct smtp_plan *plan)
{
	struct smtp_session *s = open_any(o, plan);

	if (!s)
		return;
	finger_probe(&o->probe, &s);
	if (o->reconnect_delay > 0 && o->probe.encrypted)
		reconnect(o, plan);
	buf_free(&o->probe.server);
}

/* ---- start ---- */

static void
parse_target(const struct finger_options *o, struct dest_list *l)
{
	const struct dest_rules rules = {
	    .lmtp = o->lmtp,
	    .default_port = o->lmtp ? conf->lmtp_tcp_port : conf->smtp_tcp_port,
	    .known_ports = conf->known_tcp_ports,
	};
	struct why why = WHY_INIT;

	if (!dest_list_parse(span_of(o->target), &rules, l, &why))
		log_fatal("%s", buf_cstr(&why.text));
	if (l->n != 1)
		log_fatal("one destination is wanted: %s", o->target);
	why_free(&why);
}

static void
load(const struct finger_options *o)
{
	conf_load(&(struct conf_args){.program = o->lmtp ? "lmtp" : "smtp",
				      .over = &o->over});
}

/* Policies are asked for from the service; a user who may not ask it must not
 * read that there would be no delivery. */
static void
check_mta_sts(struct finger_options *o)
{
	if (!conf->postrider_mta_sts || access("private/mta-sts", W_OK) == 0)
		return;
	if (!o->lmtp)
		log_warn("MTA-STS policies are left out: connect to "
			 "private/mta-sts: %m");
	strvec_add(&o->over, "postrider_mta_sts=no");
	load(o);
}

static void
start(struct finger_options *o)
{
	const char *name = o->lmtp ? "lmtp" : "smtp";

	load(o);
	if (conf->smtp_tls_wrappermode && !o->plan &&
	    strcasecmp(conf->smtp_tls_security_level, "none") == 0)
		log_fatal("SSL wrapper mode requires that TLS not be disabled");
	finger_resolver_open();
	check_mta_sts(o);
	smtp_ehlo_open();
	smtp_tls_open(o->lmtp, name);
	route_host_open();
	smtp_host_open();
}

static int
run(struct finger_options *o, const struct dest *d)
{
	struct buf text = BUF_INIT;
	struct smtp_plan plan;
	bool found = smtp_plan_make(d, o->lmtp, &plan);

	if (o->plan) {
		smtp_plan_print(&plan, &text);
		fwrite(text.data, 1, text.len, stdout);
	} else if (found) {
		probe(o, &plan);
	} else {
		log_info("Destination address lookup failed: %s",
			 buf_cstr(&plan.why.text));
	}
	buf_free(&text);
	smtp_plan_free(&plan);
	return fflush(stdout) == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	static struct finger_options o;
	struct dest_list dests = {0};
	int status;

	log_set_program("posttls-finger");
	log_set_sink(to_stdout);
	finger_options_parse(argc, argv, &o);
	start(&o);
	parse_target(&o, &dests);
	status = run(&o, &dests.v[0]);
	dest_list_free(&dests);
	finger_options_free(&o);
	return status;
}
