/* SPDX-License-Identifier: MIT */
/*
 * mkparams - turn the table of parameters into C and into a manual page.
 *
 *	mkparams params.def OUTDIR
 *
 * writes OUTDIR/conf_params.h (struct conf), OUTDIR/conf_params.c (the table
 * and the values of all constant defaults) and OUTDIR/postconf.5. A program
 * of the build: any error in the table ends it with status 1.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMS = 2000, MAX_LINE = 8192 };

struct param {
	char *name;
	char *type;
	char unit;
	char *dflt;
	char *dflt_newer;
	char *mirror;
	char *kind;
	char *since;
	char *used;
	char *status;
	char *allow;
	char *note;
	char *doc;
	int64_t min;
	int64_t max;
	bool runtime;
	int line;
};

static struct param params[MAX_PARAMS];
static size_t n_params;
static const char *def_path;

__attribute__((format(printf, 2, 3))) static _Noreturn void
die(int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: ", def_path, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static char *
copy(const char *s)
{
	char *c = strdup(s);

	if (!c)
		die(0, "out of memory");
	return c;
}

static bool
is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* Append a line to the text that is collected for doc. */
static void
add_doc(struct param *p, const char *line)
{
	size_t old = strlen(p->doc);
	size_t add = strlen(line);
	char *grown = realloc(p->doc, old + add + 2);

	if (!grown)
		die(p->line, "out of memory");
	memcpy(grown + old, line, add);
	grown[old + add] = '\n';
	grown[old + add + 1] = '\0';
	p->doc = grown;
}

static int64_t
number(const struct param *p, const char *text)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || *end || end == text)
		die(p->line, "%s: not a number: \"%s\"", p->name, text);
	return v;
}

/* One line of a stanza: a word and the rest. */
static void
set_field(struct param *p, const char *key, const char *rest, int line)
{
	if (is(key, "type")) {
		const char *space = strchr(rest, ' ');

		p->type = copy(rest);
		if (space) {
			p->unit = space[1];
			p->type[space - rest] = '\0';
		}
	} else if (is(key, "default")) {
		p->dflt = copy(rest);
	} else if (is(key, "default-3.12")) {
		p->dflt_newer = copy(rest);
	} else if (is(key, "runtime")) {
		p->runtime = true;
	} else if (is(key, "min")) {
		p->min = number(p, rest);
	} else if (is(key, "max")) {
		p->max = number(p, rest);
	} else if (is(key, "mirror")) {
		p->mirror = copy(rest);
	} else if (is(key, "kind")) {
		p->kind = copy(rest);
	} else if (is(key, "since")) {
		p->since = copy(rest);
	} else if (is(key, "used")) {
		p->used = copy(rest);
	} else if (is(key, "status")) {
		p->status = copy(rest);
	} else if (is(key, "allow")) {
		p->allow = copy(rest);
	} else if (is(key, "note")) {
		p->note = copy(rest);
	} else if (!is(key, "doc")) {
		die(line, "%s: unknown line \"%s\"", p->name, key);
	}
}

static void
start_param(const char *name, int line)
{
	struct param *p;

	if (n_params == MAX_PARAMS)
		die(line, "too many parameters");
	if (!*name)
		die(line, "param without a name");
	p = &params[n_params++];
	p->name = copy(name);
	p->dflt = copy("");
	p->kind = copy("builtin");
	p->doc = copy("");
	p->min = INT64_MIN;
	p->max = INT64_MAX;
	p->line = line;
}

static void
read_table(const char *path)
{
	char line[MAX_LINE];
	struct param *p = NULL;
	int n = 0;
	FILE *f = fopen(path, "r");

	if (!f)
		die(0, "%s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		size_t len = strlen(line);
		char *rest;

		n++;
		if (len == sizeof(line) - 1)
			die(n, "line too long");
		while (len && strchr(" \t\r\n", line[len - 1]))
			line[--len] = '\0';
		if (line[0] == '#')
			continue;
		if (len == 0) {
			p = NULL;
			continue;
		}
		if (line[0] == ' ') {
			if (!p)
				die(n, "text outside a stanza");
			add_doc(p, line + 1);
			continue;
		}
		rest = strchr(line, ' ');
		if (rest)
			*rest++ = '\0';
		else
			rest = line + len;
		if (is(line, "param")) {
			start_param(rest, n);
			p = &params[n_params - 1];
		} else if (p) {
			set_field(p, line, rest, n);
		} else {
			die(n, "\"%s\" outside a stanza", line);
		}
	}
	if (ferror(f))
		die(n, "%s", strerror(errno));
	fclose(f);
}

