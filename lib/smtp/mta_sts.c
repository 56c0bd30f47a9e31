/* SPDX-License-Identifier: MIT */
#include "lib/smtp/mta_sts.h"

#include <ctype.h>
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"

static const char version[] = "STSv1";

static const char *const mode_names[] = {
    [MTA_STS_NONE] = "none",
    [MTA_STS_TESTING] = "testing",
    [MTA_STS_ENFORCE] = "enforce",
};

const char *
mta_sts_mode_name(enum mta_sts_mode mode)
{
	return mode_names[mode];
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
trim_blanks(struct span s)
{
	while (s.len && is_blank(s.data[0]))
		s = span_from(s, 1);
	while (s.len && is_blank(s.data[s.len - 1]))
		s.len--;
	return s;
}

/* ---- the TXT record ---- */

bool
mta_sts_is_record(struct span text)
{
	static const char head[] = "v=STSv1;";

	return text.len >= sizeof(head) - 1 &&
	       memcmp(text.data, head, sizeof(head) - 1) == 0;
}

/* Of an extension: 1*32 letters, digits, "_-." with a letter or digit first. */
static bool
is_field_name(struct span s)
{
	if (s.len == 0 || s.len > 32 || !isalnum((unsigned char)s.data[0]))
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (!isalnum((unsigned char)s.data[i]) &&
		    !memchr("_-.", s.data[i], 3))
			return false;
	return true;
}

static bool
is_id(struct span s)
{
	if (s.len == 0 || s.len > MTA_STS_ID_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.data[i]))
			return false;
	return true;
}

/* Of an extension: printable ASCII but '=' and ';'. */
static bool
is_field_value(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] > '~' || s.data[i] == '=')
			return false;
	return s.len > 0;
}

bool
mta_sts_parse_record(struct span text, struct span *id)
{
	*id = span_make(NULL, 0);
	if (!mta_sts_is_record(text))
		return false;
	text = span_from(text, (size_t)span_find(text, ';') + 1);
	while (text.len) {
		long end = span_find(text, ';'), eq;
		struct span field =
		    span_make(text.data, end < 0 ? text.len : (size_t)end);
		struct span value;

		text = span_from(text, field.len + (end >= 0));
		field = trim_blanks(field);
		if (field.len == 0 && text.len == 0)
			break; /* behind the last ';' */
		eq = span_find(field, '=');
		if (eq < 0)
			return false;
		value = span_from(field, (size_t)eq + 1);
		field.len = (size_t)eq;
		if (!is_field_name(field))
			return false;
		if (span_equal_cstr(field, "id")) {
			if (!is_id(value))
				return false;
			if (!id->len)
				*id = value;
		} else if (!is_field_value(value)) {
			return false;
		}
	}
	return id->len > 0;
}

/* ---- the policy ---- */

void
mta_sts_policy_free(struct mta_sts_policy *p)
{
	strvec_free(&p->mx);
	*p = (struct mta_sts_policy)MTA_STS_POLICY_INIT;
}

/* What was seen of the fields that may stand but once. */
struct seen {
	bool version, mode, max_age;
};

static bool
parse_mode(struct span value, struct mta_sts_policy *p)
{
	for (size_t i = 0; i < sizeof(mode_names) / sizeof(*mode_names); i++)
		if (span_equal_cstr(value, mode_names[i])) {
			p->mode = (enum mta_sts_mode)i;
			return true;
		}
	return false;
}

/* 1*10DIGIT, section 3.2. */
static bool
parse_max_age(struct span value, struct mta_sts_policy *p)
{
	if (value.len > 10 || span_find(value, '-') >= 0 ||
	    !num_parse(value, 0, INT64_MAX, &p->max_age))
		return false;
	if (p->max_age > MTA_STS_AGE_MAX)
		p->max_age = MTA_STS_AGE_MAX;
	return true;
}

static bool
parse_mx(struct span value, struct mta_sts_policy *p)
{
	struct span host = value;
	char *lower;

	if (host.len > 2 && host.data[0] == '*' && host.data[1] == '.')
		host = span_from(host, 2);
	if (p->mx.n >= MTA_STS_MX_MAX || !addr_valid_hostname(host))
		return false;
	lower = mem_strndup(value.data, value.len);
	for (char *c = lower; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	strvec_add(&p->mx, lower);
	free(lower);
	return true;
}

/* One "key: value". NULL, or what is wrong with it. */
static const char *
parse_field(struct span key, struct span value, struct mta_sts_policy *p,
	    struct seen *seen)
{
	if (span_equal_cstr(key, "mx"))
		return parse_mx(value, p) ? NULL : "bad mx pattern";
	if (span_equal_cstr(key, "version")) {
		if (!seen->version && !span_equal_cstr(value, version))
			return "unknown version";
		seen->version = true;
	} else if (span_equal_cstr(key, "mode")) {
		if (!seen->mode && !parse_mode(value, p))
			return "unknown mode";
		seen->mode = true;
	} else if (span_equal_cstr(key, "max_age")) {
		if (!seen->max_age && !parse_max_age(value, p))
			return "bad max_age";
		seen->max_age = true;
	} else if (!is_field_name(key)) {
		return "malformed line";
	}
	return NULL;
}

static const char *
parse_lines(struct span text, struct mta_sts_policy *p)
{
	struct seen seen = {false, false, false};
	struct span line;

	if (text.len > MTA_STS_POLICY_MAX)
		return "too long";
	if (text.len && memchr(text.data, '\0', text.len))
		return "NUL byte";
	for (int n = 0; span_next_token(&text, "\n", &line); n++) {
		const char *wrong;
		long colon;

		if (n >= MTA_STS_LINES_MAX)
			return "too many lines";
		line = span_trim(line);
		if (line.len == 0)
			continue;
		colon = span_find(line, ':');
		if (colon < 0)
			return "malformed line";
		wrong = parse_field(
		    trim_blanks(span_make(line.data, (size_t)colon)),
		    trim_blanks(span_from(line, (size_t)colon + 1)), p, &seen);
		if (wrong)
			return wrong;
	}
	if (!seen.version)
		return "no version";
	if (!seen.mode)
		return "no mode";
	if (!seen.max_age)
		return "no max_age";
	if (p->mode != MTA_STS_NONE && p->mx.n == 0)
		return "no mx pattern";
	return NULL;
}

bool
mta_sts_parse_policy(struct span text, struct mta_sts_policy *policy,
		     const char **reason)
{
	mta_sts_policy_free(policy);
	*reason = parse_lines(text, policy);
	if (*reason)
		mta_sts_policy_free(policy);
	return !*reason;
}

/* ---- matching ---- */

bool
mta_sts_match(const char *pattern, const char *host)
{
	struct span name = span_of(host), want = span_of(pattern);

	if (name.len && name.data[name.len - 1] == '.')
		name.len--;
	if (want.len > 2 && want.data[0] == '*' && want.data[1] == '.') {
		long dot = span_find(name, '.');

		if (dot <= 0)
			return false;
		name = span_from(name, (size_t)dot + 1);
		want = span_from(want, 2);
	}
	return name.len > 0 && span_equal_nocase(name, want);
}

bool
mta_sts_allows(const struct strvec *patterns, const char *host)
{
	for (size_t i = 0; i < patterns->n; i++)
		if (mta_sts_match(patterns->v[i], host))
			return true;
	return false;
}
