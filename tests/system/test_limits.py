# SPDX-License-Identifier: MIT
"""Limits of a client, and what they survive."""
import os
import re
import signal
import socket
import time

import postrider


def settings(**more):
    return dict(more, smtpd_client_event_limit_exceptions="",
                smtpd_error_sleep_time="0")


class Talk:
    def __init__(self, port, source=None):
        self.sock = socket.create_connection(
            ("127.0.0.1", port), 20, (source, 0) if source else None)
        self.file = self.sock.makefile("rb")
        self.greeting = self.file.readline().decode()

    def say(self, line):
        self.sock.sendall(line.encode() + b"\r\n")
        return self.file.readline().decode()

    def close(self):
        self.file.close()
        self.sock.close()


def refused(mta, source=None):
    talk = Talk(mta.port, source)
    talk.close()
    return talk.greeting.startswith("421 4.7.0 ")


def wait_until(test, seconds=10):
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_default_is_fifty_at_a_time():
    with postrider.Instance(main=settings()) as mta:
        held = [Talk(mta.port) for _ in range(50)]
        assert all(t.greeting.startswith("220 ") for t in held)
        assert refused(mta)
        assert not refused(mta, "127.0.0.2")
        for talk in held:
            talk.close()
        wait_until(lambda: not refused(mta))


def test_killed_worker_leaves_no_count():
    with postrider.Instance(main=settings(
            smtpd_client_connection_count_limit="2")) as mta:
        for _ in range(3):
            held = [Talk(mta.port) for _ in range(2)]
            assert all(t.greeting.startswith("220 ") for t in held)
            assert refused(mta)
            pids = re.findall(r"smtpd\[(\d+)\]: connect from", mta.log())
            alive = {int(p) for p in pids if os.path.exists("/proc/" + p)}
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
            for talk in held:
                talk.close()
            wait_until(lambda: not refused(mta))
            time.sleep(0.3)


def test_clients_are_counted_apart_and_together():
    """Each address for itself; all workers of a service together."""
    with postrider.Instance(main=settings(
            smtpd_client_message_rate_limit="3")) as mta:
        for source, codes in (("127.0.0.5", "250 250 250 450 450"),
                              ("127.0.0.6", "250 250 250 450 450")):
            got = []
            held = []
            for _ in range(5):
                talk = Talk(mta.port, source)
                held.append(talk)
                talk.say("HELO x")
                got.append(talk.say("MAIL FROM:<a@b.example>")[:3])
            assert " ".join(got) == codes
            for talk in held:
                talk.close()


def test_network_is_one_client():
    with postrider.Instance(main=settings(
            smtpd_client_ipv4_prefix_length="24",
            smtpd_client_connection_rate_limit="2")) as mta:
        assert not refused(mta, "127.0.0.5")
        assert not refused(mta, "127.0.0.6")
        assert refused(mta, "127.0.0.7")
        assert not refused(mta, "127.0.1.7")


def test_window_ends():
    with postrider.Instance(main=settings(
            anvil_rate_time_unit="2s", anvil_status_update_time="2s",
            smtpd_client_connection_rate_limit="1")) as mta:
        assert not refused(mta)
        assert refused(mta)
        wait_until(lambda: not refused(mta), 20)
        mta.wait_log(r"postfix/anvil\[\d+\]: statistics: max connection rate "
                     r"\d+/2s for \(127\.0\.0\.1:\d+:127\.0\.0\.1\) at "
                     r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d$")


def test_limits_outlive_idle_workers():
    with postrider.Instance(main=settings(
            max_idle="1s", anvil_rate_time_unit="600s",
            smtpd_client_connection_rate_limit="2")) as mta:
        assert not refused(mta)
        assert not refused(mta)
        time.sleep(3)
        assert refused(mta)


def test_exceptions():
    with postrider.Instance(main={
            "smtpd_client_connection_rate_limit": "1",
            "smtpd_client_event_limit_exceptions": "127.0.0.8/29"}) as mta:
        for _ in range(3):
            assert not refused(mta, "127.0.0.9")
        assert not refused(mta, "127.0.0.17")
        assert refused(mta, "127.0.0.17")