static const struct {
	const char *name;
	const char *c_type;
	const char *symbol;
} types[] = {
    {"bool", "bool ", "CONF_BOOL"},
    {"int", "int ", "CONF_INT"},
    {"time", "int64_t ", "CONF_TIME"},
    {"size", "int64_t ", "CONF_SIZE"},
    {"str", "const char *", "CONF_STR"},
    {"list", "const char *", "CONF_LIST"},
    {"maps", "const char *", "CONF_MAPS"},
    {"raw", "const char *", "CONF_RAW"},
};

static size_t
type_of(const struct param *p)
{
	if (!p->type)
		die(p->line, "%s: no type", p->name);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (is(types[i].name, p->type))
			return i;
	die(p->line, "%s: unknown type %s", p->name, p->type);
}

/* Position in word list, upper-cased with a prefix, as the C symbol. */
static void
print_symbol(FILE *f, const struct param *p, const char *prefix,
	     const char *word, const char *allowed)
{
	const char *hit = word && *word ? strstr(allowed, word) : NULL;

	if (!hit)
		die(p->line, "%s: \"%s\" is not one of:%s", p->name,
		    word ? word : "", allowed);
	fputs(prefix, f);
	for (; *word; word++)
		fputc(toupper((unsigned char)*word), f);
}

static bool
is_text(const struct param *p)
{
	return strncmp(types[type_of(p)].c_type, "const", 5) == 0;
}

/* A default that needs the program: other parameters or the host. */
static bool
is_computed(const struct param *p)
{
	return p->runtime || (!is(p->type, "raw") && strchr(p->dflt, '$'));
}

static int
find_param(const char *name)
{
	for (size_t i = 0; i < n_params; i++)
		if (is(params[i].name, name))
			return (int)i;
	return -1;
}

static int
compare_name(const void *a, const void *b)
{
	const struct param *x = a;
	const struct param *y = b;

	return strcmp(x->name, y->name);
}

static void
set_bounds(struct param *p)
{
	bool narrow = is(p->type, "int") || is(p->type, "time");

	if (p->min == INT64_MIN && narrow)
		p->min = is(p->type, "int") ? INT_MIN : 0;
	if (p->max == INT64_MAX && narrow)
		p->max = INT_MAX;
	if (is(p->type, "time") && (!p->unit || !strchr("smhdw", p->unit)))
		die(p->line, "%s: time needs a unit", p->name);
}

static void
check_table(void)
{
	qsort(params, n_params, sizeof(params[0]), compare_name);
	for (size_t i = 0; i < n_params; i++) {
		struct param *p = &params[i];

		(void)type_of(p);
		set_bounds(p);
		if (i && is(p->name, params[i - 1].name))
			die(p->line, "%s: stanza appears twice", p->name);
		if (p->mirror && find_param(p->mirror) < 0)
			die(p->line, "%s: mirror of an unknown name", p->name);
	}
}

static FILE *
create(const char *dir, const char *name)
{
	char path[4096];
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >=
	    (int)sizeof(path))
		die(0, "path too long");
	f = fopen(path, "w");
	if (!f)
		die(0, "%s: %s", path, strerror(errno));
	return f;
}

static void
finish(FILE *f)
{
	if (ferror(f) || fclose(f))
		die(0, "write: %s", strerror(errno));
}

/* The C identifier of the field. */
static const char *
field(const struct param *p, char *space, size_t size)
{
	bool digit = p->name[0] >= '0' && p->name[0] <= '9';

	snprintf(space, size, "%s%s", digit ? "_" : "", p->name);
	return space;
}

