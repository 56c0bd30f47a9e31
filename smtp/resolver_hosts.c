/* SPDX-License-Identifier: MIT */
#include "smtp/resolver_hosts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/strvec.h"
#include "lib/dns/wire.h"
#include "lib/sys/io.h"

enum {
	HOSTS_MAX = 16 * 1024 * 1024,
	RECHECK_USEC = 1000000,
};

struct entry {
	struct strvec v4, v6; /* addresses of a name */
	char *name;           /* first name of an address */
};

static const char *hosts_path = "/etc/hosts";
static struct {
	struct htab *names; /* lower-case name to struct entry */
	struct htab *addrs; /* address in canonical form to struct entry */
	struct stat st;
	int64_t checked;
	bool failed;
} hosts;

void
resolver_hosts_set_path(const char *path)
{
	hosts_path = path;
	hosts.checked = 0;
}

static void
entry_free(void *p)
{
	struct entry *e = p;

	strvec_free(&e->v4);
	strvec_free(&e->v6);
	free(e->name);
	free(e);
}

static struct entry *
entry_of(struct htab *h, struct span key)
{
	struct entry *e = htab_get(h, key);

	if (!e) {
		e = mem_alloc(sizeof(*e));
		htab_put(h, key, e);
	}
	return e;
}

/* The address in the one spelling that inet_ntop gives it; 0: no address. */
static int
canonical_addr(struct span s, char out[INET6_ADDRSTRLEN])
{
	unsigned char a[16];
	char text[INET6_ADDRSTRLEN];
	int family;

	if (s.len >= sizeof(text))
		return 0;
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, text, a) != 1)
		return 0;
	inet_ntop(family, a, out, INET6_ADDRSTRLEN);
	return family;
}

static void
lower_name(struct span name, struct buf *out)
{
	buf_set(out, name);
	if (out->len && out->data[out->len - 1] == '.')
		buf_truncate(out, out->len - 1);
	for (size_t i = 0; i < out->len; i++)
		out->data[i] = (char)tolower((unsigned char)out->data[i]);
}

static void
load_line(struct span line)
{
	char addr[INET6_ADDRSTRLEN];
	struct buf name = BUF_INIT;
	struct span word;
	long hash = span_find(line, '#');
	int family;

	if (hash >= 0)
		line.len = (size_t)hash;
	if (!span_next_token(&line, " \t\r", &word))
		return;
	family = canonical_addr(word, addr);
	if (!family)
		return;
	while (span_next_token(&line, " \t\r", &word)) {
		struct entry *e;
		struct strvec *list;

		lower_name(word, &name);
		e = entry_of(hosts.names, buf_span(&name));
		list = family == AF_INET ? &e->v4 : &e->v6;
		if (list->n < DNS_RR_MAX && !strvec_has(list, addr))
			strvec_add(list, addr);
		e = entry_of(hosts.addrs, span_of(addr));
		if (!e->name)
			e->name = mem_strndup(word.data, word.len);
	}
	buf_free(&name);
}

static void
load(void)
{
	struct buf text = BUF_INIT;
	struct span rest, line;

	htab_free(hosts.names, entry_free);
	htab_free(hosts.addrs, entry_free);
	hosts.names = htab_new();
	hosts.addrs = htab_new();
	if (!io_read_file(hosts_path, HOSTS_MAX, &text)) {
		if (!hosts.failed && errno != ENOENT)
			log_warn("cannot read %s: %m", hosts_path);
		hosts.failed = true;
		buf_free(&text);
		return;
	}
	hosts.failed = false;
	rest = buf_span(&text);
	while (span_next_token(&rest, "\n", &line))
		load_line(line);
	buf_free(&text);
}

static void
refresh(void)
{
	int64_t now = io_monotonic();
	struct stat st;

	if (hosts.names && now - hosts.checked < RECHECK_USEC)
		return;
	hosts.checked = now;
	if (stat(hosts_path, &st) < 0)
		memset(&st, 0, sizeof(st));
	if (hosts.names && st.st_ino == hosts.st.st_ino &&
	    st.st_size == hosts.st.st_size &&
	    st.st_mtim.tv_sec == hosts.st.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == hosts.st.st_mtim.tv_nsec)
		return;
	hosts.st = st;
	load();
}

static void
add_text(struct dns_answer *a, const char *text)
{
	dns_answer_add(a)->text = mem_strdup(text);
	a->status = DNS_FOUND;
}

static bool
is_localhost(struct span name)
{
	if (name.len && name.data[name.len - 1] == '.')
		name.len--;
	return span_equal_cstr_nocase(name, "localhost") ||
	       span_ends_nocase(name, ".localhost");
}

static bool
find_always(const char *name, enum dns_type type, struct dns_answer *a)
{
	if (type == DNS_PTR) {
		if (strcmp(name, "127.0.0.1") != 0 && strcmp(name, "::1") != 0)
			return false;
		add_text(a, "localhost");
		return true;
	}
	if (!is_localhost(span_of(name)))
		return false;
	add_text(a, type == DNS_A ? "127.0.0.1" : "::1");
	a->canonical = mem_strdup(name);
	return true;
}

static bool
find_in_file(const char *name, enum dns_type type, struct dns_answer *a)
{
	struct buf key = BUF_INIT;
	const struct entry *e;
	const struct strvec *list;

	refresh();
	if (type == DNS_PTR) {
		char addr[INET6_ADDRSTRLEN];

		if (!canonical_addr(span_of(name), addr))
			return false;
		e = htab_get(hosts.addrs, span_of(addr));
		if (e)
			add_text(a, e->name);
		return e != NULL;
	}
	lower_name(span_of(name), &key);
	e = htab_get(hosts.names, buf_span(&key));
	buf_free(&key);
	if (!e)
		return false;
	a->status = DNS_NO_DATA;
	list = type == DNS_A ? &e->v4 : &e->v6;
	for (size_t i = 0; i < list->n; i++)
		add_text(a, list->v[i]);
	a->canonical = mem_strdup(name);
	return true;
}

bool
resolver_hosts_find(const char *name, enum dns_type type, bool always_only,
		    struct dns_answer *answer)
{
	if (type != DNS_A && type != DNS_AAAA && type != DNS_PTR)
		return false;
	dns_answer_free(answer);
	if (!always_only && find_in_file(name, type, answer) &&
	    (answer->status == DNS_FOUND || !is_localhost(span_of(name))))
		return true;
	/* The file may have the other family of localhost. */
	dns_answer_free(answer);
	return find_always(name, type, answer);
}
