/* SPDX-License-Identifier: MIT */
#include "lib/dns/search.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/num.h"
#include "lib/sys/io.h"

static const char resolv_conf[] = "/etc/resolv.conf";
enum { RESOLV_CONF_MAX = 64 * 1024 };

static struct strvec domains;
static int64_t ndots = 1;

static void
read_options(struct span words)
{
	struct span word;

	while (span_next_token(&words, " \t\r", &word))
		if (span_starts_nocase(word, "ndots:") &&
		    !num_parse(span_from(word, 6), 0, 15, &ndots))
			ndots = 1;
}

/* The last of "domain" and "search" counts. */
static void
read_line(struct span line)
{
	struct span word;
	bool one;

	if (!span_next_token(&line, " \t\r", &word))
		return;
	if (span_equal_cstr(word, "options")) {
		read_options(line);
		return;
	}
	one = span_equal_cstr(word, "domain");
	if (!one && !span_equal_cstr(word, "search"))
		return;
	strvec_reset(&domains);
	while (span_next_token(&line, " \t\r", &word) &&
	       domains.n < DNS_SEARCH_MAX) {
		if (word.len && word.data[word.len - 1] == '.')
			word.len--;
		strvec_add_span(&domains, word);
		if (one)
			break;
	}
}

void
dns_search_read(struct span text, const char *domain)
{
	struct span line;

	strvec_reset(&domains);
	ndots = 1;
	if (domain[0])
		strvec_add(&domains, domain);
	while (span_next_token(&text, "\n", &line))
		read_line(line);
}

void
dns_search_open(void)
{
	struct buf text = BUF_INIT;
	char host[256] = "";
	const char *dot = NULL;

	if (!io_read_file(resolv_conf, RESOLV_CONF_MAX, &text) &&
	    errno != ENOENT)
		log_warn("cannot read %s: %m", resolv_conf);
	if (gethostname(host, sizeof(host) - 1) == 0)
		dot = strchr(host, '.');
	dns_search_read(buf_span(&text), dot ? dot + 1 : "");
	buf_free(&text);
}

void
dns_search_names(struct span name, unsigned search, struct strvec *out)
{
	int64_t dots = 0;
	bool listed;

	for (size_t i = 0; i < name.len; i++)
		dots += name.data[i] == '.';
	listed = dots ? (search & DNS_SEARCH_DNSRCH) != 0
		      : (search & DNS_SEARCH_DEFNAMES) != 0;
	if (name.len && name.data[name.len - 1] == '.')
		listed = false;
	if (!listed || dots >= ndots)
		strvec_add_span(out, name);
	for (size_t i = 0; listed && i < domains.n; i++) {
		struct buf full = BUF_INIT;

		buf_printf(&full, "%.*s.%s", SPAN_ARG(name), domains.v[i]);
		strvec_add(out, buf_cstr(&full));
		buf_free(&full);
		if (!(search & DNS_SEARCH_DNSRCH))
			break;
	}
	if (listed && dots < ndots)
		strvec_add_span(out, name);
}

/* Which failure tells more. */
static int
weight(enum dns_status st)
{
	return st == DNS_NO_DATA ? 2 : st == DNS_RETRY ? 1 : 0;
}

enum dns_status
dns_search_query(const char *name, enum dns_type type, unsigned search,
		 unsigned flags, int timeout, struct dns_answer *answer)
{
	struct strvec names = STRVEC_INIT;
	enum dns_status st = DNS_NO_NAME;

	dns_search_names(span_of(name), search, &names);
	for (size_t i = 0; i < names.n; i++) {
		struct dns_answer a = DNS_ANSWER_INIT;

		dns_query(names.v[i], type, flags, timeout, &a);
		if (i == 0 || a.status == DNS_FOUND ||
		    weight(a.status) > weight(st)) {
			st = a.status;
			dns_answer_free(answer);
			*answer = a;
		} else {
			dns_answer_free(&a);
		}
		/* Servers that do not answer are not asked again and again. */
		if (st == DNS_FOUND || st == DNS_RETRY)
			break;
	}
	strvec_free(&names);
	return st;
}
