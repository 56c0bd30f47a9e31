# SPDX-License-Identifier: MIT
"""AUTH against a scripted authentication server that does what a server
should not: it is silent, dies, talks nonsense, at each step. smtpd answers,
keeps its other clients, and is well again when the server is."""
import base64
import contextlib
import os
import re
import socket
import time

import pytest

import auth_server
import postrider
from auth_server import AuthServer, b64


def plain(user, password, authz=""):
    return b64(f"{authz}\0{user}\0{password}")


GOOD = plain("alice", "wonder")


def settings(auth, **more):
    path = (f"inet:127.0.0.1:{auth.port}" if isinstance(auth, AuthServer)
            else auth)
    main = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": path, "mynetworks": "10.0.0.0/8",
            "smtpd_error_sleep_time": "0", "smtpd_hard_error_limit": "1000",
            "smtpd_relay_restrictions":
                "permit_sasl_authenticated, reject_unauth_destination"}
    return dict(main, **more)


def login(mta, word=GOOD, mech="PLAIN"):
    with mta.smtp(timeout=60) as client:
        client.ehlo()
        code, text = client.docmd(f"AUTH {mech} {word}")
        assert client.docmd("NOOP")[0] == 250
        return code, text.decode()


# ---- what a good server gets and gives ----

def test_the_wire():
    """To the byte what Postfix sends."""
    bad = plain("alice", "no")
    with AuthServer() as auth, postrider.Instance(main=settings(auth)) as mta:
        with mta.smtp() as client:
            client.ehlo()
            assert client.docmd("AUTH PLAIN " + bad)[0] == 535
            assert client.docmd("AUTH LOGIN")[0] == 334
            assert client.docmd(b64("bob"))[0] == 334
            assert client.docmd(b64("builder"))[0] == 235
        version, cpid, first, second, *rest = auth.lines
    head = "service=smtp\tnologin\tlip=127.0.0.1\trip=127.0.0.1"
    assert version == "VERSION\t1\t0"
    assert re.fullmatch(r"CPID\t\d+", cpid)
    assert first == f"AUTH\t1\tPLAIN\t{head}\tresp={bad}"
    assert second == f"AUTH\t2\tLOGIN\t{head}"
    assert rest == [f"CONT\t2\t{b64('bob')}", f"CONT\t2\t{b64('builder')}"]


def test_an_empty_response():
    """RFC 4954: "=" is a response of no bytes, not one of one sign."""
    with AuthServer() as auth, postrider.Instance(main=settings(
            auth, smtpd_sasl_security_options="")) as mta:
        assert login(mta, "=", "ANONYMOUS")[0] == 235
        assert auth.lines[-1].endswith("\tresp=")


def test_temporary_failures():
    with AuthServer() as auth, postrider.Instance(main=settings(auth)) as mta:
        for user, reason in (("temp", "(reason unavailable)"),
                             ("tempreason", "Come back"),
                             ("code", "(reason unavailable)")):
            assert login(mta, plain(user, "x")) == (
                454, f"4.7.0 Temporary authentication failure: {reason}")
        assert len([x for x in auth.lines if x.startswith("AUTH")]) == 3


def test_names_that_cannot_be_used():
    with AuthServer() as auth, postrider.Instance(main=settings(auth)) as mta:
        for user in ("ctrl", "okempty", "okless"):
            assert login(mta, plain(user, "x")) == (
                535, "5.7.8 Error: authentication failed: "
                     "Authentication backend error")


def test_received_header():
    def accepted(mta, user):
        with mta.smtp() as client:
            client.ehlo()
            assert client.docmd("AUTH PLAIN " + plain(user, "x"))[0] == 235
            client.sendmail("a@example.com", ["root@example.com"],
                            "Subject: x\r\n\r\nx\r\n")
        mta.wait_log("status=sent")
        return mta.mailbox("root")[-1].decode()

    auth_server.TRICKS["odd"] = "OK\t{id}\tuser=a(b\\c)"
    with AuthServer() as auth, postrider.Instance(main=settings(
            auth, smtpd_sasl_authenticated_header="yes",
            mailbox_transport="", local_recipient_maps="")) as mta:
        header = accepted(mta, "odd")
    assert ("\n\t(Authenticated sender: a?b?c?)\n\tby test.example.com "
            "(Postfix) with ESMTPA id ") in header


