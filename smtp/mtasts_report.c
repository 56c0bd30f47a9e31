/* SPDX-License-Identifier: MIT */
#include "smtp/mtasts_report.h"

#include <ctype.h>
#include <event2/event.h>
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/dns/dns_async.h"
#include "lib/dns/name.h"
#include "lib/ipc/ipc.h"
#include "lib/sys/io.h"

enum {
	SAVE_SECONDS = 60,       /* from a result to the state file */
	ASK_AGAIN_SECONDS = 300, /* when the DNS did not answer */
	REPORTS_PER_TURN = 20,   /* each is synced to disk */
};

static struct {
	struct event_base *base;
	struct event *save, *midnight, *writing;
	struct report_day today;
	struct report_day over; /* the day before, being written */
	bool changed;
} reports;

static int64_t
now_seconds(void)
{
	return io_now() / 1000000;
}

static int64_t
day_of(int64_t seconds)
{
	return seconds - seconds % REPORT_DAY;
}

/* ---- the end of a day ---- */

/* Write up to max reports; false: there are no more. */
static bool
write_some(size_t max)
{
	struct span name;
	size_t pos = 0;
	void *value;

	while (max && htab_next(reports.over.domains, &pos, &name, &value)) {
		struct report_domain *d = value;

		/* The same domain is not met again. */
		if (d->wish != REPORT_WANTED || d->n == 0)
			continue;
		report_write(&reports.over, d);
		d->wish = REPORT_UNWANTED;
		max--;
	}
	return max == 0;
}

static void
save(void)
{
	if (reports.over.begin == 0 && reports.changed &&
	    report_state_save(&reports.today))
		reports.changed = false;
}

/* The state of the day before stays until its reports are there: when the
 * process ends in between, they are written by the next one. */
static void
day_written(void)
{
	report_day_close(&reports.over);
	report_remove_old();
	reports.changed = true;
	save();
}

static void
on_writing(evutil_socket_t fd, short what, void *arg)
{
	struct timeval soon = {0, 1000};

	(void)fd;
	(void)what;
	(void)arg;
	if (reports.over.begin == 0)
		return;
	if (write_some(REPORTS_PER_TURN))
		event_add(reports.writing, &soon);
	else
		day_written();
}

static void
finish_day(void)
{
	if (reports.over.begin == 0)
		return;
	while (write_some(SIZE_MAX))
		;
	day_written();
}

static void
next_midnight(void)
{
	struct timeval tv = {0, 0};

	tv.tv_sec = day_of(now_seconds()) + REPORT_DAY - now_seconds() + 1;
	event_add(reports.midnight, &tv);
}

/* A new day begins; also when the clock was set back by one or more. */
static void
check_day(void)
{
	int64_t day = day_of(now_seconds());
	struct timeval now = {0, 0};

	if (reports.today.begin == day)
		return;
	finish_day();
	reports.over = reports.today;
	report_day_open(&reports.today, day);
	event_add(reports.writing, &now);
	next_midnight();
}

static void
on_midnight(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	check_day();
	next_midnight();
}

static void
on_save(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	save();
}

/* ---- who wants a report ---- */

static void
on_txt(void *arg, const struct dns_answer *answer)
{
	struct report_domain *d = arg;
	struct strvec uris = STRVEC_INIT;
	const char *record = NULL;
	size_t records = 0;

	d->txt = NULL;
	if (answer->status == DNS_RETRY)
		return;
	for (size_t i = 0; i < answer->n; i++)
		if (tlsrpt_is_record(span_of(answer->rr[i].text))) {
			record = answer->rr[i].text;
			records++;
		}
	if (records == 1 && tlsrpt_parse_record(span_of(record), &uris))
		d->wish = REPORT_WANTED;
	else
		d->wish = REPORT_UNWANTED;
	strvec_free(&uris);
}

