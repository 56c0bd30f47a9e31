/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/base/casefold.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/mkmap.h"
#include "lib/table/table.h"

static char folder[] = "/tmp/test-table-XXXXXX";
static struct buf logged; /* every line, each with a newline */

static void
remember(enum log_level level, const char *process, const char *line)
{
	static const char *const words[] = {
	    "", "warning: ", "error: ", "fatal: ", "panic: "};

	(void)process;
	buf_printf(&logged, "%s%s\n", words[level], line);
}

static bool
was_logged(const char *text)
{
	return strstr(buf_cstr(&logged), text) != NULL;
}

static char *
path_of(const char *name)
{
	return mem_sprintf("%s/%s", folder, name);
}

static void
write_file(const char *name, const char *text)
{
	char *path = path_of(name);
	FILE *fp = fopen(path, "w");

	assert_non_null(fp);
	fputs(text, fp);
	assert_int_equal(fclose(fp), 0);
	free(path);
}

static struct table *
open_type(const char *type, const char *name, unsigned flags)
{
	char *spec = mem_sprintf("%s:%s/%s", type, folder, name);
	struct table *t = table_open(spec, flags);

	free(spec);
	return t;
}

/* The value, "(absent)" or "(retry)"; static. */
static const char *
get(struct table *t, const char *key)
{
	static struct buf value;
	struct why why = WHY_INIT;
	enum table_status s = table_get(t, span_of(key), &value, &why);

	assert_int_equal(s == TABLE_RETRY, why_is_set(&why));
	why_free(&why);
	return s == TABLE_FOUND    ? buf_cstr(&value)
	       : s == TABLE_ABSENT ? "(absent)"
				   : "(retry)";
}

static void
check_spec(const char *spec, unsigned flags, const char *key, const char *want)
{
	struct table *t = table_open(spec, flags);

	assert_string_equal(get(t, key), want);
	table_free(t);
}

static void
make(const char *type, const char *name, unsigned flags,
     const char *const *pairs)
{
	char *path = path_of(name), *error;
	struct mkmap *m = mkmap_open(type, path, flags, 0640, &error);

	assert_non_null(m);
	for (; *pairs; pairs += 2)
		assert_true(
		    mkmap_put(m, span_of(pairs[0]), span_of(pairs[1]), true));
	assert_true(mkmap_commit(m, &error));
	free(path);
}

static void
test_casefold(void **state)
{
	static const char *const cases[][2] = {
	    {"AbC z", "abc z"},
	    {"\xc3\x80\xc3\x9f", "\xc3\xa0ss"},       /* A grave, sharp s */
	    {"\xce\xa3\xcf\x82", "\xcf\x83\xcf\x83"}, /* both sigmas */
	    {"\xf0\x90\x90\x80", "\xf0\x90\x90\xa8"}, /* Deseret */
	    {"\xc4\x80\xc4\x81", "\xc4\x81\xc4\x81"},
	    {"\xff"
	     "A",
	     "\xff"
	     "a"},
	};
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		casefold_utf8(span_of(cases[i][0]), &out);
		assert_string_equal(buf_cstr(&out), cases[i][1]);
	}
	buf_reset(&out);
	casefold_ascii(span_of("A\xc3\x80"), &out);
	assert_string_equal(buf_cstr(&out), "a\xc3\x80");
	buf_free(&out);
}

