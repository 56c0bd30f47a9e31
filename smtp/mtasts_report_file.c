/* SPDX-License-Identifier: MIT */
/* The files of mtasts_report. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/sys/fs.h"
#include "lib/sys/io.h"
#include "smtp/mtasts_report.h"

enum { STATE_MAX = 3 * REPORT_BYTES_MAX };

static char *folder;

void
report_files_open(void)
{
	folder = mem_sprintf("%s/tlsrpt", conf->data_directory);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		log_warn("cannot make %s: %m", folder);
}

/* ---- the state of a day ----
 *
 * Lines of a word and what it takes, an empty text being "-":
 *
 *	tlsrpt 1 BEGIN
 *	domain NAME WISH
 *	policy TYPE OK DOMAIN
 *	string TEXT		of the policy above, as often as there are
 *	mx PATTERN
 *	failed RESULT COUNT CLIENT SERVER MX REASON
 */

static const char *const wishes[] = {
    [REPORT_UNKNOWN] = "unknown",
    [REPORT_WANTED] = "wanted",
    [REPORT_UNWANTED] = "unwanted",
};

static const char *
or_dash(const char *s)
{
	return s[0] ? s : "-";
}

static void
put_policy(const struct report_policy *p, struct buf *out)
{
	buf_printf(out, "policy %s %lld %s\n", tlsrpt_policy_name(p->type),
		   (long long)p->ok, p->domain);
	for (size_t i = 0; i < p->strings.n; i++)
		buf_printf(out, "string %s\n", p->strings.v[i]);
	for (size_t i = 0; i < p->mx.n; i++)
		buf_printf(out, "mx %s\n", p->mx.v[i]);
	for (size_t i = 0; i < p->n; i++) {
		const struct report_detail *d = &p->details[i];

		buf_printf(out, "failed %s %lld %s %s %s %s\n",
			   tlsrpt_result_name(d->result), (long long)d->count,
			   or_dash(d->client_addr), or_dash(d->server_addr),
			   or_dash(d->mx_host), or_dash(d->reason));
	}
}

bool
report_state_save(const struct report_day *day)
{
	char *path = mem_sprintf("%s/state", folder);
	struct buf out = BUF_INIT;
	struct span name;
	size_t pos = 0;
	void *value;
	bool ok;

	buf_printf(&out, "tlsrpt 1 %lld\n", (long long)day->begin);
	while (htab_next(day->domains, &pos, &name, &value)) {
		const struct report_domain *d = value;

		buf_printf(&out, "domain %s %s\n", d->name, wishes[d->wish]);
		for (size_t i = 0; d->wish != REPORT_UNWANTED && i < d->n; i++)
			put_policy(&d->policies[i], &out);
	}
	ok = fs_replace(path, out.data, out.len, 0600);
	if (!ok)
		log_warn("write %s: %m", path);
	buf_free(&out);
	free(path);
	return ok;
}

/* What the lines read so far belong to. */
struct loading {
	struct report_day *day;
	struct report_domain *domain;
	/* The policy is looked for when all of it is known. */
	bool in_policy;
	struct report_policy like;
	struct report_policy *policy;
};

static bool
word_of(struct span *rest, struct span *word)
{
	return span_next_token(rest, " ", word);
}

static bool
number_of(struct span *rest, int64_t *n)
{
	struct span word;

	return word_of(rest, &word) && num_parse(word, 0, INT64_MAX / 4, n);
}

static char *
text_of(struct span s)
{
	return span_equal_cstr(s, "-") ? mem_strdup("")
				       : mem_strndup(s.data, s.len);
}

static bool
load_domain(struct loading *l, struct span rest)
{
	struct span name, wish;

	if (!word_of(&rest, &name) || !word_of(&rest, &wish))
		return false;
	l->domain = report_domain_get(l->day, name);
	for (size_t i = 0; l->domain && i <= REPORT_UNWANTED; i++)
		if (span_equal_cstr(wish, wishes[i]))
			l->domain->wish = (enum report_wish)i;
	return l->domain;
}

/* All lines of a policy but those of failures were read. */
static bool
take_policy(struct loading *l)
{
	if (!l->in_policy)
		return true;
	l->in_policy = false;
	if (!l->domain)
		return false;
	l->policy = report_policy_get(l->day, l->domain, &l->like);
	if (l->policy)
		l->policy->ok += l->like.ok;
	strvec_reset(&l->like.strings);
	strvec_reset(&l->like.mx);
	return l->policy;
}

