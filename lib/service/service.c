/* SPDX-License-Identifier: MIT */
#include "lib/service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_cleanup.h"
#include "lib/conf/conf_log.h"
#include "lib/service/service_debug.h"
#include "lib/service/service_run.h"
#include "lib/sys/jail.h"
#include "lib/sys/proc.h"

struct service_state service_state = {.n_listen = 1};

const char *
service_name(void)
{
	return service_state.name;
}

const struct strvec *
service_argv(void)
{
	return &service_state.argv;
}

bool
service_unprivileged(void)
{
	return service_state.unprivileged;
}

bool
service_standalone(void)
{
	return service_state.standalone;
}

bool
service_takes_over(void)
{
	return service_state.type == SERVICE_TYPE_PASS;
}

bool
service_renewal(void)
{
	return service_state.renewal;
}

int
service_process_limit(void)
{
	return service_state.limit;
}

bool
service_is_pass(void)
{
	return service_state.type == SERVICE_TYPE_PASS;
}

void
service_exit(int status)
{
	exit(status);
}

void
service_tell_master(char message)
{
	if (service_state.standalone)
		return;
	while (send(SERVICE_MASTER_FD, &message, 1,
		    MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
	       errno == EINTR)
		;
}

void
service_jail(void)
{
	const struct service_state *s = &service_state;
	struct jail j = {
	    .root = s->chroot ? conf->queue_directory : NULL,
	    .user = s->drop_uid ? conf->mail_owner : NULL,
	    .may_exec_setuid = !s->drop_uid,
	};

	jail(&j);
}

static int
number_argument(int option, const char *text)
{
	int64_t n;

	if (!num_parse(span_of(text), 0, 1000000, &n))
		log_fatal("bad argument of option -%c: %s", option, text);
	return (int)n;
}

static void
set_type(struct service_state *s, const char *type)
{
	static const struct {
		const char *name;
		enum service_type type;
	} types[] = {
	    {"inet", SERVICE_TYPE_STREAM}, {"unix", SERVICE_TYPE_STREAM},
	    {"fifo", SERVICE_TYPE_DATA},   {"unix-dgram", SERVICE_TYPE_DATA},
	    {"pass", SERVICE_TYPE_PASS},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(type, types[i].name) == 0) {
			s->type = types[i].type;
			s->type_name = type;
			return;
		}
	}
	log_fatal("unsupported service type: %s", type);
}

/* "{ name = value }" arrives as "name = value". */
static void
add_override(struct strvec *over, const char *text)
{
	struct span all = span_trim(span_of(text));
	long at = span_find(all, '=');
	struct span name, value;
	struct buf b = BUF_INIT;

	if (at <= 0)
		log_fatal("option -o needs name=value, not \"%s\"", text);
	name = span_trim(span_make(all.data, (size_t)at));
	value = span_trim(span_from(all, (size_t)at + 1));
	buf_append_span(&b, name);
	buf_append_byte(&b, '=');
	buf_append_span(&b, value);
	strvec_add(over, buf_cstr(&b));
	buf_free(&b);
}

struct options {
	const char *config_dir;
	int verbose;
	bool debug;
};

static void
parse_arguments(int argc, char **argv, struct service_state *s,
		struct options *o)
{
	int c;

	while ((c = getopt(argc, argv, "+cC:Di:ln:o:p:Rs:St:uvz")) != -1) {
		switch (c) {
		case 'c':
			s->chroot = true;
			break;
		case 'C':
			o->config_dir = optarg;
			break;
		case 'D':
			o->debug = true;
			break;
		case 'i': /* the instance, for ps(1) */
		case 'z':
			break;
		case 'l': /* nobody else runs this service */
			s->limit = 1;
			break;
		case 'n':
			s->name = optarg;
			break;
		case 'o':
			add_override(&s->over, optarg);
			break;
		case 'p':
			s->limit = number_argument(c, optarg);
			break;
		case 'R':
			s->renewal = true;
			break;
		case 's':
			s->n_listen = number_argument(c, optarg);
			break;
		case 'S':
			s->standalone = true;
			break;
		case 't':
			set_type(s, optarg);
			break;
		case 'u':
			s->drop_uid = true;
			break;
		case 'v':
			log_set_verbose(++o->verbose);
			break;
		default:
			log_fatal("unknown option: -%c", optopt);
		}
	}
	for (; optind < argc; optind++)
		strvec_add(&s->argv, argv[optind]);
}

