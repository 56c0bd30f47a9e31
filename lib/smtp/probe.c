/* SPDX-License-Identifier: MIT */
#include "lib/smtp/probe.h"

#include "lib/addr/addr.h"
#include "lib/addr/rewrite.h"
#include "lib/conf/conf.h"

/* Digits of a number, least significant first. */
static void
append_slot(uint64_t n, struct buf *out)
{
	static const char digits[] = "0123456789bcdfghjklmnpqrstvwxyz";
	const uint64_t base = sizeof(digits) - 1;

	do {
		buf_append_byte(out, digits[n % base]);
		n /= base;
	} while (n);
}

/* slot < 0: none. */
static void
build_sender(int64_t slot, struct buf *out)
{
	struct span all = span_of(conf->address_verify_sender), domain;

	buf_reset(out);
	if (all.len == 0 || span_equal_cstr(all, "<>"))
		return;
	domain = addr_domain(all);
	buf_append_span(out, addr_localpart(all));
	if (slot >= 0)
		append_slot((uint64_t)slot, out);
	if (domain.len)
		buf_printf(out, "@%.*s", SPAN_ARG(domain));
	rewrite_address(REWRITE_LOCAL, out);
}

void
probe_sender(int64_t when, struct buf *out)
{
	int64_t ttl = conf->address_verify_sender_ttl;

	build_sender(ttl > 0 ? when / ttl : -1, out);
}

void
probe_base_sender(struct buf *out)
{
	build_sender(-1, out);
}

bool
probe_is_sender(struct span address, int64_t now)
{
	struct buf sender = BUF_INIT;
	bool found = false;

	for (int i = 0; i < 2 && !found && address.len; i++) {
		probe_sender(now - i * conf->address_verify_sender_ttl,
			     &sender);
		found = span_equal_nocase(buf_span(&sender), address);
	}
	buf_free(&sender);
	return found;
}