static bool
load_policy(struct loading *l, struct span rest)
{
	struct span type, domain;

	l->policy = NULL;
	if (!word_of(&rest, &type) ||
	    !tlsrpt_policy_parse(type, &l->like.type) ||
	    !number_of(&rest, &l->like.ok) || !word_of(&rest, &domain))
		return false;
	free(l->like.domain);
	l->like.domain = mem_strndup(domain.data, domain.len);
	l->in_policy = true;
	return true;
}

static bool
load_failed(struct loading *l, struct span rest)
{
	struct report_detail d = {.count = 0};
	struct span result, client, server, mx;

	if (!l->policy || !word_of(&rest, &result) ||
	    !tlsrpt_result_parse(result, &d.result) ||
	    !number_of(&rest, &d.count) || !word_of(&rest, &client) ||
	    !word_of(&rest, &server) || !word_of(&rest, &mx))
		return false;
	d.client_addr = text_of(client);
	d.server_addr = text_of(server);
	d.mx_host = text_of(mx);
	d.reason = text_of(span_trim(rest));
	report_failed(l->day, l->policy, &d);
	free(d.client_addr);
	free(d.server_addr);
	free(d.mx_host);
	free(d.reason);
	return true;
}

static bool
load_line(struct loading *l, struct span line)
{
	struct span word;

	if (!word_of(&line, &word))
		return false;
	line = span_from(line, 1);
	if (l->in_policy && span_equal_cstr(word, "string")) {
		if (l->like.strings.n < TLSRPT_STRINGS_MAX)
			strvec_add_span(&l->like.strings, line);
		return true;
	}
	if (l->in_policy && span_equal_cstr(word, "mx")) {
		if (l->like.mx.n < TLSRPT_STRINGS_MAX)
			strvec_add_span(&l->like.mx, line);
		return true;
	}
	if (!take_policy(l))
		return false;
	if (span_equal_cstr(word, "domain"))
		return load_domain(l, line);
	if (span_equal_cstr(word, "policy"))
		return load_policy(l, line);
	return span_equal_cstr(word, "failed") && load_failed(l, line);
}

static bool
load(struct report_day *day, struct span text)
{
	struct loading l = {.day = day};
	struct span line, word;
	int64_t format, begin;
	bool ok;

	ok = span_next_token(&text, "\n", &line) && word_of(&line, &word) &&
	     span_equal_cstr(word, "tlsrpt") && number_of(&line, &format) &&
	     format == 1 && number_of(&line, &begin) &&
	     begin % REPORT_DAY == 0 && begin > 0;
	if (!ok)
		return false;
	report_day_open(day, begin);
	while (ok && span_next_token(&text, "\n", &line))
		ok = load_line(&l, line);
	ok = take_policy(&l) && ok;
	strvec_free(&l.like.strings);
	strvec_free(&l.like.mx);
	free(l.like.domain);
	return ok;
}

bool
report_state_load(struct report_day *day)
{
	char *path = mem_sprintf("%s/state", folder);
	struct buf text = BUF_INIT;

	if (io_read_file(path, STATE_MAX, &text)) {
		/* What could be read of it is better than nothing. */
		if (!load(day, buf_span(&text)))
			log_warn("%s is damaged", path);
	} else if (errno != ENOENT) {
		log_warn("read %s: %m", path);
	}
	buf_free(&text);
	free(path);
	return day->begin != 0;
}

/* ---- reports ---- */

static void
put_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":", name);
	tlsrpt_put_json(out, span_of(text));
}

static void
put_list(struct buf *out, const char *name, const struct strvec *list)
{
	buf_printf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < list->n; i++) {
		if (i)
			buf_append_byte(out, ',');
		tlsrpt_put_json(out, span_of(list->v[i]));
	}
	buf_append_byte(out, ']');
}

static void
put_time(struct buf *out, const char *name, int64_t seconds)
{
	char text[32];
	time_t t = (time_t)seconds;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put_text(out, name, text);
}