static void
check_arguments(struct service_state *s)
{
	struct stat st;

	if (s->def->flags & SERVICE_SINGLE)
		s->limit = 1;
	if (s->standalone) {
		if (!s->def->serve)
			log_fatal("option -S is not for this service");
		return;
	}
	if (!s->type_name || s->n_listen < 1 ||
	    fstat(SERVICE_MASTER_FD, &st) < 0 || !S_ISSOCK(st.st_mode))
		log_fatal("this program is started by master(8), not by hand");
	for (int i = 0; i < s->n_listen; i++) {
		if (fcntl(SERVICE_LISTEN_FD + i, F_GETFD) < 0)
			log_fatal("listening descriptor %d: %m", i);
	}
}

static void
set_signals(void)
{
	struct sigaction sa = {.sa_handler = SIG_IGN};
	sigset_t none;

	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What the parent has allocated stays shared; what a worker adds is little,
 * and one heap serves it. */
static void
tune_memory(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TOP_PAD, 16 * 1024);
	mallopt(M_TRIM_THRESHOLD, 64 * 1024);
	mallopt(M_MMAP_THRESHOLD, 64 * 1024);
}

static struct conf_args conf_args;

static void
load_configuration(struct service_state *s, const char *program,
		   const struct options *o)
{
	conf_args = (struct conf_args){
	    .program = program,
	    .config_dir = o->config_dir,
	    .over = &s->over,
	    .service_name = s->name,
	    .daemon = true,
	};
	conf_load(&conf_args);
	if (s->def->flags & SERVICE_TAKES_MAIL &&
	    conf_cleanup_load(program, &s->over))
		conf_load(&conf_args);
	if (chdir(conf->queue_directory) < 0)
		log_fatal("chdir(%s): %m", conf->queue_directory);
	conf_log_open(program, CONF_LOG_DAEMON);
}

/* An error in main.cf is fatal where it is found: let a child find it. */
bool
service_load_again(void)
{
	int status;
	pid_t pid = proc_fork();

	if (pid == 0) {
		conf_load(&conf_args);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
		log_warn("reload ignored: the old configuration stays");
		return false;
	}
	conf_load(&conf_args);
	conf_log_open(conf_args.program, CONF_LOG_DAEMON);
	return true;
}

_Noreturn static void
run_standalone(struct service_state *s)
{
	if (s->def->init)
		s->def->init();
	if (s->def->after_jail)
		s->def->after_jail();
	s->def->serve(STDIN_FILENO);
	service_exit(0);
}

/* "lmtp" is the smtp program under another name. */
static const char *
program_name(char **argv, const struct service *def)
{
	const char *slash = argv[0] ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argv[0];

	return name && *name ? name : def->name;
}

int
service_main(int argc, char **argv, const struct service *def)
{
	struct service_state *s = &service_state;
	const char *program = program_name(argv, def);
	struct options o = {0};

	s->def = def;
	s->name = program; /* unless -n says otherwise */
	s->unprivileged = geteuid() != 0;
	umask(077);
	tune_memory();
	set_signals();
	opterr = 0;
	log_set_program(program);
	conf_log_open_early(program);
	parse_arguments(argc, argv, s, &o);
	check_arguments(s);
	load_configuration(s, program, &o);
	if (o.debug)
		service_debug(program);
	if (s->standalone)
		run_standalone(s);
	if (def->init)
		def->init();
	service_jail();
	if (def->after_jail)
		def->after_jail();
	if (def->model == SERVICE_SESSIONS)
		service_run_sessions();
	service_run_event();
}
