# SPDX-License-Identifier: MIT
"""What becomes of a message on its way into the queue: replies, content,
envelope and the log of cleanup, against Postfix's.

Run as a program it answers for Postfix, within namespaces of its own.
"""
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

import oracle  # noqa: E402
from buildtree import PATIENCE  # noqa: E402

LOCAL, REMOTE = "local", "remote"

# Contexts, and messages that both get.
HEADERS = {
    "plain": "Subject: x\n\nhi\n",
    "no body": "Subject: x\n",
    "empty body": "Subject: x\n\n",
    "nothing": "",
    "no header": "hello there\nmore\n",
    "empty line first": "\nbody\n",
    "bad header": "Subject: x\nthis is bad\nTo: a@b.c\n\nbody\n",
    "space": "Subject : x\nTo : a@b.c\n\nbody\n",
    "mailbox line": "From foo@bar Mon\nSubject: x\n\nbody\n",
    "quoted mailbox line": ">From foo@bar Mon\nSubject: x\n\nbody\n",
    "From inside": "Subject: x\nFrom foo@bar Mon\nTo: a@b.c\n\nbody\n",
    "folded nothing": "  lead\nSubject: x\n\nbody\n",
    "empty fold": "Subject: x\n \n y\nTo: a@b.c\n\nb\n",
    "complete": "From: f@g.h\nTo: t@u.v\nDate: d\nMessage-ID: <x@y>\n\nb\n",
    "dropped": "From: f@g.h\nTo: t@u.v\nBcc: z@w.x,\n q@r.s\nResent-Bcc: aa\n"
               "Return-Path: <zz>\nContent-Length: 33\nSubject: s\n\nb\n",
    "resent": "From: f@g.h\nTo: t@u.v\nResent-To: r@s.t\n\nb\n",
    "resent all": "From: f@g.h\nTo: t@u.v\nDate: d\nMessage-Id: <1@2>\n"
                  "Resent-From: r\nResent-To: a\nResent-Cc: b\n"
                  "Resent-Sender: c\nResent-Message-Id: <3@4>\n"
                  "Resent-Date: x\nResent-Reply-To: e\n\nb\n",
    "empty values": "From:\nTo:\nDate:\nMessage-Id:\nSubject:\n\nb\n",
    "twice": "From: a\nFrom: b\nDate: 1\nDate: 2\nMessage-Id: <1>\n"
             "Message-Id: <2>\n\nb\n",
    "address headers":
        "From: a\nSender: b\nReply-To: c\nTo: d\nCc: e\nErrors-To: f\n"
        "Return-Receipt-To: g\nDisposition-Notification-To: h\n"
        "Apparently-To: i\nMail-Followup-To: j\nMail-Reply-To: k\n"
        "Delivered-To: l\nX-To: m\nX-Original-To: o\nResent-Reply-To: q\n\n",
    "folded id": "Message-Id:\n <foo@bar>\n\nb\n",
    "odd id": "Message-Id: <a b> foo\n\nb\n",
    "tight": "Subject:x\nX-Tab:\ty\nTo:a@b\nX-E: \n\nb\n",
    "8bit": "Subject: \xfc\nContent-Transfer-Encoding: 8bit\n\n\xfc\n",
    "base64": "Content-Transfer-Encoding: BASE64\n\nb\n",
    "two words": "Foo Bar: x\nTo: a@b.c\n\nb\n",
    "delete": "F\x7foo: x\nTo: a@b.c\n\nb\n",
    "8bit name": "F\xfco: x\nTo: a@b.c\n\nb\n",
    "colon": ": x\nTo: a@b.c\n\nb\n",
    "group": "To: undisclosed-recipients:;\nCc:\n\nb\n",
    "long line": "Subject: x\n\n" + "y" * 5000 + "\nz\n",
    "canonical": "From: a@sc.test\nTo: b@sc.test, c@sc.test\n\nb\n",
}

