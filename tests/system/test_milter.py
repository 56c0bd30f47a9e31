# SPDX-License-Identifier: MIT
"""Milters that misbehave: smtpd goes on, within bounds. What they may do is
in tests/peer/test_milter_oracle.py."""
import os
import socket
import struct
import tempfile
import threading
import time

import pytest

import buildtree
import postrider
from milter_script import Milter, add, address, body

MAIN = {
    "myhostname": "mx.example.com", "mydestination": "example.com",
    "local_recipient_maps": "", "defer_transports": "local smtp",
    "milter_connect_timeout": "1s", "milter_command_timeout": "1s",
    "milter_content_timeout": "1s",
}
BODY = b"Subject: x\r\n\r\nbody\r\n.\r\n"
UNAVAILABLE = (451, b"4.7.1 Service unavailable - try again later")


@pytest.fixture(name="folder")
def make_folder():
    """Where the mail owner can get at a socket."""
    with tempfile.TemporaryDirectory(prefix="postrider-test-") as folder:
        os.chmod(folder, 0o755)
        yield folder


@pytest.fixture(name="milter")
def make_milter(folder):
    milter = Milter(folder + "/m")
    milter.path = folder + "/m"
    yield milter
    milter.close()


def instance(milter, **more):
    main = dict(MAIN, smtpd_milters=f"unix:{milter.path}", **more)
    return postrider.Instance(main=main)


def send(mta, rcpts=("bob@example.com",), text=BODY):
    """The reply that ends it."""
    with mta.smtp(timeout=60) as client:
        client.ehlo("c")
        for line in ("MAIL FROM:<a@example.org>",
                     *(f"RCPT TO:<{r}>" for r in rcpts), "DATA"):
            got = client.docmd(line)
            if got[0] >= 400:
                return got
        client.send(text)
        return client.getreply()


def resident(mta):
    """The largest memory of its smtpd processes in MiB; 0 where a sanitizer
    keeps what was freed."""
    if "ASAN_OPTIONS" in os.environ:
        return 0
    most = 0
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                words = stat.read().rsplit(")", 1)[1].split()
            if int(words[3]) != mta.pid:  # the session
                continue
            with open(f"/proc/{pid}/status") as status:
                text = status.read()
            if "smtpd" in text.split("\n")[0]:
                most = max(most, *(int(line.split()[1]) for line in
                                   text.split("\n")
                                   if line.startswith("VmHWM")))
        except (OSError, ValueError, IndexError):
            continue
    return most / 1024


class Flood(threading.Thread):
    """A milter that agrees to all, and at the end sends packets of one kind
    until nobody reads them."""

    def __init__(self, path, packet):
        super().__init__(daemon=True)
        self.packet = struct.pack(">I", len(packet)) + packet
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        os.chmod(path, 0o666)
        self.listener.listen(5)
        self.path = path
        self.start()

    def run(self):
        sock = self.listener.accept()[0]
        file = sock.makefile("rb")
        while True:
            head = file.read(4)
            if len(head) < 4:
                return
            command = file.read(struct.unpack(">I", head)[0])[:1]
            try:
                if command == b"O":
                    sock.sendall(struct.pack(">I", 13) + b"O" + struct.pack(
                        ">III", 6, 0x1ff, 0))
                elif command == b"E":
                    while True:
                        sock.sendall(self.packet * 20)
                elif command not in b"DAQ":
                    sock.sendall(struct.pack(">I", 1) + b"c")
            except OSError:
                return


@pytest.mark.parametrize("name, packet, code", [
    ("headers", add("X-A", "v" * 60000), 552),
    ("small headers", add("X", ""), 552),
    ("body", body(b"0123456789abcdef\r\n" * 3000), 552),
    ("recipients", address("+", "<x@example.com>"), 451),
    ("progress", b"p", 451),
    ("senders", address("e", "<x@example.com>"), 451),
], ids=lambda value: value if isinstance(value, str) else "")
def test_flood(folder, name, packet, code):
    flood = Flood(folder + "/m", packet)
    with instance(flood, message_size_limit="1000000",
                  milter_content_timeout="3s") as mta:
        begun = time.monotonic()
        reply = send(mta)
        assert reply[0] == code, (name, reply, mta.log()[-1500:])
        assert time.monotonic() - begun < 45
        assert buildtree.SANITIZED or resident(mta) < 150
        assert not mta.queue()


GARBAGE = {"close": "close", "hang": "hang",
           "noise": ("raw", b"\xff" * 5000),
           "cut": ("raw", b"\0\0\0\5y"),
           "cut big": ("raw", b"\0\x1f\xff\xff" + b"b" * 100000)}
# Those that take a time limit are the same code at all stages.
BAD = [(stage, name) if name in ("close", "noise") or stage in "MB" else
       pytest.param(stage, name, marks=pytest.mark.slow)
       for stage in "OCHMRTLNBEU" for name in GARBAGE]


