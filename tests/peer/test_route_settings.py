# SPDX-License-Identifier: MIT
"""Class, transport, next hop and recipient under settings of every kind:
Postrider's answers against those of Postfix's trivial-rewrite.

Run as a program it answers for Postfix, within namespaces of its own; each
variant is a service line of its own there.
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "lib"),
                os.path.join(os.path.dirname(HERE), "system")]

import buildtree  # noqa: E402
import oracle  # noqa: E402
from test_rewrite_oracle import (CLASS_NAMES, attributes,  # noqa: E402
                                 oracle_route)

FIXED = """a.test one:[nh1]
.b.test two:
c.test three:
* star:[everything]
u@d.test four:
u+e@d.test five:[nh5]
[1.2.3.4] six:
"x y"@d.test seven:
E.test eight:UPPER
list.test nine:[a]:25, b:587 [c]
spaces.test   ten:[a]  
colon.test :
host.test :[only]
bare.test eleven
err.test error:5.2.1 no more
retry.test retry:4.3.1 later
disc.test discard:quiet
disc0.test discard:
err0.test error:
unix.test lmtp:unix:/var/run/x sock
xn--bcher-kva.test twelve:
b\u00fccher2.test thirteen:
mailer-daemon@mx.example.org fourteen:
"""
PATTERNS = """/^u(.*)@a\\.test$/ re1:
/@sub\\.a\\.test$/ re2:[x]
/^A\\+x@/ re3:
/^bad@/ re4:[$1]
/^(two)@/ re5:[$1]
/^\\[1\\.2\\.3\\.4\\]$/ re6:
/^b\\.test$/ re7:
!/test|example|localhost/ re8:
"""
CIDR = "1.2.3.0/24 cidr:\n"
TABLES = ("texthash", "hash", "btree", "lmdb")

RECIPIENTS = [
    "x@a.test", "X@A.Test", "x@sub.a.test", "x@b.test", "x@s.b.test",
    "x@t.s.b.test", "x@c.test", "x@s.c.test", "u@d.test", "u+e@d.test",
    "u+f@d.test", "v@d.test", "U+E@D.test", "x@[1.2.3.4]", "x@[1.2.3.5]",
    "x@[IPv6:2001:db8::1]", "x@1.2.3.4", "x@1.2.3", "x y@d.test", "x@e.test",
    "x@list.test", "x@spaces.test", "x@colon.test", "x@host.test",
    "x@bare.test", "x@err.test", "x@retry.test", "x@disc.test",
    "x@disc0.test", "x@err0.test", "x@unix.test", "u1@a.test", "A+x@q.test",
    "bad@q.test", "two@q.test", "x@other", "x@q.org", "x@mx.example.org",
    "x", "x@localhost", "x@relay.test", "x@s.relay.test", "x@mbox.test",
    "x@alias.test", "x@[127.0.0.1]", "x@[9.9.9.9]", "", "x@", "-x@a.test",
    "x%a.test@mx.example.org", "a.test!x@mx.example.org", "a.test!x",
    "x%a.test", "x@b.test@mx.example.org", "x%y%a.test@localhost",
    "@a.test", "@mx.example.org", "x@-a.test", "x@a..test", "x@a_b.test",
    "x@a.test.", "x@xn--bcher-kva.test", "x@b\u00fccher.test",
    "x@b\u00fccher2.test", "j\u00f6@a.test",
]
SENDERS = ["s@ext.test", "r1@x.test", "R1+e@X.test", "r2@x.test", "z@r3.test",
           "q@s.r3.test", "r4@x.test", "r5@x.test", "", "local"]
SENT_TO = ["x@q.org", "x@relay.test", "x@mx.example.org", "x@mbox.test"]
BY_SENDER = """r1@x.test [relay1]
r1+e@x.test [relay1e]:25
r2@x.test dunno
@r3.test a, b
r4@x.test smtp:[r4]
<> [nobody]
none [none]
local [bylocal]
"""
TRANSPORT_BY_SENDER = """r1@x.test t1:
r1+e@x.test t1e:[own]
r2@x.test DUNNO
@r3.test t3:[a]:25, b
r4@x.test t4
r5@x.test error:5.7.1 not you
<> null:
none nokey:
local tl:
"""

# Name: settings over BASE; TABLE:NAME stands for a file.
VARIANTS = {
    "plain": {},
    "fixed": {"transport_maps": "texthash:FIXED"},
    "parents": {"transport_maps": "texthash:FIXED",
                "parent_domain_matches_subdomains": "transport_maps"},
    "patterns": {"transport_maps": "regexp:PATTERNS"},
    "pcre": {"transport_maps": "pcre:PATTERNS"},
    "both": {"transport_maps": "regexp:PATTERNS, texthash:FIXED"},
    "cidr": {"transport_maps": "cidr:CIDR"},
    "static": {"transport_maps": "static:st:[all]"},
    "static2": {"transport_maps": "static:{st:[a], [b]}"},
    "inline": {"transport_maps": "inline:{{a.test = in:[a], [b]}, *=all:}"},
    "fail": {"transport_maps": "inline:{x@a.test=in:}, fail:oops"},
    "failrelay": {"sender_dependent_relayhost_maps": "fail:oops"},
    "faildefault": {"sender_dependent_default_transport_maps": "fail:oops"},
    "failmoved": {"relocated_maps": "fail:oops"},
    "missing": {"transport_maps": "texthash:NOFILE"},
    "noext": {"transport_maps": "texthash:FIXED", "recipient_delimiter": ""},
    "numeric": {"resolve_numeric_domain": "yes"},
    "nulldomain": {"resolve_null_domain": "yes"},
    "nodequote": {"resolve_dequoted_address": "no"},
    "nopercent": {"allow_percent_hack": "no"},
    "nobang": {"swap_bangpath": "no"},
    "minuser": {"allow_min_user": "yes"},
    "emptyrcpt": {"empty_address_recipient": "nobody@a.test",
                  "transport_maps": "texthash:FIXED"},
    "noproxy": {"proxy_interfaces": ""},
    "relayhost": {"relayhost": "[a]:25"},
    "relaylist": {"relayhost": "[a]:25, b:587 c"},
    "relaytransport": {"relay_transport": "rt:[own]", "relayhost": "[a]"},
    "relaytransport2": {"relay_transport": "rt", "relayhost": "[a]"},
    "default": {"default_transport": "dt", "relayhost": "[a]"},
    "default2": {"default_transport": "dt:[own]:25", "relayhost": "[a]"},
    "default3": {"default_transport": "error:5.7.1 nothing goes out"},
    "default4": {"default_transport": "error:"},
    "local": {"local_transport": "lmtp:unix:private/x"},
    "local2": {"local_transport": "lt"},
    "local3": {"local_transport": "error:local mail is off"},
    "virtual": {"virtual_transport": "lmtp:[::1]:24"},
    "virtual2": {"virtual_transport": "vt"},
    "shown": {"show_user_unknown_table_name": "no"},
    "senders": {"sender_dependent_relayhost_maps": "texthash:BY_SENDER",
                "relayhost": "[all]"},
    "senders2": {"sender_dependent_relayhost_maps": "texthash:BY_SENDER",
                 "empty_address_relayhost_maps_lookup_key": "none"},
    "transports": {"sender_dependent_default_transport_maps":
                   "texthash:TRANSPORT_BY_SENDER", "relayhost": "[all]"},
    "transports2": {"sender_dependent_default_transport_maps":
                    "texthash:TRANSPORT_BY_SENDER",
                    "empty_address_default_transport_maps_lookup_key": "none",
                    "sender_dependent_relayhost_maps": "texthash:BY_SENDER"},
    "transports3": {"sender_dependent_default_transport_maps":
                    "static:sd:[x]", "transport_maps": "inline:{q.org=:}"},
    "transports4": {"sender_dependent_default_transport_maps":
                    "regexp:PATTERNS",
                    "sender_dependent_relayhost_maps": "regexp:PATTERNS"},
    "notransport": {"sender_dependent_default_transport_maps": "static::"},
    "notransport2": {"sender_dependent_default_transport_maps":
                     "static::[x]"},
    "relaydomains": {"relay_domains": "relay.test, .c.test, !s.c.test"},
    "relayexact": {"relay_domains": "relay.test, .c.test",
                   "parent_domain_matches_subdomains": ""},
}
for one in TABLES[1:]:
    VARIANTS[one] = {"transport_maps": f"{one}:FIXED_{one}"}
# Debian has these types in packages of their own: the answers of another.
AS = {"pcre": "patterns", "lmdb": "hash"}

BASE = {
    "myhostname": "mx.example.org", "mydomain": "example.org",
    "myorigin": "$myhostname",
    "mydestination": "mx.example.org, localhost, localhost.example.org",
    "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
    "proxy_interfaces": "9.9.9.9", "append_dot_mydomain": "no",
    "recipient_delimiter": "+", "alias_maps": "", "alias_database": "",
    "local_recipient_maps": "", "virtual_alias_domains": "alias.test",
    "virtual_alias_maps": "", "virtual_mailbox_domains": "mbox.test",
    "relay_domains": "relay.test", "smtputf8_enable": "yes",
}


def write_tables(directory, postmap):
    """The files; postmap(type:file) makes the databases."""
    for name, text in (("FIXED", FIXED), ("PATTERNS", PATTERNS),
                       ("CIDR", CIDR), ("BY_SENDER", BY_SENDER),
                       ("TRANSPORT_BY_SENDER", TRANSPORT_BY_SENDER)):
        with open(os.path.join(directory, name), "w",
                  encoding="utf-8") as out:
            out.write(text)
    for kind in TABLES[1:]:
        path = os.path.join(directory, "FIXED_" + kind)
        with open(path, "w", encoding="utf-8") as out:
            out.write(FIXED)
        postmap(f"{kind}:{path}")


def variant(name, directory):
    """Its settings, with the places of files."""
    out = {}
    for key, value in VARIANTS[name].items():
        for kind in ("texthash", "regexp", "pcre", "cidr", *TABLES[1:]):
            value = value.replace(f"{kind}:", f"{kind}:{directory}/")
        out[key] = value
    return out


def questions(name):
    senders = any("sender_dependent" in key for key in VARIANTS[name])
    if senders:
        return [(s, r) for s in SENDERS for r in SENT_TO]
    return [(SENDERS[0], r) for r in RECIPIENTS]


# ---- Postfix ----

def ask_postfix(path, sender, rcpt):
    try:
        answer = oracle_route(path, sender, rcpt)
    except StopIteration:  # no class: it failed
        return ["failed"]
    if answer == ["bad"]:
        return answer
    flags = int(attributes(path, ("request", "resolve"), ("sender", sender),
                           ("address", rcpt)).get("flags", 0))
    return ["failed"] if flags & 8 else answer


def answer_for_postfix():
    scratch = oracle.enter()
    postfix = oracle.Postfix(scratch, 2525, BASE)

    def postmap(table):
        if not table.startswith("lmdb"):
            postfix.run("postmap", table, check=True)

    write_tables(scratch, postmap)
    with open(os.path.join(postfix.config, "master.cf"), "a",
              encoding="utf-8") as out:
        for name in set(VARIANTS) - set(AS):
            out.write(f"rw{name} unix - - n - - trivial-rewrite\n")
            for key, value in variant(name, scratch).items():
                out.write(f"  -o {{ {key} = {value} }}\n")
    try:
        postfix.start()
        print(json.dumps({
            name: [ask_postfix(
                os.path.join(postfix.queue, "private", "rw" + name), s, r)
                for s, r in questions(name)]
            for name in VARIANTS if name not in AS}))
    finally:
        postfix.stop()
        subprocess.run(["rm", "-rf", scratch], check=False)


# ---- the comparison ----

def ask(ipc, sender, rcpt):
    ipc.send("MSG_RESOLVE", {"A_SENDER": sender, "A_RECIPIENT": rcpt})
    _, a = ipc.recv()
    if a["A_STATUS"] == 0:
        return [CLASS_NAMES[a["A_CLASS"]], a["A_TRANSPORT"], a["A_NEXTHOP"],
                a["A_RECIPIENT"]]
    return ["bad" if a["A_DSN"].startswith("5") else "failed"]


def test_settings(tmp_path):
    import pytest
    from daemon import Box
    from ipc_frames import Ipc
    if os.getuid() != 0:
        pytest.skip("needs root for namespaces")
    oracle.root()
    done = subprocess.run([sys.executable, os.path.abspath(__file__)],
                          capture_output=True, text=True,
                          timeout=200 * buildtree.PATIENCE, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    want = json.loads(done.stdout.strip().split("\n")[-1])
    path, env = os.path.join(os.environ["B"], "sbin/postmap"), dict(os.environ)
    maps = Box(tmp_path / "maps", BASE)
    env["MAIL_CONFIG"] = maps.config
    write_tables(str(tmp_path), lambda table: subprocess.run(
        [path, table], env=env, check=True))
    maps.stop()
    wrong, count = [], 0
    for name in VARIANTS:
        box = Box(tmp_path / name, dict(BASE, **variant(name, tmp_path)))
        try:
            box.start("lookup", "private/lookup")
            ipc = Ipc(box.connect("private/lookup"))
            for (sender, rcpt), expected in zip(
                    questions(name), want[AS.get(name, name)]):
                have = ask(ipc, sender, rcpt)
                count += 1
                # Postfix's tables fail with a key that begins so.
                if rcpt[:1] == "-" and have == ["bad"]:
                    expected = have
                if have != expected:
                    wrong.append((name, sender, rcpt, expected, have))
        finally:
            box.stop()
    print(count, "routes")
    assert not wrong, "\n".join(map(str, wrong))


if __name__ == "__main__":
    answer_for_postfix()