static void
put_detail(struct buf *out, const struct report_detail *d)
{
	buf_append_byte(out, '{');
	put_text(out, "result-type", tlsrpt_result_name(d->result));
	if (d->client_addr[0]) {
		buf_append_byte(out, ',');
		put_text(out, "sending-mta-ip", d->client_addr);
	}
	if (d->mx_host[0]) {
		buf_append_byte(out, ',');
		put_text(out, "receiving-mx-hostname", d->mx_host);
	}
	if (d->server_addr[0]) {
		buf_append_byte(out, ',');
		put_text(out, "receiving-ip", d->server_addr);
	}
	buf_printf(out, ",\"failed-session-count\":%lld", (long long)d->count);
	if (d->reason[0]) {
		buf_append_byte(out, ',');
		put_text(out, "failure-reason-code", d->reason);
	}
	buf_append_byte(out, '}');
}

static void
put_report_policy(struct buf *out, const struct report_policy *p)
{
	buf_append_cstr(out, "{\"policy\":{");
	put_text(out, "policy-type", tlsrpt_policy_name(p->type));
	if (p->strings.n)
		put_list(out, "policy-string", &p->strings);
	buf_append_byte(out, ',');
	put_text(out, "policy-domain", p->domain);
	if (p->mx.n)
		put_list(out, "mx-host", &p->mx);
	buf_printf(out,
		   "},\"summary\":{\"total-successful-session-count\":%lld,"
		   "\"total-failure-session-count\":%lld}",
		   (long long)p->ok, (long long)p->failed);
	if (p->n)
		buf_append_cstr(out, ",\"failure-details\":[");
	for (size_t i = 0; i < p->n; i++) {
		if (i)
			buf_append_byte(out, ',');
		put_detail(out, &p->details[i]);
	}
	buf_append_cstr(out, p->n ? "]}" : "}");
}

/* RFC 8460 section 4.4. */
void
report_put_json(const struct report_day *day, const struct report_domain *d,
		struct buf *out)
{
	char *contact = mem_sprintf("postmaster@%s", conf->mydomain);
	char *id = mem_sprintf("%lld.%s@%s", (long long)day->begin, d->name,
			       conf->myhostname);

	buf_append_byte(out, '{');
	put_text(out, "organization-name", conf->mydomain);
	buf_append_cstr(out, ",\"date-range\":{");
	put_time(out, "start-datetime", day->begin);
	buf_append_byte(out, ',');
	put_time(out, "end-datetime", day->begin + REPORT_DAY - 1);
	buf_append_cstr(out, "},");
	put_text(out, "contact-info", contact);
	buf_append_byte(out, ',');
	put_text(out, "report-id", id);
	buf_append_cstr(out, ",\"policies\":[");
	for (size_t i = 0; i < d->n; i++) {
		if (i)
			buf_append_byte(out, ',');
		put_report_policy(out, &d->policies[i]);
	}
	buf_append_cstr(out, "]}\n");
	free(contact);
	free(id);
}

/* Both names are host names, so that they make no other path. */
void
report_write(const struct report_day *day, const struct report_domain *d)
{
	char *path = mem_sprintf(
	    "%s/%s!%s!%lld!%lld.json", folder, conf->myhostname, d->name,
	    (long long)day->begin, (long long)day->begin + REPORT_DAY - 1);
	struct buf out = BUF_INIT;

	report_put_json(day, d, &out);
	if (!fs_replace(path, out.data, out.len, 0600))
		log_warn("write %s: %m", path);
	buf_free(&out);
	free(path);
}

/* When a report's day ended, as its name says; -1: it is none. */
static int64_t
end_of(const char *name)
{
	struct span s = span_of(name);
	int64_t end;
	long mark;

	if (!span_ends_nocase(s, ".json"))
		return -1;
	s.len -= 5;
	mark = span_rfind(s, '!');
	if (mark < 0 ||
	    !num_parse(span_from(s, (size_t)mark + 1), 0, INT64_MAX, &end))
		return -1;
	return end;
}

/* Also what is above the number that may lie there, whatever its age. */
void
report_remove_old(void)
{
	int64_t oldest = io_now() / 1000000 - REPORT_KEEP_SECONDS;
	struct dirent *entry;
	DIR *dir = opendir(folder);
	size_t n = 0;

	while (dir && (entry = readdir(dir))) {
		int64_t end = end_of(entry->d_name);

		if (end >= 0 && (end < oldest || ++n > REPORT_FILES_MAX) &&
		    unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			log_warn("remove %s/%s: %m", folder, entry->d_name);
	}
	if (dir)
		closedir(dir);
}
