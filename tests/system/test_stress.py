# SPDX-License-Identifier: MIT
"""All processes of a public service are busy: stress=yes, and its settings."""
import os
import socket
import time

import pytest

import postrider


def greeting(port):
    sock = socket.create_connection(("127.0.0.1", port), 20)
    return sock, sock.recv(1000).decode()


def instance(address, **main):
    port = postrider.free_port()
    line = f"{address}:{port} inet n - n - 2 smtpd"
    settings = dict(main, smtpd_banner="stress=$stress.",
                    inet_interfaces="all")
    return port, postrider.Instance(
        main=settings, master={"discard unix":
                               "discard unix - - n - - discard\n" + line})


def wait_greeting(port, want):
    deadline = time.monotonic() + 15
    while True:
        sock, text = greeting(port)
        sock.close()
        if text.startswith(want):
            return
        assert time.monotonic() < deadline, text
        time.sleep(0.2)


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="needs /proc")
def test_public_service():
    port, mta = instance("0.0.0.0", smtpd_timeout="${stress?{1}:{300}}s")
    with mta:
        first, text = greeting(port)
        assert text == "220 stress=.\r\n"
        second, _ = greeting(port)
        mta.wait_log('has reached its process limit "2"')
        wait_greeting(port, "220 stress=yes.")
        # Who was there before is not disturbed; who came since has less time.
        third, _ = greeting(port)
        third.settimeout(10)
        assert third.recv(1000).startswith(b"421 4.4.2 ")
        first.settimeout(5)
        first.sendall(b"NOOP\r\n")
        assert first.recv(1000) == b"250 2.0.0 Ok\r\n"
        for sock in (first, second, third):
            sock.close()


def test_local_service_is_never_under_stress():
    port, mta = instance("127.0.0.1")
    with mta:
        socks = [greeting(port)[0] for _ in range(2)]
        mta.wait_log('has reached its process limit "2"')
        time.sleep(0.5)
        socks[0].close()
        wait_greeting(port, "220 stress=.")
        socks[1].close()