def test_auth_of_mail_with_control_characters():
    with AuthServer() as auth, postrider.Instance(main=settings(auth)) as mta:
        with mta.smtp() as client:
            client.ehlo()
            for bad in ("a+0Ab", "+00", "x+0D+0Ay", "a+7F", "a+1bb"):
                assert client.docmd(f"MAIL FROM:<a@b.example> AUTH={bad}") == (
                    501, b"5.5.4 Bad AUTH parameter syntax")
            assert client.docmd("MAIL FROM:<a@b.example> AUTH=a+20b")[0] == 250


# ---- a server that is not there ----

def test_no_server_and_then_one():
    port = postrider.free_port()
    with postrider.Instance(main=settings(f"inet:127.0.0.1:{port}")) as mta:
        with mta.smtp() as early:
            early.ehlo()
            assert not early.has_extn("auth")
            before = set(mta.pids("smtpd"))
            assert early.docmd("AUTH PLAIN " + GOOD) == (
                454, b"4.7.0 Temporary authentication failure: "
                     b"Connection lost to authentication server")
            mta.wait_log(r"warning: SASL: Connect to Dovecot auth socket "
                         rf"'inet:127.0.0.1:{port}' failed: Connection refused")
            mta.wait_log(r"warning: unknown\[127.0.0.1\]: SASL PLAIN "
                         r"authentication failed: Connection lost to "
                         r"authentication server, sasl_username=")
            with AuthServer(port=port):
                early.ehlo()
                assert early.has_extn("auth")
                assert early.docmd("AUTH PLAIN " + GOOD)[0] == 235
        assert before <= set(mta.pids("smtpd"))
        assert "fatal" not in mta.log()


def test_a_server_that_restarts():
    with AuthServer() as auth, postrider.Instance(main=settings(auth)) as mta:
        for _ in range(3):
            assert login(mta)[0] == 235
            auth.drop_clients()
        assert "Connection lost" not in mta.log()
    path = "private/auth"
    with postrider.Instance(main=settings(path)) as mta:
        real = os.path.join(mta.queue_directory, path)
        for _ in range(2):
            with AuthServer(path=real):
                assert login(mta)[0] == 235


def test_absolute_path_and_chroot():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    port = postrider.free_port()
    mta = postrider.Instance(port=port, master={
        "smtp inet": f"127.0.0.1:{port} inet n - y - - smtpd"})
    real = os.path.join(mta.queue_directory, "private/auth")
    mta.write_main(**settings(real))
    with mta, AuthServer(path=real):
        assert login(mta)[0] == 235


# ---- a server that misbehaves ----

GREETINGS = {
    "nothing": None,
    "garbage": b"220 smtp.example.com ESMTP\r\n" * 3,
    "no end": auth_server.greeting(type("S", (), {"mechs": ["PLAIN"]}))
              .replace(b"DONE\n", b""),
    "version": b"VERSION\t2\t0\nMECH\tPLAIN\nDONE\n",
    "no version": b"MECH\tPLAIN\nDONE\n",
    "bad version": b"VERSION\tx\ty\nDONE\n",
    "master": b"VERSION\t1\t1\nSPID\t1\nDONE\n",
    "no mech": b"VERSION\t1\t1\nDONE\n",
    "bad mech": b"VERSION\t1\t1\nMECH\tA\rB\tplaintext\nMECH\t\n"
                b"MECH\tPLAIN 250-EVIL\nDONE\n",
    "NUL": b"VERSION\t1\t1\nMECH\tPL\0AIN\nDONE\n",
    "endless line": b"VERSION\t1\t1\nMECH\t" + b"A" * 300000,
    "endless lines": b"VERSION\t1\t1\n" + b"MECH\tPLAIN\n" * 100000,
}


