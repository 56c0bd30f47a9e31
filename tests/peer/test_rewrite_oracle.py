# SPDX-License-Identifier: MIT
"""Addresses and address headers: Postrider's answers against Postfix's.

Run as a program it answers for Postfix, within namespaces of its own.
"""
import json
import os
import re
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

import buildtree  # noqa: E402
import oracle  # noqa: E402

HEADERS = [
    'root, "A B" <x>, (c) y@z., grp: a,b;', "a%b", "a!b@c", "a!b", "a%b%c",
    "@r1,@r2:u@d", "<@r1,@r2:u@d>", "user@host", "user@[1.2.3.4]", "user@",
    "<>", "", "joe (Joe Blow)", "Joe Blow <joe>", "Joe Q. Public <joe@h>",
    '"Joe \\"Q" <joe@h>', "joe @ host . dom", "joe@host (c1) (c2)",
    "(c0) joe@host", '"a b"@h', '"ab"@h', "a b@h", "group: ;", "group: a;, b",
    "undisclosed-recipients:;", "a,,b", ",a", "a,", "a;b", "<a> <b>", "<a>b",
    "x<a", "a@b@c", "=?utf-8?q?x?= <a@b.c>", "a\n b", "a,\n b,\n c",
    "<a@b>,<c@d>", "a(comment", '"unclosed', "a@[1.2", "a@b (x\n y)",
    "joe@host.", "joe@host.dom.", "\\a@b", "Joe <joe@host> (x)", "a: b@c",
    "grp: a@h, b@h;", "<a b>", ".", "..", "user.", ".a@b", "a..b@c", "@",
    "@b", "<@b>", "user@.", '"" <a@b>', '""@b', "A  B <x@y>",
    '"A  B"  <x@y>', "a\t<b>", "x@y;", "x@y; z@w", "a@b, (c) d@e",
    "(only comment)", "a@b(c)", "mailto:a@b", '"a@b" <c@d>', "a@b <c@d>",
    "root@localhost", "(a) (b) c@d", "a (b) c@d", 'a "b" c <d>', "a.b.c",
    "a . b <x>", "<x> Dr. Foo", "a:b:c@d;", "<a:b@c>", "route <@a:b@c>",
    "A B (c) <x@y> (d)", "<x@y>(c)(d),z@w", "x@y(c)z@w", "g: (c) a@b (d);",
    "g (c): a@b;", "g: ;a@b", "A [x] B <x@y>", '"a\\b" <x@y>', "<x @ y>",
    "A <x@y> B <z@w>", "x@y> z@w", "a;b;c@d", "; x@y", "x: y@z; w",
    "'x'@y", "{x}@y", "x@y, z@w, ",
    "grp: " + ", ".join(f"user{i}@h" for i in range(12)) + ";, x@y",
] + ["a" * n + "@h, b@h" for n in range(30, 40)]

ROUTES = [
    "root", "root@mx.example.org", "ROOT@MX.EXAMPLE.ORG", "root@[127.0.0.1]",
    "root@[9.9.9.9]", "root@[1.2.3.4]", "root@127.0.0.1", "x@localhost",
    "x@valias.test", "x@vmbox.test", "x@sub.vmbox.test", "x@relay.test",
    "x@sub.relay.test", "x@ext.test", "x@host", "", "user@", "@ext.test",
    "@mx.example.org", "x@ext.test.", "a%b", "a%b@mx.example.org",
    "a%b@ext.test", "a!b@mx.example.org", "a!b", "a@b@mx.example.org",
    "a@b@ext.test", "x@t1.test", "x@t2.test", "x@t3.test", "x@t4.test",
    "x@t5.test", "x@t6.test", "x@t7.test", "x@sub.test", "x@a.sub.test",
    "x@a.b.sub.test", "u@t8.test", "u+e@t8.test", "u+f@t8.test", "w@t8.test",
    "x@t9.test", "x@t10.test", "x@t11.test", "X@T12.Test",
    "moved@mx.example.org", "moved+x@mx.example.org", "moved2@mx.example.org",
    "moved2@ext.test", "q@gone.test", "-x@ext.test", "x@-ext.test",
    "x@ex_t.test", "x@ext..test", "x@[IPv6:::1]", "x@[::1]", "x@[foo]",
    "x@1.2.3", "nobody@mx.example.org", "va@valias.test", "loc@mx.example.org",
]
SENDERS = ["s@ext.test", "s1@x.test", "s1+e@x.test", "a@s2.test", "s3@x.test",
           "", "d1@x.test", "a@d2.test", "d3@x.test"]