static void
test_base64(void **state)
{
	static const char *const cases[][2] = {
	    {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
	    {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe", "//4="}};
	static const char *const bad[] = {
	    "Z", "Zg=", "Zg===", "Z===", "Zm9v\n", "Zm=v", "Z g="};
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_set_cstr(&out, "");
		base64_encode(span_of(cases[i][0]), &out);
		assert_string_equal(buf_cstr(&out), cases[i][1]);
		buf_set_cstr(&out, "");
		assert_true(base64_decode(span_of(cases[i][1]), &out));
		assert_string_equal(buf_cstr(&out), cases[i][0]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_set_cstr(&out, "x");
		assert_false(base64_decode(span_of(bad[i]), &out));
		assert_string_equal(buf_cstr(&out), "x");
	}
	buf_free(&out);
}

static void
test_unavailable(void **state)
{
	struct table *t;

	(void)state;
	buf_reset(&logged);
	t = table_open("mysql:/x", 0);
	assert_true(was_logged("error: unsupported dictionary type: mysql\n"));
	assert_string_equal(get(t, "x"), "(retry)");
	assert_true(was_logged("warning: mysql:/x is unavailable. unsupported "
			       "dictionary type: mysql\n"));
	table_free(t);
	t = open_type("hash", "none", TABLE_QUIET);
	assert_non_null(strstr(table_error(t), "none.db: No such file"));
	assert_string_equal(get(t, "x"), "(retry)");
	table_free(t);
	check_spec("fail:x", 0, "k", "(retry)");
	check_spec("nocolon", 0, "k", "(retry)");
	check_spec("static:", 0, "k", "(retry)");
	check_spec("proxy:fail:x", 0, "k", "(retry)");
	check_spec("proxy:static:x", 0, "k", "x");
}

static void
test_small(void **state)
{
	(void)state;
	check_spec("static:v", 0, "anything", "v");
	check_spec("static:{ a b }", 0, "anything", "a b");
	check_spec("inline:{a=1, {B = x y}}", TABLE_FOLD_FIXED, "b", "x y");
	check_spec("inline:{a=1, {B = x y}}", TABLE_FOLD_FIXED, "A", "1");
	check_spec("inline:{a=1, {B = x y}}", 0, "b", "(absent)");
	check_spec("inline:{a}", 0, "b", "(retry)");
	check_spec("unix:passwd.byname", TABLE_FOLD_FIXED, "no.such.user",
		   "(absent)");
	check_spec("unix:shadow.byname", 0, "root", "(retry)");
	assert_int_equal(setenv("TEST_TABLE", "e", 1), 0);
	check_spec("environ:x", 0, "TEST_TABLE", "e");
	check_spec("environ:x", TABLE_FOLD_FIXED, "TEST_TABLE", "(absent)");
}

static void
test_texthash(void **state)
{
	struct table *t;

	(void)state;
	buf_reset(&logged);
	write_file("text", "  first\nKey one\n  two\n# c\n\n \tthree\n"
			   "bad\n\"a b\" c\nKEY again\nx: y\n\"un closed\n"
			   "\xff z\nlast l");
	t = open_type("texthash", "text", TABLE_FOLD_FIXED | TABLE_UTF8);
	assert_string_equal(get(t, "kEy"), "one  two \tthree");
	assert_string_equal(get(t, "\"a b\""), "c");
	assert_string_equal(get(t, "x:"), "y");
	assert_string_equal(get(t, "last"), "l");
	assert_string_equal(get(t, "bad"), "(absent)");
	assert_string_equal(get(t, "\xff"), "(absent)");
	assert_true(was_logged("logical line must not start with whitespace: "
			       "\"  first\""));
	assert_true(was_logged("/text, line 7: expected format: key "
			       "whitespace value -- ignoring this line"));
	assert_true(was_logged("/text, line 9: duplicate entry: \"KEY\""));
	assert_true(was_logged("/text, line 10: record is in \"key: value\" "
			       "format; is this an alias file?"));
	assert_true(was_logged("/text, line 11: unbalanced '\"' in "));
	assert_true(was_logged("/text, line 12: non-UTF-8 input \"? z\""));
	table_free(t);
}

static void
test_regexp(void **state)
{
	static const char *const types[] = {"regexp", "pcre"};

	(void)state;
	write_file("rx", "/^(a)(b)?$/ <$1${2}$(1)$$>\n!/x/ no-x\nif /x1/\n"
			 "if !/y/\n/./ x1-not-y\nendif\nendif\n/Case/i exact\n"
			 "|^x/$| slash\n/^x2/ $9\n/x.$/m line\n"
			 "/(/ bad\n/x3\nendif\nif /q/\n");
	for (size_t i = 0; i < 2; i++) {
		struct table *t;

		buf_reset(&logged);
		t = open_type(types[i], "rx", TABLE_UTF8);
		assert_true(table_is_pattern(t));
		assert_string_equal(get(t, "AB"), "<ABA$>");
		assert_string_equal(get(t, "a"), "<aa$>");
		assert_string_equal(get(t, "zz"), "no-x");
		assert_string_equal(get(t, "x1"), "x1-not-y");
		assert_string_equal(get(t, "x1y"), "(absent)");
		assert_string_equal(get(t, "xCase"), "exact");
		assert_string_equal(get(t, "xcase"), "(absent)");
		assert_string_equal(get(t, "x/"), "slash");
		assert_string_equal(get(t, "xa\nb"), "line");
		assert_string_equal(get(t, "x22"), "(absent)");
		assert_true(was_logged("line 10: out of range replacement "
				       "index \"9\": skipping this rule"));
		assert_true(was_logged("line 13: no closing regexp delimiter "
				       "\"/\""));
		assert_true(was_logged("line 14: ignoring ENDIF without "
				       "matching IF"));
		assert_true(was_logged("line 15: IF has no matching ENDIF"));
		table_free(t);
		t = open_type(types[i], "rx", TABLE_NO_REGSUB);
		assert_string_equal(get(t, "ab"), "no-x");
		table_free(t);
	}
	check_spec("regexp:{{/^(.*)@x$/ $1@y}, {/b/ c}}", 0, "a@x", "a@y");
	check_spec("regexp:{/x/ y}", 0, "a@x", "(retry)");
}

static void
test_pcre_flags(void **state)
{
	char *key;

	(void)state;
	check_spec("pcre:{{/a.b/ y}}", 0, "a\nb", "y");
	check_spec("pcre:{{/a.b/s y}}", 0, "a\nb", "(absent)");
	check_spec("pcre:{{/a b/x y}}", 0, "ab", "y");
	check_spec("pcre:{{/b/A y}}", 0, "ab", "(absent)");
	check_spec("pcre:{{/b$/E y}}", 0, "b\n", "(absent)");
	check_spec("pcre:{{/b$/ y}}", 0, "b\n", "y");
	check_spec("pcre:{{/^(a+)/U $1}}", 0, "aaa", "a");
	check_spec("pcre:{{/^\xc3\xa9$/ y}}", TABLE_UTF8, "\xc3\x89", "y");
	check_spec("pcre:{{/^(a)\\K(b)?/ $1.$2}}", 0, "a", "a.");
	/* Deeper than the stack of compiled code. */
	key = mem_alloc(60001);
	memset(key, 'a', 60000);
	check_spec("pcre:{{/^(?:(a)|b)*$/ $1}}", 0, key, "a");
	free(key);
}

static void
test_cidr(void **state)
{
	struct table *t;

	(void)state;
	buf_reset(&logged);
	write_file("net", "1.2.3.4 one\n[1.2.3.0]/24 net\n[2001:db8::/32] six\n"
			  "if 10.0.0.0/8\n!10.1.0.0/16 not-one\nendif\n"
			  "10.2.0.1/16 x\n10.0.0.0/33 x\nfoo x\n10.1.0.0/16\n"
			  "0.0.0.0/0 rest\n");
	t = open_type("cidr", "net", 0);
	assert_string_equal(get(t, "1.2.3.4"), "one");
	assert_string_equal(get(t, "1.2.3.5"), "net");
	assert_string_equal(get(t, "2001:DB8::1"), "six");
	assert_string_equal(get(t, "2001:db9::1"), "(absent)");
	assert_string_equal(get(t, "10.2.0.1"), "not-one");
	assert_string_equal(get(t, "10.1.0.1"), "rest");
	assert_string_equal(get(t, "name"), "(absent)");
	assert_true(was_logged("line 7: non-null host address bits in "
			       "\"10.2.0.1/16\", perhaps you should use "
			       "\"10.2.0.0/16\" instead: skipping this rule"));
	assert_true(was_logged("line 8: bad mask length in \"10.0.0.0/33\""));
	assert_true(was_logged("line 9: bad address pattern: \"foo\""));
	assert_true(was_logged("line 10: no lookup result: skipping"));
	table_free(t);
	/* Negation does not reach into the other family. */
	check_spec("cidr:{{!10.0.0.0/8 x}}", 0, "::1", "(absent)");
}

static void
check_database(const char *type)
{
	static const char *const first[] = {"k1", "v1",  "k2", "v2",
					    "k1", "dup", NULL};
	static const char *const more[] = {"k3", "v3", "k1", "new", NULL};
	struct buf key = BUF_INIT, value = BUF_INIT;
	struct why why = WHY_INIT;
	struct table *t;
	size_t n = 0;

	buf_reset(&logged);
	make(type, "db", 0, first);
	assert_true(was_logged("duplicate entry: \"k1\""));
	t = open_type(type, "db", TABLE_FOLD_FIXED);
	assert_null(table_error(t));
	assert_string_equal(get(t, "K1"), "v1");
	assert_string_equal(get(t, "k3"), "(absent)");
	make(type, "db", MKMAP_UPDATE | MKMAP_REPLACE, more);
	table_free(t);
	t = open_type(type, "db", 0);
	assert_string_equal(get(t, "k1"), "new");
	assert_string_equal(get(t, "k2"), "v2");
	assert_string_equal(get(t, "k3"), "v3");
	for (bool begin = true;
	     table_next(t, begin, &key, &value, &why) == TABLE_FOUND;
	     begin = false)
		n++;
	assert_int_equal(n, 3);
	table_free(t);
	make(type, "db", MKMAP_PLAIN, more);
	t = open_type(type, "db", 0);
	assert_string_equal(get(t, "k3"), "v3");
	assert_string_equal(get(t, "k2"), "(absent)");
	table_free(t);
	t = open_type(type, "db", TABLE_KEY_NUL);
	assert_string_equal(get(t, "k3"), "(absent)");
	table_free(t);
	buf_free(&key);
	buf_free(&value);
}

static void
test_databases(void **state)
{
	(void)state;
	check_database("hash");
	check_database("btree");
	check_database("lmdb");
}

/* A reader has the old table or the new one, and is told. */
static void
test_replace(void **state)
{
	static const char *const one[] = {"k", "one", NULL};
	static const char *const two[] = {"k", "two", NULL};
	char *path = path_of("r"), *file = path_of("r.db"), *error;
	struct table *t;
	struct mkmap *m;
	struct stat st;

	(void)state;
	make("hash", "r", 0, one);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(chmod(file, 0604), 0);
	t = open_type("hash", "r", 0);
	m = mkmap_open("hash", path, 0, 0640, &error);
	assert_non_null(m);
	assert_true(mkmap_put(m, span_of("k"), span_of("two"), true));
	assert_string_equal(get(t, "k"), "one");
	assert_false(table_changed(t));
	mkmap_abort(m);
	make("hash", "r", 0, two);
	assert_true(table_changed(t));
	assert_string_equal(get(t, "k"), "one");
	table_free(t);
	t = open_type("hash", "r", 0);
	assert_string_equal(get(t, "k"), "two");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0604);
	table_free(t);
	free(path);
	free(file);
}

/* What other people's postmap does: the same file, new content. */
static void
test_in_place(void **state)
{
	static const char *const one[] = {"k", "one", NULL};
	static const char *const two[] = {"k", "two", NULL};
	char *file = path_of("p.db"), *other = path_of("q.db"), *command;
	struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	struct table *t;

	(void)state;
	make("hash", "p", 0, one);
	make("hash", "q", 0, two);
	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
	t = open_type("hash", "p", 0);
	assert_string_equal(get(t, "k"), "one");
	command = mem_sprintf("cat %s > %s", other, file);
	assert_int_equal(system(command), 0);
	assert_string_equal(get(t, "k"), "two");
	table_free(t);
	free(command);
	free(file);
	free(other);
}

static void
test_cache(void **state)
{
	static const char *const types[] = {"btree", "lmdb"};
	struct why why = WHY_INIT;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct table *t = open_type(types[i], "cache", TABLE_WRITE);

		assert_null(table_error(t));
		assert_string_equal(get(t, "a"), "(absent)");
		assert_true(table_put(t, span_of("a"), span_of("1"), &why));
		assert_true(table_put(t, span_of("a"), span_of("2"), &why));
		assert_true(table_put(t, span_of("b"), span_of("3"), &why));
		assert_string_equal(get(t, "a"), "2");
		assert_int_equal(table_delete(t, span_of("b"), &why),
				 TABLE_FOUND);
		assert_int_equal(table_delete(t, span_of("b"), &why),
				 TABLE_ABSENT);
		table_free(t);
		t = open_type(types[i], "cache", TABLE_WRITE);
		assert_string_equal(get(t, "a"), "2");
		assert_string_equal(get(t, "b"), "(absent)");
		table_free(t);
	}
	struct table *ro = table_open("static:x", TABLE_WRITE | TABLE_QUIET);

	assert_string_equal(table_error(ro),
			    "static:x map requires O_RDONLY access mode");
	table_free(ro);
}

/* Entries may go while one walks. */
static void
test_walk_and_delete(void **state)
{
	static const char *const types[] = {"btree", "lmdb"};
	struct buf key = BUF_INIT, value = BUF_INIT;
	struct why why = WHY_INIT;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct table *t = open_type(types[i], "walk", TABLE_WRITE);
		int n = 0;

		for (int k = 0; k < 100; k++) {
			char *text = mem_sprintf("key%03d", k);

			assert_true(
			    table_put(t, span_of(text), span_of("v"), &why));
			free(text);
		}
		for (bool first = true;
		     table_next(t, first, &key, &value, &why) == TABLE_FOUND;
		     first = false) {
			if (n++ % 2 == 0)
				assert_int_equal(
				    table_delete(t, buf_span(&key), &why),
				    TABLE_FOUND);
		}
		assert_int_equal(n, 100);
		assert_string_equal(get(t, "key000"), "(absent)");
		assert_string_equal(get(t, "key001"), "v");
		table_free(t);
	}
	buf_free(&key);
	buf_free(&value);
}