@pytest.fixture(name="shared", scope="module")
def shared_instance():
    """A server and smtpd for tests that leave them well."""
    with AuthServer() as auth, postrider.Instance(main=settings(auth)) as mta:
        yield auth, mta


@pytest.mark.parametrize("name", [n for n in GREETINGS if n != "no end"])
def test_bad_greeting(shared, name):
    auth, mta = shared
    auth.greeting = lambda s: GREETINGS[name]
    auth.drop_clients()
    with mta.smtp(timeout=60) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        code, _ = client.docmd("AUTH PLAIN " + GOOD)
        assert code in (454, 535)
        assert client.docmd("NOOP")[0] == 250
        auth.greeting = auth_server.greeting
        auth.drop_clients()
        client.ehlo()
        assert client.has_extn("auth")
        assert client.docmd("AUTH PLAIN " + GOOD)[0] == 235
    assert "fatal" not in mta.log()


def reply(text):
    def answer(server, conn, line):
        field = line.split("\t")
        if field[0] != "AUTH" and field[0] != "CONT":
            return b""
        return text(field[1]) if callable(text) else text
    return answer


ANSWERS = {
    # what the server says, the code that the client gets
    "dies": (None, 454),
    "garbage": (b"\xff\xfe\x00\n", 454),
    "NUL": (lambda i: f"OK\t{i}\tuser=a\0b\n".encode(), 454),
    "bad id": (b"OK\tx\tuser=alice\n", 454),
    "no id": (b"FAIL\n", 454),
    "huge user": (lambda i: f"OK\t{i}\tuser={'a' * 5000}\n".encode(), 535),
    "huge line": (lambda i: f"OK\t{i}\tuser={'a' * 500000}\n".encode(), 454),
    "huge reason": (lambda i: f"FAIL\t{i}\treason={'a' * 15000}\n".encode(),
                    535),
    "evil reason": (lambda i: f"FAIL\t{i}\treason=a\r250 Ok\n".encode(), 535),
    "bad challenge": (lambda i: f"CONT\t{i}\ta\r334 b\n".encode(), 535),
    "many fields": (lambda i: f"OK\t{i}{chr(9) * 5000}user=a\n".encode(), 454),
    "another id": (lambda i: f"OK\t77777\tuser=x\nFAIL\t{i}\n".encode(), 535),
    "unknown words": (lambda i: f"NEW\tx\nFAIL\t{i}\tnew=1\n".encode(), 535),
    "flood of others": (b"OK\t7777777\tuser=x\n" * 5000, 454),
}


@pytest.mark.parametrize("name", list(ANSWERS))
@pytest.mark.parametrize("step", [1, 2])
def test_bad_answer(shared, name, step):
    auth, mta = shared
    text, code = ANSWERS[name]

    def second(server, conn, line):
        if line.startswith("AUTH"):
            return auth_server.answer(server, conn, line)
        return (reply(text)(server, conn, line)
                if text is not None or not line.startswith("CONT") else None)

    first = reply(text) if text is not None else (
        lambda s, c, line: None if line.startswith("AUTH") else b"")
    auth.answer = first if step == 1 else second
    with mta.smtp(timeout=90) as client:
        client.ehlo()
        if step == 2:
            assert client.docmd("AUTH LOGIN")[0] == 334
            got, line = client.docmd(b64("alice"))
        else:
            got, line = client.docmd("AUTH PLAIN " + GOOD)
        assert got == code, line
        assert b"\n" not in line and len(line) < 400
        assert client.docmd("NOOP") == (250, b"2.0.0 Ok")
        auth.answer = auth_server.answer
        assert client.docmd("AUTH PLAIN " + GOOD)[0] == 235
    assert "fatal" not in mta.log() and "panic" not in mta.log()