SENDER_ROUTES = ["x@ext.test", "x@t1.test", "x@t3.test", "x@relay.test",
                 "root@mx.example.org", "x@vmbox.test", ""]

TABLES = {
    "transport": """t1.test :
t2.test lmtp:
t3.test :[nh]:26
t4.test lmtp:unix:private/x
t5.test error:gone away
t6.test error:5.7.1 gone away
t7.test discard
.sub.test slow:
sub.test fast:
u@t8.test x:
u+e@t8.test y:
t9.test smtp:[h]
t10.test smtp:[h]:25
t11.test uucp:Foo
t12.test SMTP:h
va@valias.test x:
loc@mx.example.org x:
""",
    "relocated": """moved@mx.example.org new@there.test
moved2 new@there.test
@gone.test somewhere
""",
    "relay": """s1@x.test [relay1]:587
@s2.test [relay2]
s3@x.test DUNNO
<> [nullrelay]
""",
    "default": """d1@x.test smtp2:
@d2.test smtp3:[nh3]
d3@x.test DUNNO
<> nulldt:
""",
}


def settings(directory):
    """What both sides are configured with."""
    def table(name):
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(TABLES[name])
        return "texthash:" + path

    return {
        "myhostname": "mx.example.org",
        "mydomain": "example.org",
        "myorigin": "$myhostname",
        "mydestination": "mx.example.org localhost.example.org",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "proxy_interfaces": "9.9.9.9",
        "append_dot_mydomain": "yes",
        "recipient_delimiter": "+",
        "alias_maps": "",
        "alias_database": "",
        "local_recipient_maps": "",
        "virtual_alias_domains": "valias.test",
        "virtual_alias_maps": "",
        "virtual_mailbox_domains": "vmbox.test",
        "relay_domains": "relay.test",
        "transport_maps": table("transport"),
        "relocated_maps": table("relocated"),
        "sender_dependent_relayhost_maps": table("relay"),
        "sender_dependent_default_transport_maps": table("default"),
    }


# ---- Postfix ----