static void
write_header(const char *dir)
{
	FILE *f = create(dir, "conf_params.h");
	char id[256];

	fputs("/* Generated from conf/params.def. */\n"
	      "#ifndef CONF_PARAMS_H\n#define CONF_PARAMS_H\n\n"
	      "#include <stdbool.h>\n#include <stdint.h>\n\n"
	      "struct conf {\n",
	      f);
	for (size_t i = 0; i < n_params; i++)
		fprintf(f, "\t%s%s;\n", types[type_of(&params[i])].c_type,
			field(&params[i], id, sizeof(id)));
	fprintf(f,
		"};\n\nenum { CONF_PARAM_COUNT = %zu };\n\n"
		"/* The constant defaults; zero where one is computed. */\n"
		"extern const struct conf conf_defaults;\n\n#endif\n",
		n_params);
	finish(f);
}

static void
print_string(FILE *f, const char *s)
{
	if (!s) {
		fputs("NULL", f);
		return;
	}
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\' || *s == '?')
			fputc('\\', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

static int64_t
time_value(const struct param *p)
{
	static const char units[] = "smhdw";
	static const int64_t seconds[] = {1, 60, 3600, 86400, 604800};
	char *end;
	long long v = strtoll(p->dflt, &end, 10);
	const char *u = strchr(units, *end ? *end : p->unit);

	if (end == p->dflt || !u || (*end && end[1]))
		die(p->line, "%s: bad time %s", p->name, p->dflt);
	return v * seconds[u - units] * 1000000;
}

static void
print_default(FILE *f, const struct param *p)
{
	if (is_computed(p)) {
		if (is_text(p))
			fputs("\"\"", f);
		else
			fputs("0", f);
	} else if (is_text(p)) {
		print_string(f, p->dflt);
	} else if (is(p->type, "bool")) {
		if (!is(p->dflt, "yes") && !is(p->dflt, "no"))
			die(p->line, "%s: bad bool %s", p->name, p->dflt);
		fputs(is(p->dflt, "yes") ? "true" : "false", f);
	} else if (is(p->type, "time")) {
		fprintf(f, "%lldLL", (long long)time_value(p));
	} else {
		fprintf(f, "%lld", (long long)number(p, p->dflt));
	}
}

static void
print_bound(FILE *f, int64_t v)
{
	if (v == INT64_MIN)
		fputs("INT64_MIN", f);
	else
		fprintf(f, "%lldLL", (long long)v);
}

static void
print_row(FILE *f, const struct param *p)
{
	char id[256];

	fputs("\t{", f);
	print_string(f, p->name);
	fputs(", ", f);
	print_string(f, p->dflt);
	fputs(", ", f);
	print_string(f, p->dflt_newer);
	fputs(", ", f);
	print_string(f, p->allow);
	fputs(", ", f);
	print_string(f, p->used);
	fputs(",\n\t ", f);
	print_bound(f, p->min);
	fputs(", ", f);
	print_bound(f, p->max);
	fprintf(f, ", offsetof(struct conf, %s), %d, %s, ",
		field(p, id, sizeof(id)),
		p->mirror ? find_param(p->mirror) : -1,
		types[type_of(p)].symbol);
	print_symbol(f, p, "CONF_KIND_", p->kind,
		     " builtin service legacy newer readonly");
	fputs(", ", f);
	print_symbol(f, p, "CONF_STATUS_", p->status, " here later filter");
	fprintf(f, ", '%c', %s, %s},\n", p->unit ? p->unit : ' ',
		is_computed(p) ? "true" : "false",
		p->runtime ? "true" : "false");
}

static void
write_source(const char *dir)
{
	FILE *f = create(dir, "conf_params.c");
	char id[256];

	fputs("/* Generated from conf/params.def. */\n"
	      "#include \"conf_params.h\"\n\n#include <stddef.h>\n\n"
	      "#include \"lib/conf/params.h\"\n\n"
	      "const struct conf conf_defaults = {\n",
	      f);
	for (size_t i = 0; i < n_params; i++) {
		fprintf(f, "\t.%s = ", field(&params[i], id, sizeof(id)));
		print_default(f, &params[i]);
		fputs(",\n", f);
	}
	fputs("};\n\nconst struct conf_param conf_params[] = {\n", f);
	for (size_t i = 0; i < n_params; i++)
		print_row(f, &params[i]);
	fputs("};\n", f);
	finish(f);
}

/* ---- postconf(5) ---- */

static void
print_roff(FILE *f, const char *s, bool line_start)
{
	for (; *s; s++) {
		if (line_start && (*s == '.' || *s == '\''))
			fputs("\\&", f);
		if (*s == '\\')
			fputs("\\e", f);
		else if (*s == '-')
			fputs("\\-", f);
		else
			fputc(*s, f);
		line_start = *s == '\n';
	}
}

static const char manual_head[] =
    ".\\\" Generated from conf/params.def.\n"
    ".TH POSTCONF 5 \"November 22, 2026\" \"Postrider\" \"File formats\"\n"
    ".SH NAME\npostconf \\- parameters of main.cf\n"
    ".SH DESCRIPTION\n"
    "The file main.cf holds lines \"name = value\". A line that begins with\n"
    "white space continues the one before; empty lines and lines whose\n"
    "first visible character is # are skipped, also between a line and its\n"
    "continuation. The last line for a name counts.\n"
    ".PP\n"
    "In a value, $name, ${name} and $(name) stand for the value of another\n"
    "parameter, ${name?text} and ${name?{text}} for text when that value is\n"
    "not empty, ${name:text} and ${name:{text}} for text when it is empty,\n"
    "${name?{text}:{other}} for one of the two, and\n"
    "${{a} == {b} ? {text} : {other}} compares (==, !=, <, <=, >, >=: as\n"
    "numbers when both are digits, otherwise as text; ==level, <level and so\n"
    "on compare release numbers such as 3.6). $$ is a dollar sign.\n"
    ".PP\n"
    "Times take a unit: s, m, h, d or w. The command\n"
    ".B postconf \\-d\nprints the defaults.\n"
    ".SH PARAMETERS\n";

static void
print_entry(FILE *f, const struct param *p)
{
	fputs(".SS ", f);
	print_roff(f, p->name, true);
	fputs(" (default: ", f);
	if (p->runtime)
		fputs("found out when a program starts", f);
	else
		print_roff(f, *p->dflt ? p->dflt : "empty", false);
	fputs(")\n", f);
	print_roff(f, p->doc, true);
	if (p->mirror)
		fprintf(f, ".PP\nTakes the place of %s in the LMTP client.\n",
			p->mirror);
	if (p->note) {
		fputs(".PP\n", f);
		print_roff(f, p->note, true);
		fputc('\n', f);
	}
	if (p->dflt_newer) {
		fputs(".PP\nPostfix 3.12 has the default: ", f);
		print_roff(f, *p->dflt_newer ? p->dflt_newer : "empty", false);
		fputc('\n', f);
	}
	if (is(p->status, "later"))
		fputs(".PP\nKnown, but without effect in this version.\n", f);
	if (is(p->status, "filter"))
		fputs(".PP\nNot available in this version: setting it is an "
		      "error.\n",
		      f);
	if (is(p->status, "filter") && p->allow)
		fprintf(f, "The values %s are accepted with a warning.\n",
			p->allow);
}

static void
write_manual(const char *dir)
{
	FILE *f = create(dir, "postconf.5");

	fputs(manual_head, f);
	for (size_t i = 0; i < n_params; i++)
		print_entry(f, &params[i]);
	fputs(".SH SEE ALSO\nmaster(5), postconf(1)\n", f);
	finish(f);
}

int
main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("usage: mkparams params.def outdir\n", stderr);
		return 1;
	}
	def_path = argv[1];
	read_table(argv[1]);
	check_table();
	write_header(argv[2]);
	write_source(argv[2]);
	write_manual(argv[2]);
	return 0;
}
