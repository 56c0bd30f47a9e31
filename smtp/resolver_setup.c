/* SPDX-License-Identifier: MIT */
#include "smtp/resolver_setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unbound.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"

enum {
	RESOLV_CONF_MAX = 64 * 1024,
	SERVERS_MAX = 16,
};

/* Of the packages dns-root-data and unbound, which keep them up to date. */
static const char *const anchor_files[] = {
    "/usr/share/dns/root.key",
    "/var/lib/unbound/root.key",
    "/etc/unbound/root.key",
};

/* The keys of the root of 2017 and 2024, as IANA publishes them
 * (https://data.iana.org/root-anchors/root-anchors.xml). */
static const char *const anchor_keys[] = {
    ". IN DS 20326 8 2 "
    "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 "
    "683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
};

static const char only_root[] = "root-servers";

static void
set_option(struct ub_ctx *ub, const char *name, const char *value)
{
	int rc = ub_ctx_set_option(ub, name, value);

	if (rc != 0)
		log_warn("libunbound option %s %s: %s", name, value,
			 ub_strerror(rc));
}

/*
 * Zones that libunbound answers by itself unless told otherwise. Behind the
 * servers of this host they may well exist.
 */
static const char *const plain_zones[] = {
    "test.",
    "invalid.",
    "onion.",
    "home.arpa.",
    "resolver.arpa.",
    "service.arpa.",
    "127.in-addr.arpa.",
};

/*
 * Names that are used inside networks although the root says they do not
 * exist: signatures cannot be expected there.
 */
static const char *const insecure_zones[] = {
    "local.",  "internal.",         "lan.",       "home.",
    "corp.",   "intranet.",         "private.",   "localnet.",
    "test.",   "invalid.",          "home.arpa.", "localdomain.",
    "domain.", "127.in-addr.arpa.",
};

/* Names of addresses: nothing depends on their signatures, and many networks
 * give out their own. */
static const char *const reverse_zones[] = {"in-addr.arpa.", "ip6.arpa."};

static void
set_insecure(struct ub_ctx *ub, const struct resolver_engine_conf *conf)
{
	struct span rest = span_of(conf->insecure), word;
	size_t n = sizeof(insecure_zones) / sizeof(*insecure_zones);

	for (size_t i = 0; i < n; i++)
		set_option(ub, "domain-insecure:", insecure_zones[i]);
	while (span_next_token(&rest, ", \t\r\n", &word)) {
		char *zone = mem_strndup(word.data, word.len);

		set_option(ub, "domain-insecure:", zone);
		free(zone);
	}
}

static struct span
without_dot(struct span name)
{
	if (name.len && name.data[name.len - 1] == '.')
		name.len--;
	return name;
}

/* Is name the zone, or below it? */
static bool
is_in_zone(struct span name, struct span zone)
{
	size_t at = name.len - zone.len;

	if (zone.len == 0 || name.len < zone.len)
		return false;
	return span_equal_nocase(span_from(name, at), zone) &&
	       (at == 0 || name.data[at - 1] == '.');
}

static bool
is_in_any(struct span name, const char *const *zones, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_in_zone(name, without_dot(span_of(zones[i]))))
			return true;
	return false;
}

bool
resolver_setup_is_private(const struct resolver_engine_conf *conf,
			  const char *text)
{
	struct span name = without_dot(span_of(text));
	struct span rest = span_of(conf->insecure), word;

	while (span_next_token(&rest, ", \t\r\n", &word))
		if (is_in_zone(name, without_dot(word)))
			return true;
	return is_in_any(name, insecure_zones,
			 sizeof(insecure_zones) / sizeof(*insecure_zones)) ||
	       is_in_any(name, reverse_zones,
			 sizeof(reverse_zones) / sizeof(*reverse_zones));
}

static void
set_options(struct ub_ctx *ub, bool validate, int ports)
{
	char number[24];

	ub_ctx_debugout(ub, NULL);
	set_option(
	    ub, "module-config:", validate ? "validator iterator" : "iterator");
	set_option(ub, "do-not-query-localhost:", "no");
	/* Whoever wants another order makes it; texts of several records are
	 * shown in the order of the answer. */
	set_option(ub, "rrset-roundrobin:", "no");
	set_option(ub, "unblock-lan-zones:", "yes");
	set_option(ub, "insecure-lan-zones:", "yes");
	/*
	 * The first repetition of a question comes after 0.4 s, the fifth and
	 * last gives up after some 10 s. A server that was down is asked again
	 * 15 s later at most.
	 */
	set_option(ub, "infra-cache-min-rtt:", "400");
	set_option(ub, "infra-cache-max-rtt:", "4000");
	set_option(ub, "infra-host-ttl:", "15");
	set_option(ub, "num-queries-per-thread:", "8192");
	snprintf(number, sizeof(number), "%d", ports);
	set_option(ub, "outgoing-range:", number);
}