ACTIONS = """/^Subject: reject$/ REJECT
/^Subject: rejtext/ REJECT some text
/^Subject: rejdsn/ REJECT 5.6.7 some text
/^Subject: rej4dsn/ REJECT 4.6.7 some text
/^Subject: warn/ WARN warning text
/^Subject: wrn0/ WARN
/^Subject: info/ INFO info text
/^Subject: ignore/ IGNORE
/^Subject: strip/ STRIP strip text
/^Subject: replace (.*)/ REPLACE Subject: was $1
/^Subject: replbad/ REPLACE nothing here
/^Subject: repl0/ REPLACE
/^Subject: prepend/ PREPEND X-Pre: hello
/^Subject: prebad/ PREPEND nope
/^Subject: discard/ DISCARD text
/^Subject: dscrd/ DISCARD
/^Subject: hold/ HOLD text
/^Subject: filter/ FILTER smtp:[1.2.3.4]
/^Subject: filtbad/ FILTER foo
/^Subject: redbad/ REDIRECT
/^Subject: bcc/ BCC bcc@x.test
/^Subject: nobcc/ BCC nodomain
/^Subject: dunno/ DUNNO
/^Subject: ok/ OK
/^Subject: unknown/ FOO bar
/^Subject: pass/ PASS
/^Subject: 550/ 550 text
/^Subject: lower/ warn foo
/^Subject: fold\\n?.*x/ WARN folded
/^Subject: fold/ WARN fold0
/^X-Two: / WARN two
/^X-Hold: / HOLD
"""
SUBJECTS = ["reject", "rejtext", "rejdsn", "rej4dsn", "warn", "wrn0", "info",
            "ignore", "strip", "replace abc", "replbad", "repl0", "prepend",
            "prebad", "discard", "dscrd", "hold", "filter", "filtbad",
            "redbad", "bcc", "nobcc", "dunno", "ok", "unknown", "pass", "550",
            "lower", "fold\n\tx y", "fold\n zz", "warn " + "z" * 400]
BODY = """/^bodyrej/ REJECT bodytext
/^bodywarn/ WARN bw
/^bodyign/ IGNORE
/^bodyrepl/ REPLACE was replaced
/^bodyprep/ PREPEND was prepended
/^bodyhold/ HOLD
/^bodystrip/ STRIP foo
/^bodydisc/ DISCARD
/^bodybcc/ BCC x@y.test
"""
BODIES = ["bodyrej", "bodywarn", "bodyign", "bodyrepl", "bodyprep",
          "bodyhold", "bodystrip", "bodydisc", "bodybcc"]
MIME = """/^Content-Type: x-reject/ REJECT mimerej
/^Content-Disp.*/ WARN mime
/^Content-Foo: ign/ IGNORE
/^Content-Foo: repl/ REPLACE Content-Foo: done
/^Content-Foo: prep/ PREPEND Content-Pre: x
"""
MULTI = "Content-Type: multipart/mixed; boundary=bb\n"


def nested(depth):
    return "Subject: x\n" + "".join(
        f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n"
        for i in range(depth)) + "\nx\n"


CHECKED = {
    "many": "X-Two: 1\nX-Two: 2\nSubject: warn\nX-Hold: a\nX-Hold: b\n"
            "Subject: reject\nX-Two: 3\n\nb\n",
    "parts": 'Subject: x\nContent-Type: multipart/mixed; boundary="bb"\n\n'
             "preamble\n--bb\nContent-Type: text/plain\nContent-Foo: ign\n"
             "Content-Foo: repl\nContent-Foo: prep\nContent-Disposition: x\n"
             "Subject: notchecked\n\nbodywarn\n--bb\n"
             "Content-Type: message/rfc822\n\nSubject: nested warn\n"
             "Content-Disposition: y\n\nbodyprep\n--bb--\nepi\n",
    "body limit": "Subject: q\n\n" + "x" * 150 + "\n" + "y" * 100
                  + "\nbodywarn\n",
    "long header": "Subject: q\nX-Long: " + "a" * 500 + "\nX-Long2: "
                   + ("b" * 100 + "\n ") * 6 + "b\nTo: z\n\nb\n",
    "hops": "Received: a\n" * 4 + "Subject: x\n\nb\n",
    "hops 3": "Received: a\n" * 2 + "Subject: x\n\nb\n",
    "hops 2": "Received: a\nSubject: x\n\nb\n",
    "depth 3": nested(3), "depth 5": nested(5), "depth 6": nested(6),
    "type": "Subject: x\nContent-Type: x-reject\n\nb\n",
    "part without header": MULTI + "\n--bb\nnot a header\nbodywarn\n--bb\n"
                                   "Content-Disposition: x\n--bb\n\nx\n"
                                   "--bb-- \nbodyrepl\n",
    "boundary and more": MULTI + "\n--bbc\nContent-Disposition: x\n\n--bb\n"
                                 "Content-Disposition: y\n\n",
    "digest": "Content-Type: multipart/digest; boundary=bb\n\n--bb\n\n"
              "Subject: indigest\n\nbodyign\nx\n",
    "message": "Content-Type: message/rfc822\n\nSubject: inner\n"
               "Content-Disposition: z\n\nbodyrepl\n",
    "encoded message": "Content-Type: message/rfc822\n"
                       "Content-Transfer-Encoding: quoted-printable\n\n"
                       "Subject: inner\n\nb\n",
    "partial": "Content-Type: message/partial\n\nSubject: inner\n\nb\n",
    "status": "Content-Type: multipart/report; boundary=bb\n\n--bb\n"
              "Content-Type: message/delivery-status\n\nSubject: inner\n\n"
              "Content-Disposition: z\n",
}
for _s in SUBJECTS:
    CHECKED["subject " + _s] = f"Subject: {_s}\nX-After: 1\n\nb\n"
