/* SPDX-License-Identifier: MIT */
#include "lib/queue/submit.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"

enum {
	CHUNK = 32 * 1024, /* content that is sent at once */
	ANSWER_MAX = 1024,
};

extern char **environ;

struct submit {
	pid_t pid;
	int to, from;      /* postdrop's input and output */
	struct buf out;    /* frames to be sent, the last one open */
	size_t frame;      /* offset of the open content frame's length */
	struct buf answer; /* what postdrop said so far */
	char *id;
	bool broken; /* postdrop does not read any more */
};

/* ---- the process ---- */

static bool
spawn(struct submit *s, int in, int out)
{
	char *path = mem_sprintf("%s/postdrop", conf->command_directory);
	char *argv[] = {path, mem_strdup("-r"), NULL};
	posix_spawn_file_actions_t fa;
	int error;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	error = posix_spawn(&s->pid, path, &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (error) {
		errno = error;
		log_warn("cannot execute %s: %m", path);
	}
	free(argv[1]);
	free(path);
	return error == 0;
}

struct submit *
submit_begin(struct why *why)
{
	struct submit *s = mem_alloc(sizeof(*s));
	int in[2], out[2];
	bool ok;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		log_fatal_code(75, "cannot make a pipe: %m");
	ok = spawn(s, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	s->to = in[1];
	s->from = out[0];
	if (!ok) {
		close(s->to);
		close(s->from);
		free(s);
		why_set_code(why, 451, "4.3.0",
			     "Error: queue file write error");
		return NULL;
	}
	return s;
}

static int
finish(struct submit *s)
{
	int status = 0;

	if (s->to >= 0)
		close(s->to);
	close(s->from);
	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	buf_free(&s->out);
	buf_free(&s->answer);
	free(s->id);
	free(s);
	return status;
}

void
submit_abort(struct submit *s)
{
	finish(s);
}

/* ---- frames ---- */

static void
send_out(struct submit *s)
{
	if (!s->broken && s->out.len &&
	    !io_write_all(s->to, s->out.data, s->out.len))
		s->broken = true;
	buf_reset(&s->out);
	s->frame = 0;
}

static void
append_length(struct submit *s, size_t len)
{
	uint32_t le = htole32((uint32_t)len);

	buf_append(&s->out, &le, sizeof(le));
}

void
submit_envelope(struct submit *s, const struct envelope *env)
{
	struct buf encoded = BUF_INIT;

	envelope_encode(env, &encoded);
	append_length(s, encoded.len);
	buf_append_span(&s->out, buf_span(&encoded));
	buf_free(&encoded);
	/* The content's first frame begins behind it. */
	s->frame = s->out.len;
	append_length(s, 0);
}

static void
close_frame(struct submit *s)
{
	uint32_t le = htole32((uint32_t)(s->out.len - s->frame - 4));

	memcpy(s->out.data + s->frame, &le, sizeof(le));
}

void
submit_content(struct submit *s, struct span piece)
{
	while (piece.len && !s->broken) {
		size_t room = CHUNK - (s->out.len - s->frame - 4);
		size_t n = piece.len < room ? piece.len : room;

		buf_append(&s->out, piece.data, n);
		piece = span_from(piece, n);
		if (n == room) {
			close_frame(s);
			send_out(s);
			append_length(s, 0);
		}
	}
}

/* ---- what postdrop says ---- */

/* The next line of the answer, or an empty span at its end. */
static struct span
read_answer(struct submit *s)
{
	for (;;) {
		long nl = span_find(buf_span(&s->answer), '\n');
		ssize_t n;

		if (nl >= 0)
			return span_make(s->answer.data, (size_t)nl);
		if (s->answer.len >= ANSWER_MAX)
			return span_make(NULL, 0);
		n = read(s->from, buf_reserve(&s->answer, ANSWER_MAX),
			 ANSWER_MAX);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return span_make(NULL, 0);
		s->answer.len += (size_t)n;
		s->answer.data[s->answer.len] = '\0';
	}
}

static void
set_why(struct why *why, struct span line)
{
	char dsn[DSN_CODE_MAX];
	struct span text;

	if (!span_starts_nocase(line, "error ")) {
		why_set_code(why, 451, "4.3.0",
			     "Error: queue file write error");
		return;
	}
	text = dsn_split(span_from(line, 6), "4.3.0", dsn);
	why_set(why, dsn, "%.*s", SPAN_ARG(text));
	if (!strcmp(dsn, "5.3.4"))
		why->code = 552;
}

const char *
submit_id(struct submit *s, struct why *why)
{
	struct span line;

	if (s->id)
		return s->id;
	line = read_answer(s);
	if (!span_starts_nocase(line, "id ") || line.len < 4) {
		set_why(why, line);
		return NULL;
	}
	s->id = mem_strndup(line.data + 3, line.len - 3);
	buf_consume(&s->answer, line.len + 1);
	return s->id;
}

bool
submit_end(struct submit *s, struct why *why)
{
	struct span line;
	bool ok;

	if (s->out.len - s->frame > 4) {
		close_frame(s);
		append_length(s, 0);
	}
	send_out(s);
	close(s->to);
	s->to = -1;
	ok = submit_id(s, why) != NULL;
	if (ok) {
		line = read_answer(s);
		ok = span_equal_cstr(line, "ok");
		if (!ok)
			set_why(why, line);
	}
	finish(s);
	return ok;
}
