/* SPDX-License-Identifier: MIT */
/* postdrop - put one message into maildrop (postdrop(1)); set-group-id. */
#include "pickup/postdrop.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"
#include "lib/ipc/proto.h"
#include "lib/queue/queue.h"
#include "lib/smtp/cmd.h"
#include "lib/sys/io.h"
#include "pickup/postdrop_user.h"

/* What came from the caller is not in memory at once: one chunk is. */
static struct queue_entry *entry;
static volatile sig_atomic_t interrupted;

/* ---- the answer ---- */

static void answer(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void
answer(const char *fmt, ...)
{
	struct buf line = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&line, fmt, ap);
	va_end(ap);
	/* The caller may be gone; the message does not depend on it. */
	io_write_all(STDOUT_FILENO, line.data, line.len);
	buf_free(&line);
}

_Noreturn static void
give_up(int status, const char *dsn, const char *text)
{
	queue_abort(entry);
	entry = NULL;
	answer("error %s %s\n", dsn, text);
	exit(status);
}

_Noreturn static void
give_up_why(const struct why *why)
{
	give_up(EX_TEMPFAIL, why->dsn, buf_cstr(&why->text));
}

/* ---- input ---- */

static void
on_signal(int sig)
{
	interrupted = sig;
}

/*
 * What was written so far disappears in give_up(), and not in the handler.
 * SIGPIPE comes when the caller does not wait for its answer.
 */
static void
set_signals(void)
{
	static const int caught[] = {SIGHUP,  SIGINT,  SIGQUIT,
				     SIGTERM, SIGALRM, SIGXCPU};
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t none;

	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaction(caught[i], &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGXFSZ, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* false: the end of input. */
static bool
read_bytes(void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = interrupted ? -1 : read(STDIN_FILENO, p, len);

		if (interrupted)
			give_up(EX_TEMPFAIL, "4.3.0", "interrupted");
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* The next frame, or the end (0). The caller that stops before gave up. */
static size_t
read_frame(struct buf *frame, size_t max)
{
	uint32_t le;
	size_t len;

	buf_reset(frame);
	if (!read_bytes(&le, sizeof(le)))
		give_up(EX_DATAERR, "5.6.0", "unexpected end of input");
	len = le32toh(le);
	if (len > max)
		give_up(EX_DATAERR, "5.6.0", "malformed input");
	if (len && !read_bytes(buf_reserve(frame, len), len))
		give_up(EX_DATAERR, "5.6.0", "unexpected end of input");
	frame->len = len;
	return len;
}

/* ---- the envelope ---- */

static char *
copy_text(const char *s)
{
	if (!s)
		return NULL;
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			give_up(EX_DATAERR, "5.6.0", "malformed input");
	return mem_strdup(s);
}

/* Delivery requests cut what is longer: it would mean somebody else. */
static char *
copy_address(const char *s)
{
	if (s && strlen(s) > proto_attr(A_RECIPIENT)->max)
		give_up(EX_DATAERR, "5.1.3", "address is too long");
	return copy_text(s);
}

static void
copy_recipients(const struct envelope *from, struct envelope *to)
{
	for (size_t i = 0; i < from->n_rcpts; i++) {
		const struct rcpt *in = &from->rcpts[i];
		struct rcpt *out = envelope_add_rcpt(to);

		out->address = copy_address(in->address);
		out->dsn_orcpt = copy_text(in->dsn_orcpt);
		if (out->dsn_orcpt &&
		    !cmd_orcpt_is_valid(span_of(out->dsn_orcpt)))
			give_up(EX_DATAERR, "5.6.0", "malformed input");
		out->dsn_notify =
		    in->dsn_notify & (NOTIFY_NEVER | NOTIFY_SUCCESS |
				      NOTIFY_FAILURE | NOTIFY_DELAY);
	}
}

/* Take over what the caller may say; see postdrop.h. */
static void
take_envelope(struct envelope *env)
{
	struct envelope from = ENVELOPE_INIT;
	struct buf frame = BUF_INIT;

	read_frame(&frame, DROP_ENVELOPE_MAX);
	if (!envelope_decode(buf_span(&frame), &from))
		give_up(EX_DATAERR, "5.6.0", "malformed input");
	buf_free(&frame);
	env->sender = copy_address(from.sender);
	env->full_name = copy_text(from.full_name);
	env->dsn_envid = copy_text(from.dsn_envid);
	env->dsn_ret = from.dsn_ret == RET_FULL || from.dsn_ret == RET_HDRS
			   ? from.dsn_ret
			   : RET_NONE;
	if (from.encoding &&
	    (!strcmp(from.encoding, "7bit") || !strcmp(from.encoding, "8bit")))
		env->encoding = mem_strdup(from.encoding);
	env->rewrite = mem_strdup(
	    from.rewrite && !strcmp(from.rewrite, "remote") ? "remote"
							    : "local");
	env->flags = (from.flags & DROP_FLAGS) | ENVELOPE_MAILDROP;
	env->uid = (int)getuid();
	copy_recipients(&from, env);
	if (env->n_rcpts == 0 && !(env->flags & ENVELOPE_EXTRACT))
		give_up(EX_USAGE, "5.1.3", "no recipients specified");
	envelope_free(&from);
}

/* ---- the message ---- */

static void
take_content(void)
{
	struct buf frame = BUF_INIT;

	while (read_frame(&frame, DROP_CHUNK_MAX)) {
		queue_write(entry, buf_span(&frame));
		if (conf->message_size_limit > 0 &&
		    queue_entry_size(entry) > conf->message_size_limit) {
			log_warn("uid=%ld: File too large", (long)getuid());
			give_up(EX_DATAERR, "5.3.4", "message file too big");
		}
	}
	buf_free(&frame);
}

/* That it connects is enough; a busy or absent pickup scans later. */
static void
poke_pickup(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "public/%s",
		 conf->pickup_service_name);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 &&
	    errno == ENOENT)
		log_warn("unable to look up %s: %m", sun.sun_path);
	close(fd);
}

static void
submit(void)
{
	struct queue_writer *w = queue_writer_new("maildrop");
	struct envelope env = ENVELOPE_INIT;
	struct why why = WHY_INIT;

	entry = queue_begin(w, &why);
	if (!entry)
		give_up_why(&why);
	answer("id %s\n", queue_entry_id(entry));
	take_envelope(&env);
	take_content();
	if (!queue_commit(entry, &env, &why)) {
		entry = NULL;
		give_up_why(&why);
	}
	entry = NULL;
	poke_pickup();
	answer("ok\n");
	envelope_free(&env);
	queue_writer_free(w);
}

/* ---- start ---- */

static bool
has_privilege(void)
{
	return geteuid() != getuid() || getegid() != getgid();
}

/* Nothing that the caller left in the environment may steer this process:
 * only its choice of a configuration, which conf_load() checks. */
static void
clean_environment(void)
{
	const char *config = getenv("MAIL_CONFIG");
	char *kept = config ? mem_strdup(config) : NULL;

	clearenv();
	if (kept)
		setenv("MAIL_CONFIG", kept, 1);
	setenv("PATH", "/usr/bin:/bin", 1);
	free(kept);
}

static void
fill_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			exit(EX_OSERR);
}

