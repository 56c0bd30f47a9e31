# SPDX-License-Identifier: MIT
"""Commands of postmap(1) and postalias(1), and a runner for them.

postmap.json holds what Debian's Postfix 3.7.11 answers; the peer test compares
it with the real one, test_postmap.py compares ours with it.
"""
import os
import re
import subprocess

FILES = {
    "a": b"Foo bar\nkey2    value two  \n",
    "b": b"  lead space\nfoo\n\n# c\nfoo bar\n   cont\n# c2\n   cont2\n"
         b"FOO  baz\nk: v\n\"a b\" c d\n\"a\\\"b\\\\\" e\n\"unb c\n"
         b"q\"x\"y z\n\xff\xfe x\nval \xff\n{a b} c\nk2\t\tv2\n"
         b"  # comment\n  cont3\nlast nonl",
    "q": b"q\"x y\"z v\n\"a b\"c d\n\"a b\"\n\"\" emp\nq\\\"x y\n"
         b"\"a\\ b\" c\n\"esc\\\"x y\" z\na\\ b c\n: x\nk:\nUp\"X Y\" v\n",
    "utf8": "À  v\nß w\n".encode(),
    "bom": b"\xef\xbb\xbfbom x\nnn y\n",
    "nul": b"a\0b c\nd e\0f\ng h\n",
    "long": b"   012345678901234567890123456789012345678901234567890 x\nk v\n",
    "crlf": b"foo b\r\nbar c\r\n",
    "files": b"k one\nk2 one, two\nk3 nofile\nk4 one two\n",
    "one": b"hello\n",
    "two": b"a\0b\n",
    "rx": b"/^a(b*)c$/\tX $1 Y ${1} Z $(1) $$\n/case/i\tCASEI\n"
          b"!/^.*z/  NOZ\nif /^zz/\n/^zz1/ Z1\nif !/2/\n/./  Z-not2\nendif\n"
          b"endif\n/m^x$/m multi\n/noend\n/bad(/ x\n/x/q flag\nfoo bar\n"
          b"/nothing/\n/n2/\t\nendif\nif /abc/ trailing\n/in/ INn\nif /q/i\n"
          b"a/alnum/ v\n|pipe| PIPE\n/^res(.)$/ $2 out\n/^res(.)$/ ${1\n"
          b"/^res(.)$/ $name\n/^reb(.)$/ $a\n!/neg(.)/ $1\n/$(1)x/ $\n"
          b" cont\n/zlast/x basic\n/sp ace/   has space\n",
    "rx2": b"/x/ $0\n/y/ a$1b\n/(w)/ a$1\\b ${1}$(1\n/(v)/ $ \n/(u)/ $$1$\n"
           b"/(t)/ $10\n/(s)/ $(1}\n/(r)/ ${x?1}\n/(q)/ $-1\n!/^p/ $$\n",
    "rx3": b"(a)b(c)\nif (a)\n{x} brace\n\\x\\ back\n\"x\" q\n#x# hash\n"
           b";x; semi\n  /lead/ x\n/a\\/b/ esc\n/a\\\\/ esc2\n! /sp/ neg\n"
           b"!!/dbl/ y\nIF /x/\nENDIF\nif\nif /x\nendif extra\n"
           b"/nospace/value\n/nsp/iXX yy\n//  empty\n/f1/im fl\n",
    "rx4": b"if /x/\n/x/ 1\nendif foo\nif abxab foo\n!abc\n! \n!\nif !\n",
    "net": b"1.2.3.4 four\n1.2.3.0/24 net\n!10.0.0.0/8 not10\n10.1.0.0/16\n"
           b"10.2.0.1/16 hostbits\n10.3.0.0/33 badlen\n10.3.0.0/x badlen2\n"
           b"[10.4.0.0]/16 brk\n[10.5.0.1] brk1\n[10.5.0.2/32] brk2\n"
           b"2001:db8::/32 six\n[2001:db9::1] six1\nif 10.0.0.0/8\n"
           b"10.6.0.0/16 ten6\nendif\nif !10.0.0.0/8\n11.0.0.0/8 eleven\n"
           b"endif\nendif\nif 10.7.0.0/16 extra\n10.7.0.0/16 seven\n"
           b"10.8.0.0/8.1 x\nnotanip y\n10.9 z\n010.010.0.1 octal\n"
           b"10.10.0.0/15 masklow\nif bad\n/x/ y\n"
           b"10.11.0.0/16\t  multi  word value\n::ffff:10.12.0.0/112 mapped\n"
           b"if 10.13.0.0/16\n",
    "net2": b"if 1.1.1.1\n1.1.1.1 x\nendif foo\nif\nif !\n! x\n!1.2.3.4\n"
            b"if10/8\nendif\n[1.2.3.1/24] x\n[1.2.3.1]/24 y\n[1.2.3.1/24 y\n"
            b"1.2.3.4/-1 y\n1.2.3.0/024 y\n1.2.3.0/ y\n/8 y\nabc/8 y\n"
            b"[1.2.3.4]x y\n[abc] y\n[] y\n::/129 y\n",
    "al": b"# c\npostmaster: root\nFoo: a, b,\n   c\n\"quo ted\": x\n"
          b"\"qu\\\"x\": y\nbar: \"|/bin/cmd arg\"\nnocolon here\n: novalue\n"
          b"emptyval:\ninc: :include:/tmp/x\nfoo: dup\na b: c\nx:y:z\n"
          b"com(ment): val (comment) x\nsp  : v\nmulti: a,b , c\n  , d\n"
          b"\"a@b\": e\nf@G: h\nesc: \"a b\"@c\nowner-l: l\nbrok: <a@b\n"
          b"brok2: \"unterminated\nu1: \\user\n" + "À: z\n".encode(),
    "al2": b"a1: Name <x@y>\na2: group: a, b;\na3: a b c\na4: x(c)y\n"
           b"a5: [1.2.3.4] , user@[1.2.3.4]\na6: a@b.c , ,d\n"
           b"a7: \"x y\" z \"w\"\na8: a ,,  b\na9: /file/name, \"/file name\"\n"
           b"a10: |cmd arg\na11: (c1)(c2) x\na12: \"a\\\"b\\\\c\"\n"
           b"a13: a\\ b, c\\,d\na14: user+ext@dom; x\na15: <a@b>,<c@d>\n"
           b"a17: a.b.c@d . e\na18: \"\" , x\na19: (unclosed\n"
           b"a20: x (a (b) c) y\na21: [unclosed\na22: \"tab\tin\" x\n"
           b"a23: x : y\n\"a23b@c\" d: x\n\"k: 1\": v\nk (com) z: v\n"
           b"<angle>: v\nk\\:x: v\n[lit]: v\nk,l: v\nK-Upper@: x\n@: x\n"
           b"a26: a@b@c\na27: a,\na28: \"a\".\"b\"\na30: :include: /a/b\n",
    "all": b"/^/ MATCH\n",
}

