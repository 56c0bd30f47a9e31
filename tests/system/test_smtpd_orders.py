# SPDX-License-Identifier: MIT
"""Commands in every order. Whatever the order, smtpd answers each command with
one reply, stays alive, and queues only what has a sender, a recipient, and a
content that it accepted."""
import itertools
import random
import re
import socket

import pytest

import postrider

# Words of a sequence: what is sent, and how many replies it gets. A refusal
# of each is among them.
WORDS = {
    "MAIL": b"MAIL FROM:<a@remote.example>\r\n",
    "mail": b"MAIL FROM:<refused@remote.example>\r\n",
    "MAIL8": "MAIL FROM:<é@remote.example> SMTPUTF8\r\n".encode(),
    "RCPT": b"RCPT TO:<alice@example.com>\r\n",
    "rcpt": b"RCPT TO:<nobody@example.com>\r\n",
    "DATA": b"DATA\r\n",
    "BDAT": b"BDAT 14\r\nSubject: NOOP\n",
    "bdat": b"BDAT 2001\r\n" + b"QUIT\r\n" * 333 + b"xyz",
    "LAST": b"BDAT 8 LAST\r\n\r\nNOOP\r\n",
    "BDAT0": b"BDAT 0\r\n",
    "LAST0": b"BDAT 0 LAST\r\n",
    "RSET": b"RSET\r\n",
    "VRFY": b"VRFY alice\r\n",
    "VRFY8": "VRFY é@example.com\r\n".encode(),
    "EHLO": b"EHLO client.example\r\n",
    "helo": b"EHLO refused.example\r\n",
    "STARTTLS": b"STARTTLS\r\n",
    "AUTH": b"AUTH PLAIN AGEAYg==\r\n",
    "XCLIENT": b"XCLIENT NAME=client.example HELO=x.example\r\n",
    "xclient": b"XCLIENT NAME=a..b\r\n",
    "XFORWARD": b"XFORWARD NAME=client.example IDENT=1\r\n",
}
CORE = ("MAIL", "RCPT", "DATA", "BDAT", "LAST", "BDAT0", "LAST0", "RSET",
        "VRFY8", "EHLO", "XCLIENT", "mail", "bdat")
CONTENT = b"Subject: x\r\n\r\nRSET\r\n.\r\n"


@pytest.fixture(scope="module")
def server():
    with postrider.Instance(main={
            "myhostname": "mx.example.com",
            "mydestination": "example.com",
            "local_recipient_maps": "inline:{alice=1}",
            "defer_transports": "local",
            "message_size_limit": "2000",
            "smtpd_helo_restrictions":
                "check_helo_access inline:{refused.example=REJECT}",
            "smtpd_sender_restrictions":
                "check_sender_access inline:{refused@remote.example=REJECT}",
            "smtpd_delay_reject": "no",
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
            "smtpd_error_sleep_time": "0",
            "smtpd_junk_command_limit": "1000000",
            "smtpd_soft_error_limit": "1000000",
            "smtpd_hard_error_limit": "1000000",
            "smtpd_client_connection_count_limit": "0",
    }) as mta:
        yield mta


class Talk:
    """A connection over which sequences run, one after the other."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        self.file = self.sock.makefile("rb")
        assert self.reply() == "220"

    def reply(self):
        """The code of the next reply, "" at the end."""
        while True:
            line = self.file.readline()
            if not line:
                return ""
            assert re.match(rb"\d\d\d[ -][^\r\n]*\r\n$", line), line
            if line[3:4] == b" ":
                self.last = line
                return line[:3].decode()

    def close(self):
        self.file.close()
        self.sock.close()


class Model:
    """What the sequence may have come to."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.mail = self.chunks = False
        self.rcpts = 0

    def check(self, word, code, line):
        assert code[0] in "245", (word, line)
        assert code not in ("421", "521"), (word, line)
        if b"queued as" in line:
            assert word in ("LAST", "LAST0", "CONTENT"), (word, line)
            assert self.mail and self.rcpts, (word, line)
        if word in ("RSET", "EHLO", "XCLIENT", "LAST", "LAST0", "CONTENT"):
            if word in ("EHLO", "RSET"):
                assert code == "250", (word, line)
            if word != "XCLIENT" or code == "220":
                self.reset()
        elif word in ("MAIL", "MAIL8", "mail") and code == "250":
            assert not self.mail and not self.chunks, (word, line)
            self.mail = True
        elif word in ("RCPT", "rcpt") and code == "250":
            assert self.mail and not self.chunks, (word, line)
            self.rcpts += 1
        elif word in ("BDAT", "BDAT0", "bdat"):
            if code == "250":
                assert self.rcpts, (word, line)
            self.chunks = True


def run(talk, words):
    """Send the words that need no answer together, then check what came."""
    model = Model()
    model_words = []
    out = b""
    for word in ("RSET",) + tuple(words) + ("RSET",):
        out += WORDS[word]
        model_words.append(word)
        if word != "DATA":
            continue
        # 354 asks for the content; a refusal must not get it.
        talk.sock.sendall(out)
        for name in model_words:
            code = talk.reply()
            if name == "DATA" and code == "354":
                assert model.rcpts and not model.chunks
                talk.sock.sendall(CONTENT)
                model.check("CONTENT", talk.reply(), talk.last)
            else:
                model.check(name, code, talk.last)
        out, model_words = b"", []
    talk.sock.sendall(out)
    for name in model_words:
        model.check(name, talk.reply(), talk.last)


def survives(server, sequences):
    talk = Talk(server.port)
    for words in sequences:
        try:
            run(talk, words)
        except (AssertionError, OSError) as err:
            raise AssertionError(f"{' '.join(words)}: {err!r}\n"
                                 + server.log()[-1500:]) from err
    talk.sock.sendall(b"QUIT\r\n")
    assert talk.reply() == "221"
    talk.close()
    assert "killed by signal" not in server.log()


def test_what_breaks_postfix(server):
    """Three orders that crash Debian's server, or confuse it."""
    survives(server, [
        ("MAIL", "RCPT", "BDAT0", "LAST0", "DATA", "MAIL", "RCPT", "DATA"),
        ("BDAT", "BDAT0", "LAST0", "LAST0", "DATA"),
        ("MAIL", "RCPT", "VRFY8", "DATA"),
        ("MAIL8", "RCPT", "VRFY8", "VRFY", "LAST"),
    ])


def test_all_short_orders(server):
    """With a transaction begun, and without one."""
    orders = []
    for n in (1, 2):
        orders += itertools.product(WORDS, repeat=n)
    orders += itertools.product(CORE, repeat=3)
    survives(server, orders)
    survives(server, [("MAIL", "RCPT") + order for order in orders])


def test_orders_of_four(server):
    survives(server, itertools.product(CORE[:9], repeat=4))


def test_long_random_orders(server):
    chance = random.Random(20240601)
    words = sorted(WORDS)
    survives(server, [chance.choices(words, k=chance.randint(5, 40))
                      for _ in range(400)])


def test_what_was_queued_is_whole(server):
    """Each message has the one content that some order may have given it."""
    queued = server.log().count("from=<")
    assert queued
    for message in server.queue()[:50]:
        text = server.run("postcat", "-bhq", message["queue_id"]).stdout
        assert text.count("Subject:") <= 1 or "NOOP" in text
        assert "QUIT" not in text
