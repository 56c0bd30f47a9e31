/* SPDX-License-Identifier: MIT */
/* postscreen_discard_ehlo_keywords and its address maps. */
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/table/table.h"
#include "smtpd/postscreen_engine.h"

static struct maps *address_maps;
static unsigned default_mask;

static const struct {
	const char *name;
	unsigned bit;
} keywords[] = {
    {"8BITMIME", SCREEN_EHLO_8BITMIME},
    {"AUTH", SCREEN_EHLO_OTHER},
    {"ETRN", SCREEN_EHLO_ETRN},
    {"PIPELINING", SCREEN_EHLO_OTHER},
    {"SIZE", SCREEN_EHLO_SIZE},
    {"VRFY", SCREEN_EHLO_VRFY},
    {"XCLIENT", SCREEN_EHLO_OTHER},
    {"XFORWARD", SCREEN_EHLO_OTHER},
    {"STARTTLS", SCREEN_EHLO_STARTTLS},
    {"ENHANCEDSTATUSCODES", SCREEN_EHLO_ENHANCED},
    {"DSN", SCREEN_EHLO_DSN},
    {"SMTPUTF8", SCREEN_EHLO_SMTPUTF8},
    {"CHUNKING", SCREEN_EHLO_CHUNKING},
    {"SILENT-DISCARD", SCREEN_EHLO_SILENT},
};

enum { KEYWORDS = sizeof(keywords) / sizeof(keywords[0]) };

/* names: those that are not to be logged have no bit here. */
static unsigned
parse_mask(const char *where, struct span text, unsigned *names)
{
	struct span word;
	unsigned mask = 0;

	*names = 0;
	while (span_next_token(&text, ", \t\r\n", &word)) {
		size_t i = 0;

		while (i < KEYWORDS &&
		       !span_equal_cstr_nocase(word, keywords[i].name))
			i++;
		if (i == KEYWORDS) {
			log_warn("unknown EHLO keyword \"%.*s\" in \"%s\"",
				 SPAN_ARG(word), where);
			continue;
		}
		mask |= keywords[i].bit;
		*names |= 1U << i;
	}
	return mask;
}

void
postscreen_ehlo_open(void)
{
	unsigned names;

	default_mask =
	    parse_mask("postscreen_discard_ehlo_keywords",
		       span_of(conf->postscreen_discard_ehlo_keywords), &names);
	address_maps =
	    maps_open("postscreen_discard_ehlo_keyword_address_maps",
		      conf->postscreen_discard_ehlo_keyword_address_maps, 0);
}

static void
log_names(const struct screen *s, unsigned names)
{
	struct buf line = BUF_INIT;

	for (size_t i = 0; i < KEYWORDS; i++) {
		if (names & 1U << i)
			buf_printf(&line, " %s", keywords[i].name);
	}
	/* Without a colon between address and port, as Postfix has it. */
	log_info("[%s]%d: discarding EHLO keywords:%s", s->addr, s->port,
		 buf_cstr(&line));
	buf_free(&line);
}

unsigned
postscreen_ehlo_off(const struct screen *s)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	unsigned mask = default_mask, names;

	switch (maps_get(address_maps, span_of(s->addr), &value, &why)) {
	case TABLE_FOUND:
		mask =
		    parse_mask("postscreen_discard_ehlo_keyword_address_maps",
			       buf_span(&value), &names);
		if (names && !(mask & SCREEN_EHLO_SILENT))
			log_names(s, names);
		break;
	case TABLE_RETRY:
		log_warn("postscreen_discard_ehlo_keyword_address_maps lookup "
			 "error for %s: %s",
			 s->addr, buf_cstr(&why.text));
		break;
	case TABLE_ABSENT:
		break;
	}
	buf_free(&value);
	why_free(&why);
	return mask;
}