MESSAGES = [
    b"Subject: hello\n world\nReceived: a\nContent-Type: multipart/mixed; "
    b"boundary=xx\nFoo  : bar\n\npreamble\n--xx\nContent-Type: text/plain\n"
    b"X-Part: 1\n\nbody line 1\n\nbody line 2\n--xx\n"
    b"Content-Type: message/rfc822\n\nFrom: inner\nSubject: isub\n\nibody\n"
    b"--xx--\nepilogue\n",
    b"not header\nbody\n", b"F: x\r\n\r\nb\r\n",
    b"From x y\nF: x\n\nFrom \xff\n", b" lead\n\t\nq:\n", b"", b"\n", b"A: b",
    b"A: b\n c\n\n\nx",
    b"Content-Type: multipart/mixed;\n boundary=\"a b\"\n\n--a b\n\nt\n"
    b"--a b\nnot a header\n--a b--\nx\n--a b\nA: b\n",
    b"Content-Type: multipart/mixed; boundary=o\n\n--o\n"
    b"Content-Type: multipart/alternative; boundary=oi\n\n--oi\nX: 1\n\nb\n"
    b"--o\nY: 2\n\nz\n--o--\n",
    b"Content-Type: message/rfc822\n\nA: b\nContent-Type: message/rfc822\n\n"
    b"C: d\n\ne\n",
    b"Content-Type: multipart/digest; boundary=o\n\n--o\n\nA: b\n\nz\n"
    b"--o--\n",
]

