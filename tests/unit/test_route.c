/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "lib/route/route_internal.h"

static char dir[] = "/tmp/route.XXXXXX";

static struct conf config = {
    .swap_bangpath = true,
    .allow_percent_hack = true,
    .append_at_myorigin = true,
    .append_dot_mydomain = true,
    .resolve_dequoted_address = true,
    .show_user_unknown_table_name = true,
    .myhostname = "mx.example.org",
    .myorigin = "mx.example.org",
    .mydomain = "example.org",
    .inet_interfaces = "127.0.0.1",
    .inet_protocols = "ipv4, ipv6",
    .proxy_interfaces = "9.9.9.9, 2001:db8::9",
    .remote_header_rewrite_domain = "",
    .mydestination = "mx.example.org localhost.example.org",
    .virtual_alias_domains = "valias.test",
    .virtual_mailbox_domains = "vmbox.test",
    .relay_domains = "relay.test",
    .parent_domain_matches_subdomains = "relay_domains",
    .recipient_delimiter = "+",
    .empty_address_recipient = "MAILER-DAEMON",
    .empty_address_relayhost_maps_lookup_key = "<>",
    .empty_address_default_transport_maps_lookup_key = "<>",
    .double_bounce_sender = "double-bounce",
    .local_transport = "local:mx.example.org",
    .virtual_transport = "virtual",
    .relay_transport = "relay",
    .default_transport = "smtp",
    .relayhost = "",
    .unknown_local_recipient_reject_code = 550,
    .unknown_relay_recipient_reject_code = 550,
    .unknown_virtual_mailbox_reject_code = 551,
    .unknown_virtual_alias_reject_code = 550,
    .relay_recipient_maps = "",
    .recipient_canonical_maps = "",
};

/* A table with these lines; "texthash:PATH". */
static const char *
table(const char *name, const char *lines)
{
	char *spec = mem_sprintf("texthash:%s/%s", dir, name);
	FILE *f = fopen(strchr(spec, ':') + 1, "w");

	assert_non_null(f);
	fputs(lines, f);
	fclose(f);
	return spec;
}

static void
check_from(const char *sender, const char *rcpt, enum addr_class class,
	   const char *transport, const char *nexthop, const char *final)
{
	struct route r = ROUTE_INIT;
	struct why why = WHY_INIT;

	if (!route_resolve(span_of(sender), span_of(rcpt), &r, &why))
		fail_msg("%s: %s", rcpt, buf_cstr(&why.text));
	assert_string_equal(buf_cstr(&r.transport), transport);
	assert_string_equal(buf_cstr(&r.nexthop), nexthop);
	if (final)
		assert_string_equal(buf_cstr(&r.recipient), final);
	assert_int_equal(r.class, class);
	route_free(&r);
	why_free(&why);
}

static void
check(const char *rcpt, enum addr_class class, const char *transport,
      const char *nexthop, const char *final)
{
	check_from("s@ext.test", rcpt, class, transport, nexthop, final);
}

static void
test_classes(void **state)
{
	(void)state;
	check("root", CLASS_LOCAL, "local", "mx.example.org",
	      "root@mx.example.org");
	check("R@MX.Example.ORG", CLASS_LOCAL, "local", "mx.example.org",
	      "R@MX.Example.ORG");
	check("r@[127.0.0.1]", CLASS_LOCAL, "local", "mx.example.org", NULL);
	check("r@[9.9.9.9]", CLASS_LOCAL, "local", "mx.example.org", NULL);
	check("r@[IPv6:2001:db8::9]", CLASS_LOCAL, "local", "mx.example.org",
	      NULL);
	check("r@[1.2.3.4]", CLASS_DEFAULT, "smtp", "[1.2.3.4]", NULL);
	check("r@localhost", CLASS_LOCAL, "local", "mx.example.org",
	      "r@localhost.example.org");
	check("x@valias.test", CLASS_ALIAS, "error",
	      "5.1.1 User unknown in virtual alias table", NULL);
	check("x@vmbox.test", CLASS_VIRTUAL, "virtual", "vmbox.test", NULL);
	check("x@sub.vmbox.test", CLASS_DEFAULT, "smtp", "sub.vmbox.test",
	      NULL);
	check("x@relay.test", CLASS_RELAY, "relay", "relay.test", NULL);
	check("x@sub.relay.test", CLASS_RELAY, "relay", "sub.relay.test", NULL);
	check("x@EXT.Test", CLASS_DEFAULT, "smtp", "EXT.Test", NULL);
}

