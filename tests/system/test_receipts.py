# SPDX-License-Identifier: MIT
"""Who delivers puts it on record first: a message is not delivered a second
time when all who could have reported it died."""
import glob
import os
import signal
import time

import postrider
import pytest
from smtp_script import Delay

TO = "to@remote.example.net"
SETTINGS = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
            "queue_run_delay": "1s", "transport_retry_time": "1s",
            "service_throttle_time": "1s", "local_recipient_maps": ""}


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def start():
    running = []

    def make(**stages):
        sink = postrider.smtp_sink(**stages)
        mta = postrider.Instance(main=dict(
            SETTINGS, relayhost=f"[127.0.0.1]:{sink.port}"))
        running.extend([mta, sink])
        mta.start()
        return mta, sink

    yield make
    for thing in running:
        (thing.close if hasattr(thing, "close") else thing.stop)()


def receipts(mta):
    """Receipts that were written, of all files."""
    found = 0
    for path in glob.glob(os.path.join(mta.queue_directory,
                                       "journal/receipts-*")):
        with open(path, "rb") as f:
            data = f.read()
        for slot in range(0, len(data), 8192):
            found += sum(data[slot + at] != 0
                         for at in range(0, 8192 - 72, 72))
    return found


def received(sink):
    """Whole messages; an attempt that was refused is none."""
    return sum(1 for m in sink.messages if m.data)


def kill(mta, *programs):
    for name in programs:
        for pid in mta.pids(name):
            os.kill(pid, signal.SIGKILL)



def strike(mta):
    """The queue manager hears nothing of the delivery under way."""
    os.kill(mta.pids("qmgr")[0], signal.SIGSTOP)
    until(lambda: receipts(mta) > 0)
    kill(mta, "qmgr", "smtp")


def send(mta):
    with mta.smtp() as client:
        client.sendmail("from@example.com", [TO], "Subject: x\n\nhello\n")


def test_delivered_once(start):
    mta, sink = start(eod=[Delay(0.5), "250 2.0.0 Ok"])
    send(mta)
    until(lambda: any("DATA" in c for c in sink.commands))
    strike(mta)
    mta.wait_queue(0, 30)
    mta.wait_log("removed")
    time.sleep(1.5)
    assert received(sink) == 1
    assert receipts(mta) == 0  # the new queue manager took them over


def test_deferred_message_delivered_once(start):
    mta, sink = start(rcpt=["451 4.2.0 later", "250 Ok"], eod=Delay(0.5))
    send(mta)
    mta.wait_log("status=deferred")
    until(lambda: sum("RCPT" in c for c in sink.commands) == 2)
    strike(mta)
    mta.wait_queue(0, 30)
    mta.wait_log("removed")
    time.sleep(1.5)
    assert received(sink) == 1


def test_no_receipt_no_claim(start):
    """The control: what died before the next host had it is sent again."""
    mta, sink = start(eod=[Delay(3), "250 2.0.0 Ok"])
    send(mta)
    until(lambda: any("DATA" in c for c in sink.commands))
    kill(mta, "qmgr", "smtp")
    mta.wait_queue(0, 30)
    assert received(sink) >= 1


def test_agent_killed_after_the_receipt(start):
    """The queue manager reads what its agent could not say."""
    mta, sink = start(eod=[Delay(0.5), "250 2.0.0 Ok"])
    send(mta)
    until(lambda: any("DATA" in c for c in sink.commands))
    qmgr = mta.pids("qmgr")[0]
    os.kill(qmgr, signal.SIGSTOP)
    until(lambda: receipts(mta) > 0)
    kill(mta, "smtp")
    os.kill(qmgr, signal.SIGCONT)
    mta.wait_queue(0, 30)
    assert "status=sent" in mta.log()
    assert received(sink) == 1


def test_rush(start):
    """More than 250 deliveries a second share qmgr's sync. Their receipts are
    no less there when all who took part are killed."""
    count = 60
    mta, sink = start(mail="451 4.3.0 later", eod=Delay(0.5))
    mta.write_main(default_destination_concurrency_limit="80",
                   initial_destination_concurrency="80",
                   default_destination_concurrency_failed_cohort_limit="0",
                   minimal_backoff_time="1000s", maximal_backoff_time="1000s",
                   queue_run_delay="1000s", default_process_limit="100")
    mta.reload()
    for _ in range(count):
        send(mta)
    mta.wait_log("status=deferred", 60, count=count)
    until(lambda: all(m["queue_name"] == "deferred" for m in mta.queue()))
    sink.stages["mail"] = "250 2.1.0 Ok"

    def asked():
        return sum(c == "DATA" for c in sink.commands)

    before = asked()  # pipelined behind a MAIL that was refused

    def under_way():
        return asked() - before - received(sink)

    mta.command("postqueue", "-f")
    until(lambda: under_way() > 10)
    os.kill(mta.pids("qmgr")[0], signal.SIGSTOP)
    until(lambda: under_way() == 0)
    until(lambda: receipts(mta) >= received(sink) > 10)
    kill(mta, "qmgr", "smtp")
    until(lambda: mta.command("postqueue", "-f").returncode == 0)
    mta.wait_queue(0, 60)
    assert received(sink) == count