def attributes(path, *pairs):
    """One question to a service of Postfix: names and values, each with a
    NUL behind."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(path)
    hello = b""
    while not hello.endswith(b"\0\0"):
        hello += sock.recv(4096)
    sock.sendall(b"".join(k.encode() + b"\0" + v.encode() + b"\0"
                          for k, v in pairs) + b"\0")
    sock.shutdown(socket.SHUT_WR)
    data = b""
    while True:
        piece = sock.recv(4096)
        if not piece:
            break
        data += piece
    words = data.split(b"\0")
    return {words[i].decode(): words[i + 1].decode("utf-8", "replace")
            for i in range(0, len(words) - 2, 2)}


CLASSES = {256: "local", 512: "alias", 1024: "virtual", 2048: "relay",
           4096: "default"}


def oracle_route(path, sender, rcpt):
    if re.fullmatch(r"\w+@\w+", rcpt):  # its clients ask for this first
        rcpt = attributes(path, ("request", "rewrite"), ("rule", "local"),
                          ("address", rcpt))["address"]
    answer = attributes(path, ("request", "resolve"), ("sender", sender),
                        ("address", rcpt))
    flags = int(answer["flags"])
    if flags & 4:
        return ["bad"]
    return [next(c for bit, c in CLASSES.items() if flags & bit),
            answer["transport"], answer["nexthop"], answer["recipient"]]


def smtp_message(port, text):
    sock = socket.create_connection(("127.0.0.1", port), 20)
    file = sock.makefile("rb")

    def command(line):
        if line:
            sock.sendall(line)
        reply = file.readline()
        while reply[3:4] == b"-":
            reply = file.readline()
        return reply.decode()

    command(b"")
    for line in (b"HELO h.test\r\n", b"MAIL FROM:<s@ext.test>\r\n",
                 b"RCPT TO:<r@ext.test>\r\n", b"DATA\r\n"):
        command(line)
    reply = command(text.replace("\n", "\r\n").encode() + b"\r\n.\r\n")
    assert reply.startswith("250"), reply
    return reply.split()[-1]


def oracle_headers(postfix, headers):
    """Each header as the queue file has it."""
    text = "".join(f"To: {h}\nX-Next: y\n" for h in headers) + "\nbody\n"
    queue_id = smtp_message(postfix.port, text)
    path = os.path.join(postfix.queue, "incoming", queue_id)
    deadline = time.time() + 10
    while not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.05)
    shown = postfix.run("postcat", "-h", path).stdout
    parts = shown[shown.index("\nTo:") + 1:].split("X-Next: y\n")
    return [p[3:-1] for p in parts[:len(headers)]]


def answer_for_postfix():
    scratch = oracle.enter()
    dist = {"qmgr unix": "qmgr unix n - n - 1 discard\n"}
    main = settings(scratch)
    main["smtpd_recipient_restrictions"] = "permit_mynetworks, reject"
    postfix = oracle.Postfix(scratch, 2525, main, dist)
    try:
        postfix.start()
        path = os.path.join(postfix.queue, "private/rewrite")
        print(json.dumps({
            "headers": oracle_headers(postfix, HEADERS),
            "routes": [oracle_route(path, s, r) for s, r in questions()],
        }))
    finally:
        postfix.stop()
        subprocess.run(["rm", "-rf", scratch], check=False)


def questions():
    return ([(SENDERS[0], r) for r in ROUTES]
            + [(s, r) for s in SENDERS for r in SENDER_ROUTES])


# ---- the comparison ----

_answers = {}


def postfix_answers():
    import pytest
    if os.getuid() != 0:
        pytest.skip("needs root for namespaces")
    if not _answers:
        oracle.root()
        done = subprocess.run([sys.executable, os.path.abspath(__file__)],
                              capture_output=True, text=True,
                              timeout=120 * buildtree.PATIENCE,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        _answers.update(json.loads(done.stdout.strip().split("\n")[-1]))
    return _answers


def test_headers():
    want = postfix_answers()["headers"]
    probe = buildtree.helper("unit/test_rewrite")
    text = "".join("local " + h.replace("\n", "\\n") + "\n" for h in HEADERS)
    done = subprocess.run([probe, "--probe"], input=text, text=True,
                          capture_output=True, check=True)
    have = done.stdout.split("\n")
    wrong = [(h, w, m) for h, w, m in zip(HEADERS, want, have)
             if w.replace("\n", "\\n") != m]
    assert len(want) == len(HEADERS)
    assert not wrong, wrong


CLASS_NAMES = [None, "local", "alias", "virtual", "relay", "default"]


def test_routes(tmp_path):
    from daemon import Box
    from ipc_frames import Ipc
    want = postfix_answers()["routes"]
    box = Box(tmp_path / "box", settings(str(tmp_path)))
    wrong = []
    try:
        box.start("lookup", "private/lookup")
        ipc = Ipc(box.connect("private/lookup"))
        for (sender, rcpt), expected in zip(questions(), want):
            ipc.send("MSG_RESOLVE", {"A_SENDER": sender,
                                     "A_RECIPIENT": rcpt})
            _, a = ipc.recv()
            have = ["bad"]
            if a["A_STATUS"] == 0:
                have = [CLASS_NAMES[a["A_CLASS"]], a["A_TRANSPORT"],
                        a["A_NEXTHOP"], a["A_RECIPIENT"]]
            else:
                assert re.match(r"5\.", a["A_DSN"]), a
            if have != expected:
                wrong.append((sender, rcpt, expected, have))
    finally:
        box.stop()
    assert not wrong, wrong


if __name__ == "__main__":
    answer_for_postfix()
