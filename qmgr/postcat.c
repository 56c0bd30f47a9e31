/* SPDX-License-Identifier: MIT */
/*
 * postcat - show messages of the queue (postcat(1)).
 *
 * A file may hold one image (deferred, hold, maildrop) or many (a segment of
 * incoming); with -q the queue is searched for ids.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"
#include "lib/queue/image.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_state.h"
#include "qmgr/postcat_show.h"

enum { COPY_SIZE = 64 * 1024 };

struct options {
	struct postcat p;
	bool search; /* -q */
	int64_t skip;
	const char *config_dir;
};

static _Noreturn void
usage(void)
{
	log_fatal("usage: postcat [-b (body text)] [-c config_dir] [-d "
		  "(decimal record type)] [-e (envelope records)] [-h (header "
		  "text)] [-q (access queue)] [-v] [file(s)...]");
}

static void
parse(int argc, char **argv, struct options *o)
{
	int c, verbose = 0;

	while ((c = getopt(argc, argv, "bc:dehoqrs:v")) > 0) {
		switch (c) {
		case 'b':
			o->p.body = true;
			break;
		case 'c':
			o->config_dir = optarg;
			break;
		case 'd':
			o->p.types = true;
			break;
		case 'e':
			o->p.envelope = true;
			break;
		case 'h':
			o->p.header = true;
			break;
		case 'o':
			o->p.offsets = true;
			break;
		case 'q':
			o->search = true;
			break;
		case 'r':
			/* Records always are in file order. */
			break;
		case 's':
			if (!num_parse(span_of(optarg), 0, INT64_MAX, &o->skip))
				log_fatal("bad offset: %s", optarg);
			break;
		case 'v':
			o->p.verbose = true;
			log_set_verbose(++verbose);
			break;
		default:
			usage();
		}
	}
	if (!o->p.body && !o->p.header && !o->p.envelope)
		o->p.body = o->p.header = o->p.envelope = true;
}

/* ---- files ---- */

static const char *
read_error(enum queue_read st)
{
	switch (st) {
	case QUEUE_READ_END:
		return "unexpected EOF in data";
	case QUEUE_READ_CORRUPT:
		return "checksum or length does not fit";
	default:
		return strerror(errno);
	}
}

/* The image at *at, with the state records that may follow it. */
static enum queue_read
show_image(const struct options *o, int fd, const char *name, int64_t *at)
{
	struct queue_place place;
	struct envelope env;
	struct queue_state state;
	char id[QUEUE_ID_MAX];
	int64_t end;
	enum queue_read st;

	st = queue_read_image(fd, *at, true, &place, id, &env);
	if (st != QUEUE_READ_OK)
		return st;
	queue_state_init(&state, env.n_rcpts);
	queue_state_read(fd, *at + place.length, &state, &end);
	postcat_show(&o->p, name, &place, &env, state.state);
	queue_state_free(&state);
	envelope_free(&env);
	*at = end;
	return st;
}

static void
show_file(const struct options *o, int fd, const char *name)
{
	int64_t at = o->skip;
	char magic;
	enum queue_read st = show_image(o, fd, name, &at);

	if (st == QUEUE_READ_CORRUPT || st == QUEUE_READ_END) {
		struct image_header h;

		/* Damaged, or not ours at all? */
		if (image_read_header(fd, at, &h) == QUEUE_READ_OK)
			log_fatal("%s: %s", name, read_error(st));
		if (pread(fd, &magic, 1, at) == 1)
			log_warn("%s: input is not a valid queue file", name);
		return;
	}
	while (st == QUEUE_READ_OK)
		st = show_image(o, fd, name, &at);
	if (st != QUEUE_READ_END)
		log_warn("%s: offset %" PRId64 ": %s", name, at,
			 read_error(st));
}

static void
show_named_file(const struct options *o, const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		log_fatal("open %s: %m", name);
	show_file(o, fd, name);
	close(fd);
}

/* Standard input may be a pipe: images are read by offset. */
static void
show_stdin(const struct options *o)
{
	FILE *copy;
	char *block;
	ssize_t n;

	if (lseek(STDIN_FILENO, 0, SEEK_CUR) == 0) {
		show_file(o, STDIN_FILENO, "stdin");
		return;
	}
	copy = tmpfile();
	block = mem_alloc(COPY_SIZE);
	if (!copy)
		log_fatal("temporary file: %m");
	while ((n = read(STDIN_FILENO, block, COPY_SIZE)) > 0)
		fwrite(block, 1, (size_t)n, copy);
	free(block);
	if (n < 0 || fflush(copy) != 0)
		log_fatal("read standard input: %m");
	show_file(o, fileno(copy), "stdin");
	fclose(copy);
}

/* ---- by id ---- */

struct search {
	const struct options *o;
	bool found;
};

static bool
show_listed(void *arg, const struct queue_listing *l)
{
	struct search *s = arg;
	char in_segment[sizeof("incoming/") + QUEUE_ID_MAX];
	const char *name = l->place->path;

	if (strcmp(l->queue_name, "incoming") == 0) {
		snprintf(in_segment, sizeof(in_segment), "incoming/%s", l->id);
		name = in_segment;
	}
	s->found = true;
	postcat_show(&s->o->p, name, l->place, l->env, l->state);
	return false;
}

static void
show_id(const struct options *o, const char *id)
{
	struct search s = {.o = o};

	if (!queue_id_valid(span_of(id)))
		log_fatal("bad mail queue ID: %s", id);
	if (!queue_list(id, show_listed, &s) && !s.found)
		log_fatal("open queue file %s: %m", id);
	if (!s.found) {
		errno = ENOENT;
		log_fatal("open queue file %s: %m", id);
	}
}

int
main(int argc, char **argv)
{
	struct options o = {0};
	struct conf_args args = {.program = "postcat"};

	log_set_program("postcat");
	parse(argc, argv, &o);
	args.config_dir = o.config_dir;
	conf_load(&args);
	if (o.search && chdir(conf->queue_directory) < 0)
		log_fatal("chdir %s: %m", conf->queue_directory);
	if (optind == argc)
		show_stdin(&o);
	for (; optind < argc; optind++) {
		if (o.search)
			show_id(&o, argv[optind]);
		else
			show_named_file(&o, argv[optind]);
	}
	if (fflush(stdout) != 0)
		log_fatal("write output: %m");
	return 0;
}
