/* SPDX-License-Identifier: MIT */
#include "smtp/posttls-finger_options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/tls/tls_client.h"

/* Beside the bits of finger_probe.log. */
enum { LOG_VERBOSE = 1 << 8, LOG_HANDSHAKE = 1 << 9, LOG_ALL = 1 << 10 };
enum {
	SECONDS_MAX = 24 * 3600,
	RECONNECT_MAX = 1000,
	DEBUG = FINGER_SUMMARY | LOG_VERBOSE,
};

/* An option's setting of the client, and what holds without the option; NULL:
 * what main.cf says. */
static const struct setting {
	char letter; /* 0: there is no option */
	const char *name, *dflt;
	bool join; /* given twice: a list */
	bool path; /* of files */
} settings[] = {
    {'l', "smtp_tls_security_level", "dane", false, false},
    {'a', "smtp_address_preference", NULL, false, false},
    {'A', "smtp_tls_trust_anchor_file", "", true, true},
    {'d', "smtp_tls_fingerprint_digest", NULL, false, false},
    {'F', "smtp_tls_CAfile", "", false, true},
    {'P', "smtp_tls_CApath", "", false, true},
    {'g', "smtp_tls_mandatory_ciphers", "medium", false, false},
    {'g', "smtp_tls_ciphers", "medium", false, false},
    {'h', "smtp_host_lookup", "dns", false, false},
    {'H', "smtp_tls_chain_files", "", true, true},
    {'k', "smtp_tls_cert_file", "", false, true},
    {'K', "smtp_tls_key_file", "", false, true},
    {'M', "smtp_tls_dane_insecure_mx_policy", "dane", false, false},
    {'p', "smtp_tls_mandatory_protocols", ">=TLSv1", false, false},
    {'p', "smtp_tls_protocols", ">=TLSv1", false, false},
    {'s', "smtp_tls_servername", "", false, false},
    {'f', "smtp_tls_force_insecure_host_tlsa_lookup", "no", false, false},
    {'w', "smtp_tls_wrappermode", "no", false, false},
    /* No tables, nothing of the mail that passes here. */
    {0, "smtp_tls_policy_maps", "", false, false},
    {0, "smtp_tls_per_site", "", false, false},
    {0, "smtp_tls_exclude_ciphers", "", false, false},
    {0, "smtp_tls_mandatory_exclude_ciphers", "", false, false},
    {0, "smtp_tls_eccert_file", "", false, false},
    {0, "smtp_tls_eckey_file", "", false, false},
    {0, "smtp_tls_dcert_file", "", false, false},
    {0, "smtp_tls_dkey_file", "", false, false},
    {0, "smtp_tls_secure_cert_match", "nexthop, dot-nexthop", false, false},
    {0, "smtp_tls_verify_cert_match", "hostname", false, false},
    {0, "smtp_tls_fingerprint_cert_match", "", false, false},
    {0, "smtp_dns_support_level", "dnssec", false, false},
    {0, "smtp_discard_ehlo_keywords", "", false, false},
    {0, "smtp_discard_ehlo_keyword_address_maps", "", false, false},
    {0, "postrider_mta_sts", "no", false, false},
};
enum { SETTINGS = sizeof(settings) / sizeof(*settings) };

_Noreturn static void
usage(void)
{
	fputs("usage: posttls-finger [-cCfnSvwX] [-a family] [-A tafile]\n"
	      "\t[-d digest] [-F CAfile] [-g grade] [-h host_lookup]\n"
	      "\t[-H chainfiles | -k certfile [-K keyfile]] [-l level]\n"
	      "\t[-L logopts] [-m count] [-M insecure_mx_policy]\n"
	      "\t[-o name=value] [-p protocols] [-P CApath] [-r delay]\n"
	      "\t[-s servername] [-t conn_timeout] [-T cmd_timeout]\n"
	      "\tdestination [match ...]\n",
	      stderr);
	exit(1);
}

static int
number(char letter, const char *text, int min, int max)
{
	int64_t n;

	if (!num_parse(span_of(text), min, max, &n))
		log_fatal("bad '-%c' option value: %s", letter, text);
	return (int)n;
}

/* The program leaves its directory. */
static void
add_paths(struct buf *out, const char *list)
{
	struct span rest = span_of(list), word;
	char *here = getcwd(NULL, 0);

	while (span_next_token(&rest, ", \t\r\n", &word)) {
		if (out->len)
			buf_append_byte(out, ' ');
		if (word.data[0] != '/' && here)
			buf_printf(out, "%s/", here);
		buf_append_span(out, word);
	}
	free(here);
}