static void
test_forms(void **state)
{
	(void)state;
	check("", CLASS_LOCAL, "local", "mx.example.org",
	      "MAILER-DAEMON@mx.example.org");
	check("@mx.example.org", CLASS_LOCAL, "local", "mx.example.org",
	      "MAILER-DAEMON@mx.example.org");
	check("@ext.test", CLASS_DEFAULT, "smtp", "ext.test", "@ext.test");
	check("a%b@mx.example.org", CLASS_DEFAULT, "smtp", "b.example.org",
	      "a@b.example.org");
	check("a!b@mx.example.org", CLASS_DEFAULT, "smtp", "a.example.org",
	      "b@a.example.org");
	check("a@b@mx.example.org", CLASS_DEFAULT, "smtp", "b.example.org",
	      "a@b.example.org");
	check("a%b@ext.test", CLASS_DEFAULT, "smtp", "ext.test",
	      "a%b@ext.test");
	check("x@ext.test.", CLASS_DEFAULT, "smtp", "ext.test", "x@ext.test");
	config.resolve_dequoted_address = false;
	check("a@b@mx.example.org", CLASS_LOCAL, "local", "mx.example.org",
	      "a@b@mx.example.org");
	config.resolve_dequoted_address = true;
	config.resolve_numeric_domain = true;
	check("x@1.2.3.5", CLASS_DEFAULT, "smtp", "[1.2.3.5]", "x@[1.2.3.5]");
	config.resolve_numeric_domain = false;
}

static void
test_syntax(void **state)
{
	static const char *const bad[] = {
	    "x@1.2.3.4", "user@",   "-x@ext.test", "x@-ext.test",
	    "x@ext..t",  "x@[::1]", "x@[foo]",     "x@1.2.3",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct route r = ROUTE_INIT;
		struct why why = WHY_INIT;

		assert_false(
		    route_resolve(span_of("s"), span_of(bad[i]), &r, &why));
		assert_string_equal(why.dsn, "5.1.3");
		route_free(&r);
		why_free(&why);
	}
}

static void
test_transport(void **state)
{
	(void)state;
	check("x@t1.test", CLASS_DEFAULT, "smtp", "t1.test", NULL);
	check("x@t2.test", CLASS_DEFAULT, "lmtp", "t2.test", NULL);
	check("x@t3.test", CLASS_DEFAULT, "smtp", "[nh]:26", NULL);
	check("x@t4.test", CLASS_DEFAULT, "lmtp", "unix:private/x", NULL);
	check("x@t5.test", CLASS_DEFAULT, "error", "5.7.1 gone away", NULL);
	check("x@t7.test", CLASS_DEFAULT, "discard", "t7.test", NULL);
	check("x@sub.test", CLASS_DEFAULT, "fast", "sub.test", NULL);
	check("x@a.b.sub.test", CLASS_DEFAULT, "slow", "a.b.sub.test", NULL);
	check("u@t8.test", CLASS_DEFAULT, "x", "t8.test", NULL);
	check("u+e@t8.test", CLASS_DEFAULT, "y", "t8.test", NULL);
	check("u+f@t8.test", CLASS_DEFAULT, "x", "t8.test", NULL);
	check("w@t8.test", CLASS_DEFAULT, "smtp", "t8.test", NULL);
	check("x@e2.test", CLASS_DEFAULT, "error", "Address is undeliverable",
	      NULL);
	check("X@T12.Test", CLASS_DEFAULT, "SMTP", "h", NULL);
	check("loc3@mx.example.org", CLASS_LOCAL, "x", "mx.example.org", NULL);
	check("va@valias.test", CLASS_ALIAS, "error",
	      "5.1.1 User unknown in virtual alias table", NULL);
	check("x@[1.2.3.9]", CLASS_DEFAULT, "lit", "[1.2.3.9]", NULL);
	config.parent_domain_matches_subdomains = "transport_maps";
	check("x@a.b.sub.test", CLASS_DEFAULT, "fast", "a.b.sub.test", NULL);
	config.parent_domain_matches_subdomains = "relay_domains";
	check("moved+x@mx.example.org", CLASS_LOCAL, "error",
	      "5.1.6 User has moved to new@there.test", NULL);
	check("moved2@ext.test", CLASS_DEFAULT, "smtp", "ext.test", NULL);
	check("q@gone.test", CLASS_DEFAULT, "error",
	      "5.1.6 User has moved to somewhere", NULL);
}

