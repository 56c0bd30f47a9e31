/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_cmdfilter.h"

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/table/table.h"
#include "smtpd/smtpd_chat.h"

static struct maps *filter;

void
smtpd_cmdfilter_open(void)
{
	if (conf->smtpd_command_filter[0])
		filter = maps_open("smtpd_command_filter",
				   conf->smtpd_command_filter,
				   conf->smtputf8_enable ? TABLE_UTF8 : 0);
}

static bool
refuse(struct smtpd *s, struct span line)
{
	struct why why = WHY_INIT;

	log_warn("%s lookup error for \"%.*s\"", conf->smtpd_command_filter,
		 SPAN_ARG(line));
	why_set_code(&why, 421, "4.3.0", "%s Server local data error",
		     conf->myhostname);
	smtpd_log_reject(s, "reject", &why);
	smtpd_reply_why(s, &why);
	why_free(&why);
	return false;
}

bool
smtpd_cmdfilter_run(struct smtpd *s, struct span *line, struct buf *out)
{
	struct why why = WHY_INIT;
	struct span key = *line;
	enum table_status st;

	if (!filter)
		return true;
	while (key.len && (key.data[0] == ' ' || key.data[0] == '\t'))
		key = span_from(key, 1);
	st = maps_get(filter, key, out, &why);
	why_free(&why);
	if (st == TABLE_RETRY)
		return refuse(s, *line);
	if (st != TABLE_FOUND)
		return true;
	log_info("%s: replacing command \"%.*s\" with \"%s\"",
		 buf_cstr(&s->peer.namaddr), SPAN_ARG(*line), buf_cstr(out));
	*line = buf_span(out);
	return true;
}
