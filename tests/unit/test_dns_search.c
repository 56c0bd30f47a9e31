/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* after those */
#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/dns/filter.h"
#include "lib/dns/search.h"
#include "lib/dns/wire.h"

enum { DEFNAMES = DNS_SEARCH_DEFNAMES, DNSRCH = DNS_SEARCH_DNSRCH };

static struct buf joined;

/* The names, with a space behind each. */
static const char *
names(const char *name, unsigned search)
{
	struct strvec out = STRVEC_INIT;

	dns_search_names(span_of(name), search, &out);
	buf_reset(&joined);
	for (size_t i = 0; i < out.n; i++)
		buf_printf(&joined, "%s ", out.v[i]);
	strvec_free(&out);
	return buf_cstr(&joined);
}

static void
test_plain(void **state)
{
	(void)state;
	dns_search_read(span_of("search a.example b.example\n"), "");
	assert_string_equal(names("h", 0), "h ");
	assert_string_equal(names("h.x", 0), "h.x ");
}

static void
test_lists(void **state)
{
	(void)state;
	dns_search_read(span_of("# x\nnameserver 127.0.0.1\n"
				"search a.example. b.example\n"),
			"z");
	assert_string_equal(names("h", DEFNAMES), "h.a.example h ");
	assert_string_equal(names("h.x", DEFNAMES), "h.x ");
	assert_string_equal(names("h", DNSRCH), "h ");
	assert_string_equal(names("h.x", DNSRCH),
			    "h.x h.x.a.example h.x.b.example ");
	assert_string_equal(names("h", DEFNAMES | DNSRCH),
			    "h.a.example h.b.example h ");
	assert_string_equal(names("h.", DEFNAMES | DNSRCH), "h. ");
}

static void
test_files(void **state)
{
	struct buf many = BUF_INIT;

	(void)state;
	dns_search_read(span_of(""), "host.example");
	assert_string_equal(names("h", DEFNAMES), "h.host.example h ");
	dns_search_read(span_of(""), "");
	assert_string_equal(names("h", DEFNAMES | DNSRCH), "h ");
	/* The last line counts; of "domain" the first word. */
	dns_search_read(span_of("search a\ndomain b c\noptions ndots:2"), "");
	assert_string_equal(names("h", DEFNAMES), "h.b h ");
	assert_string_equal(names("h.x", DNSRCH), "h.x.b h.x ");
	dns_search_read(span_of("domain b\noptions ndots:x rotate\nsearch"),
			"");
	assert_string_equal(names("h", DEFNAMES | DNSRCH), "h ");
	buf_append_cstr(&many, "search");
	for (int i = 0; i < 100; i++)
		buf_printf(&many, " d%d", i);
	dns_search_read(buf_span(&many), "");
	assert_string_equal(names("h.x", DNSRCH),
			    "h.x h.x.d0 h.x.d1 h.x.d2 h.x.d3 h.x.d4 h.x.d5 ");
	buf_free(&many);
}

static void
add(struct dns_answer *a, int preference, const char *text)
{
	struct dns_rr *rr = dns_answer_add(a);

	rr->preference = preference;
	rr->text = mem_strdup(text);
}

static struct dns_answer
three_hosts(void)
{
	struct dns_answer a = DNS_ANSWER_INIT;

	a.canonical = mem_strdup("example.com");
	a.ttl = 60;
	add(&a, 10, "a.example");
	add(&a, 20, "b.example");
	add(&a, 30, "c.example");
	return a;
}

static enum dns_filter_status
filter(const char *table, struct dns_answer *a)
{
	struct maps *m = dns_filter_open("x_filter", table);
	enum dns_filter_status st = dns_filter_apply("x_filter", m, DNS_MX, a);

	maps_free(m);
	return st;
}

static char table_path[] = "/tmp/test_dns_search.XXXXXX";

static const char *
table_of(const char *text)
{
	int fd = mkstemp(table_path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	buf_reset(&joined);
	buf_printf(&joined, "regexp:%s", table_path);
	return buf_cstr(&joined);
}

static void
test_filter(void **state)
{
	struct dns_answer a = three_hosts();

	(void)state;
	assert_int_equal(filter("", &a), DNS_FILTER_KEPT);
	assert_int_equal(a.n, 3);
	assert_int_equal(filter(table_of("/^example\\.com\\. 60 IN MX 20 "
					 "b\\.example\\.$/ ignore\n"),
				&a),
			 DNS_FILTER_KEPT);
	unlink(table_path);
	assert_int_equal(a.n, 2);
	assert_string_equal(a.rr[0].text, "a.example");
	assert_string_equal(a.rr[1].text, "c.example");
	assert_int_equal(filter("static:IGNORE", &a), DNS_FILTER_DROPPED);
	assert_int_equal(a.n, 0);
	assert_int_equal(filter("static:IGNORE", &a), DNS_FILTER_KEPT);
	dns_answer_free(&a);
	a = three_hosts();
	assert_int_equal(filter("static:DROP", &a), DNS_FILTER_BAD);
	dns_answer_free(&a);
	a = three_hosts();
	assert_int_equal(filter("fail:x", &a), DNS_FILTER_BAD);
	dns_answer_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