static void
test_sender(void **state)
{
	(void)state;
	check_from("s1@x.test", "x@ext.test", CLASS_DEFAULT, "smtp",
		   "[relay1]:587", NULL);
	check_from("s1+e@x.test", "x@ext.test", CLASS_DEFAULT, "smtp",
		   "[relay1]:587", NULL);
	check_from("s3@x.test", "x@ext.test", CLASS_DEFAULT, "smtp", "ext.test",
		   NULL);
	check_from("", "x@ext.test", CLASS_DEFAULT, "nulldt", "[nullrelay]",
		   NULL);
	check_from("a@d2.test", "x@ext.test", CLASS_DEFAULT, "smtp3", "[nh3]",
		   NULL);
	check_from("d1@x.test", "x@t3.test", CLASS_DEFAULT, "smtp2", "[nh]:26",
		   NULL);
	check_from("s1@x.test", "x@relay.test", CLASS_RELAY, "relay",
		   "[relay1]:587", NULL);
	check_from("d1@x.test", "x@relay.test", CLASS_RELAY, "relay",
		   "relay.test", NULL);
	config.relayhost = "[rh.test]:587";
	check("x@ext.test", CLASS_DEFAULT, "smtp", "[rh.test]:587", NULL);
	check("x@t1.test", CLASS_DEFAULT, "smtp", "[rh.test]:587", NULL);
	check("x@t2.test", CLASS_DEFAULT, "lmtp", "t2.test", NULL);
	config.default_transport = "smtp:[dt.test]";
	config.relay_transport = "relay:[rl.test]";
	check("x@ext.test", CLASS_DEFAULT, "smtp", "[dt.test]", NULL);
	check("x@relay.test", CLASS_RELAY, "relay", "[rl.test]", NULL);
	config.default_transport = "smtp";
	config.relay_transport = "relay";
	config.relayhost = "";
}

static void
check_known(const char *rcpt, enum table_status want, int code, const char *dsn,
	    const char *text)
{
	struct route r = ROUTE_INIT;
	struct why why = WHY_INIT;

	assert_true(route_resolve(span_of(""), span_of(rcpt), &r, &why));
	why_reset(&why);
	assert_int_equal(route_recipient_known(&r, &why), want);
	if (want == TABLE_ABSENT) {
		assert_int_equal(why.code, code);
		assert_string_equal(why.dsn, dsn);
		assert_string_equal(buf_cstr(&why.text), text);
	}
	route_free(&r);
	why_free(&why);
}

static void
test_known(void **state)
{
	(void)state;
	check_known("root@mx.example.org", TABLE_FOUND, 0, "", "");
	check_known("root+x@mx.example.org", TABLE_FOUND, 0, "", "");
	check_known("ext+foo@mx.example.org", TABLE_FOUND, 0, "", "");
	check_known("ext@mx.example.org", TABLE_ABSENT, 550, "5.1.1",
		    "User unknown in local recipient table");
	check_known("canon@mx.example.org", TABLE_FOUND, 0, "", "");
	check_known("Postmaster", TABLE_FOUND, 0, "", "");
	check_known("postmaster@localhost.example.org", TABLE_FOUND, 0, "", "");
	check_known("Mailer-Daemon", TABLE_FOUND, 0, "", "");
	check_known("double-bounce", TABLE_FOUND, 0, "", "");
	check_known("postmaster+x", TABLE_ABSENT, 550, "5.1.1",
		    "User unknown in local recipient table");
	check_known("postmaster@vmbox.test", TABLE_ABSENT, 551, "5.1.1",
		    "User unknown in virtual mailbox table");
	check_known("b@vmbox.test", TABLE_ABSENT, 551, "5.1.1",
		    "User unknown in virtual mailbox table");
	check_known("a@vmbox.test", TABLE_FOUND, 0, "", "");
	check_known("v@valias.test", TABLE_FOUND, 0, "", "");
	check_known("w@valias.test", TABLE_ABSENT, 550, "5.1.1",
		    "User unknown in virtual alias table");
	check_known("b@relay.test", TABLE_FOUND, 0, "", "");
	check_known("x@t5.test", TABLE_ABSENT, 550, "5.7.1", "gone away");
	check_known("x@e3.test", TABLE_ABSENT, 550, "5.3.0", "later");
	check_known("x@t13.test", TABLE_ABSENT, 450, "4.2.9", "hm");
	check_known("list@vmbox.test", TABLE_ABSENT, 550, "5.2.0", "no");
	check_known("moved@mx.example.org", TABLE_ABSENT, 550, "5.1.6",
		    "User has moved to new@there.test");
	config.show_user_unknown_table_name = false;
	check_known("b@vmbox.test", TABLE_ABSENT, 551, "5.1.1", "User unknown");
	config.show_user_unknown_table_name = true;
}

