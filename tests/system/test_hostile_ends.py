# SPDX-License-Identifier: MIT
"""Sessions that end where they should not: with TLS, a login server, a policy
server and a milter in the middle of something. One worker serves them all, and
holds no more at the end than before."""
import os
import random
import socket
import ssl
import tempfile

import pytest

import postrider
import tls_ca
from auth_server import AuthServer, b64
from buildtree import PATIENCE
from measure import descriptors, private_kib, workers
from milter_script import Milter
from policy_server import PolicyServer

PLAIN = ("AUTH PLAIN " + b64("\0alice\0wonder") + "\r\n").encode()
MAIL = b"MAIL FROM:<a@remote.example>\r\nRCPT TO:<b@example.com>\r\n"
# The connection ends behind each of these.
CLEAR = [
    b"", b"E", b"EHLO c\r\n", b"EHLO c\r\nMAIL", b"EHLO c\r\n" + MAIL,
    b"EHLO c\r\n" + MAIL + b"DATA\r\n",
    b"EHLO c\r\n" + MAIL + b"DATA\r\nSubject: x\r\n\r\n" + b"y" * 100000,
    b"EHLO c\r\n" + MAIL + b"BDAT 100\r\nSubject: x\r\n",
    b"EHLO c\r\n" + MAIL + b"BDAT 12\r\nSubject: x\r\nBDAT 0 LAST",
    b"EHLO c\r\n" + MAIL + b"DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n",
    b"EHLO c\r\n" + PLAIN, b"EHLO c\r\nAUTH LOGIN\r\n",
    b"EHLO c\r\nAUTH LOGIN\r\nYWxp",
    b"STARTTLS\r\n", b"STARTTLS\r\n\x16\x03\x01\x02\x00",
    b"STARTTLS\r\nGET / HTTP/1.1\r\n\r\n", b"STARTTLS\r\n" + b"\0" * 9000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 500,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 5000, b"\xff" * 5000,
]
# The same over TLS, in one piece each.
SECRET = [text for text in CLEAR if b"STARTTLS" not in text]


@pytest.fixture(scope="module")
def world():
    folder = tls_ca.folder()
    port = postrider.free_port()
    with tempfile.TemporaryDirectory(prefix="postrider-test-") as place, \
            AuthServer() as auth, PolicyServer() as policy:
        os.chmod(place, 0o755)
        milter = Milter(place + "/m")
        with postrider.Instance(port=port, master={
                "smtp inet": f"127.0.0.1:{port} inet n - n - 1 smtpd"}, main={
                "myhostname": "mx.example.com",
                "mydestination": "example.com", "local_recipient_maps": "",
                "defer_transports": "local", "max_use": "1000000",
                "smtpd_sasl_auth_enable": "yes",
                "smtpd_sasl_type": "dovecot",
                "smtpd_sasl_path": f"inet:127.0.0.1:{auth.port}",
                "smtpd_tls_security_level": "may",
                "smtpd_tls_cert_file": f"{folder}/ec.pem",
                "smtpd_tls_key_file": f"{folder}/ec.key",
                "smtpd_milters": f"unix:{place}/m",
                "smtpd_recipient_restrictions":
                    f"check_policy_service unix:{policy.path}",
                "smtpd_error_sleep_time": "0"}) as mta:
            mta.context = ssl.create_default_context(
                cafile=f"{folder}/ca.pem")
            yield mta
        milter.close()


def end(sock, hard):
    """In an orderly way, or by a reset."""
    if hard:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        b"\1\0\0\0\0\0\0\0")
    sock.close()


def clear(mta, text, hard):
    sock = socket.create_connection(("127.0.0.1", mta.port), 30 * PATIENCE)
    sock.recv(1000)
    sock.sendall(text)
    end(sock, hard)


def secret(mta, text, hard):
    sock = socket.create_connection(("127.0.0.1", mta.port), 30 * PATIENCE)
    sock.recv(1000)
    sock.sendall(b"STARTTLS\r\n")
    sock.recv(1000)
    sock = mta.context.wrap_socket(sock, server_hostname="mx.example.com")
    sock.sendall(text)
    end(sock, hard)


def everything(mta, chance, times):
    todo = ([(clear, text) for text in CLEAR] +
            [(secret, text) for text in SECRET]) * times
    chance.shuffle(todo)
    for how, text in todo:
        how(mta, text, chance.random() < 0.5)
    # The one worker has done with them when it serves this one.
    with mta.smtp(timeout=60) as client:
        assert client.ehlo()[0] == 250


def test_nothing_is_left_behind(world):
    chance = random.Random(20240603)
    everything(world, chance, 4)
    pid, = workers(world)
    before = descriptors(pid), private_kib(pid)
    everything(world, chance, 6)
    assert workers(world) == [pid]
    after = descriptors(pid), private_kib(pid)
    assert after[0] <= before[0] and after[1] <= before[1] + 100, \
        (before, after)
    assert after[1] < 4000
    log = world.log()
    assert "panic" not in log and "killed by" not in log