SPECS = [
    "inline:a=b", "inline:{a}", "inline:{a=b", "inline:{a=b}x", "inline:{}",
    "inline:{{a=b}x}", "inline:{{a}}", "inline:{a=}", "inline:{a=1 a=2}",
    "inline:{ a=1, {b = 2 x} {c=3=4},A=z }", "inline:{ {a b= 2 x} }",
    "inline:{ a =1 }", "inline:{ a={1 2} }", "static:foo", "static:{ a b }",
    "static:{ a b", "static:{ a b }x", "static:", "environ:", "unix:foo",
    "fail:y", "regexp:{{/a/ yy}}", "regexp:{{/x yy}}", "regexp:{/x/ y}",
    "regexp:{{/x/ y}", "regexp:{{/x/ y}{/z/ a}}",
    "regexp:{ {/q/ y} , {/a/ a}b}", "regexp:{}", "cidr:{{1.1.1.0/24 x}",
    "cidr:{1.1.1.0/24 x}", "foo:bar", "nope", "regexp:nope", "cidr:nope",
    "texthash:nope", "btree:nope", "mysql:x", "sdbm:x", "cdb:x",
    "texthash:{{x yy}}",
    "unionmap:{inline:{a=1}, inline:{ {a = 2, 3} }}", "unionmap:{}",
    "unionmap:static:x", "unionmap:{static:x,static:{y z},texthash:q}",
    "unionmap:{static:x, nope:y}", "unionmap:{static}", "unionmap:{static:x",
    "unionmap:{static:x} y", "unionmap:{texthash:nope, static:x}",
    "unionmap:{{inline:{a=1}} {inline:{a=2}}}",
    "pipemap:{inline:{a=k},inline:{k=z}}", "pipemap:{inline:{a=k} texthash:q}",
    "pipemap:{unionmap:{static:a,static:b},inline:{{a,b=c}}}",
    "pipemap:{regexp:{{/a/ A}},inline:{A=up,a=low}}", "pipemap:{}",
    "randmap:{x x,x}", "randmap:{{x y}}", "randmap:x", "randmap:{}",
]


