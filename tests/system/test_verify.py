# SPDX-License-Identifier: MIT
"""verify(8): cold cache, warm cache, dead hosts, and what survives."""
import os
import re
import time

import postrider

import socket
import threading


class Sink:
    """Counts RCPT commands; knows everybody but bad*."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _serve(self, sock):
        try:
            self._talk(sock)
        except OSError:
            pass
        sock.close()

    def _talk(self, sock):
        sock.sendall(b"220 sink\r\n")
        for line in sock.makefile("rb"):
            self.seen.append(line.decode().rstrip())
            verb = line[:4].upper()
            bad = verb == b"RCPT" and b"<bad" in line
            sock.sendall(b"550 5.1.1 unknown\r\n" if bad else
                         b"354 go\r\n" if verb == b"DATA" else b"250 ok\r\n")

    def count(self, start):
        return sum(line.upper().startswith(start) for line in self.seen)


def settings(port, **more):
    main = {
        "relayhost": f"[127.0.0.1]:{port}",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "smtpd_recipient_restrictions": "reject_unverified_recipient",
        "address_verify_poll_delay": "1s",
        "address_verify_poll_count": "1",
        "unverified_recipient_reject_code": "550",
    }
    main.update(more)
    return main


def rcpt(mta, address):
    with mta.smtp() as s:
        s.ehlo()
        s.mail("a@remote.example")
        code, text = s.rcpt(address)
        return code, text.decode()


def wait_code(mta, address, want, seconds=15):
    deadline = time.monotonic() + seconds
    while True:
        code, text = rcpt(mta, address)
        if code == want:
            return text
        assert code == 450, text
        assert time.monotonic() < deadline, text
        time.sleep(0.3)


def test_cold_then_warm():
    sink = Sink()
    with postrider.Instance(main=settings(sink.port)) as mta:
        code, text = rcpt(mta, "good@remote.example")
        assert code == 450 and "Address verification in progress" in text
        wait_code(mta, "good@remote.example", 250)
        text = wait_code(mta, "bad@remote.example", 550)
        assert "undeliverable address: host 127.0.0.1[127.0.0.1] said: 550 " \
            "5.1.1 unknown (in reply to RCPT TO command)" in text
        for _ in range(3):
            rcpt(mta, "good@remote.example")
        # Asked once, nothing delivered, nothing left in the queue.
        assert sink.count("RCPT TO:<GOOD") == 1
        assert sink.count("DATA") == 0
        mta.wait_queue(0)
        # The cache is a file, and the next process reads it.
        mta.stop()
        assert os.path.exists(os.path.join(mta.data, "verify_cache.db"))
        mta.start()
        assert rcpt(mta, "good@remote.example")[0] == 250
        assert rcpt(mta, "bad@remote.example")[0] == 550
        assert sink.count("RCPT TO:<GOOD") == 1


def test_dead_host_defers():
    with postrider.Instance(main=settings(postrider.free_port())) as mta:
        rcpt(mta, "u@remote.example")
        mta.wait_log("status=undeliverable")
        deadline = time.monotonic() + 15
        text = ""
        while "Connection refused" not in text:
            assert time.monotonic() < deadline, text
            code, text = rcpt(mta, "u@remote.example")
            assert code == 450
            time.sleep(0.1)
        mta.wait_queue(0)


def test_data_target_and_changing_sender():
    sink = Sink()
    with postrider.Instance(main=settings(
            sink.port, smtp_address_verify_target="data",
            address_verify_sender_ttl="1h")) as mta:
        wait_code(mta, "u@remote.example", 250)
        assert sink.count("DATA") == 1
        sender = re.search(r"MAIL FROM:<(double-bounce\w+@test.example.com)>",
                           "\n".join(sink.seen))[1]
        wait_code(mta, sender, 250)
        # Another time it was not ours.
        assert rcpt(mta, sender.replace("@", "x@"))[0] != 250


def test_routes_of_probes():
    sink = Sink()
    with postrider.Instance(main=settings(
            postrider.free_port(),
            address_verify_relayhost=f"[127.0.0.1]:{sink.port}")) as mta:
        wait_code(mta, "u@remote.example", 250)


def test_negative_cache_off():
    sink = Sink()
    with postrider.Instance(main=settings(
            sink.port, address_verify_negative_cache="no")) as mta:
        wait_code(mta, "bad@remote.example", 550)
        wait_code(mta, "bad@remote.example", 550)
        assert sink.count("RCPT TO:<BAD") >= 2


def test_memory_and_absent_service():
    sink = Sink()
    with postrider.Instance(main=settings(sink.port,
                                          address_verify_map="")) as mta:
        wait_code(mta, "good@remote.example", 250)
        assert not os.path.exists(os.path.join(mta.data, "verify_cache.db"))
    with postrider.Instance(main=settings(sink.port, ipc_timeout="2s"),
                            master={"verify unix": None}) as mta:
        code, text = rcpt(mta, "good@remote.example")
        assert code == 450 and "address verification problem" in text