/* This makes the context final: no option or server after it. */
static void
remove_zones(struct ub_ctx *ub)
{
	for (size_t i = 0; i < sizeof(plain_zones) / sizeof(*plain_zones); i++)
		ub_ctx_zone_remove(ub, plain_zones[i]);
}

/* One server, "address" or "address@port". */
static size_t
add_server(struct ub_ctx *ub, struct span server)
{
	char *text = mem_strndup(server.data, server.len);
	int rc = ub_ctx_set_fwd(ub, text);

	if (rc != 0)
		log_warn("bad name server address \"%s\": %s", text,
			 ub_strerror(rc));
	free(text);
	return rc == 0;
}

static size_t
add_resolv_conf(struct ub_ctx *ub)
{
	struct buf text = BUF_INIT;
	struct span rest, line, word;
	size_t n = 0;

	if (!io_read_file(RESOLVER_RESOLV_CONF, RESOLV_CONF_MAX, &text) &&
	    errno != ENOENT)
		log_warn("cannot read %s: %m", RESOLVER_RESOLV_CONF);
	rest = buf_span(&text);
	while (n < SERVERS_MAX && span_next_token(&rest, "\n", &line))
		if (span_next_token(&line, " \t\r", &word) &&
		    span_equal_cstr(word, "nameserver") &&
		    span_next_token(&line, " \t\r", &word))
			n += add_server(ub, word);
	buf_free(&text);
	return n;
}

static void
add_servers(struct ub_ctx *ub, const struct resolver_engine_conf *conf)
{
	struct span rest = span_of(conf->servers), word;
	size_t n = 0;

	while (n < SERVERS_MAX && span_next_token(&rest, ", \t\r\n", &word))
		n += add_server(ub, word);
	if (n == 0 && conf->servers[0] == '\0')
		n = add_resolv_conf(ub);
	/* As resolv.conf(5) says; also never the public root servers. */
	if (n == 0)
		add_server(ub, span_of("127.0.0.1"));
}

/* A file; false: not used, and logged when that is a surprise. */
static bool
add_anchor_file(struct ub_ctx *ub, const char *path, bool wanted)
{
	int rc;

	if (access(path, R_OK) < 0) {
		if (wanted)
			log_warn("cannot read the trust anchor %s: %m", path);
		return false;
	}
	rc = ub_ctx_add_ta_file(ub, path);
	if (rc != 0)
		log_warn("trust anchor %s: %s", path, ub_strerror(rc));
	return rc == 0;
}

/*
 * The administrator's file alone; without it the keys that are built in, and
 * those of the first file of a package, which may know younger ones.
 */
static bool
add_anchors(struct ub_ctx *ub, const struct resolver_engine_conf *conf)
{
	size_t files = sizeof(anchor_files) / sizeof(*anchor_files);
	size_t keys = sizeof(anchor_keys) / sizeof(*anchor_keys);
	bool any = false;

	if (conf->trust_anchor[0])
		return add_anchor_file(ub, conf->trust_anchor, true);
	for (size_t i = 0; i < keys; i++)
		any |= ub_ctx_add_ta(ub, anchor_keys[i]) == 0;
	for (size_t i = 0; i < files; i++)
		if (add_anchor_file(ub, anchor_files[i], false))
			return true;
	return any;
}

bool
resolver_setup_only_root(const struct resolver_engine_conf *conf)
{
	return span_equal_cstr_nocase(span_trim(span_of(conf->servers)),
				      only_root);
}

bool
resolver_setup_context(struct ub_ctx *ub,
		       const struct resolver_engine_conf *conf,
		       enum resolver_way way, int ports)
{
	bool validate = way != RESOLVER_PLAIN && add_anchors(ub, conf);

	set_options(ub, validate, ports);
	if (validate)
		set_insecure(ub, conf);
	if (way != RESOLVER_RECURSE && !resolver_setup_only_root(conf))
		add_servers(ub, conf);
	remove_zones(ub);
	return validate || way == RESOLVER_PLAIN;
}
