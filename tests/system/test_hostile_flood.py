# SPDX-License-Identifier: MIT
"""Clients that want to use up what a server has: connections, time, memory.
What a process holds is measured, beside what the client reads."""
import re
import resource
import socket
import threading
import time

import pytest

import postrider
from auth_server import AuthServer, b64
from buildtree import PATIENCE, SANITIZED
from measure import (descriptors, most_private_kib, private_kib, pss_kib,
                     workers)

MAIN = {
    "myhostname": "mx.example.com", "mydestination": "example.com",
    "local_recipient_maps": "", "defer_transports": "local smtp",
    "smtpd_error_sleep_time": "0",
    "smtpd_client_connection_count_limit": "0",
}
SMALL = 4000  # KiB: a process that keeps nothing of what comes in
MIB = b"x" * (1 << 20)


def instance(limit="-", **main):
    port = postrider.free_port()
    return postrider.Instance(main=dict(MAIN, **main), port=port, master={
        "smtp inet": f"127.0.0.1:{port} inet n - n - {limit} smtpd"})


class Client:
    def __init__(self, mta, timeout=60):
        self.sock = socket.create_connection(("127.0.0.1", mta.port),
                                             timeout * PATIENCE)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        assert self.reply().startswith("220 ")
        assert self("EHLO c.example").startswith("250 ")
        return self

    def __exit__(self, *exc):
        self.file.close()
        self.sock.close()

    def reply(self):
        line = self.file.readline()
        while line[3:4] == b"-":
            line = self.file.readline()
        return line.decode().rstrip("\r\n")

    def __call__(self, line):
        self.sock.sendall(line.encode() + b"\r\n")
        return self.reply()

    def begin(self):
        assert self("MAIL FROM:<a@remote.example>").startswith("250 ")
        assert self("RCPT TO:<b@example.com>").startswith("250 ")

    def data(self):
        self.begin()
        assert self("DATA").startswith("354 ")


def serves(mta):
    with Client(mta) as c:
        assert c("QUIT").startswith("221 ")
    log = mta.log()
    assert "panic" not in log and "killed by" not in log, log[-2000:]


def drop_queue(mta):
    """What is on its way through the queue is not found at once."""
    deadline = time.monotonic() + 20 * PATIENCE
    while mta.queue():
        mta.command("postsuper", "-d", "ALL")
        assert time.monotonic() < deadline


# ---- connections ----