for _b in BODIES:
    CHECKED["body " + _b] = f"Subject: q\n\nline1\n{_b} a\nline2\n"


def cases():
    """(name, which instance, context, message)"""
    out = []
    for context in (LOCAL, REMOTE):
        out += [(f"{context} {name}", "headers", context, text)
                for name, text in HEADERS.items()]
    return out + [(name, "checks", LOCAL, text)
                  for name, text in CHECKED.items()]


def settings(directory, instance):
    def table(name, text, kind="regexp"):
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return f"{kind}:{path}"

    main = {
        "myhostname": "mx.example.org",
        "mydomain": "example.org",
        "mydestination": "mx.example.org",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "mynetworks": "127.0.0.0/8",
        "append_dot_mydomain": "yes",
        "undisclosed_recipients_header": "To: undisclosed-recipients:;",
        "alias_maps": "",
        "alias_database": "",
        "local_recipient_maps": "",
        "sender_canonical_maps": table("sender", "@sc.test s@canon.test\n",
                                       "texthash"),
        "recipient_canonical_maps": table("rcpt", "@sc.test r@canon.test\n",
                                          "texthash"),
    }
    if instance == "checks":
        main.update({
            "header_checks": table("headers", ACTIONS),
            "mime_header_checks": table("mime", MIME),
            "nested_header_checks": table("nested",
                                          "/^Subject: .*/ WARN nested\n"),
            "body_checks": table("body", BODY),
            "body_checks_size_limit": "200",
            "header_size_limit": "300",
            "hopcount_limit": "3",
            "mime_nesting_limit": "3",
        })
    return main


def converse(sock, text):
    """Send one message; the reply to its end, without the queue id."""
    file = sock.makefile("rb")

    def command(data):
        if data:
            sock.sendall(data)
        while True:
            reply = file.readline().decode()
            if reply[3:4] != "-":
                return reply.strip()

    command(b"")
    for line in (b"EHLO h.ext.net", b"MAIL FROM:<s@ext.net>",
                 b"RCPT TO:<r1@other.net>", b"RCPT TO:<r2@other.net>",
                 b"DATA"):
        command(line + b"\r\n")
    data = text.encode("latin-1").replace(b"\n", b"\r\n")
    reply = command(data + b"\r\n.\r\n")
    sock.close()
    return reply


def result(queue_id, reply, shown, log):
    """What is compared: without times and ids."""
    def plain(line):
        line = line.replace(queue_id, "QID")
        line = re.sub(r"(essage-[Ii]d[:=] ?<)\d{14}\.", r"\1TIME.", line)
        return re.sub(r"(Date: )\w{3}, .\d \w{3} \d{4} \S+ \+0000 \(UTC\)",
                      r"\1DATE", line)

    content, envelope = None, []
    if "*** MESSAGE CONTENTS" in shown:
        head, body = shown.split("*** MESSAGE CONTENTS", 1)
        body, tail = body.split("\n", 1)[1].rsplit("*** HEADER EXTR", 1)
        body = re.sub(r"(?m)^Received: from h\.ext\.net.*\n(?:\t.*\n)*", "",
                      body)
        content = plain(body).rstrip("\n")
        wanted = ("recipient:", "sender:", "content_filter:",
                  "named_attribute: encoding", "named_attribute: dsn_orig",
                  "named_attribute: notify")
        envelope = sorted(line for line in (head + tail).split("\n")
                          if line.startswith(wanted))
    lines = [plain(re.sub(r"^.*?postfix/cleanup(\[\d+\])?: ", "", line))
             for line in log if "postfix/cleanup" in line]
    return {"reply": plain(reply), "content": content, "envelope": envelope,
            "log": lines}