static void
load_configuration(const char *dir)
{
	struct conf_args args = {.program = "postdrop", .config_dir = dir};

	conf_load(&args);
}

static const char *
parse_arguments(int argc, char **argv)
{
	const char *dir = NULL;
	int c, verbose = 0;

	while ((c = getopt(argc, argv, "c:rv")) > 0) {
		switch (c) {
		case 'c':
			dir = optarg;
			break;
		case 'r': /* the only form of input there is */
			break;
		case 'v':
			log_set_verbose(++verbose);
			break;
		default:
			log_fatal("usage: postdrop [-c config_dir] [-v]");
		}
	}
	return dir;
}

int
main(int argc, char **argv)
{
	const char *dir;

	fill_standard_descriptors();
	log_set_program("postdrop");
	umask(077);
	if (has_privilege())
		clean_environment();
	dir = parse_arguments(argc, argv);
	load_configuration(dir);
	conf_log_open("postdrop", 0);
	log_set_stderr_too(true);
	set_signals();
	if (chdir(conf->queue_directory) < 0)
		log_fatal_code(EX_TEMPFAIL, "chdir %s: %m",
			       conf->queue_directory);
	if (!drop_user_authorized(conf->authorized_submit_users)) {
		struct passwd *pw = getpwuid(getuid());
		char *text =
		    mem_sprintf("User %s(%ld) is not allowed to submit mail",
				pw ? pw->pw_name : "unknown", (long)getuid());

		give_up(EX_NOPERM, "5.7.0", text);
	}
	submit();
	return 0;
}
