# SPDX-License-Identifier: MIT
"""Who gets a message: aliases, canonical mapping, unknown users and routes
that refuse, against Postfix's answers.

Run as a program it answers for Postfix, within namespaces of its own.
"""
import json
import os
import re
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

import oracle  # noqa: E402
from buildtree import PATIENCE  # noqa: E402

TABLES = {
    "virtual": """@d1.test other@x.test
u@d2.test other@x.test, other2@y.test
luser other@x.test
luser2+e other@x.test
@d3.test @x.test
u+e@d4.test other@x.test
u@d4.test foo@x.test
@d4.test bar@x.test
v@valias.test local
vv@vmbox.test x@y.test
"a b"@d5.test quoted@x.test
cc@d6.test plain
self@d7.test self@d7.test, other@x.test
loop1@d7.test loop2@d7.test
loop2@d7.test loop1@d7.test
multi@d8.test a@x.test b@x.test "c d"@x.test, e f@x.test
UPPER@d9.test up@x.test
exp@d10.test <a@b.test>, (c) d@e.test
""",
    "mailboxes": "a@vmbox.test a/\n",
    "relay": "a@relay.test x\n",
    "local": "root x\next+foo x\nat@mx.example.org x\n",
    "relocated": "moved@mx.example.org new@there.test\n",
    "canonical": """canon@mx.example.org new@there.test
c2@x.test c3
c3@mx.example.org c4@x.test
@cd.test newd@x.test
@cd2.test @x.test
""",
    "transport": """err.test error:5.1.1 no such thing
err2.test error:gone
errd.test error:4.3.0 later
noone@mx.example.org error:x y z
""",
}
PATTERNS = """/^re(.*)@d11.test$/ re$1@x.test
/^luser9$/ no@x.test
/^a b@d12.test$/ internal@x.test
/^"a b"@d12.test$/ external@x.test
"""

RECIPIENTS = [
    "<root@mx.example.org>", "<root+x@mx.example.org>",
    "<ext+foo@mx.example.org>", "<ext@mx.example.org>",
    "<ext+bar@mx.example.org>", "<at+q@mx.example.org>",
    "<nobody@mx.example.org>", "<a@relay.test>", "<a+x@relay.test>",
    "<b@relay.test>", "<a@vmbox.test>", "<b@vmbox.test>", "<v@valias.test>",
    "<w@valias.test>", "<vv@vmbox.test>", "<moved@mx.example.org>",
    "<canon@mx.example.org>", "<x@err.test>", "<x@err2.test>",
    "<x@errd.test>", "<noone@mx.example.org>", "<luser@mx.example.org>",
    "<luser+z@mx.example.org>", "<luser2+e@mx.example.org>",
    "<luser2@mx.example.org>", "<luser@[127.0.0.1]>", "<joe@d1.test>",
    "<joe+foo@d1.test>", "<u@d2.test>", "<u-foo@d2.test>",
    "<u+foo-bar@d2.test>", "<joe@d3.test>", "<joe+foo@d3.test>",
    "<u+e@d4.test>", "<u+f@d4.test>", "<z+f@d4.test>", '<"a b"@d5.test>',
    "<cc+q@d6.test>", "<self@d7.test>", "<loop1@d7.test>", "<multi@d8.test>",
    "<multi+x@d8.test>", "<upper@d9.test>", "<exp@d10.test>",
    "<rex@d11.test>", "<rex+y@d11.test>", "<luser9@mx.example.org>",
    '<"a b"@d12.test>', "<c2@x.test>", "<c2+e@x.test>", "<j+e@cd.test>",
    "<j+e@cd2.test>", "<Postmaster>", "<postmaster@[127.0.0.1]>",
    "<postmaster@mx.example.org>", "<postmaster+x@mx.example.org>",
    "<postmaster@vmbox.test>", "<mailer-daemon@mx.example.org>",
    "<double-bounce@mx.example.org>", "<root@localhost>", "<a@ext.test>",
    "<@ext.test>", "<@r1:u@ext.test>", "<owner-x-y@mx.example.org>",
    "<x-request@d1.test>", "<Q@X.Test>", "<x@[1.2.3.4]>", "<x@1.2.3.4>",
    "<-x@ext.test>", "<x@y..z>", "<a@b@ext.test>", '<"q\\"r"@ext.test>',
    "<u.@ext.test>", "<>", "<a b@ext.test>", "a@ext.test", "<a@ext.test>x",
]


