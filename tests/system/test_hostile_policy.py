# SPDX-License-Identifier: MIT
"""Policy servers that hang, die, or answer garbage, at each step of a session:
the step gets a temporary error, the session goes on, the next one is as good
as any, and nothing is left open."""
import os
import re
import socket

import pytest

import postrider
from measure import descriptors, private_kib, workers
from policy_server import HANG, Cut, PolicyServer

BAD = {
    "hang": HANG,
    "close": None,
    "cut": Cut(b"action=REJ"),
    "half": Cut(b"action=REJECT\n"),
    "silent half": b"action=REJECT\n",
    "empty": b"\n\n",
    "no action": b"reaction=REJECT\n\n",
    "no value": b"action\n\n",
    "no name": b"=DUNNO\n\n",
    "noise": bytes(range(256)) * 20 + b"\n\n",
    "zeros": b"\0" * 5000 + b"\n\n",
    "ff": b"\xff" * 5000 + b"\n\n",
    "smtp": b"220 mx.example.com ESMTP\r\n\r\n",
    "endless": b"x" * 2000000,
    "endless lines": b"a=b\n" * 500000,
    "unknown action": b"action=BOGUS now\n\n",
    "long action": b"action=REJECT " + b"x" * 60000 + b"\n\n",
    "controls": b"action=REJECT a\rb\x1b[2Jc\x07\n\n",
    "two lines": b"action=550 a\r\n250 ok\n\n",
    "bad redirect": b"action=REDIRECT \n\n",
    "bad filter": b"action=FILTER nonsense\n\n",
    "bad prepend": b"action=PREPEND nonsense\n\n",
    "recursive": b"action=check_policy_service nonsense\n\n",
    "restriction": b"action=reject_nosuch\n\n",
}
SLOW = {"hang", "silent half", "smtp"}  # each costs the time limit
STEPS = {"CONNECT": "client", "EHLO": "helo", "MAIL": "sender",
         "RCPT": "recipient", "DATA": "data", "END-OF-MESSAGE": "end_of_data",
         "ETRN": "etrn"}
SERVICE = "check_policy_service "


@pytest.fixture(scope="module")
def pair():
    with PolicyServer() as server:
        main = {"myhostname": "mx.example.com",
                "mydestination": "example.com", "local_recipient_maps": "",
                "defer_transports": "local smtp", "smtpd_delay_reject": "no",
                "smtpd_error_sleep_time": "0",
                "smtpd_policy_service_timeout": "1s",
                "smtpd_policy_service_try_limit": "1",
                "smtpd_policy_service_retry_delay": "1s",
                "default_process_limit": "20"}
        for step in STEPS.values():
            main[f"smtpd_{step}_restrictions"] = (
                SERVICE + f"unix:{server.path}")
        with postrider.Instance(main=main) as mta:
            yield server, mta


class Talk:
    def __init__(self, mta):
        self.sock = socket.create_connection(("127.0.0.1", mta.port), 60)
        self.file = self.sock.makefile("rb")

    def reply(self):
        """One well-formed reply."""
        while True:
            line = self.file.readline()
            assert re.match(rb"[2345]\d\d[ -][^\r\n\0\x07\x1b]*\r\n\Z",
                            line), line
            assert len(line) < 65536
            if line[3:4] == b" ":
                return line.decode("utf-8", "replace")

    def __call__(self, line):
        self.sock.sendall(line + b"\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.sock.close()


COMMANDS = (("EHLO", b"EHLO c.example"), ("ETRN", b"ETRN example.com"),
            ("MAIL", b"MAIL FROM:<a@remote.example>"),
            ("RCPT", b"RCPT TO:<b@example.com>"),
            ("DATA", b"DATA"),
            ("END-OF-MESSAGE", b"Subject: x\r\n\r\nx\r\n."))


def session(mta):
    """Code by step; what follows a refusal may be refused as well."""
    talk = Talk(mta)
    got = {"CONNECT": talk.reply()}
    for step, line in COMMANDS:
        if step == "END-OF-MESSAGE" and got["DATA"][:3] != "354":
            break
        got[step] = talk(line)
    # A client that was refused may only leave.
    assert talk(b"RSET")[:3] == ("250" if got["CONNECT"][0] == "2" else "503")
    assert talk(b"QUIT").startswith("221 ")
    talk.close()
    return got


def holds(mta):
    pids = workers(mta)
    return (max(map(descriptors, pids)), max(map(private_kib, pids)))


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name in BAD])
def test_bad_answer_at_each_step(pair, name):
    server, mta = pair
    session(mta)
    before = holds(mta)
    for step in STEPS:
        def answer(request, _, step=step):
            state = dict(f for f in request if len(f) == 2)["protocol_state"]
            return BAD[name] if state == step else b"action=DUNNO\n\n"

        server.answer = answer
        asked = len(server.requests)
        got = session(mta)
        states = [re.search("protocol_state=(.*)", text)[1]
                  for _, text in server.requests[asked:]]
        assert step in states, (states, got)
        if name not in ("unknown action", "long action", "controls",
                        "two lines", "bad redirect", "bad filter",
                        "bad prepend", "recursive", "restriction"):
            assert got[step].startswith("451 4.3.5 "), (step, got)
        else:
            assert got[step][0] in "2345"
        server.answer = lambda request, _: b"action=DUNNO\n\n"
        good = session(mta)
        assert good["END-OF-MESSAGE"].startswith("250 2.0.0 Ok: queued"), good
    after = holds(mta)
    assert after[0] <= before[0] + 1, (before, after)
    assert after[1] < 4000, (before, after)
    log = mta.log()
    assert "panic" not in log and "killed by" not in log
    assert "\x1b" not in log and "\x07" not in log


def test_server_that_is_gone_at_each_step(pair):
    """No socket, a socket nobody listens to, and a connection that was closed
    between two requests."""
    server, mta = pair
    server.answer = lambda request, _: b"action=DUNNO\n\n"
    for count in range(1, len(STEPS) + 1):
        begun = len(server.requests)

        def answer(request, n, last=begun + count):
            return Cut(b"action=DUNNO\n\n") if n + 1 == last else \
                b"action=DUNNO\n\n"

        server.answer = answer
        # It is made again, unless it ended while it was asked.
        for step, line in session(mta).items():
            assert line.startswith(("2", "354 ", "451 4.3.5 ", "503 ", "459 ",
                                    "554 5.5.1 ")), (step, line)
    server.answer = lambda request, _: b"action=DUNNO\n\n"
    os.rename(server.path, server.path + ".away")
    server.drop()
    try:
        got = session(mta)
        assert got["CONNECT"].startswith("451 4.3.5 ")
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.bind(server.path)
            os.chmod(server.path, 0o666)
            assert session(mta)["CONNECT"].startswith("451 4.3.5 ")
            os.unlink(server.path)
    finally:
        os.rename(server.path + ".away", server.path)
    assert session(mta)["END-OF-MESSAGE"].startswith("250 2.0.0 ")