static void
test_lmdb_grows(void **state)
{
	char *path = path_of("big"), *error, *value;
	struct mkmap *m = mkmap_open("lmdb", path, 0, 0600, &error);
	struct table *t;

	(void)state;
	assert_non_null(m);
	value = mem_alloc(1024 * 1024 + 1);
	memset(value, 'x', 1024 * 1024);
	/* More than the 16 MiB that the map begins with. */
	for (int i = 0; i < 40; i++) {
		char *key = mem_sprintf("k%d", i);

		assert_true(mkmap_put(m, span_of(key), span_of(value), true));
		free(key);
	}
	assert_true(mkmap_commit(m, &error));
	t = open_type("lmdb", "big", 0);
	assert_int_equal(strlen(get(t, "k39")), 1024 * 1024);
	table_free(t);
	free(value);
	free(path);
}

static void
test_stale(void **state)
{
	static const char *const one[] = {"k", "one", NULL};
	struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct timespec newer[2] = {{.tv_sec = 2000}, {.tv_sec = 2000}};
	char *file = path_of("st.db"), *source = path_of("st");
	char *want = mem_sprintf("warning: database %s is older than source "
				 "file %s\n",
				 file, source);

	(void)state;
	write_file("st", "k one\n");
	make("hash", "st", 0, one);
	assert_int_equal(utimensat(AT_FDCWD, file, old, 0), 0);
	buf_reset(&logged);
	/* Edited just now: postmap may still be on its way. */
	table_free(open_type("hash", "st", 0));
	assert_false(was_logged("older"));
	assert_int_equal(utimensat(AT_FDCWD, source, newer, 0), 0);
	table_free(open_type("hash", "st", 0));
	assert_true(was_logged(want));
	free(want);
	free(file);
	free(source);
}

