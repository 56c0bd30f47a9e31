# SPDX-License-Identifier: MIT
"""sendmail, mailq, newaliases, postdrop and pickup: flags, exit codes, what
reaches the queue, and that nothing half-written stays."""
import os
import re
import signal
import struct
import subprocess
import time

import pytest

import postrider

MESSAGE = b"Subject: x\n\nhello\n"


@pytest.fixture(scope="module")
def mta():
    with postrider.Instance(main={"defer_transports": "local smtp",
                                  "message_size_limit": "100000",
                                  "queue_minfree": "0"}) as instance:
        yield instance


@pytest.fixture
def empty(mta):
    """The instance with an empty queue. (What a test before has sent may
    still make a notice.)"""
    deadline = time.monotonic() + 20
    while maildrop(mta) or mta.queue():
        assert time.monotonic() < deadline, mta.queue()
        mta.command("postsuper", "-d", "ALL")
        time.sleep(0.2)
    return mta


def maildrop(mta):
    return os.listdir(os.path.join(mta.queue_directory, "maildrop"))


def wait_taken(mta):
    """Until nothing is left in maildrop."""
    deadline = time.monotonic() + 10
    while maildrop(mta) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert maildrop(mta) == []


def one(mta):
    """The message that is queued, as postcat prints it."""
    message = mta.wait_queue(1)[0]
    return mta.command("postcat", "-q", message["queue_id"]).stdout


def content(mta):
    text = one(mta)
    return re.search(r"\*\*\* MESSAGE CONTENTS.*?\n(.*?)\*\*\* HEADER EXTRACTED",
                     text, re.S).group(1)


def rcpts(mta):
    return sorted(r["address"] for r in mta.wait_queue(1)[0]["recipients"])


# ---- usage ----

USAGE = [
    ([], 75, r"Recipient addresses must be specified on the command line or "
             r"via the -t option"),
    (["-t"], 75, r"No recipient addresses found in message header"),
    (["-Z", "alice"], 75, r"sendmail: fatal: usage: sendmail \[options\]"),
    (["-bz", "alice"], 75, r"sendmail: fatal: unsupported: -bz"),
    (["-bD"], 75, r"sendmail: fatal: unsupported: -bD"),
    (["-n", "alice"], 75, r"-n option not supported"),
    (["-B", "foo", "alice"], 75, r"-B option needs 8BITMIME or 7BIT"),
    (["-t", "-bv"], 75, r"-t option cannot be used with -bv"),
    (["-bp", "alice"], 75, r"display queue mode requires no recipient"),
    (["-bs", "alice"], 75, r"stand-alone mode requires no recipient"),
    (["-qSfoo"], 75, r"-qS is not implemented"),
    (["-XV", "alice"], 75, r"-XV \(VERP\) is not available"),
    (["-C", "/nonexistent", "alice"], 75, r"open /nonexistent/main.cf"),
    (["-bh"], 0, r"^$"),
    (["-bH"], 0, r"^$"),
    (["-q5m"], 0, r"^$"),
]


@pytest.mark.parametrize("argv,status,text", USAGE,
                         ids=[" ".join(u[0]) or "none" for u in USAGE])
def test_usage(empty, argv, status, text):
    done = empty.command("sendmail", *argv, input="Subject: x\n\nhello\n")
    assert done.returncode == status
    assert re.search(text, done.stderr)
    assert maildrop(empty) == []


ACCEPTED = [
    ["-i"], ["-oi"], ["-oem"], ["-odb"], ["-o7"], ["-Am"], ["-Ac"], ["-bm"],
    ["-G"], ["-L", "x"], ["-O", "a=b"], ["-U"], ["-X", "log"], ["-m"],
    ["-h", "5"], ["-p", "x"], ["-N", "never"], ["-R", "hdrs"], ["-V", "id"],
    ["-B", "8BITMIME"], ["-F", "Full Name"], ["-f", "me@example.com"],
    ["-r", "me@example.com"], ["-f", ""], ["--"],
]