def settings(directory):
    def table(name, text, kind="texthash"):
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return f"{kind}:{path}"

    files = {name: table(name, text) for name, text in TABLES.items()}
    return {
        "myhostname": "mx.example.org",
        "mydomain": "example.org",
        "mydestination": "mx.example.org localhost.example.org",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "mynetworks": "127.0.0.0/8",
        "append_dot_mydomain": "yes",
        "recipient_delimiter": "+-",
        "alias_maps": "",
        "alias_database": "",
        "virtual_alias_domains": "valias.test",
        "virtual_alias_maps": files["virtual"] + ", "
                              + table("patterns", PATTERNS, "regexp"),
        "virtual_mailbox_domains": "vmbox.test",
        "virtual_mailbox_maps": files["mailboxes"],
        "relay_domains": "relay.test",
        "relay_recipient_maps": files["relay"],
        "local_recipient_maps": files["local"],
        "transport_maps": files["transport"],
        "relocated_maps": files["relocated"],
        "canonical_maps": files["canonical"],
    }


def try_recipient(sock, rcpt):
    """The replies to RCPT and, when that is taken, to the message."""
    file = sock.makefile("rb")

    def command(data):
        if data:
            sock.sendall(data.encode())
        while True:
            reply = file.readline().decode()
            if reply[3:4] != "-":
                return reply.strip()

    command("")
    command("EHLO h.ext.net\r\n")
    command("MAIL FROM:<s@ext.net>\r\n")
    answers = [command(f"RCPT TO:{rcpt}\r\n")]
    if answers[0].startswith("250"):
        command("DATA\r\n")
        answers.append(command("Subject: x\r\n\r\nhi\r\n.\r\n"))
    sock.close()
    return answers


def result(answers, show):
    """Replies without the queue id, then recipients with what they were."""
    out, original = [re.sub(r"as \w+$", "as QID", a) for a in answers], None
    if not answers[-1].startswith("250 2.0.0"):
        return out
    for name, value in re.findall(r"(?m)^(original_recipient|recipient): (.*)$",
                                  show(answers[-1].split()[-1])):
        if name == "recipient":
            out.append([value, None if original == value else original])
            original = None
        else:
            original = value
    return out


def answer_for_postfix():
    scratch = oracle.enter()
    main = dict(settings(scratch), in_flow_delay="0")
    postfix = oracle.Postfix(scratch, 2525, main,
                             {"qmgr unix": "qmgr unix n - n - 1 discard\n"})

    def show(queue_id):
        path = os.path.join(postfix.queue, "incoming", queue_id)
        return postfix.run("postcat", "-e", path).stdout

    try:
        postfix.start()
        print(json.dumps([
            result(try_recipient(
                socket.create_connection(("127.0.0.1", 2525), 30), r), show)
            for r in RECIPIENTS]))
    finally:
        postfix.stop()
        subprocess.run(["rm", "-rf", scratch], check=False)


def test_recipients(tmp_path):
    import pytest
    from daemon import Box
    if os.getuid() != 0:
        pytest.skip("needs root for namespaces")
    oracle.root()
    done = subprocess.run([sys.executable, os.path.abspath(__file__)],
                          capture_output=True, text=True,
                          timeout=300 * PATIENCE,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    want = json.loads(done.stdout.strip().split("\n")[-1])
    assert len(want) == len(RECIPIENTS)
    box = Box(tmp_path / "box", settings(str(tmp_path)))
    os.makedirs(os.path.join(box.queue, "incoming"))

    def show(queue_id):
        return subprocess.run(
            [os.path.join(os.environ["B"], "sbin/postcat"), "-c", box.config,
             "-eq", queue_id], capture_output=True, text=True,
            check=True).stdout

    wrong = []
    try:
        box.start("lookup", "private/lookup")
        box.start("smtpd", "public/smtpd")
        for rcpt, expected in zip(RECIPIENTS, want):
            have = result(try_recipient(box.connect("public/smtpd"), rcpt),
                          show)
            if have != expected:
                wrong.append((rcpt, expected, have))
    finally:
        box.stop()
    assert not wrong, "\n".join(map(str, wrong))


if __name__ == "__main__":
    answer_for_postfix()
