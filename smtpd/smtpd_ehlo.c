/* SPDX-License-Identifier: MIT */
/* smtpd_discard_ehlo_keywords and its address maps. */
#include "smtpd/smtpd_cmd.h"

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/table/table.h"

static struct maps *address_maps;
static unsigned default_mask;

static const struct {
	const char *name;
	unsigned bit;
} keywords[] = {
    {"8BITMIME", EHLO_8BITMIME}, {"AUTH", EHLO_AUTH},
    {"ETRN", EHLO_ETRN},         {"PIPELINING", EHLO_PIPELINING},
    {"SIZE", EHLO_SIZE},         {"VRFY", EHLO_VRFY},
    {"XCLIENT", EHLO_XCLIENT},   {"XFORWARD", EHLO_XFORWARD},
    {"STARTTLS", EHLO_STARTTLS}, {"ENHANCEDSTATUSCODES", EHLO_ENHANCED},
    {"DSN", EHLO_DSN},           {"SMTPUTF8", EHLO_SMTPUTF8},
    {"CHUNKING", EHLO_CHUNKING}, {"SILENT-DISCARD", EHLO_SILENT},
};

static unsigned
parse_mask(const char *where, struct span text)
{
	struct span word;
	unsigned mask = 0;

	while (span_next_token(&text, ", \t\r\n", &word)) {
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]);
		     i++)
			if (span_equal_cstr_nocase(word, keywords[i].name))
				bit = keywords[i].bit;
		if (!bit)
			log_warn("unknown EHLO keyword \"%.*s\" in \"%s\"",
				 SPAN_ARG(word), where);
		mask |= bit;
	}
	return mask;
}

void
smtpd_ehlo_open(void)
{
	default_mask = parse_mask("smtpd_discard_ehlo_keywords",
				  span_of(conf->smtpd_discard_ehlo_keywords));
	address_maps =
	    maps_open("smtpd_discard_ehlo_keyword_address_maps",
		      conf->smtpd_discard_ehlo_keyword_address_maps, 0);
}

static void
log_mask(unsigned mask)
{
	struct buf line = BUF_INIT;

	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (mask & keywords[i].bit)
			buf_printf(&line, " %s", keywords[i].name);
	log_info("discarding EHLO keywords:%s", buf_cstr(&line));
	buf_free(&line);
}

unsigned
smtpd_ehlo_discarded(struct smtpd *s)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	unsigned mask = default_mask;

	switch (maps_get(address_maps, buf_span(&s->peer.addr), &value, &why)) {
	case TABLE_FOUND:
		mask = parse_mask("smtpd_discard_ehlo_keyword_address_maps",
				  buf_span(&value));
		break;
	case TABLE_RETRY:
		log_warn("smtpd_discard_ehlo_keyword_address_maps lookup error "
			 "for %s: %s",
			 buf_cstr(&s->peer.addr), buf_cstr(&why.text));
		break;
	case TABLE_ABSENT:
		break;
	}
	if (mask && !(mask & EHLO_SILENT))
		log_mask(mask);
	buf_free(&value);
	why_free(&why);
	return mask;
}