static unsigned
log_options(const char *list)
{
	static const struct {
		const char *name;
		unsigned bits;
	} words[] = {
	    {"0", 0},
	    {"none", 0},
	    {"1", FINGER_SUMMARY},
	    {"routine", FINGER_SUMMARY},
	    {"summary", FINGER_SUMMARY},
	    {"2", DEBUG},
	    {"debug", DEBUG},
	    {"3", DEBUG | LOG_HANDSHAKE},
	    {"ssl-expert", DEBUG | LOG_HANDSHAKE},
	    {"4", DEBUG | LOG_ALL},
	    {"ssl-developer", DEBUG | LOG_ALL},
	    {"ssl-debug", LOG_VERBOSE},
	    {"ssl-handshake-packet-dump", LOG_HANDSHAKE},
	    {"ssl-session-packet-dump", LOG_ALL},
	    {"untrusted", 0},
	    {"peercert", FINGER_PEERCERT},
	    {"certmatch", FINGER_CERTMATCH},
	    {"cache", FINGER_CACHE},
	    {"verbose", LOG_VERBOSE},
	};
	enum { N = sizeof(words) / sizeof(*words) };
	struct span rest = span_of(list), word;
	unsigned bits = 0;

	while (span_next_token(&rest, ", \t\r\n", &word)) {
		size_t i = 0;

		while (i < N && !span_equal_cstr_nocase(word, words[i].name))
			i++;
		if (i < N)
			bits |= words[i].bits;
		else
			log_warn("unknown -L option value \"%.*s\" in \"%s\"",
				 SPAN_ARG(word), list);
	}
	return bits;
}

/* ---- what is checked at once ---- */

static void
check_word(char letter, const char *value, const char *const *words)
{
	while (*words && strcasecmp(*words, value) != 0)
		words++;
	if (!*words)
		log_fatal("bad '-%c' option value: %s", letter, value);
}

static void
check(char letter, const char *value)
{
	static const char *const families[] = {"ipv4", "ipv6", "any", NULL};
	static const char *const mx[] = {"may", "encrypt", "dane", NULL};
	struct span rest = span_of(value), word;
	enum tls_client_level level;

	switch (letter) {
	case 'a':
		check_word('a', value, families);
		break;
	case 'M':
		check_word('M', value, mx);
		break;
	case 'l':
		if (!tls_client_level_parse(span_of(value), &level))
			log_fatal("Invalid TLS level \"%s\"", value);
		break;
	case 'h':
		while (span_next_token(&rest, ", \t\r\n", &word))
			if (!span_equal_cstr_nocase(word, "dns") &&
			    !span_equal_cstr_nocase(word, "native"))
				log_fatal("unknown -h option value \"%.*s\" in "
					  "\"%s\"",
					  SPAN_ARG(word), value);
		break;
	default:
		break;
	}
}

/* ---- settings ---- */

struct given {
	struct buf value[SETTINGS];
	bool set[SETTINGS];
};

static void
give(struct given *g, char letter, const char *value)
{
	check(letter, value);
	for (size_t i = 0; i < SETTINGS; i++) {
		if (settings[i].letter != letter)
			continue;
		if (!settings[i].join)
			buf_reset(&g->value[i]);
		if (settings[i].path)
			add_paths(&g->value[i], value);
		else
			buf_set_cstr(&g->value[i], value);
		g->set[i] = true;
	}
}

static bool
is_given(const struct given *g, char letter)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (settings[i].letter == letter && g->set[i])
			return true;
	return false;
}

static void
set_by_name(struct given *g, const char *name, const struct buf *value)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (!strcmp(settings[i].name, name)) {
			buf_set(&g->value[i], buf_span(value));
			g->set[i] = true;
		}
}

static void
add(struct finger_options *o, const char *name, const char *value)
{
	bool mirror = o->lmtp && !strncmp(name, "smtp_", 5);
	char *text = mem_sprintf("%s%s=%s", mirror ? "lmtp_" : "",
				 mirror ? name + 5 : name, value);

	strvec_add(&o->over, text);
	free(text);
}

static void
add_seconds(struct finger_options *o, const char *name, int64_t usec)
{
	char *text = mem_sprintf("%llds", (long long)(usec / 1000000));

	add(o, name, text);
	free(text);
}

/* Names or fingerprints to match. */
static void
take_match(struct given *g, char **argv)
{
	struct buf list = BUF_INIT;

	for (; *argv; argv++)
		buf_printf(&list, "%s%s", list.len ? "," : "", *argv);
	if (list.len) {
		set_by_name(g, "smtp_tls_secure_cert_match", &list);
		set_by_name(g, "smtp_tls_verify_cert_match", &list);
		set_by_name(g, "smtp_tls_fingerprint_cert_match", &list);
	}
	buf_free(&list);
}

static const char *
log_level(unsigned log)
{
	if (log & LOG_ALL)
		return "4";
	if (log & LOG_HANDSHAKE)
		return "3";
	return log & LOG_VERBOSE ? "2" : "0";
}

/* dane-only is dane here: it would forbid the connections that are to be
 * looked at. */
static void
soften_level(struct given *g, struct finger_options *o)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		if (settings[i].letter != 'l' ||
		    !span_equal_cstr_nocase(buf_span(&g->value[i]),
					    "dane-only"))
			continue;
		o->dane_only = true;
		buf_set_cstr(&g->value[i], "dane");
	}
}