@pytest.mark.parametrize("argv", ACCEPTED, ids=" ".join)
def test_accepted(empty, argv):
    done = empty.command("sendmail", *argv, "alice@example.com",
                         input=MESSAGE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rcpts(empty) == ["alice@example.com"]


WARNED = [
    (["-N", "foo"], r"sendmail: warning: bad -N option value -- ignored"),
    (["-R", "foo"], r"sendmail: warning: bad -R option value -- ignored"),
    (["-f", "a b"], r"sendmail: warning: -f option specified malformed "
                    r"sender: a b"),
]


@pytest.mark.parametrize("argv,text", WARNED, ids=[w[0][1] for w in WARNED])
def test_warned(empty, argv, text):
    done = empty.command("sendmail", *argv, "alice@example.com",
                         input="x\n")
    assert done.returncode == 0
    assert re.search(text, done.stderr)
    empty.wait_queue(1)


# ---- what is queued ----

def test_sender_and_names(empty):
    empty.sendmail("alice@example.com", MESSAGE, "-f", "Me <me@example.org>",
                   "-F", "Big Name", "-V", "env1", "-R", "hdrs",
                   "-N", "success,delay", "-B", "8BITMIME")
    text = one(empty)
    assert "sender: me@example.org\n" in text
    assert "sender_fullname: Big Name\n" in text
    assert "From: Big Name <me@example.org>\n" in text
    assert empty.wait_log(r"pickup\[\d+\]: \w+: uid=\d+ from=<me@example\.org>")


def test_received_header(empty):
    empty.sendmail("alice@example.com", MESSAGE)
    assert re.match(r"Received: by test\.example\.com \(Postfix, from userid "
                    r"%d\)\n\tid \w+; \w\w\w, [ \d]\d \w\w\w \d{4} "
                    r"\d\d:\d\d:\d\d [+-]\d{4} \(\w+\)\n" % os.getuid(),
                    content(empty))


@pytest.mark.parametrize("text,options,want", [
    (b"a\n.\nb\n", [], "\na\n"),
    (b"a\n.\nb\n", ["-i"], "\na\n.\nb\n"),
    (b"a\r\nb\r\n", [], "\na\nb\n"),
    (b"a\r\r\n.\r\nb", [], "\na\n"),
    (b"no end", [], "\nno end\n"),
    (b"a\rb\n", [], "\na b\n"),
], ids=["dot", "dot -i", "crlf", "crlf dot", "no end", "bare cr"])
def test_body(empty, text, options, want):
    empty.sendmail("alice@example.com", b"Subject: x\n\n" + text, *options)
    assert content(empty).endswith(want)


def test_mbox_from_lines_are_dropped(empty):
    empty.sendmail("alice@example.com",
                   b">From a b\nFrom c d\nSubject: x\n\nFrom here on\n")
    text = content(empty)
    assert "From a" not in text and "From c" not in text
    assert "\n\nFrom here on\n" in text


def test_long_line(empty):
    empty.sendmail("alice@example.com", b"Subject: x\n\n" + b"y" * 90000)
    assert "y" * 90000 + "\n" in content(empty)


HEADER = (b"To: alice@example.com,\n \"B, C\" <bob@example.com>\n"
          b"Cc: (nobody) carol@example.com\nbcc: dave@example.com\n"
          b"Subject: To: not@example.com\n\nTo: nor@example.com\n")


def test_extract(empty):
    empty.sendmail("alice@example.com", HEADER, "-t")
    want = ["alice", "bob", "carol", "dave"]
    assert rcpts(empty) == [w + "@example.com" for w in want]
    assert "dave" not in content(empty)


def test_extract_resent(empty):
    done = empty.command("sendmail", "-t",
                         input=b"Resent-To: erin@example.com\n" + HEADER)
    assert done.returncode == 0
    assert rcpts(empty) == ["erin@example.com"]


def test_several_recipients_in_one_argument(empty):
    empty.sendmail(["alice@example.com, Bob <bob@example.com>"], MESSAGE)
    assert rcpts(empty) == ["alice@example.com", "bob@example.com"]


def test_too_big(empty):
    done = empty.command("sendmail", "alice@example.com",
                         input=b"Subject: x\n\n" + b"y\n" * 60000)
    assert done.returncode == 75
    assert re.search(rb"sendmail: fatal: \w+\(\d+\): message file too big",
                     done.stderr)
    assert maildrop(empty) == [] and empty.queue() == []


def test_report_announced(empty):
    done = empty.sendmail("alice@example.com", b"", "-bv", "-f",
                          "me@example.com")
    assert done.stdout == (b"Mail Delivery Status Report will be mailed to "
                           b"<me@example.com>.\n")
    empty.wait_log("sender delivery status notification")


# ---- other modes ----

def test_mailq(empty):
    path = os.path.join(empty.directory, "mailq")
    if not os.path.exists(path):
        os.symlink(os.path.join(empty.b, "sbin/sendmail"), path)
    done = subprocess.run([path], env=empty.env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Mail queue is empty\n")


def test_newaliases(empty):
    aliases = os.path.join(empty.directory, "aliases")
    with open(aliases, "w") as out:
        out.write("someone: alice\n")
    done = empty.command("sendmail", "-bi", "-oAhash:" + aliases)
    assert done.returncode == 0, done.stderr
    assert os.path.exists(aliases + ".db")
    # alias_database is empty here: nothing to do.
    assert empty.command("sendmail", "-I").returncode == 0


def test_flush(empty):
    empty.sendmail("alice@example.com", MESSAGE)
    empty.wait_queue(1)
    assert empty.command("sendmail", "-q").returncode == 0


def test_stand_alone_server(empty):
    talk = ("EHLO foo\r\nMAIL FROM:<me@example.com>\r\n"
            "RCPT TO:<alice@example.com>\r\nRCPT TO:<x@elsewhere.example>\r\n"
            "DATA\r\nSubject: bs\r\n\r\n..dot\r\n.\r\nQUIT\r\n")
    done = empty.command("sendmail", "-bs", input=talk.encode())
    lines = done.stdout.decode().split("\r\n")
    assert lines[0] == "220 test.example.com ESMTP Postfix"
    assert re.match(r"250 2\.0\.0 Ok: queued as \w+$", lines[-3])
    assert lines[-2] == "221 2.0.0 Bye"
    assert rcpts(empty) == ["alice@example.com", "x@elsewhere.example"]
    text = content(empty)
    assert re.search(r"^Received: from foo \(localhost \[127\.0\.0\.1\]\)\n"
                     r"\tby test\.example\.com \(Postfix\) with ESMTP id \w+;\n",
                     text, re.M)
    assert text.endswith("\n\n.dot\n")


def test_stand_alone_server_gives_up(empty):
    talk = (b"HELO foo\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.com>\r\n"
            b"DATA\r\nhalf")
    done = empty.command("sendmail", "-bs", input=talk)
    assert b"354 " in done.stdout and b"queued" not in done.stdout
    time.sleep(0.3)
    assert maildrop(empty) == [] and empty.queue() == []


# ---- postdrop ----

def postdrop(mta, data):
    return mta.command("postdrop", "-r", input=data)


def frame(data):
    return struct.pack("<I", len(data)) + data


GARBAGE = {
    "nothing": b"",
    "short length": b"\1\0",
    "huge envelope": struct.pack("<I", 0xffffffff),
    "not an envelope": frame(b"hello") + struct.pack("<I", 0),
    "text": b"From: me\n\nhello\n",
    "cut envelope": struct.pack("<I", 100) + b"x" * 50,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_postdrop_distrusts(empty, data):
    done = postdrop(empty, data)
    assert done.returncode == 65
    assert re.match(rb"id \w+\nerror 5\.6\.0 ", done.stdout)
    assert maildrop(empty) == []


def test_unauthorized_user(empty):
    main = open(os.path.join(empty.config, "main.cf")).read()
    config = os.path.join(empty.directory, "etc2")
    os.makedirs(config, exist_ok=True)
    with open(os.path.join(config, "main.cf"), "w") as out:
        out.write(main + "authorized_submit_users = !nosuchuser, nobodyelse\n")
    open(os.path.join(config, "master.cf"), "w").close()
    done = empty.command("sendmail", "-C", config, "alice@example.com",
                         input="x\n")
    assert done.returncode == 75
    assert re.search(r"sendmail: fatal: User \w+\(\d+\) is not allowed to "
                     r"submit mail", done.stderr)
    assert maildrop(empty) == []


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT,
                                 signal.SIGHUP, signal.SIGKILL])
def test_killed_sendmail_leaves_nothing(empty, sig):
    path, env = empty.sendmail_command()
    # A shell's background jobs ignore SIGINT, and so do their children.
    proc = subprocess.Popen(
        [path, "alice@example.com"], env=env, stdin=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    # More than is gathered in memory: part of it is in a file.
    proc.stdin.write(b"Subject: x\n\n" + b"y\n" * 45000)
    proc.stdin.flush()
    time.sleep(0.3)
    proc.send_signal(sig)
    proc.wait(10)
    proc.stdin.close()
    wait_taken(empty)
    assert empty.queue() == []


# ---- pickup ----

def test_bad_file_stops_nobody(empty):
    drop = os.path.join(empty.queue_directory, "maildrop")
    corrupt = os.path.join(empty.queue_directory, "corrupt")
    before = set(os.listdir(corrupt))
    done = empty.command("sendmail", "alice@example.com", input=MESSAGE)
    assert done.returncode == 0
    empty.wait_queue(1)
    # A message image whose content was changed after the fact.
    empty.stop()
    empty.command("sendmail", "alice@example.com", input=MESSAGE)
    empty.command("sendmail", "bob@example.com", input=MESSAGE)
    name = sorted(os.listdir(drop))[0]
    with open(os.path.join(drop, name), "r+b") as image:
        image.seek(-1, os.SEEK_END)
        last = image.read(1)
        image.seek(-1, os.SEEK_END)
        image.write(bytes([last[0] ^ 0xff]))
    os.symlink("/etc/passwd", os.path.join(drop, "ABCDEF01"))
    os.mkfifo(os.path.join(drop, "ABCDEF02"))
    empty.start()
    wait_taken(empty)
    empty.wait_queue(2)
    assert name in set(os.listdir(corrupt)) - before
    empty.command("postsuper", "-d", "ALL")


def test_refused_mail_returns_to_its_sender():
    main = {"defer_transports": "local smtp",
            "header_checks": "regexp:{{/^Subject: bad/ REJECT not this}}"}
    with postrider.Instance(main=main) as mta:
        mta.sendmail("alice@example.com", b"Subject: bad\n\nhello\n", "-f",
                     "me@example.com")
        mta.wait_log(r"cleanup\[\d+\]: \w+: to=<alice@example\.com>, "
                     r"relay=none, delay=[\d.]+, delays=[\d.]+/0/0/0, "
                     r"dsn=5\.7\.1, status=bounced \(not this\)$")
        notice = mta.wait_queue(1)[0]
        assert [r["address"] for r in notice["recipients"]] == [
            "me@example.com"]
        wait_taken(mta)
        # A notice about a notice goes to nobody.
        mta.sendmail("alice@example.com", b"Subject: bad\n\nhello\n", "-f",
                     "")
        mta.wait_log(r"warning: \w+: undeliverable message without sender")
        wait_taken(mta)
        assert len(mta.queue()) == 1


def test_mail_while_down(empty):
    empty.stop()
    for i in range(30):
        done = empty.command("sendmail", f"u{i}@example.com", input=MESSAGE)
        assert done.returncode == 0
    assert len(maildrop(empty)) == 30
    empty.start()
    wait_taken(empty)
    assert len(empty.wait_queue(30)) == 30
    empty.command("postsuper", "-d", "ALL")