static void
ask_wish(struct report_domain *d)
{
	int64_t now = io_monotonic();
	char *name;

	if (d->wish != REPORT_UNKNOWN || d->txt ||
	    (d->asked && now - d->asked < ASK_AGAIN_SECONDS * INT64_C(1000000)))
		return;
	d->asked = now;
	name = mem_sprintf("_smtp._tls.%s", d->name);
	d->txt = dns_ask(reports.base, name, DNS_TXT, on_txt, d);
	free(name);
}

/* ---- results ---- */

static void
collect(const struct ipc_msg *msg, enum msg_attr attr, struct strvec *out)
{
	for (size_t i = 0; i < msg->n; i++)
		if (msg->v[i].attr == attr && out->n < TLSRPT_STRINGS_MAX)
			strvec_add_span(out, msg->v[i].bytes);
}

static void
count_failure(const struct ipc_msg *msg, enum tlsrpt_result result,
	      struct report_policy *p)
{
	struct report_detail like = {
	    .result = result,
	    .client_addr = ipc_dup(msg, A_CLIENT_ADDR),
	    .server_addr = ipc_dup(msg, A_SERVER_ADDR),
	    .mx_host = ipc_dup(msg, A_MTA),
	    .reason = ipc_dup(msg, A_REASON),
	    .count = 1,
	};

	report_failed(&reports.today, p, &like);
	free(like.client_addr);
	free(like.server_addr);
	free(like.mx_host);
	free(like.reason);
}

static void
count(const struct ipc_msg *msg, struct report_domain *d)
{
	int64_t type = ipc_num(msg, A_KIND, -1);
	int64_t result = ipc_num(msg, A_RESULT, -1);
	struct report_policy like = {.ok = 0}, *p;

	if (type < TLSRPT_NO_POLICY || type >= TLSRPT_POLICY_COUNT ||
	    result < TLSRPT_SUCCESS || result >= TLSRPT_RESULT_COUNT)
		return;
	like.type = (enum tlsrpt_policy_type)type;
	like.domain = ipc_dup(msg, A_SITE);
	if (!addr_valid_hostname(span_of(like.domain))) {
		free(like.domain);
		like.domain = mem_strdup(d->name);
	}
	collect(msg, A_RR, &like.strings);
	collect(msg, A_PATTERN, &like.mx);
	p = report_policy_get(&reports.today, d, &like);
	if (p && result == TLSRPT_SUCCESS)
		p->ok++;
	else if (p)
		count_failure(msg, (enum tlsrpt_result)result, p);
	strvec_free(&like.strings);
	strvec_free(&like.mx);
	free(like.domain);
}

void
mtasts_report_take(const struct ipc_msg *msg)
{
	struct timeval tv = {SAVE_SECONDS, 0};
	struct report_domain *d = NULL;
	struct buf name = BUF_INIT;

	check_day();
	if (dns_name_to_ascii(ipc_get(msg, A_NAME), &name)) {
		for (size_t i = 0; i < name.len; i++)
			name.data[i] =
			    (char)tolower((unsigned char)name.data[i]);
		d = report_domain_get(&reports.today, buf_span(&name));
	}
	buf_free(&name);
	if (!d || d->wish == REPORT_UNWANTED)
		return;
	count(msg, d);
	ask_wish(d);
	if (!reports.changed)
		event_add(reports.save, &tv);
	reports.changed = true;
}

/* ---- start and end ---- */

void
mtasts_report_flush(void)
{
	finish_day();
	save();
}

void
mtasts_report_start(struct event_base *base)
{
	reports.base = base;
	reports.save = event_new(base, -1, 0, on_save, NULL);
	reports.midnight = event_new(base, -1, 0, on_midnight, NULL);
	reports.writing = event_new(base, -1, 0, on_writing, NULL);
	report_files_open();
	if (!report_state_load(&reports.today))
		report_day_open(&reports.today, day_of(now_seconds()));
	check_day();
	next_midnight();
}