static void
test_maps(void **state)
{
	struct maps *m = maps_open("test_maps",
				   "inline:{a=1}, regexp:{{/b/ 2}} "
				   "inline:{b=3, {e=}} fail:x",
				   TABLE_FOLD_FIXED);
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;

	(void)state;
	assert_false(maps_is_empty(m));
	assert_int_equal(maps_get(m, span_of("a"), &value, &why), TABLE_FOUND);
	assert_string_equal(buf_cstr(&value), "1");
	assert_int_equal(maps_get(m, span_of("B"), &value, &why), TABLE_FOUND);
	assert_string_equal(buf_cstr(&value), "2");
	assert_int_equal(maps_get_partial(m, span_of("b"), &value, &why),
			 TABLE_FOUND);
	assert_string_equal(buf_cstr(&value), "3");
	buf_reset(&logged);
	assert_int_equal(maps_get(m, span_of("z"), &value, &why), TABLE_RETRY);
	assert_true(was_logged("warning: fail:x lookup error for \"z\"\n"));
	assert_int_equal(maps_get(m, span_of("e"), &value, &why), TABLE_RETRY);
	assert_true(was_logged("inline:{b=3, {e=}} lookup of e returns an "
			       "empty string result\n"));
	assert_int_equal(maps_get(m, span_of(""), &value, &why), TABLE_ABSENT);
	maps_free(m);
	m = maps_open("empty", " , ", 0);
	assert_true(maps_is_empty(m));
	assert_int_equal(maps_get(m, span_of("a"), &value, &why), TABLE_ABSENT);
	maps_free(m);
	why_free(&why);
	buf_free(&value);
}

static int
set_up(void **state)
{
	(void)state;
	log_set_sink(remember);
	return mkdtemp(folder) ? 0 : -1;
}

static int
tear_down(void **state)
{
	char *command = mem_sprintf("rm -rf %s", folder);
	int rc = system(command);

	(void)state;
	free(command);
	buf_free(&logged);
	return rc;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_casefold),
	    cmocka_unit_test(test_base64),
	    cmocka_unit_test(test_unavailable),
	    cmocka_unit_test(test_small),
	    cmocka_unit_test(test_texthash),
	    cmocka_unit_test(test_regexp),
	    cmocka_unit_test(test_pcre_flags),
	    cmocka_unit_test(test_cidr),
	    cmocka_unit_test(test_databases),
	    cmocka_unit_test(test_replace),
	    cmocka_unit_test(test_in_place),
	    cmocka_unit_test(test_cache),
	    cmocka_unit_test(test_walk_and_delete),
	    cmocka_unit_test(test_lmdb_grows),
	    cmocka_unit_test(test_stale),
	    cmocka_unit_test(test_maps),
	};

	return cmocka_run_group_tests_name("table", tests, set_up, tear_down);
}
