/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_footer.h"

#include "lib/conf/conf.h"
#include "lib/smtp/footer.h"
#include "lib/table/table.h"
#include "smtpd/smtpd_text.h"

static struct maps *maps;

void
smtpd_footer_open(void)
{
	maps = maps_open("smtpd_reject_footer_maps",
			 conf->smtpd_reject_footer_maps,
			 TABLE_FOLD_FIXED | TABLE_FOLD_REGEX);
}

/* A table that fails is no reason to say less. */
static void
choose(struct span reply, struct buf *template)
{
	struct why why = WHY_INIT;

	if (!maps || maps_get(maps, reply, template, &why) != TABLE_FOUND)
		buf_set_cstr(template, conf->smtpd_reject_footer);
	why_free(&why);
}

void
smtpd_footer_add(struct smtpd *s, struct buf *line)
{
	struct buf template = BUF_INIT, text = BUF_INIT;
	unsigned unknown;

	choose(buf_span(line), &template);
	if (template.len &&
	    smtpd_text_expand(s, NULL, template.data, &text, &unknown))
		footer_add(line, &text);
	buf_free(&template);
	buf_free(&text);
}