@pytest.mark.parametrize("stage, name", BAD)
def test_bad_answer(milter, stage, name):
    """The session ends in an orderly way, and the next one is as good as any."""
    answer = GARBAGE[name]
    with instance(milter) as mta:
        milter.script = {stage: [[answer]]}
        if stage == "U":
            with mta.smtp() as client:
                client.ehlo("c")
                assert client.docmd("FOO") == UNAVAILABLE
                assert client.docmd("NOOP")[0] == 250
        else:
            assert send(mta) == UNAVAILABLE
        milter.script = {}
        assert send(mta)[0] == 250
        assert "panic" not in mta.log() and "signal" not in mta.log()


def test_connection_that_nobody_takes(folder):
    """The backlog is full: the time limit for connecting holds."""
    path = folder + "/m"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.chmod(path, 0o666)
        listener.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(str(path))
        main = dict(MAIN, smtpd_milters=f"{{ unix:{path}, "
                    "connect_timeout=1s, default_action=accept }")
        with postrider.Instance(main=main) as mta:
            begun = time.monotonic()
            assert send(mta)[0] == 250
            assert time.monotonic() - begun < 6
        for sock in waiting:
            sock.close()


def test_shutdown(milter):
    """As an answer, and as the default action: 421, and the end. Nothing is
    taken that is not kept."""
    with instance(milter, milter_default_action="shutdown") as mta:
        for script in ({"E": [["4"]]}, {"L": [["4"]]}, {"M": [["4"]]},
                       {"B": [["close"]]}, {"R": [["close"]]}):
            milter.script = script
            assert send(mta) == (421, b"4.7.0 Server closing connection")
        milter.script = {"C": [["close"]]}
        with socket.create_connection(("127.0.0.1", mta.port), 10) as sock:
            assert sock.makefile("rb").read() == \
                b"421 mx.example.com Service unavailable - try again later\r\n"
        assert not mta.queue()


def test_broken_map(milter):
    with instance(milter, smtpd_milter_maps="inline:{127.0.0.1=nonsense}") \
            as mta:
        with socket.create_connection(("127.0.0.1", mta.port), 10) as sock:
            assert sock.recv(100).startswith(b"421 ")
        mta.wait_log("smtpd_milter_maps: 127.0.0.1: milter endpoint is not")


def test_discard_after_changes(milter):
    with instance(milter) as mta:
        milter.script = {"E": [[add("X-A", "b"), body(b"x"), "d"]]}
        assert send(mta)[0] == 250
        mta.wait_log("milter-discard: END-OF-MESSAGE")
        assert not mta.queue()


def test_body_in_pieces(milter):
    """Pieces of a new body with other requests between them."""
    with instance(milter) as mta:
        milter.script = {"E": [[body(b"one\r"), add("X-A", "b"),
                                body(b"\ntwo\r\nlast"), "c"]]}
        assert send(mta)[0] == 250
        qid = mta.wait_queue(1)[0]["queue_id"]
        text = mta.run("postcat", "-bhq", qid).stdout
        assert text.endswith("X-A: b\n\none\ntwo\nlast\n"), text


def test_big_message(milter):
    """Beyond what is kept in memory; changed in front of a big body."""
    text = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 100000 + b".\r\n"
    with instance(milter, message_size_limit="0") as mta:
        milter.script = {"E": [[add("X-A", "b"), "c"]]}
        assert send(mta, text=text)[0] == 250
        lines = milter.take()
        assert sum(int(line.split()[1]) for line in lines
                   if line.startswith("B ")) == 1800000
        qid = mta.wait_queue(1)[0]["queue_id"]
        text = mta.run("postcat", "-bq", qid).stdout
        assert text.count("0123456789abcdef\n") == 100000
        assert resident(mta) < 100


def test_notices(milter):
    """internal_mail_filter_classes: non_smtpd_milters see notices."""
    main = dict(MAIN, non_smtpd_milters=f"unix:{milter.path}",
                internal_mail_filter_classes="bounce", defer_transports="smtp")
    milter.script = {"E": [[add("X-Seen", "yes"), "c"]] * 2}
    with postrider.Instance(main=main) as mta:
        assert send(mta, ["nobody-here@example.com"])[0] == 250
        mta.wait_log("sender non-delivery notification")
        lines = milter.take()
        assert any(line.startswith("C localhost") for line in lines), lines
        assert any(line.startswith("M b'\\x00'") for line in lines), lines
        qid = mta.wait_queue(1)[0]["queue_id"]
        assert "X-Seen: yes" in mta.run("postcat", "-hq", qid).stdout


def test_misspelt_list():
    """It is an error at start, and names what is wrong."""
    mta = postrider.Instance(main=dict(MAIN, smtpd_milters="inet:nowhere"))
    try:
        mta.start()
        with socket.create_connection(("127.0.0.1", mta.port), 10) as sock:
            sock.settimeout(1)
            try:
                sock.recv(100)
            except OSError:
                pass
        mta.wait_log('smtpd_milters: milter endpoint needs host:port: '
                     '"nowhere"')
    except RuntimeError as error:
        assert "host:port" in str(error)
    finally:
        mta.close()