@pytest.mark.slow
def test_a_server_that_hangs():
    """The client waits 10 seconds for a greeting, 30 for an answer; others
    are served meanwhile."""
    hanging = ({"greeting": lambda s: GREETINGS["no end"]},
               {"answer": lambda s, c, line: b""},
               {"answer": reply(lambda i: f"OK\t{i}\tus".encode())})
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(AuthServer(**args))
                   for args in hanging]
        mtas = [stack.enter_context(postrider.Instance(main=settings(auth)))
                for auth in servers]
        clients = [stack.enter_context(mta.smtp(timeout=90)) for mta in mtas]
        begun = time.monotonic()
        for client in clients:
            client.send("AUTH PLAIN " + GOOD + "\r\n")
        for mta in mtas:
            with mta.smtp() as other:
                assert other.docmd("NOOP")[0] == 250
        for auth, client in zip(servers, clients):
            assert client.getreply()[0] == 454
            auth.greeting, auth.answer = (auth_server.greeting,
                                          auth_server.answer)
            auth.drop_clients()
            assert client.docmd("AUTH PLAIN " + GOOD)[0] == 235
        assert time.monotonic() - begun < 60


def test_a_dialogue_without_end():
    def more(server, conn, line):
        field = line.split("\t")
        return (f"CONT\t{field[1]}\t{b64('more')}\n".encode()
                if field[0] in ("AUTH", "CONT") else b"")
    with AuthServer(answer=more) as auth, \
            postrider.Instance(main=settings(auth)) as mta:
        with mta.smtp() as client:
            client.ehlo()
            code, _ = client.docmd("AUTH LOGIN")
            steps = 0
            while code == 334:
                code, _ = client.docmd("YQ==")
                steps += 1
            assert code == 535 and steps == 20


# ---- a client that misbehaves ----

def test_a_client_that_leaves_in_between():
    with AuthServer() as auth, postrider.Instance(main=settings(auth)) as mta:
        for words in (b"AUTH LOGIN\r\n", b"AUTH LOGIN\r\nYWxp",
                      b"AUTH LOGIN\r\nYWxpY2U=\r\n"):
            sock = socket.create_connection(("127.0.0.1", mta.port))
            sock.recv(1000)
            sock.sendall(b"EHLO x\r\n" + words)
            time.sleep(0.2)
            sock.close()
        assert login(mta)[0] == 235
        mta.wait_log("lost connection after AUTH from", count=3)


def test_a_flood_of_tries():
    """Bounded: the server's lines, its connections, and our memory."""
    with AuthServer() as auth, postrider.Instance(main=settings(
            auth, smtpd_hard_error_limit="10", maximal_backoff_time="1s",
            default_process_limit="20")) as mta:
        for _ in range(10):
            sock = socket.create_connection(("127.0.0.1", mta.port))
            sock.settimeout(20)
            sock.sendall(b"EHLO x\r\n" +
                         f"AUTH PLAIN {plain('alice', 'no')}\r\n".encode() * 50)
            data = b""
            try:
                while chunk := sock.recv(65536):
                    data += chunk
            except ConnectionResetError:
                pass
            sock.close()
            assert data.count(b"535 5.7.8") == 10, data
        assert len([x for x in auth.lines if x.startswith("AUTH")]) == 100
        assert login(mta)[0] == 235


def test_long_lines_of_a_client():
    with AuthServer() as auth, postrider.Instance(main=settings(auth)) as mta:
        sock = socket.create_connection(("127.0.0.1", mta.port))
        sock.settimeout(20)
        file = sock.makefile("rb")
        file.readline()
        for size in (12288, 100_000, 5_000_000):
            sock.sendall(b"AUTH LOGIN\r\n")
            assert file.readline().startswith(b"334 ")
            sock.sendall(b"A" * size + b"\r\n")
            assert file.readline() == (
                b"500 5.5.6 SASL response limit exceeded\r\n")
        rss = 0
        for pid in mta.pids("smtpd"):
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                rss = max(rss, int(re.search(r"VmRSS:\s+(\d+)",
                                             status.read())[1]))
        assert rss < 40_000, rss
        sock.close()


# ---- the settings ----

@pytest.mark.parametrize("change, message", [
    ({"smtpd_sasl_type": "bogus"},
     "unsupported SASL server implementation: bogus"),
    ({"smtpd_sasl_security_options": "noanonymous, bogus"},
     "parameter smtpd_sasl_security_options: unknown SASL security option "
     '"bogus"'),
    ({"smtpd_sasl_path": "inet:12345"}, "bad authentication server"),
])
def test_mistakes(change, message):
    with postrider.Instance(main=settings("private/auth", **change)) as mta:
        with socket.create_connection(("127.0.0.1", mta.port)):
            mta.wait_log("fatal: " + re.escape(message))


