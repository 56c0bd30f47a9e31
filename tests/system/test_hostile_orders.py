# SPDX-License-Identifier: MIT
"""Commands in every order around a real STARTTLS, with AUTH that succeeds.
Whatever came before the handshake is forgotten: nothing that was said in the
clear counts after it."""
import itertools
import random
import socket
import ssl

import pytest

import postrider
import test_smtpd_orders as orders
import tls_ca
from auth_server import AuthServer, b64
from buildtree import PATIENCE
from measure import descriptors, private_kib, workers

WORDS = dict(orders.WORDS,
             AUTH=("AUTH PLAIN " + b64("\0alice\0wonder") + "\r\n").encode(),
             auth=("AUTH PLAIN " + b64("\0alice\0no") + "\r\n").encode())
BEFORE = ("MAIL", "RCPT", "BDAT", "BDAT0", "LAST", "DATA", "RSET", "EHLO",
          "XCLIENT", "AUTH", "auth", "mail", "helo")
BEGUN = ("EHLO", "MAIL", "RCPT")


@pytest.fixture(scope="module")
def server():
    folder = tls_ca.folder()
    with AuthServer() as auth, postrider.Instance(main={
            "myhostname": "mx.example.com", "mydestination": "example.com",
            "local_recipient_maps": "inline:{alice=1}",
            "defer_transports": "local", "message_size_limit": "2000",
            "smtpd_helo_restrictions":
                "check_helo_access inline:{refused.example=REJECT}",
            "smtpd_sender_restrictions":
                "check_sender_access inline:{refused@remote.example=REJECT}",
            "smtpd_delay_reject": "no", "smtpd_helo_required": "yes",
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
            "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"inet:127.0.0.1:{auth.port}",
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": f"{folder}/ec.pem",
            "smtpd_tls_key_file": f"{folder}/ec.key",
            "smtpd_error_sleep_time": "0",
            "smtpd_junk_command_limit": "1000000",
            "smtpd_soft_error_limit": "1000000",
            "smtpd_hard_error_limit": "1000000",
            "smtpd_client_connection_count_limit": "0"}) as mta:
        mta.context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
        yield mta


class Talk(orders.Talk):
    tls = False

    def starttls(self, context):
        self.file.close()
        self.sock = context.wrap_socket(self.sock,
                                        server_hostname="mx.example.com")
        self.file = self.sock.makefile("rb")
        self.tls = True


class Model(orders.Model):
    """Beside the transaction: greeted, and logged in."""
    helo = login = False

    def check(self, word, code, line, tls):
        if word in ("EHLO", "helo"):
            assert code == ("250" if word == "EHLO" else "554"), line
            if word == "EHLO":
                self.helo = True
                self.reset()
            return
        if word == "STARTTLS":
            if code == "220":
                assert not tls, line
                self.reset()
                self.helo = self.login = False
            return
        if word == "AUTH" and code == "235":
            assert self.helo and not self.login and not self.mail, line
            self.login = True
        if word == "auth":
            assert code != "235", line
        if word == "XCLIENT" and code == "220":
            self.helo, self.login = True, False  # it has HELO=
        if word in ("MAIL", "MAIL8") and code == "250":
            assert self.helo, (word, line)
        super().check(word, code, line)


def one(talk, model, word, context):
    talk.sock.sendall(WORDS[word])
    code = talk.reply()
    tls = talk.tls
    if word == "DATA" and code == "354":
        assert model.mail and model.rcpts and not model.chunks
        talk.sock.sendall(orders.CONTENT)
        word, code = "CONTENT", talk.reply()
    elif word == "STARTTLS" and code == "220":
        talk.starttls(context)
    model.check(word, code, talk.last, tls)


def survives(server, sequences):
    for words in sequences:
        talk, model = Talk(server.port), Model()
        try:
            for word in (*words, "RSET"):
                one(talk, model, word, server.context)
            talk.sock.sendall(b"QUIT\r\n")
            assert talk.reply() == "221"
        except (AssertionError, OSError) as err:
            raise AssertionError(f"{' '.join(words)}: {err!r}\n"
                                 + server.log()[-1500:]) from err
        finally:
            talk.close()
    log = server.log()
    assert "killed by signal" not in log and "panic" not in log


def around(before, after):
    return [(*a, "STARTTLS", *b) for a in before for b in after]


def test_forgotten_by_starttls(server):
    """One command on each side, with a transaction begun and without."""
    single = [(w,) for w in BEFORE]
    begun = [BEGUN + w for w in single]
    survives(server, around(single + begun, single))
    survives(server, [BEGUN + ("STARTTLS",) + BEGUN + w + ("STARTTLS",)
                      for w in single])


def test_login_is_forgotten_by_starttls(server):
    """It takes place, and is wanted again behind the handshake."""
    talk, model, codes = Talk(server.port), Model(), []
    for word in ("EHLO", "AUTH", "AUTH", "MAIL", "STARTTLS", "AUTH", "EHLO",
                 "AUTH", "STARTTLS", "MAIL", "RCPT", "DATA"):
        one(talk, model, word, server.context)
        codes.append(talk.last[:3].decode())
    talk.close()
    assert " ".join(codes) == ("250 235 503 250 220 503 250 "
                               "235 554 250 250 250")


def test_two_on_each_side(server):
    pairs = list(itertools.product(BEFORE, repeat=2))
    survives(server, around([BEGUN + p for p in pairs], [("EHLO", "MAIL")]))
    survives(server, around([BEGUN + ("BDAT",)],
                            [("EHLO",) + p for p in pairs]))


def test_random_orders(server):
    chance = random.Random(20240602)
    words = sorted(WORDS) + ["STARTTLS", "EHLO", "MAIL", "RCPT"] * 3
    survives(server, [chance.choices(words, k=chance.randint(5, 25))
                      for _ in range(80)])
    pids = workers(server)
    assert max(map(private_kib, pids)) < 4000
    assert max(map(descriptors, pids)) < 40


@pytest.mark.parametrize("tail", [
    b"RSET\r\nMAIL FROM:<evil@remote.example>\r\n",
    b"BDAT 5 LAST\r\nab", b"\r\n.\r\n", b"STARTTLS\r\n"], ids=repr)
def test_within_a_chunk(server, tail):
    """STARTTLS behind a chunk, and bytes behind STARTTLS: gone."""
    sock = socket.create_connection(("127.0.0.1", server.port),
                                    20 * PATIENCE)
    talk = Talk.__new__(Talk)
    talk.sock, talk.file = sock, sock.makefile("rb")
    assert talk.reply() == "220"
    sock.sendall(b"EHLO c.example\r\n")
    assert talk.reply() == "250"
    for word in ("MAIL", "RCPT", "BDAT"):
        sock.sendall(WORDS[word])
        assert talk.reply() == "250"
    sock.sendall(b"STARTTLS\r\n" + tail)
    code = talk.reply()
    if code == "220":
        talk.starttls(server.context)
        for line in (b"BDAT 2 LAST\r\nx\n", b"RCPT TO:<alice@example.com>\r\n",
                     b"DATA\r\n"):
            talk.sock.sendall(line)
            assert talk.reply() == "503", talk.last
    talk.sock.sendall(b"QUIT\r\n")
    assert talk.reply() in ("221", "503", "554")
    talk.close()
