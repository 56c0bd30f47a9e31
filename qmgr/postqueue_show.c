/* SPDX-License-Identifier: MIT */
#include "qmgr/postqueue_show.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * Programs cut the text into columns and fields: widths and spaces are those
 * of Postfix.
 */
enum {
	REASON_WIDTH = 76, /* reasons end at column 78, with their brackets */
	NARROW_INDENT = 41,
	WIDE_INDENT = 47,
};

static void
show_head(struct show *s)
{
	if (s->wide)
		fputs("----Queue ID----- --Size-- ---Arrival Time---- "
		      "--Sender/Recipient------\n",
		      stdout);
	else
		fputs("-Queue ID-  --Size-- ----Arrival Time---- "
		      "-Sender/Recipient-------\n",
		      stdout);
}

static void
show_first_line(const struct show *s, const struct showq_message *m)
{
	const char *queue = buf_cstr(&m->queue_name);
	time_t arrival = (time_t)m->time;
	char id[QUEUE_ID_MAX + 8], when[32] = "";
	struct tm tm;

	snprintf(id, sizeof(id), "%.*s%s%s", QUEUE_ID_MAX, buf_cstr(&m->id),
		 strcmp(queue, "active") == 0 ? "*"
		 : strcmp(queue, "hold") == 0 ? "!"
					      : "",
		 m->expire ? "#" : "");
	if (localtime_r(&arrival, &tm))
		strftime(when, sizeof(when), "%a %b %e %H:%M:%S ", &tm);
	if (s->wide)
		printf("%-17s %8lld %19.19s %s\n", id, (long long)m->size, when,
		       buf_cstr(&m->sender));
	else
		printf("%-11s %7lld %20.20s %s\n", id, (long long)m->size, when,
		       buf_cstr(&m->sender));
}

static void
show_text(struct show *s, const struct showq_message *m)
{
	const char *last = "";

	if (s->messages == 0)
		show_head(s);
	show_first_line(s, m);
	for (size_t i = 0; i < m->recipients.n; i++) {
		const char *reason = m->reasons.v[i];
		size_t len = strlen(reason);

		if (len && strcmp(reason, last) != 0)
			printf("%*s(%s)\n",
			       len < REASON_WIDTH ? (int)(REASON_WIDTH - len)
						  : 0,
			       "", reason);
		last = reason;
		printf("%*s%s\n", s->wide ? WIDE_INDENT : NARROW_INDENT, "",
		       m->recipients.v[i]);
	}
	putchar('\n');
}

/* ---- JSON (RFC 8259) ---- */

static void
json_string(const char *text)
{
	static const char plain[] = "\"\\\b\f\n\r\t";
	static const char letter[] = "\"\\bfnrt";

	putchar('"');
	for (const char *p = text; *p; p++) {
		const char *known = strchr(plain, *p);

		if (known)
			printf("\\%c", letter[known - plain]);
		else if ((unsigned char)*p < ' ')
			printf("\\u%04X", (unsigned)*p);
		else
			putchar(*p);
	}
	putchar('"');
}

static void
json_member(const char *name, const char *value)
{
	printf("\"%s\": ", name);
	json_string(value);
}

static void
show_json(const struct showq_message *m)
{
	putchar('{');
	json_member("queue_name", buf_cstr(&m->queue_name));
	fputs(", ", stdout);
	json_member("queue_id", buf_cstr(&m->id));
	printf(", \"arrival_time\": %lld, \"message_size\": %lld, "
	       "\"forced_expire\": %s, ",
	       (long long)m->time, (long long)m->size,
	       m->expire ? "true" : "false");
	json_member("sender", buf_cstr(&m->sender));
	fputs(", \"recipients\": [", stdout);
	for (size_t i = 0; i < m->recipients.n; i++) {
		fputs(i ? ", {" : "{", stdout);
		json_member("address", m->recipients.v[i]);
		if (m->reasons.v[i][0]) {
			fputs(", ", stdout);
			json_member("delay_reason", m->reasons.v[i]);
		}
		putchar('}');
	}
	fputs("]}\n", stdout);
}

void
show_message(struct show *s, const struct showq_message *m)
{
	if (s->form == SHOW_JSON)
		show_json(m);
	else
		show_text(s, m);
	s->messages++;
	s->bytes += m->size;
}

void
show_end(struct show *s)
{
	if (s->form == SHOW_JSON)
		return;
	if (s->messages == 0)
		puts("Mail queue is empty");
	else
		printf("-- %lld Kbytes in %ld Request%s.\n",
		       (long long)s->bytes / 1024, s->messages,
		       s->messages == 1 ? "" : "s");
}