# ---- authd ----

def ask_authd(mta, *lines):
    """What it answers to these lines."""
    sock = socket.socket(socket.AF_UNIX)
    here = os.open(os.path.join(mta.queue_directory, "private"),
                   os.O_RDONLY | os.O_DIRECTORY)
    sock.connect(f"/proc/self/fd/{here}/authd")
    os.close(here)
    sock.settimeout(10)
    out = b""
    try:
        sock.sendall(b"".join(lines))
        # The failures that PAM does not see come at once.
        while not re.search(rb"\n(FAIL|OK)\t.*\n$", out):
            more = sock.recv(65536)
            if not more:
                break
            out += more
            if out.endswith(b"DONE\n"):
                sock.settimeout(0.5)
    except (ConnectionResetError, BrokenPipeError, TimeoutError):
        pass
    sock.close()
    return out


def test_authd_protocol():
    with postrider.Instance(main=settings("private/auth")) as mta:
        out = ask_authd(mta)
        assert re.fullmatch(
            rb"VERSION\t1\t0\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n"
            rb"SPID\t\d+\nCUID\t\d+\nCOOKIE\t[0-9a-f]{32}\nDONE\n", out)
        for bad in (b"VERSION\t2\t0\n", b"AUTH\n", b"AUTH\tx\tPLAIN\n",
                    b"AUTH\t1\n", b"\0\n", b"x" * 40000):
            ask_authd(mta, bad)
        hello = b"VERSION\t1\t0\nCPID\t1\n"
        for mech, resp in ((b"CRAM-MD5", b""), (b"PLAIN", b"\tresp=!!"),
                           (b"PLAIN", b"\tresp="), (b"PLAIN", b"\tresp=YQ=="),
                           (b"PLAIN", b"\tresp=" + base64.b64encode(b"\0\0x")),
                           (b"PLAIN", b"\tresp=" +
                            base64.b64encode(b"other\0root\0x")),
                           (b"PLAIN", b"\tresp=" +
                            base64.b64encode(b"\0" + b"u" * 300 + b"\0x")),
                           (b"PLAIN", b"\tresp=" +
                            base64.b64encode(b"\0root\0" + b"p" * 1100)),
                           (b"PLAIN", b"\tresp=" +
                            base64.b64encode(b"\0ro\not\0x")),
                           (b"LOGIN", b"\tresp=")):
            out = ask_authd(mta, hello, b"AUTH\t5\t" + mech +
                            b"\tservice=smtp\tnologin" + resp + b"\n")
            assert re.search(rb"\nFAIL\t5(\tuser=.*)?\n$", out), (mech, resp,
                                                                  out)
        # Answers to other dialogues, and before one, are not listened to.
        assert ask_authd(mta, hello, b"CONT\t1\tYQ==\nCANCEL\t9\n").endswith(
            b"DONE\n")
        assert login(mta, plain("no such user", "x"))[0] in (454, 535)
        assert "panic" not in mta.log() and "fatal" not in mta.log()


def test_authd_is_no_dovecot():
    """Whoever listens on private/auth is asked, not authd; on another path
    authd is not asked at all."""
    with postrider.Instance(main=settings("private/auth")) as mta:
        real = os.path.join(mta.queue_directory, "private/auth")
        assert not os.path.exists(real)
        with AuthServer(path=real) as auth:
            assert login(mta)[0] == 235
            # It is down, its socket is still there.
            auth.sock.shutdown(socket.SHUT_RDWR)
            auth.sock.close()
            auth.drop_clients()
            assert login(mta)[0] == 454
            assert not mta.pids("authd")
        assert login(mta)[0] in (454, 535)
        assert mta.pids("authd")
    with postrider.Instance(main=settings("private/other")) as mta:
        assert login(mta)[0] == 454
        assert not mta.pids("authd")
