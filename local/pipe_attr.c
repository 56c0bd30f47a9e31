/* SPDX-License-Identifier: MIT */
#include "local/pipe_attr.h"

#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/conf/expand.h"
#include "lib/service/service.h"

char *
pipe_unescape(const char *text)
{
	static const char letters[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
	struct buf out = BUF_INIT;
	const char *p = text, *at;

	while (*p) {
		if (*p != '\\' || !p[1]) {
			buf_append_byte(&out, *p++);
			continue;
		}
		p++;
		if (*p >= '0' && *p <= '7') {
			int n = 0, v = 0;

			for (; n < 3 && *p >= '0' && *p <= '7'; n++)
				v = v * 8 + (*p++ - '0');
			buf_append_byte(&out, (char)v);
		} else {
			at = strchr(letters, *p);
			buf_append_byte(&out, at ? values[at - letters] : *p);
			p++;
		}
	}
	if (!out.data)
		return mem_strdup("");
	return buf_steal(&out);
}

static unsigned
parse_flags(const char *text)
{
	static const char letters[] = "BDFORXhqu.>";
	unsigned flags = 0;

	for (const char *p = text; *p; p++) {
		const char *at = strchr(letters, *p);

		if (!at)
			log_fatal("unknown flag: %c (ignored)", *p);
		flags |= 1U << (at - letters);
	}
	return flags;
}

void
pipe_attr_find_user(struct pipe_attr *a, const char *value)
{
	const char *colon = strchr(value, ':');
	const struct passwd *pw;
	const struct group *gr;

	a->user = colon ? mem_strndup(value, (size_t)(colon - value))
			: mem_strdup(value);
	pw = getpwnam(a->user);
	if (!pw)
		log_fatal("get_service_attr: unknown username: %s", a->user);
	a->uid = pw->pw_uid;
	a->gid = pw->pw_gid;
	if (colon && colon[1]) {
		gr = getgrnam(colon + 1);
		if (!gr)
			log_fatal("get_service_attr: unknown group: %s",
				  colon + 1);
		a->gid = gr->gr_gid;
	}
	if (a->uid == 0)
		log_fatal("user= command-line attribute specifies root "
			  "privileges");
	if (a->gid == 0)
		log_fatal("user= command-line attribute specifies root group "
			  "privileges");
	pw = getpwnam(conf->mail_owner);
	if (!service_unprivileged() && pw && pw->pw_uid == a->uid)
		log_fatal("user= command-line attribute specifies mail system "
			  "owner %s",
			  conf->mail_owner);
	gr = getgrnam(conf->setgid_group);
	if (!service_unprivileged() && gr && gr->gr_gid == a->gid)
		log_fatal("user= command-line attribute specifies mail system "
			  "group %s",
			  conf->setgid_group);
}

static const char *
value_of(const char *arg, const char *name)
{
	size_t n = strlen(name);

	return strncmp(arg, name, n) == 0 && arg[n] == '=' ? arg + n + 1 : NULL;
}

/* One attribute; true when it was argv=. */
static bool
parse_one(struct pipe_attr *a, const char *arg)
{
	const char *v;

	if ((v = value_of(arg, "flags"))) {
		a->flags = parse_flags(v);
	} else if ((v = value_of(arg, "user"))) {
		pipe_attr_find_user(a, v);
	} else if ((v = value_of(arg, "chroot"))) {
		a->chroot = mem_strdup(v);
	} else if ((v = value_of(arg, "directory"))) {
		a->directory = mem_strdup(v);
	} else if ((v = value_of(arg, "eol"))) {
		a->eol = pipe_unescape(v);
	} else if ((v = value_of(arg, "null_sender"))) {
		free(a->null_sender);
		a->null_sender = mem_strdup(v);
	} else if ((v = value_of(arg, "size"))) {
		if (!num_parse(span_of(v), 0, INT64_MAX, &a->size))
			log_fatal("bad size= value: %s", v);
	} else if ((v = value_of(arg, "argv"))) {
		strvec_add(&a->argv, v);
		return true;
	} else {
		log_fatal("unknown attribute name: %s", arg);
	}
	return false;
}

void
pipe_attr_parse(const struct strvec *args, struct pipe_attr *out)
{
	size_t i = 0;

	*out = (struct pipe_attr){.null_sender = mem_strdup("MAILER-DAEMON")};
	while (i < args->n && !parse_one(out, args->v[i]))
		i++;
	for (i++; i < args->n; i++)
		strvec_add(&out->argv, args->v[i]);
	if (!out->user)
		log_fatal("missing user= command-line attribute");
	if (!out->argv.n)
		log_fatal("missing argv= command-line attribute");
	if (out->eol && !*out->eol)
		log_fatal("empty eol= command-line attribute");
}

/* ---- macros ---- */

struct context {
	const struct pipe_attr *attr;
	const struct agent_request *req;
	const struct agent_rcpt *rcpt;
	struct buf value, plain;
	bool per_rcpt; /* a macro stood for the recipient */
	bool unknown;
};

static void
fold(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)tolower((unsigned char)p[i]);
}