def cases():
    """(command, standard input, the order of lines does not matter)."""
    def one(*argv, stdin=b"", unordered=False):
        out.append((list(argv), stdin, unordered))

    out = []
    for name in ("a", "b", "q", "utf8", "bom", "nul", "long", "crlf"):
        for flags in ([], ["-f"], ["-u"], ["-n"]):
            one("postmap", *flags, name)
            one("postmap", "-s", name)
        for kind in ("btree:", "lmdb:"):
            one("postmap", kind + name)
            one("postmap", "-s", kind + name)
        one("postmap", "-s", "texthash:" + name, unordered=True)
        one("postmap", name)
    for key in ("foo", "Foo", "x", "", '"a b"', "k:"):
        for table in ("a", "b", "texthash:b"):
            one("postmap", "-q", key, table)
            one("postmap", "-fq", key, table)
    one("postmap", "-q", "val", "btree:b")
    one("postmap", "-q", "foo", "a", "b")
    one("postmap", "-F", "files")
    for argv in (["-s", "files"], ["-Fs", "files"], ["-Fq", "k", "files"],
                 ["-q", "k2", "files"], ["-Fq", "foo", "a"], ["-Fs", "b"]):
        one("postmap", *argv)
    for name in ("rx", "rx2", "rx3", "rx4"):
        for key in ("abc", "CASE", "case", "zz1", "zz2", "zz3", "resx",
                    "zabcin", "a/b", "a\\", "nsp", "sp", "x", "p", ""):
            one("postmap", "-q", key, "regexp:" + name)
            one("postmap", "-q", key, "pcre:" + name)
    for key in ("1.2.3.4", "1.2.3.5", "10.1.2.3", "10.4.1.1", "10.5.0.1",
                "10.5.0.2", "2001:db8::1", "2001:DB9:0::1", "10.6.1.1",
                "11.1.1.1", "10.7.1.1", "8.8.0.1", "10.11.1.1", "10.12.0.1",
                "::ffff:10.12.0.1", "abc", "[1.2.3.4]", ""):
        one("postmap", "-q", key, "cidr:net")
    one("postmap", "-q", "1.1.1.1", "cidr:net2")
    for spec in SPECS:
        for key in ("a", "b"):
            one("postmap", "-q", key, spec)
        one("postmap", "-s", spec, unordered=True)
        one("postmap", spec)
        one("postmap", "-d", "x", spec)
    for name in ("al", "al2"):
        for flags in ([], ["-f"], ["-u"], ["-w"], ["-r"]):
            one("postalias", *flags, name)
        one("postalias", "-q", "foo", name)
        for kind in ("btree:", "hash:"):
            one("postalias", kind + name)
            one("postalias", "-s", kind + name)
    for argv in (["-x"], [], ["-q"], ["-q", "x"], ["-d", "x"], ["-s"],
                 ["-s", "-q", "x", "a"], ["-q", "x", "-q", "y", "a"],
                 ["-b", "a"], ["-hq", "x", "a"], ["nope"], ["-U"],
                 ["-F", "one"], ["-i"]):
        for program in ("postmap", "postalias"):
            one(program, *argv)
    one("postmap", "a")
    for flags in ([], ["-r"], ["-w"], ["-n"], ["-N"]):
        one("postmap", "-i", *flags, "a",
            stdin=b"n1 v1\nfoo v\nn1 v2\nbad\n")
        one("postmap", "-s", "a")
    for kind in ("hash:", "lmdb:"):
        one("postmap", "-i", kind + "new", stdin=b"x y\nx z\n")
        one("postmap", "-i", kind + "new", stdin=b"x y\nq z\n")
        one("postmap", "-s", kind + "new")
        one("postmap", "-d", "x", kind + "new")
        one("postmap", "-s", kind + "new")
    keys = b"foo\nFoo\nn1\nzz\nfoo \n\n \xff\n"
    one("postmap", "-q", "-", "a", stdin=keys)
    one("postmap", "-q", "-", "a", "static:x", stdin=keys)
    one("postmap", "-uq", "-", "static:x", stdin=keys)
    one("postmap", "-d", "-", "a", stdin=b"foo\nzz\n")
    one("postmap", "-d", "nope", "a")
    one("postmap", "-d", "n1", "a", "new")
    one("postmap", "-s", "a")
    for flags in ("-h", "-b", "-hb", "-hm", "-bm", "-hbm", "-m"):
        for message in MESSAGES:
            one("postmap", flags + "q", "-", "regexp:all", stdin=message)
    one("postmap", "-hUq", "-", "regexp:all", stdin=b"A: \xff\n")
    return out


def prepare(folder):
    """The sources and a configuration; returns the latter's folder."""
    work = os.path.join(folder, "work")
    config = os.path.join(folder, "config")
    os.makedirs(work)
    os.makedirs(config)
    for name, data in FILES.items():
        path = os.path.join(work, name)
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, (1700000000, 1700000000))
    with open(os.path.join(config, "main.cf"), "w") as file:
        file.write("compatibility_level = 3.6\nmyhostname = mx.example.org\n"
                   "default_database_type = hash\n"
                   "mail_owner = daemon\nsetgid_group = mail\n"
                   "default_privs = nobody\nmydestination =\n"
                   f"maillog_file_prefixes = {folder}\n")
    return config


def run(program, config, argv, stdin, unordered, env=None):
    """[standard output, standard error, exit status], as text."""
    work = os.path.join(os.path.dirname(config), "work")
    got = subprocess.run([program, "-c", config] + argv, input=stdin,
                         cwd=work, capture_output=True, timeout=60, env=env)

    def text(data):
        data = data.decode("utf-8", "backslashreplace")
        return re.sub(r"(YP_LAST_MODIFIED:\t)\d+", r"\1TIME", data)

    out = text(got.stdout)
    if unordered:
        out = "\n".join(sorted(out.split("\n")))
    return [out, text(got.stderr), got.returncode]
