# SPDX-License-Identifier: MIT
"""The queue manager when what it leans on is slow, full or gone."""
import os
import re
import resource
import signal
import time

import relay
from relay import TO, message, send
from smtp_script import HANG, Delay

SLOW = {"minimal_backoff_time": "1h", "maximal_backoff_time": "1h",
        "queue_run_delay": "1h", "transport_retry_time": "1s",
        "mailbox_command": "", "local_recipient_maps": ""}
LATER = "451 4.2.0 later"

start = relay.start_fixture(SLOW)


def received(sink):
    """What got to its end; an attempt that was refused is no message."""
    return [m for s in sink.sessions for m in s.messages if m.data]


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_no_bounce_service(start):
    """A delay that cannot be told of does not keep the mail, or the queue
    manager, from anything."""
    mta, sink = start({"rcpt": [LATER] * 3 + ["250 Ok"]},
                      {"minimal_backoff_time": "2s", "queue_run_delay": "1s",
                       "maximal_backoff_time": "2s",
                       "delay_warning_time": "1s"},
                      {"bounce unix": None, "defer unix": None,
                       "trace unix": None})
    pids = mta.pids("qmgr")
    send(mta)
    mta.wait_log("cannot write a notice", 20)
    mta.wait_queue(0, 30)
    assert len(received(sink)) == 1
    assert mta.pids("qmgr") == pids
    assert len(re.findall("cannot write a notice", mta.log())) <= 3


def test_more_recipients_than_a_request_takes(start):
    mta, sink = start(main={"smtp_destination_recipient_limit": "0",
                            "smtpd_recipient_limit": "20000",
                            "smtpd_recipient_overshoot_limit": "20000"})
    rcpts = [f"r{i}@remote.example.net" for i in range(10050)]
    assert send(mta, rcpts) == {}
    mta.wait_queue(0, 60)
    assert sum(len(m.rcpts) for m in received(sink)) == len(rcpts)


def test_delete_while_routes_are_asked(start):
    mta, sink = start({"rcpt": [LATER, LATER, "250 Ok"]})
    send(mta)
    mta.wait_log("status=deferred")
    until(lambda: mta.queue()[0]["queue_name"] == "deferred")
    mta.command("postqueue", "-f")  # starts the service
    mta.wait_log("status=deferred", count=2)
    until(lambda: mta.queue()[0]["queue_name"] == "deferred")
    queue_id = mta.queue()[0]["queue_id"]
    lookup = mta.pids("lookup")
    assert lookup
    for pid in lookup:
        os.kill(pid, signal.SIGSTOP)
    try:
        mta.command("postqueue", "-f")
        until(lambda: mta.queue()[0]["queue_name"] == "active")
        assert "1 message" in mta.command("postsuper", "-d", queue_id).stderr
    finally:
        for pid in lookup:
            os.kill(pid, signal.SIGCONT)
    mta.wait_queue(0)
    assert received(sink) == []


def test_hold_while_another_recipient_fails(start):
    mta, sink = start({"rcpt": {"bad@": "550 5.1.1 no such user",
                                "later@": [Delay(3, LATER), "250 Ok"]}})
    send(mta, ["bad@remote.example.net", "later@remote.example.net"],
         sender="me@example.com")
    until(lambda: sink.sessions)
    queue_id = mta.queue()[0]["queue_id"]
    assert "1 message" in mta.command("postsuper", "-h", queue_id).stderr
    mta.wait_log("sender non-delivery notification")
    mta.wait_log(f"{queue_id}: to=<later@.*status=deferred")
    until(lambda: any(m["queue_id"] == queue_id and m["queue_name"] == "hold"
                      for m in mta.queue()))
    held = [m for m in mta.queue() if m["queue_id"] == queue_id]
    assert [r["address"] for r in held[0]["recipients"]] == [
        "later@remote.example.net"]


def deferred(mta, n):
    for i in range(n):
        send(mta, text=message(f"number {i}"))
    until(lambda: [m["queue_name"] for m in mta.queue()] == ["deferred"] * n)


def test_flush_beyond_the_active_queue(start):
    """What found no room is tried as soon as there is some."""
    mta, sink = start({"rcpt": [LATER] * 12 + ["250 Ok"]},
                      {"qmgr_message_active_limit": "2"})
    deferred(mta, 12)
    mta.command("postqueue", "-f")
    mta.wait_queue(0, 30)
    assert len(received(sink)) == 12


def test_flush_beyond_the_descriptors(start):
    mta, sink = start({"rcpt": [LATER] * 90 + ["250 Ok"]})
    deferred(mta, 90)
    old = mta.pids("qmgr")
    resource.prlimit(mta.pid, resource.RLIMIT_NOFILE, (80, 80))
    os.kill(old[0], signal.SIGKILL)
    until(lambda: mta.pids("qmgr") not in ([], old))
    new = mta.pids("qmgr")
    mta.command("postqueue", "-f")
    mta.wait_queue(0, 40)
    assert len(received(sink)) == 90
    assert mta.pids("qmgr") == new


def test_a_namesake_of_ours_hears_of_failures(start):
    """double-bounce@ is ours in our domain only."""
    mta, sink = start({"rcpt": {"to@": "550 5.1.1 no"}})
    send(mta, sender="double-bounce@elsewhere.example.net")
    mta.wait_log("sender non-delivery notification")
    until(lambda: received(sink))
    assert "double-bounce@elsewhere" in received(sink)[0].rcpts[0]


def test_many_recipients_keep_nobody_out(start):
    """Mail for more recipients than the active queue should hold, and a
    server that does not answer; another message goes its way."""
    mta, _ = start({"banner": HANG}, {"qmgr_message_recipient_limit": "20",
                                      "transport_maps":
                                      "inline:{{other.example.net=discard}}"})
    for _ in range(3):
        send(mta, [f"r{i}@remote.example.net" for i in range(50)])
    send(mta, "one@other.example.net")
    mta.wait_log("to=<one@other.example.net>.*status=sent", 10)