# ---- Postfix ----

def oracle_case(postfix, context, text):
    import socket
    port = postfix.port + (context == REMOTE)
    before = len(postfix.log())
    reply = converse(socket.create_connection(("127.0.0.1", port), 30), text)
    time.sleep(0.05)
    log = postfix.log()[before:].split("\n")
    ids = [m.group(1) for m in (re.search(r"smtpd\[\d+\]: (\w+): client=", x)
                                for x in log) if m]
    shown = ""
    for where in ("incoming", "hold"):
        path = os.path.join(postfix.queue, where, ids[-1])
        if os.path.exists(path):
            shown = subprocess.run(
                [os.path.join(postfix.top, "usr/sbin/postcat"), "-ehb", path],
                env=postfix.env, capture_output=True,
                check=True).stdout.decode("latin-1")
    return result(ids[-1], reply, shown, log)


def answer_for_postfix():
    scratch = oracle.enter()
    os.environ["TZ"] = "UTC"
    answers = {}
    for n, instance in enumerate(("headers", "checks")):
        directory = os.path.join(scratch, instance)
        os.makedirs(directory)
        os.chmod(directory, 0o755)
        port = 2525 + 10 * n
        smtpd = f"127.0.0.1:{port + 1} inet n - n - - smtpd" \
                " -o local_header_rewrite_clients=\n"
        # Nobody takes the messages away.
        lines = {"qmgr unix": "qmgr unix n - n - 1 discard\n" + smtpd}
        main = dict(settings(directory, instance), in_flow_delay="0")
        postfix = oracle.Postfix(directory, port, main, lines)
        try:
            postfix.start()
            for name, which, context, text in cases():
                if which == instance:
                    answers[name] = oracle_case(postfix, context, text)
        finally:
            postfix.stop()
    print(json.dumps(answers))
    subprocess.run(["rm", "-rf", scratch], check=False)


# ---- Postrider ----

class Mine:
    def __init__(self, path, instance):
        from daemon import Box
        os.makedirs(path)
        self.box = Box(os.path.join(path, "box"), settings(path, instance))
        for name in ("incoming", "active", "deferred", "hold", "corrupt",
                     "maildrop"):
            os.makedirs(os.path.join(self.box.queue, name), exist_ok=True)
        self.box.start("lookup", "private/lookup")
        self.box.start("smtpd", "public/" + LOCAL, env={"TZ": "UTC"})
        self.box.start("smtpd", "public/" + REMOTE,
                       over=["local_header_rewrite_clients="],
                       env={"TZ": "UTC"})

    def case(self, context, text):
        before = len(self.box.lines)
        reply = converse(self.box.connect("public/" + context), text)
        time.sleep(0.02)
        log = self.box.lines[before:]
        ids = [m.group(1) for m in
               (re.search(r"smtpd\[\d+\]: (\w+): client=", x) for x in log)
               if m]
        shown = subprocess.run(
            [os.path.join(os.environ["B"], "sbin/postcat"), "-c",
             self.box.config, "-ehbq", ids[-1]],
            capture_output=True, check=False).stdout.decode("latin-1")
        return result(ids[-1], reply, shown, log)


def test_messages(tmp_path):
    import pytest
    if os.getuid() != 0:
        pytest.skip("needs root for namespaces")
    oracle.root()
    done = subprocess.run([sys.executable, os.path.abspath(__file__)],
                          capture_output=True, text=True,
                          timeout=300 * PATIENCE,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    want = json.loads(done.stdout.strip().split("\n")[-1])
    wrong = []
    for instance in ("headers", "checks"):
        mine = Mine(os.path.join(tmp_path, instance), instance)
        try:
            for name, which, context, text in cases():
                if which != instance:
                    continue
                have = mine.case(context, text)
                wrong += [(name, key, want[name][key], have[key])
                          for key in have if have[key] != want[name][key]]
        finally:
            mine.box.stop()
    assert len(want) == len(cases())
    assert not wrong, "\n".join(map(str, wrong))


if __name__ == "__main__":
    answer_for_postfix()
