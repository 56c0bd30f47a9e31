/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_ehlo.h"

#include "lib/base/log.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/table/table.h"

static const char separators[] = ", \t\r\n";

/* In the order in which the log names those that are discarded. */
static const struct {
	const char *word;
	unsigned feature;
} features[] = {
    {"8BITMIME", FEATURE_8BITMIME},
    {"AUTH", FEATURE_AUTH},
    {"PIPELINING", FEATURE_PIPELINING},
    {"SIZE", FEATURE_SIZE},
    {"XFORWARD", FEATURE_XFORWARD},
    {"STARTTLS", FEATURE_STARTTLS},
    {"ENHANCEDSTATUSCODES", FEATURE_ENHANCED},
    {"DSN", FEATURE_DSN},
    {"SMTPUTF8", FEATURE_SMTPUTF8},
    {"CHUNKING", FEATURE_CHUNKING},
    {"REQUIRETLS", FEATURE_REQUIRETLS},
};

static struct {
	struct maps *discard;
	struct maps *pix;
} tables;

void
smtp_ehlo_open(void)
{
	tables.discard =
	    maps_open("smtp_discard_ehlo_keyword_address_maps",
		      conf->smtp_discard_ehlo_keyword_address_maps, 0);
	tables.pix = maps_open("smtp_pix_workaround_maps",
			       conf->smtp_pix_workaround_maps, 0);
}

/* The table's value for the server's address, or dflt. */
static void
by_address(struct maps *maps, const struct smtp_session *s, const char *dflt,
	   struct buf *out)
{
	struct why why = WHY_INIT;

	buf_set_cstr(out, dflt);
	if (maps && !maps_is_empty(maps)) {
		struct buf value = BUF_INIT;

		switch (maps_get(maps, span_of(s->addr), &value, &why)) {
		case TABLE_FOUND:
			buf_set(out, buf_span(&value));
			break;
		case TABLE_RETRY:
			log_warn("table look-up for %s: %s", s->addr,
				 buf_cstr(&why.text));
			break;
		case TABLE_ABSENT:
			break;
		}
		buf_free(&value);
	}
	why_free(&why);
}

static bool
list_has(struct span list, struct span word)
{
	struct span one;

	while (span_next_token(&list, separators, &one))
		if (span_equal_nocase(one, word))
			return true;
	return false;
}

static void
take_size(struct smtp_session *s, struct span rest)
{
	struct span number;
	int64_t limit;

	if (!span_next_token(&rest, " \t", &number)) {
		s->features |= FEATURE_SIZE;
	} else if (num_parse(number, 0, INT64_MAX, &limit)) {
		s->features |= FEATURE_SIZE;
		s->size_limit = limit;
	} else {
		log_warn("bad EHLO SIZE limit \"%.*s\" from %s",
			 SPAN_ARG(number), s->relay);
	}
}

/* LMTP discards in silence, as Postfix does. */
static void
log_discarded(const struct smtp_session *s, struct span discard)
{
	struct buf line = BUF_INIT;

	if (s->lmtp || list_has(discard, span_of("silent-discard")))
		return;
	for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++)
		if (list_has(discard, span_of(features[i].word)))
			buf_printf(&line, " %s", features[i].word);
	if (line.len)
		log_info("discarding EHLO keywords:%s", buf_cstr(&line));
	buf_free(&line);
}

void
smtp_ehlo_parse(struct smtp_session *s)
{
	struct buf discard = BUF_INIT;

	by_address(tables.discard, s, conf->smtp_discard_ehlo_keywords,
		   &discard);
	log_discarded(s, buf_span(&discard));
	s->features &= FEATURE_ESMTP | FEATURE_DELAY_DOT;
	s->size_limit = 0;
	smtp_auth_forget(s);
	for (size_t i = 1; i < s->reply.lines; i++) {
		struct span rest = reply_line(&s->reply, i), word;

		if (!span_next_token(&rest, " \t=", &word) ||
		    list_has(buf_span(&discard), word))
			continue;
		for (size_t k = 0; k < sizeof(features) / sizeof(*features);
		     k++) {
			if (!span_equal_cstr_nocase(word, features[k].word))
				continue;
			if (features[k].feature == FEATURE_SIZE)
				take_size(s, rest);
			else
				s->features |= features[k].feature;
			if (features[k].feature == FEATURE_AUTH)
				smtp_auth_offer(s, span_from(rest, 1));
		}
	}
	buf_free(&discard);
}

/* "220 ****************": the firewall masks what it does not want seen. */
static bool
is_masked(const struct smtp_session *s)
{
	struct span text = buf_span(&s->reply.text);
	size_t stars = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (!strchr("02 *", text.data[i]))
			return false;
		stars += text.data[i] == '*';
	}
	return stars > 0;
}

bool
smtp_ehlo_pix(struct smtp_session *s, const char *queue_id, int64_t age)
{
	struct buf words = BUF_INIT, used = BUF_INIT;
	bool no_esmtp = false;

	if (!is_masked(s))
		return false;
	by_address(tables.pix, s, conf->smtp_pix_workarounds, &words);
	if (list_has(buf_span(&words), span_of("disable_esmtp"))) {
		no_esmtp = true;
		buf_append_cstr(&used, "disable_esmtp");
	}
	if (list_has(buf_span(&words), span_of("delay_dotcrlf")) &&
	    age > conf->smtp_pix_workaround_threshold_time) {
		s->features |= FEATURE_DELAY_DOT;
		buf_printf(&used, "%sdelay_dotcrlf", used.len ? " " : "");
	}
	if (used.len)
		log_info("%s: enabling PIX workarounds: %s for %s", queue_id,
			 buf_cstr(&used), s->relay);
	buf_free(&words);
	buf_free(&used);
	return no_esmtp;
}
