# SPDX-License-Identifier: MIT
"""smtpd_proxy_filter: what the filter is told, what becomes of what it says,
and that a filter that fails costs no mail and no server."""
import re
import socket
import time

import pytest

import postrider
from smtp_script import DROP, HANG, SmtpScript

XFORWARD = ("250-{host}\n250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\n"
            "250 8BITMIME")
FAILED = "451 4.3.0 Error: queue file write error"


class Case:
    """A server with a scripted filter, and a client at the server."""

    def __init__(self, main=None, down=False, **script):
        self.filter = SmtpScript(**script).start()
        port = postrider.free_port() if down else self.filter.port
        self.mta = postrider.Instance(main=dict({
            "myhostname": "mx.example.com",
            "mydestination": "example.com",
            "local_recipient_maps": "inline:{alice=1, bob=1}",
            "smtpd_peername_lookup": "no",
            "smtpd_error_sleep_time": "0",
            "smtpd_proxy_filter": f"inet:127.0.0.1:{port}",
        }, **(main or {})))

    def __enter__(self):
        self.mta.start()
        self.sock = socket.create_connection(("127.0.0.1", self.mta.port), 20)
        self.file = self.sock.makefile("rb")
        self.reply()
        return self

    def __exit__(self, *exc):
        self.file.close()
        self.sock.close()
        self.mta.close()
        self.filter.stop()

    def reply(self):
        lines = []
        while not lines or lines[-1][3:4] == "-":
            lines.append(self.file.readline().decode().rstrip("\r\n"))
        return "\n".join(lines)

    def __call__(self, *commands):
        got = ""
        for command in commands:
            self.sock.sendall(command.encode() + b"\r\n")
            got = self.reply()
        return got

    def send(self, *rcpts):
        self("EHLO client.example", "MAIL FROM:<me@remote.example> SIZE=99")
        for rcpt in rcpts or ("alice@example.com",):
            got = self(f"RCPT TO:<{rcpt}> NOTIFY=NEVER")
        if not got.startswith("250"):
            return got
        got = self("DATA")
        if not got.startswith("354"):
            return got
        return self("Subject: x\r\n\r\n..dot\nbare\r\n.")


BOTH = pytest.mark.parametrize("options", ["", "speed_adjust"])


@BOTH
def test_filter_hears_the_clients_words(options):
    with Case({"smtpd_proxy_options": options}) as case:
        assert case.send("alice@example.com", "bob@example.com") == \
            "250 2.0.0 Ok: queued as ABC123"
        assert case("RSET") == "250 2.0.0 Ok"
        case("QUIT")
        # It hears the last one after we have our answer.
        deadline = time.monotonic() + 10
        while ("QUIT" not in case.filter.commands and
               time.monotonic() < deadline):
            time.sleep(0.02)
        assert case.filter.commands == [
            "EHLO mx.example.com",
            "MAIL FROM:<me@remote.example> SIZE=99",
            "RCPT TO:<alice@example.com> NOTIFY=NEVER",
            "RCPT TO:<bob@example.com> NOTIFY=NEVER", "DATA", "QUIT"]
        content = case.filter.messages[0].data
        assert re.match(rb"Received: from client.example \(unknown "
                        rb"\[127.0.0.1\]\)\r\n\tby mx.example.com \(Postfix\) "
                        rb"with ESMTP;\r\n\t[^\r\n]+\r\nSubject: x\r\n\r\n"
                        rb"\.\.dot\r\nbare\r\n$", content), content
        case.mta.wait_log(
            "proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as ABC123; "
            "from=<me@remote.example> to=<alice@example.com> proto=ESMTP "
            "helo=<client.example>")
        assert case.mta.queue() == []


@BOTH
@pytest.mark.parametrize("script, want", [
    ({"eod": "554 5.7.1 virus"}, "554 5.7.1 virus"),
    ({"eod": "550-5.7.1 one\n550 5.7.1 two"}, "550-5.7.1 one\n550 5.7.1 two"),
    ({"data": "554 5.0.0 no data"}, "554 5.0.0 no data"),
    ({"rcpt": "450 4.1.1 later"}, "450 4.1.1 later"),
    ({"mail": "550 5.7.1 no mail"}, "550 5.7.1 no mail"),
    ({"mail": "421 4.7.1 go away"}, "421 4.7.1 go away"),
    ({"data": "250 what"}, FAILED),
    ({"mail": "354 what"}, FAILED),
    ({"rcpt": "999 what"}, FAILED),
    ({"eod": "hello"}, FAILED),
    ({"ehlo": "250-\x00\n502 no"}, FAILED),
    ({"ehlo": "250-x\n" * 1000 + "250 x"}, FAILED),
    ({"banner": "220 " + "x" * 100000}, None),
    ({"banner": DROP}, FAILED),
    ({"rcpt": DROP}, FAILED),
    ({"eod": DROP}, FAILED),
    ({"eod": HANG}, FAILED),
    ({"banner": HANG}, FAILED),
    ({"down": True}, FAILED),
], ids=lambda v: re.sub(r"\W+", "-", str(v))[:30])
def test_what_the_filter_says_is_what_the_client_reads(options, script, want):
    with Case({"smtpd_proxy_options": options, "smtpd_proxy_timeout": "1s"},
              **script) as case:
        got = case.send()
        if want is not None:
            assert got == want
        if not got.startswith("421"):
            assert case("NOOP") == "250 2.0.0 Ok"
        assert "killed by signal" not in case.mta.log()
        assert case.mta.queue() == []


def test_xforward_to_the_filter():
    with Case({"smtpd_authorized_xforward_hosts": "127.0.0.0/8"},
              ehlo=XFORWARD, xforward="250 2.0.0 Ok") as case:
        case.send()
        assert case("XFORWARD NAME=n.example ADDR=192.0.2.9 IDENT=I") == \
            "250 2.0.0 Ok"
        case.send()
        got = [re.sub(r"PORT=\d+", "PORT=1", c) for c in case.filter.commands
               if c.startswith("XFORWARD")]
        assert got[0] == (
            "XFORWARD NAME=[UNAVAILABLE] ADDR=127.0.0.1 PORT=1 "
            "HELO=client.example IDENT=[UNAVAILABLE] PROTO=ESMTP SOURCE=LOCAL")


def test_through_a_filter_into_a_second_server():
    """The setup of the manual: the filter's way back is a server of ours."""
    with postrider.Instance(main={
            "myhostname": "after.example.com", "mydestination": "example.com",
            "local_recipient_maps": "", "defer_transports": "local",
            "smtpd_authorized_xforward_hosts": "127.0.0.0/8"}) as after:
        with Case({"smtpd_proxy_filter": f"127.0.0.1:{after.port}"}) as case:
            assert case.send().startswith("250 2.0.0 Ok: queued as ")
            message = after.wait_queue(1)[0]
            text = after.command("postcat", "-bhq", message["queue_id"]).stdout
            assert text.count("Received: ") == 2
            assert ".dot\nbare\n" in text
            after.wait_log(r"client=.*\[127.0.0.1\], "
                           r"orig_client=unknown\[127.0.0.1\]")
