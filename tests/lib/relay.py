# SPDX-License-Identifier: MIT
"""Instances that relay to a scripted next hop (tests/lib/smtp_script.py).

    start = relay.start_fixture({"queue_run_delay": "1s"})

    def test_it(start):
        mta, sink = start({"rcpt": ["451 4.2.0 later"]}, {"soft_bounce": "yes"})
        relay.send(mta)
"""
import pytest

import postrider

TO = "to@remote.example.net"


def start_fixture(defaults):
    """The fixture start(stages of the sink, main.cf settings over defaults,
    master.cf lines) -> instance, sink; any number of times in a test."""
    @pytest.fixture
    def start():
        running = []

        def make(stages=None, main=None, master=None):
            sink = postrider.smtp_sink(**(stages or {}))
            running.append(sink.stop)
            settings = dict(defaults, relayhost=f"[127.0.0.1]:{sink.port}")
            settings.update(main or {})
            mta = postrider.Instance(main=settings, master=master)
            running.append(mta.close)
            mta.start()
            return mta, sink

        yield make
        for end in reversed(running):
            end()

    return start


def message(subject="x", size=100):
    return f"Subject: {subject}\n\n{'y' * 60}\n".ljust(size, "z") + "\n"


def send(mta, rcpts=TO, sender="from@example.com", text=None):
    with mta.smtp() as client:
        return client.sendmail(sender, rcpts, text or message())