/* What the options say, and in a probe what the program says of itself. */
static void
finish(struct given *g, struct finger_options *o)
{
	if (!o->plan)
		soften_level(g, o);
	for (size_t i = 0; i < SETTINGS; i++)
		if (g->set[i])
			add(o, settings[i].name, buf_cstr(&g->value[i]));
		else if (!o->plan && settings[i].dflt)
			add(o, settings[i].name, settings[i].dflt);
	for (size_t i = 0; i < SETTINGS; i++)
		buf_free(&g->value[i]);
	add(o, "smtp_tlsrpt_enable", "no");
	if (o->plan)
		return;
	add_seconds(o, "smtp_connect_timeout", o->probe.greet_wait);
	add_seconds(o, "smtp_starttls_timeout", o->probe.command_wait);
	add(o, "smtp_tls_loglevel", log_level(o->probe.log));
	if (o->reconnect_delay > 0)
		add(o, "smtp_tls_session_cache_database", "internal:");
	/* The library's own lines say it all. */
	if (o->probe.log & (LOG_VERBOSE | LOG_HANDSHAKE | LOG_ALL))
		o->probe.log = 0;
}

/* A file may hold both. */
static void
pair_key(struct given *g)
{
	for (size_t i = 0; i + 1 < SETTINGS; i++) {
		size_t from = g->set[i] ? i : i + 1;
		size_t to = g->set[i] ? i + 1 : i;

		if (settings[i].letter != 'k' || g->set[i] == g->set[i + 1])
			continue;
		buf_set(&g->value[to], buf_span(&g->value[from]));
		g->set[to] = true;
	}
}

/* Options with a number. */
static void
take_number(struct finger_options *o, char letter, const char *text)
{
	switch (letter) {
	case 'm':
		o->reconnect_max = number('m', text, 0, RECONNECT_MAX);
		break;
	case 'r':
		o->reconnect_delay = number('r', text, 0, SECONDS_MAX);
		break;
	case 't':
		o->probe.greet_wait =
		    number('t', text, 1, SECONDS_MAX) * INT64_C(1000000);
		break;
	default:
		o->probe.command_wait =
		    number('T', text, 1, SECONDS_MAX) * INT64_C(1000000);
	}
}

static void
take_option(struct finger_options *o, struct given *g, char letter)
{
	switch (letter) {
	case 'c':
		o->probe.quiet = true;
		break;
	case 'C':
		o->probe.chain = true;
		break;
	case 'f':
	case 'w':
		o->probe.wrapper |= letter == 'w';
		give(g, letter, "yes");
		break;
	case 'L':
		o->probe.log = log_options(optarg);
		break;
	case 'm':
	case 'r':
	case 't':
	case 'T':
		take_number(o, letter, optarg);
		break;
	case 'n':
		o->plan = true;
		break;
	case 'o':
		if (!strchr(optarg, '='))
			usage();
		strvec_add(&o->over, optarg);
		break;
	case 'S':
		o->lmtp = true;
		break;
	case 'v':
		log_set_verbose(log_verbose() + 1);
		break;
	case 'X':
		log_warn("-X has no effect: there is no tlsproxy(8)");
		break;
	case '?':
		usage();
	default:
		give(g, letter, optarg);
	}
}

/* A socket's path is one of a file, too. */
static void
take_target(struct finger_options *o, const char *text)
{
	struct buf path = BUF_INIT;

	if (o->lmtp && !strncmp(text, "unix:", 5)) {
		add_paths(&path, text + 5);
		o->target = mem_sprintf("unix:%s", buf_cstr(&path));
	} else {
		o->target = mem_strdup(text);
	}
	buf_free(&path);
}

void
finger_options_parse(int argc, char **argv, struct finger_options *o)
{
	static const char letters[] =
	    "+a:A:cCd:fF:g:h:H:k:K:l:L:m:M:no:p:P:r:s:St:T:vwX";
	struct given g = {0};
	const char *env = getenv("MAIL_VERBOSE");
	int c;

	log_set_verbose(env && *env);
	o->reconnect_max = 5;
	o->probe.greet_wait = o->probe.command_wait = INT64_C(30000000);
	o->probe.log = FINGER_SUMMARY | FINGER_CERTMATCH;
	while ((c = getopt(argc, argv, letters)) != -1)
		take_option(o, &g, (char)c);
	if (optind >= argc)
		usage();
	if (is_given(&g, 'H') && (is_given(&g, 'k') || is_given(&g, 'K')))
		log_fatal("When the '-H' option is used, neither the '-k', nor "
			  "the '-K' options may be used");
	pair_key(&g);
	take_target(o, argv[optind]);
	take_match(&g, argv + optind + 1);
	finish(&g, o);
}

void
finger_options_free(struct finger_options *o)
{
	free(o->target);
	strvec_free(&o->over);
}