/* A whole address, by the flags h, u, q. */
static void
put_address(struct context *c, const char *address)
{
	struct buf b = BUF_INIT;
	long at;

	buf_append_cstr(&b, address);
	at = addr_at(buf_span(&b));
	if (at < 0)
		at = (long)b.len;
	if (c->attr->flags & PIPE_FOLD_USER)
		fold(b.data, (size_t)at);
	if ((c->attr->flags & PIPE_FOLD_HOST) && (size_t)at < b.len)
		fold(b.data + at, b.len - (size_t)at);
	if ((c->attr->flags & PIPE_QUOTE) && b.len)
		addr_quote(buf_span(&b), &c->plain);
	else
		buf_append_span(&c->plain, buf_span(&b));
	buf_free(&b);
}

static void
put_folded(struct context *c, struct span s, unsigned flag)
{
	size_t start = c->plain.len;

	buf_append_span(&c->plain, s);
	if ((c->attr->flags & flag) && s.len)
		fold(c->plain.data + start, s.len);
}

/* Parts of the recipient. */
static bool
rcpt_macro(struct context *c, struct span name)
{
	struct span all = span_of(c->rcpt->address);
	struct span local = addr_localpart(all);
	size_t n = addr_split_extension(local, conf->recipient_delimiter);

	if (span_equal_cstr(name, "recipient"))
		put_address(c, c->rcpt->address);
	else if (span_equal_cstr(name, "original_recipient"))
		put_address(c, *c->rcpt->orig_to ? c->rcpt->orig_to
						 : c->rcpt->address);
	else if (span_equal_cstr(name, "user"))
		put_folded(c, span_make(local.data, n), PIPE_FOLD_USER);
	else if (span_equal_cstr(name, "extension"))
		put_folded(c, span_from(local, n + 1), PIPE_FOLD_USER);
	else if (span_equal_cstr(name, "mailbox"))
		put_folded(c, local, PIPE_FOLD_USER);
	else
		return false;
	c->per_rcpt = true;
	return true;
}

static void
put_sender(struct context *c)
{
	if (!*c->req->sender)
		buf_append_cstr(&c->plain, c->attr->null_sender);
	else if (c->attr->flags & PIPE_QUOTE)
		addr_quote(span_of(c->req->sender), &c->plain);
	else
		buf_append_cstr(&c->plain, c->req->sender);
}

/* The rest. false: no such macro. */
static bool
request_macro(struct context *c, struct span name)
{
	const struct agent_request *r = c->req;
	const struct {
		const char *name, *value;
	} plain[] = {
	    {"client_address", r->client_addr},
	    {"client_helo", r->client_helo},
	    {"client_hostname", r->client_name},
	    {"client_port", r->client_port},
	    {"client_protocol", r->client_proto},
	    {"envid", r->dsn_envid},
	    {"queue_id", r->queue_id},
	    {"sasl_method", r->sasl_method},
	    {"sasl_sender", r->sasl_sender},
	    {"sasl_username", r->sasl_username},
	};

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (span_equal_cstr(name, plain[i].name)) {
			buf_append_cstr(&c->plain, plain[i].value);
			return true;
		}
	if (span_equal_cstr(name, "domain"))
		put_folded(c, addr_domain(span_of(c->rcpt->address)),
			   PIPE_FOLD_HOST);
	else if (span_equal_cstr(name, "nexthop"))
		put_folded(c, span_of(r->nexthop), PIPE_FOLD_HOST);
	else if (span_equal_cstr(name, "sender"))
		put_sender(c);
	else if (span_equal_cstr(name, "size"))
		buf_printf(&c->plain, "%lld", (long long)r->size);
	else
		return false;
	return true;
}

static const char *
lookup(void *arg, struct span name)
{
	struct context *c = arg;

	buf_reset(&c->plain);
	if (!rcpt_macro(c, name) && !request_macro(c, name)) {
		if (!c->unknown)
			log_warn("file %s/master.cf: service %s: unknown "
				 "macro name: \"%.*s\"",
				 conf_directory(), service_name(),
				 SPAN_ARG(name));
		c->unknown = true;
	}
	if (!c->plain.len)
		return NULL;
	/* A '$' in an address is no macro. */
	buf_reset(&c->value);
	for (size_t i = 0; i < c->plain.len; i++) {
		if (c->plain.data[i] == '$')
			buf_append_byte(&c->value, '$');
		buf_append_byte(&c->value, c->plain.data[i]);
	}
	return buf_cstr(&c->value);
}

static bool
expand_one(struct context *c, const char *arg, struct strvec *out)
{
	struct buf text = BUF_INIT, error = BUF_INIT;
	bool ok = true;
	size_t i = 0;

	do {
		c->rcpt = &c->req->rcpts[i];
		c->per_rcpt = false;
		buf_reset(&text);
		ok = expand_text(span_of(arg), lookup, c, &text, &error) &&
		     !c->unknown;
		if (error.len)
			log_warn("file %s/master.cf: service %s: %s",
				 conf_directory(), service_name(),
				 buf_cstr(&error));
		strvec_add(out, buf_cstr(&text));
	} while (ok && c->per_rcpt && ++i < c->req->n_rcpts);
	buf_free(&text);
	buf_free(&error);
	return ok;
}

bool
pipe_argv(const struct pipe_attr *a, const struct agent_request *req,
	  struct strvec *out)
{
	struct context c = {.attr = a, .req = req};
	bool ok = req->n_rcpts > 0;

	for (size_t i = 0; ok && i < a->argv.n; i++)
		ok = expand_one(&c, a->argv.v[i], out);
	buf_free(&c.value);
	buf_free(&c.plain);
	return ok;
}