static void
check_find(const char *addr, unsigned forms, const char *value,
	   const char *extension)
{
	struct maps *m = route_tables.aliases;
	struct buf v = BUF_INIT, ext = BUF_INIT;
	struct why why = WHY_INIT;
	enum table_status st =
	    route_addr_find(m, span_of(addr), forms, &v, &ext, &why);

	assert_int_equal(st, value ? TABLE_FOUND : TABLE_ABSENT);
	if (value) {
		assert_string_equal(buf_cstr(&v), value);
		assert_string_equal(buf_cstr(&ext), extension);
	}
	buf_free(&v);
	buf_free(&ext);
	why_free(&why);
}

static void
test_find(void **state)
{
	unsigned all = ADDR_FIND_DEFAULT;

	(void)state;
	check_find("u+e@d4.test", all, "full", "");
	check_find("u+f@d4.test", all, "noext", "+f");
	check_find("z+f@d4.test", all, "at", "");
	check_find("luser@mx.example.org", all, "site", "");
	check_find("luser+q@[127.0.0.1]", all, "site", "+q");
	check_find("luser@ext.test", all, NULL, "");
	check_find("a b+e@d5.test", all, "quoted", "+e");
	check_find("u+f@d4.test", ADDR_FIND_FULL, NULL, "");
	check_find("u@bare.test", ADDR_FIND_DOMAIN, "domain", "");
	check_find("any@nowhere.test", ADDR_FIND_USER_AT | ADDR_FIND_FULL,
		   "userat", "");
}

static int
setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	conf = &config;
	config.transport_maps = table(
	    "transport",
	    "t1.test :\nt2.test lmtp:\nt3.test :[nh]:26\n"
	    "t4.test lmtp:unix:private/x\nt5.test error:5.7.1 gone away\n"
	    "t7.test discard\n.sub.test slow:\nsub.test fast:\n"
	    "u@t8.test x:\nu+e@t8.test y:\ne2.test error:\n"
	    "e3.test error:4.3.0 later\nt12.test SMTP:h\n"
	    "t13.test retry:5.2.9 hm\nlist@vmbox.test error:5.2.0 no\n"
	    "loc3@mx.example.org x:\nva@valias.test x:\n[1.2.3.9] lit:\n");
	config.relocated_maps =
	    table("relocated", "moved@mx.example.org new@there.test\n"
			       "moved2 x\n@gone.test somewhere\n");
	config.sender_dependent_relayhost_maps =
	    table("relay", "s1@x.test [relay1]:587\ns3@x.test DUNNO\n"
			   "<> [nullrelay]\n");
	config.sender_dependent_default_transport_maps =
	    table("dt", "d1@x.test smtp2:\n@d2.test smtp3:[nh3]\n"
			"<> nulldt:\n");
	config.local_recipient_maps = table("local", "root x\next+foo x\n");
	config.virtual_mailbox_maps = table("vmbox", "a@vmbox.test x\n");
	config.virtual_alias_maps =
	    table("alias", "v@valias.test x\nu+e@d4.test full\n"
			   "u@d4.test noext\n@d4.test at\nluser site\n"
			   "bare.test domain\nany@ userat\n"
			   "\"a b\"@d5.test quoted\n");
	config.canonical_maps = table("canon", "canon@mx.example.org x\n");
	route_open();
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = {"transport", "relocated", "relay",
					    "dt",        "local",     "vmbox",
					    "alias",     "canon"};
	char path[64];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_classes), cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_syntax),  cmocka_unit_test(test_transport),
	    cmocka_unit_test(test_sender),  cmocka_unit_test(test_known),
	    cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
