/* SPDX-License-Identifier: MIT */
/*
 * pipe - the delivery agent that gives messages to a command (pipe(8)).
 *
 * What the command is and who runs it stands in master.cf; it runs in a
 * process of that user's (lib/deliver/as_user.h).
 */
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/deliver/as_user.h"
#include "lib/ipc/proto.h"
#include "lib/deliver/loop.h"
#include "lib/service/agent_user.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "local/pipe_attr.h"

static struct pipe_attr attr;

static bool
id_is_allowed(uid_t uid, gid_t gid, const char *user)
{
	return uid == attr.uid && gid == attr.gid && !strcmp(user, attr.user);
}

static void
init(void)
{
	struct as_user_setup setup = {.program = "pipe",
				      .allow = id_is_allowed};

	pipe_attr_parse(service_argv(), &attr);
	setup.chroot = attr.chroot;
	as_user_start(&setup);
}

static void
make_head(const struct agent_request *req, struct buf *out)
{
	const struct agent_rcpt *r = &req->rcpts[0];
	const char *sender = *req->sender ? req->sender : attr.null_sender;

	if (attr.flags & PIPE_FROM)
		copy_from_line(req->sender,
			       *attr.null_sender ? attr.null_sender : NULL,
			       io_now(), out);
	if (attr.flags & PIPE_RETURN)
		copy_header("Return-Path", sender, true, out);
	if (attr.flags & PIPE_ORIG_RCPT)
		copy_header("X-Original-To",
			    *r->orig_to ? r->orig_to : r->address, false, out);
	if (attr.flags & PIPE_DELIVERED)
		copy_header("Delivered-To", r->address, false, out);
	/* These headers get the wanted line end, too. */
	if (attr.eol && out->len) {
		struct copy_filter f = {.eol = attr.eol};
		struct buf lines = BUF_INIT;

		copy_filter_run(&f, buf_span(out), &lines);
		buf_free(out);
		*out = lines;
	}
}

static unsigned
copy_flags(void)
{
	return (attr.flags & PIPE_BLANK ? COPY_BLANK : 0) |
	       (attr.flags & PIPE_DOT ? COPY_QUOTE_DOT : 0) |
	       (attr.flags & PIPE_QUOTE_FROM ? COPY_QUOTE_FROM : 0);
}

/* What forbids the delivery before the command is tried. false: why. */
static bool
check(const struct agent_request *req, struct why *why)
{
	const char *first = req->rcpts[0].address;
	struct htab *loops;
	bool loop;

	if (attr.size && req->size > attr.size) {
		why_set(why, "5.2.3", "message too large");
		return false;
	}
	if ((attr.flags & (PIPE_DELIVERED | PIPE_ORIG_RCPT)) &&
	    req->n_rcpts > 1) {
		log_warn("pipe flag `%c' requires "
			 "%s_destination_recipient_limit = 1",
			 attr.flags & PIPE_DELIVERED ? 'D' : 'O',
			 service_name());
		why_set(why, "4.3.5", "mail system configuration error");
		return false;
	}
	if (!(attr.flags & PIPE_DELIVERED))
		return true;
	loops = loop_scan(req->fd, req->content_offset, req->content_length);
	loop = loop_has(loops, first);
	if (loop)
		why_set(why, "5.4.6", "mail forwarding loop for %s", first);
	htab_free(loops, NULL);
	return !loop;
}

static void
run(const struct agent_request *req, const struct strvec *argv, struct why *why)
{
	const struct as_user_id id = {.kind = AS_USER_PLAIN,
				      .uid = attr.uid,
				      .gid = attr.gid,
				      .user = attr.user,
				      .root = attr.chroot};
	struct buf head = BUF_INIT, output = BUF_INIT, warning = BUF_INIT;
	struct strvec env = STRVEC_INIT;
	struct command_request cr = {
	    .argv = argv,
	    .env = &env,
	    .directory = attr.directory,
	    .source = {req->fd, req->content_offset, req->content_length},
	    .copy_flags = copy_flags(),
	    .eol = attr.eol,
	    .time_limit = conf_transport_time(service_name(), "_time_limit",
					      conf->command_time_limit),
	};
	struct as_user *u = as_user_get(&id, why);
	struct span text, line;

	command_base_env(&env);
	make_head(req, &head);
	cr.head = buf_span(&head);
	if (u && as_user_command(u, &cr, &output, &warning, why)) {
		text = span_trim(buf_span(&output));
		why_set(why, "2.0.0", "delivered via %s service%s%.*s%s",
			service_name(), text.len ? " (" : "", SPAN_ARG(text),
			text.len ? ")" : "");
	}
	text = buf_span(&warning);
	while (span_next_token(&text, "\n", &line))
		log_warn("%.*s", SPAN_ARG(line));
	buf_free(&head);
	buf_free(&output);
	buf_free(&warning);
	strvec_free(&env);
}

static void
deliver(struct agent_request *req)
{
	struct strvec argv = STRVEC_INIT;
	struct why why = WHY_INIT;

	if (check(req, &why)) {
		if (pipe_argv(&attr, req, &argv))
			req->flags & DELIVER_PROBE
			    ? why_set(&why, "2.0.0",
				      "delivers to command: %s", argv.v[0])
			    : run(req, &argv, &why);
		else
			why_set(&why, "4.3.5",
				"mail system configuration error");
	}
	agent_rest_done(req, &why);
	strvec_free(&argv);
	why_free(&why);
}

int
main(int argc, char **argv)
{
	static const struct agent_user agent = {
	    .name = "pipe",
	    .init = init,
	    .deliver = deliver,
	};

	return agent_user_main(argc, argv, &agent);
}