@pytest.mark.slow
def test_two_thousand_idle_connections():
    want = 100 if SANITIZED else 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < want * 2:
        pytest.skip("too few descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, want * 2), hard))
    clients = []
    try:
        with instance(limit=want + 10) as mta:
            serves(mta)
            parent = mta.pids("smtpd")[0]
            before = descriptors(parent)
            for _ in range(want):
                c = Client(mta, timeout=120)
                clients.append(c)
            for c in clients:
                c.sock.sendall(b"EHLO c.example\r\n")
            for c in clients:
                assert c.reply().startswith("220 ")
                assert c.reply().startswith("250 ")
            serves(mta)
            pids = workers(mta)
            assert want <= len(pids) <= want + 10
            some = pids[::50]
            private = max(private_kib(pid) for pid in some)
            pss = max(pss_kib(pid) for pid in some)
            print(f"{want} idle: private {private} KiB, pss {pss} KiB each")
            assert private < 300
            assert pss < 400
            assert max(descriptors(pid) for pid in some) < 32
            for c in clients:
                c.sock.close()
                c.file.close()
            clients = []
            for _ in range(20):
                serves(mta)
            # One descriptor a worker at most, and none of a client.
            assert descriptors(parent) <= before + want + 10
    finally:
        for c in clients:
            c.sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_idle_connections_beyond_the_process_limit():
    """They wait in the queue of the socket, and cost no process."""
    with instance(limit=5) as mta:
        clients = [Client(mta) for _ in range(40)]
        for c in clients[:5]:
            assert c.reply().startswith("220 ")
        time.sleep(0.3)
        assert len(workers(mta)) == 5
        assert descriptors(mta.pids("smtpd")[0]) < 40
        for c in clients:  # each gets its turn
            if c not in clients[:5]:
                assert c.reply().startswith("220 ")
            c.__exit__()
        serves(mta)
        assert len(workers(mta)) <= 5


# ---- time ----

@pytest.fixture(scope="module")
def deadline():
    with instance(smtpd_per_request_deadline="yes", smtpd_timeout="2s",
                  smtpd_min_data_rate="1000") as mta:
        yield mta


def chunk(c):
    c.begin()
    c.sock.sendall(b"BDAT 100000 LAST\r\n")


# How it begins, and what the log says of its end.
SLOW = {
    "command": (lambda c: c.sock.sendall(b"NOOP "), "timeout after EHLO from"),
    "DATA": (Client.data, r"timeout after DATA \(\d+ bytes\) from"),
    "BDAT": (chunk, r"timeout after BDAT( \(\d+ bytes\))? from"),
}
LAST_WORD = "421 4.4.2 mx.example.com Error: timeout exceeded"


def over(c):
    """Has the server said something, or gone?"""
    try:
        c.sock.setblocking(False)
        c.sock.recv(1, socket.MSG_PEEK)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        c.sock.settimeout(20 * PATIENCE)


def test_slow_drip(deadline):
    """A byte now and then keeps nobody busy beyond the deadline; who sends at
    the rate that is wanted goes on for longer."""
    clients = {name: Client(deadline).__enter__() for name in (*SLOW, "fast")}
    fast = clients.pop("fast")
    for name, c in clients.items():
        SLOW[name][0](c)
    fast.data()
    fast.sock.sendall(b"Subject: x\r\n\r\n")
    ended, times = {}, 0
    while times < 13 or len(ended) < len(SLOW):
        times += 1
        assert times < 60 * PATIENCE, ended
        for name, c in clients.items():
            if name not in ended and over(c):
                ended[name] = times
            elif name not in ended:
                c.sock.sendall(b"x")
        fast.sock.sendall(b"0123456789abcdef" * 40 + b"\r\n")
        time.sleep(0.2)
    assert not over(fast)
    assert fast(".").startswith("250 2.0.0 Ok: queued")
    for name, c in clients.items():
        assert c.reply() == LAST_WORD
        assert c.reply() == ""
        deadline.wait_log(SLOW[name][1])
        c.__exit__()
    fast.__exit__()
    serves(deadline)
    drop_queue(deadline)


UNREAD = [b"NOOP\r\n", b"EHLO c.example\r\n",
          b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d.example>\r\nRSET\r\n",
          b"VRFY " + b"v" * 900 + b"\r\n", b"BDAT 1\r\nx"]


@pytest.mark.slow
def test_replies_that_nobody_reads():
    """The server waits with its next read until they are taken, in the given
    time, and keeps a bounded number of them."""
    with instance(limit=len(UNREAD), smtpd_timeout="2s",
                  smtpd_junk_command_limit="100000000",
                  smtpd_soft_error_limit="100000000",
                  smtpd_hard_error_limit="100000000") as mta:
        clients = [Client(mta) for _ in UNREAD]
        for c in clients:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.sock.settimeout(0.3)
        for c, line in zip(clients, UNREAD):
            sent, block = 0, line * (65536 // len(line))
            try:
                while sent < 400 << 20:
                    sent += c.sock.send(block)
            except OSError:  # nobody reads any more, or it is over
                pass
            # It stopped to read long before: this lies in the kernel.
            assert sent < 100 << 20
        pids = workers(mta)
        assert pids and max(map(private_kib, pids)) < SMALL
        mta.wait_log("disconnect from", count=len(clients))
        assert len(re.findall(r"timeout after \w+ from", mta.log())) == \
            len(clients)
        for c in clients:
            c.__exit__()
        serves(mta)


# ---- memory ----

def pour(mta, c, first, piece, total, most=SMALL):
    """Send total bytes; returns the most KiB of any worker meanwhile."""
    worst = 0
    c.sock.sendall(first)
    for at in range(0, total, len(piece)):
        c.sock.sendall(piece)
        if at % (8 << 20) < len(piece):
            worst = max(worst, most_private_kib(mta))
            assert worst < most, worst
    return worst


@pytest.fixture(scope="module")
def sized():
    with instance() as mta:
        yield mta


@pytest.fixture(scope="module")
def unlimited():
    with instance(message_size_limit="0", header_size_limit="102400") as mta:
        yield mta


BIG = (20 if SANITIZED else 200) << 20


@pytest.mark.parametrize("verb", [b"", b"NOOP ", b"MAIL FROM:<",
                                  b"EHLO "])
def test_command_line_of_200_mb(sized, verb):
    with Client(sized) as c:
        pour(sized, c, verb, MIB, BIG)
        assert c("").startswith(("250 ", "50"))
        assert c("NOOP") == "250 2.0.0 Ok"
    serves(sized)


LINES = {"header": b"", "value": b"X-A: ", "body": b"Subject: x\r\n\r\n",
         "word": b"To: ", "type": b"Content-Type: "}


@pytest.mark.parametrize("where", list(LINES))
@pytest.mark.parametrize("bdat", [False, True])
def test_content_line_of_200_mb(sized, where, bdat):
    with Client(sized) as c:
        if bdat:
            c.begin()
            first = b"BDAT %d LAST\r\n" % (len(LINES[where]) + BIG)
        else:
            c.data()
            first = b""
        pour(sized, c, first + LINES[where], MIB, BIG)
        if not bdat:
            c.sock.sendall(b"\r\n.\r\n")
        assert c.reply().startswith("552 5.3.4 ")
        assert c("NOOP") == "250 2.0.0 Ok"
    serves(sized)
    assert sized.queue() == []


@pytest.mark.slow
@pytest.mark.parametrize("where", list(LINES))
def test_content_line_of_200_mb_without_a_limit(unlimited, where):
    """It is kept, but on disk."""
    with Client(unlimited) as c:
        c.data()
        pour(unlimited, c, LINES[where], MIB, BIG, 10000)
        assert c("\r\n.").startswith("250 2.0.0 Ok: queued")
    drop_queue(unlimited)
    serves(unlimited)


HEADERS = {
    "many": b"X-A: b\r\n" * 1000,
    "folded": b" folded\r\n" * 1000,
    "names": b"".join(b"X-%d: b\r\n" % i for i in range(1000)),
    "to": b"To: a@b, c@d, e@f\r\n" * 1000,
    "received": b"Received: from a by b; today\r\n" * 1000,
    "mime": b"Content-Type: multipart/mixed; boundary=a\r\n" * 1000,
}


@pytest.mark.parametrize("limit, name", [
    (limit, name) if limit == "sized" and name != "to" else
    pytest.param(limit, name, marks=pytest.mark.slow)
    for limit in ("sized", "unlimited") for name in HEADERS])
def test_endless_headers(request, name, limit):
    mta = request.getfixturevalue(limit)
    with Client(mta) as c:
        c.data()
        pour(mta, c, b"X-First: x\r\n", HEADERS[name] * 16,
             (13 if limit == "sized" else 25) << 20, 10000)
        reply = c(".")
        assert reply.startswith(
            "552 5.3.4 " if limit == "sized" else ("250 ", "554 5.4.0 "))
    drop_queue(mta)
    serves(mta)


def test_endless_parts(sized):
    """Of a content that nests, with boundaries that are all to be kept."""
    with Client(sized) as c:
        c.data()
        part = (b"Content-Type: multipart/mixed; boundary=%06d" + b"b" * 900
                + b"\r\n\r\n--%06d" + b"b" * 900 + b"\r\n")
        for i in range(6500):
            c.sock.sendall(part % (i, i))
            if i % 1000 == 999:
                assert most_private_kib(sized) < SMALL
        assert c("\r\n.").startswith("552 5.3.4 ")
    serves(sized)


# ---- recipients ----

def send_recipients(c, count):
    """Without waiting for replies, in another thread."""
    def send():
        try:
            for at in range(0, count, 500):
                c.sock.sendall(b"".join(
                    b"RCPT TO:<user%d@example.com>\r\n" % i
                    for i in range(at, at + 500)))
        except OSError:
            pass
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_recipients_beyond_the_limit(sized):
    with Client(sized) as c:
        assert c("MAIL FROM:<a@remote.example>").startswith("250 ")
        send_recipients(c, 1500).join()
        for _ in range(1000):
            assert c.reply() == "250 2.1.5 Ok"
        for _ in range(500):
            assert c.reply() == "452 4.5.3 Error: too many recipients"
        thread = send_recipients(c, 98500)
        assert most_private_kib(sized) < SMALL
        try:  # commands that nobody reads any more reset the connection
            while c.reply():
                pass
        except ConnectionResetError:
            pass
    thread.join()
    # Within the overshoot limit a refusal is no error; then they count.
    sized.wait_log("too many errors after RCPT from ")
    sized.wait_log(" mail=1 rcpt=2000/2020 ")
    serves(sized)
    assert sized.queue() == []


@pytest.mark.slow
def test_hundred_thousand_recipients():
    """All are taken: what they are is kept, in less than 1 KiB each."""
    count = 100000
    with instance(smtpd_recipient_limit=str(count)) as mta:
        with Client(mta) as c:
            assert c("MAIL FROM:<a@remote.example>").startswith("250 ")
            thread = send_recipients(c, count)
            for _ in range(count):
                assert c.reply() == "250 2.1.5 Ok"
            thread.join()
            assert c("RCPT TO:<one@example.com>").startswith("452 4.5.3 ")
            assert c("DATA").startswith("354 ")
            assert c("Subject: x\r\n\r\nx\r\n.").startswith("250 ")
            assert most_private_kib(mta) < count
        serves(mta)
        assert most_private_kib(mta, "qmgr") < 2 * count
        queued = mta.wait_queue(1, timeout=60)
        assert len(queued[0]["recipients"]) == count


# ---- AUTH ----

def test_auth_flood():
    """One connection and many: the back end sees one connection a worker, and
    neither memory nor descriptors grow."""
    bad = ("AUTH PLAIN " + b64("\0alice\0wrong") + "\r\n").encode()
    with AuthServer() as auth, instance(
            limit=4, smtpd_sasl_auth_enable="yes", smtpd_sasl_type="dovecot",
            smtpd_sasl_path=f"inet:127.0.0.1:{auth.port}",
            smtpd_hard_error_limit="1000000",
            smtpd_soft_error_limit="1000000") as mta:
        sizes = []
        with Client(mta) as c:
            for _ in range(4):
                c.sock.sendall((bad + b"AUTH LOGIN\r\n*\r\n"
                                + b"AUTH NONE\r\n") * 250)
                for _ in range(250):
                    assert c.reply().startswith("535 5.7.8 ")
                    assert c.reply().startswith("334 ")
                    assert c.reply().startswith("501 5.7.0 ")
                    assert c.reply().startswith("535 5.7.8 ")
                pid = max(workers(mta), key=private_kib)
                sizes.append((private_kib(pid), descriptors(pid)))
        assert sizes[-1][0] <= sizes[0][0] + 60, sizes
        assert sizes[-1][1] == sizes[0][1], sizes
        for _ in range(60):
            c = Client(mta)
            c.sock.sendall(b"EHLO c.example\r\n" + bad * 5)
            c.__exit__()
        serves(mta)
        assert len(workers(mta)) <= 4
        assert max(descriptors(p) for p in workers(mta)) <= sizes[0][1] + 1
        assert most_private_kib(mta) < SMALL
