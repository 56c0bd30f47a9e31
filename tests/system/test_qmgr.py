# SPDX-License-Identifier: MIT
"""The queue manager with real agents: retries, windows, notices, holds,
reloads, and what remains after kill -9."""
import email
import os
import re
import signal
import threading
import time

import postrider
import pytest
import relay
from relay import TO, message, send
from smtp_script import HANG, Delay

FAST = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
        "queue_run_delay": "1s", "transport_retry_time": "1s",
        "mailbox_command": "", "local_recipient_maps": ""}

start = relay.start_fixture(FAST)


def test_relayed_and_removed(start):
    mta, sink = start()
    send(mta)
    got = sink.wait_messages(1)
    assert got[0].rcpts == [f"<{TO}>"] or TO in got[0].rcpts[0]
    mta.wait_log(r"qmgr\[\d+\]: \w+: from=<from@example.com>, size=\d+, "
                 r"nrcpt=1 \(queue active\)")
    mta.wait_log(r"smtp\[\d+\]: \w+: to=<to@remote\.example\.net>, "
                 r"relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, delay=[\d.]+, "
                 r"delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=2\.0\.0, "
                 r"status=sent \(250 2\.0\.0 Ok: queued as ABC123\)")
    mta.wait_log(r"qmgr\[\d+\]: \w+: removed")
    assert mta.queue() == []


def test_451_is_retried_and_listed(start):
    mta, sink = start({"rcpt": ["451 4.7.1 come back later"] * 2
                       + ["250 2.1.5 Ok"]})
    send(mta)
    mta.wait_log(r"dsn=4\.7\.1, status=deferred \(host .* said: 451 4\.7\.1 "
                 r"come back later \(in reply to RCPT TO command\)\)")
    queued = mta.queue()
    if queued:
        assert queued[0]["queue_name"] in ("deferred", "active")
        assert queued[0]["recipients"][0]["address"] == TO
    sink.wait_messages(1, 15)
    mta.wait_queue(0)


def test_mixed_recipients_end_where_they_should(start):
    mta, sink = start({"rcpt": {"bad@": "550 5.1.1 no such user",
                                "later@": ["451 4.2.0 later", "250 Ok"],
                                None: "250 Ok"}})
    sender = "backup@test.example.com"
    send(mta, ["ok@remote.example.net", "bad@remote.example.net",
               "later@remote.example.net", "nobody@test.example.com"],
         sender=sender)
    deadline = time.time() + 20
    while time.time() < deadline:
        rcpts = [r for m in sink.messages for r in m.rcpts]
        if len(rcpts) >= 2 and mta.mailbox("backup") and mta.mailbox("nobody"):
            break
        time.sleep(0.1)
    rcpts = " ".join(r for m in sink.messages for r in m.rcpts)
    assert rcpts.count("<ok@") == 1 and rcpts.count("<later@") == 1
    assert "<bad@" not in rcpts
    notice = email.message_from_bytes(mta.mailbox("backup")[0])
    assert notice.get_content_type() == "multipart/report"
    status = [p for p in notice.walk()
              if p.get_content_type() == "message/delivery-status"][0]
    assert "bad@remote.example.net" in str(status)
    assert "later@" not in str(status)
    mta.wait_log(r"bounce\[\d+\]: \w+: sender non-delivery notification: \w+")
    mta.wait_queue(0)
    assert len(mta.mailbox("backup")) == 1


def test_expiry_returns_to_sender(start):
    mta, _ = start({"rcpt": "451 4.2.0 never"},
                   {"maximal_queue_lifetime": "2s"})
    send(mta, sender="backup@test.example.com")
    mta.wait_log(r"from=<backup@test\.example\.com>, status=expired, "
                 r"returned to sender", 20)
    mta.wait_queue(0)
    assert b"4.2.0" in mta.mailbox("backup")[0]


def test_undeliverable_notice_is_dropped(start):
    mta, _ = start({"rcpt": "550 5.1.1 nobody"})
    send(mta, sender="elsewhere@remote.example.net")
    mta.wait_log(r"sender non-delivery notification")
    mta.wait_log(r": removed", count=2)
    mta.wait_queue(0)


def test_hold_release_delete(start):
    mta, sink = start({"rcpt": "451 4.2.0 later"},
                      {"minimal_backoff_time": "1000s",
                       "maximal_backoff_time": "1000s"})
    for subject in ("keep", "drop"):
        send(mta, text=message(subject))
    mta.wait_log("status=deferred", count=2)
    ids = [m["queue_id"] for m in mta.wait_queue(2)]
    assert "Deleted: 1 message" in mta.command(
        "postsuper", "-d", ids[0]).stderr
    assert len(mta.wait_queue(1)) == 1
    assert "1 message" in mta.command("postsuper", "-h", ids[1]).stderr
    assert mta.queue()[0]["queue_name"] == "hold"
    assert f"{ids[1]}!" in mta.command("postqueue", "-p").stdout
    sink.stages["rcpt"] = "250 Ok"
    mta.command("postqueue", "-f")
    time.sleep(1)
    assert not any(m.data for m in sink.messages), "delivered from hold"
    assert "1 message" in mta.command("postsuper", "-H", ids[1]).stderr
    mta.command("postqueue", "-f")
    sink.wait_messages(1)
    mta.wait_queue(0)


def test_dead_destination_is_left_alone(start):
    mta, sink = start(main={"minimal_backoff_time": "1000s"})
    port = sink.port
    sink.stop()
    for _ in range(12):
        send(mta)
    mta.wait_log("status=deferred", count=12)
    log = mta.log()
    assert re.search(r"connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: "
                     r"Connection refused", log)
    again = postrider.SmtpScript(port=port).start()
    try:
        mta.command("postqueue", "-f")
        again.wait_messages(12)
    finally:
        again.stop()
    mta.wait_queue(0)


def test_slow_destination_does_not_delay_others(start):
    fast = postrider.smtp_sink()
    try:
        mta, slow = start({"eod": Delay(5)})
        with open(os.path.join(mta.directory, "transport"), "w") as out:
            out.write(f"fast.example.net smtp:[127.0.0.1]:{fast.port}\n")
        mta.write_main(transport_maps=f"texthash:{mta.directory}/transport")
        mta.reload()
        for _ in range(40):
            send(mta)
        begin = time.monotonic()
        send(mta, "x@fast.example.net")
        fast.wait_messages(1, 20)
        assert time.monotonic() - begin < 5
    finally:
        fast.stop()


def test_reload_in_the_middle_loses_and_repeats_nothing(start):
    mta, sink = start({"eod": Delay(0.05)})
    sent = 150

    def load():
        with mta.smtp() as client:
            for i in range(sent):
                client.sendmail("f@example.com", [f"n{i}@remote.example.net"],
                                message(str(i)))

    thread = threading.Thread(target=load)
    thread.start()
    for _ in range(8):
        mta.reload()
        time.sleep(0.1)
    thread.join()
    sink.wait_messages(sent, 60)
    mta.wait_queue(0)
    rcpts = sorted(r for m in sink.messages for r in m.rcpts)
    assert len(rcpts) == sent
    assert len(set(rcpts)) == sent


def test_queue_manager_killed(start):
    mta, sink = start({"eod": Delay(0.02)})
    for i in range(30):
        send(mta, [f"n{i}@remote.example.net"])
        if i == 15:
            os.kill(mta.pids("qmgr")[0], signal.SIGKILL)
    deadline = time.time() + 30
    while time.time() < deadline:
        rcpts = {r for m in sink.messages for r in m.rcpts}
        if len(rcpts) == 30:
            break
        time.sleep(0.1)
    assert len(rcpts) == 30
    mta.wait_queue(0, 30)


def test_agent_killed_in_delivery_is_retried(start):
    mta, sink = start({"eod": [HANG,
                               "250 2.0.0 Ok"]})
    send(mta)
    deadline = time.time() + 10
    while not sink.messages and not any(
            "DATA" in c for c in sink.commands) and time.time() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    for pid in mta.pids("smtp"):
        os.kill(pid, signal.SIGKILL)
    sink.wait_messages(1, 20)
    mta.wait_queue(0, 20)


def test_error_retry_discard(start):
    mta, _ = start()
    with open(os.path.join(mta.directory, "transport"), "w") as out:
        out.write("gone.example.net error:5.2.1 mailbox disabled\n"
                  "wait.example.net retry:4.3.2 not now\n"
                  "void.example.net discard:for a test\n")
    mta.write_main(transport_maps=f"texthash:{mta.directory}/transport",
                   smtpd_reject_unlisted_recipient="no")
    mta.reload()
    send(mta, ["a@gone.example.net", "a@wait.example.net",
               "a@void.example.net"], sender="backup@test.example.com")
    mta.wait_log(r"error\[\d+\]: \w+: to=<a@gone\.example\.net>, relay=none, "
                 r"delay=.*, dsn=5\.2\.1, status=bounced \(mailbox disabled\)")
    mta.wait_log(r"(retry|error)\[\d+\]: \w+: to=<a@wait\.example\.net>, "
                 r"relay=none, .*dsn=4\.3\.2, status=deferred \(not now\)")
    mta.wait_log(r"discard\[\d+\]: \w+: to=<a@void\.example\.net>, relay=none,"
                 r" .*dsn=2\.0\.0, status=sent \(for a test\)")
    mta.wait_log("sender non-delivery notification")
    for _ in range(200):
        left = [[r["address"] for r in m["recipients"]] for m in mta.queue()]
        if left == [["a@wait.example.net"]]:
            break
        time.sleep(0.05)
    assert left == [["a@wait.example.net"]]


def status_of(notice):
    """The report for programs, of a notice."""
    message = email.message_from_bytes(notice)
    return [str(p) for p in message.walk()
            if p.get_content_type() == "message/delivery-status"][0]


@pytest.mark.parametrize("where", ["local", "relayed", "passed on"])
def test_success_is_told_who_asked(start, where):
    ehlo = {"relayed": "250-{host}\n250 8BITMIME"}.get(where)
    mta, sink = start({"ehlo": ehlo} if ehlo else None)
    rcpt = "root@test.example.com" if where == "local" else TO
    with mta.smtp() as client:
        client.sendmail("backup@test.example.com", [rcpt], message(), [],
                        ["NOTIFY=SUCCESS", "ORCPT=rfc822;first@x.example"])
    if where == "passed on":
        sink.wait_messages(1)
        mta.wait_log(": removed")
        mta.wait_queue(0)
        assert "NOTIFY=SUCCESS" in sink.messages[0].rcpts[0]
        assert mta.mailbox("backup") == []
        return
    mta.wait_log("sender delivery status notification")
    mta.wait_log(": removed", count=2)
    status = status_of(mta.mailbox("backup")[0])
    assert f"Final-Recipient: rfc822; {rcpt}" in status
    assert "Original-Recipient: rfc822;first@x.example" in status
    assert "Status: 2.0.0" in status
    action = "delivered" if where == "local" else "relayed"
    assert "Action: " + action in status
    text = mta.mailbox("backup")[0].decode()
    assert "delivery via " + ("local: delivered to maildir" if where == "local"
                              else "127.0.0.1[127.0.0.1]:") in " ".join(
                                  text.split())


def test_success_and_failure_are_told_apart(start):
    mta, _ = start({"rcpt": {"bad@": "550 5.1.1 no", None: "250 Ok"},
                    "ehlo": "250-{host}\n250 8BITMIME"})
    with mta.smtp() as client:
        client.sendmail("backup@test.example.com",
                        ["good@x.example", "bad@x.example"], message(), [],
                        ["NOTIFY=SUCCESS,FAILURE"])
    mta.wait_log(": removed", count=3)
    got = sorted(status_of(m) for m in mta.mailbox("backup"))
    assert len(got) == 2
    failed, relayed = sorted(got, key=lambda text: "relayed" in text)
    assert "bad@x.example" in failed and "good@" not in failed
    assert "good@x.example" in relayed and "bad@" not in relayed


def report_of(mta, user):
    deadline = time.time() + 10
    while not mta.mailbox(user) and time.time() < deadline:
        time.sleep(0.1)
    return [p for p in email.message_from_bytes(mta.mailbox(user)[0]).walk()
            if p.get_content_type() == "message/delivery-status"][0]


def test_verify_reports_and_delivers_nothing(start):
    mta, sink = start()
    done = mta.command("sendmail", "-bv", "-f", "backup@test.example.com",
                       TO, "nobody@test.example.com")
    assert done.returncode == 0
    report = str(report_of(mta, "backup"))
    assert report.count("Action: deliverable") == 2
    assert TO in report and "nobody@test.example.com" in report
    mta.wait_queue(0)
    assert not sink.messages and not mta.mailbox("nobody")


def test_verbose_delivers_and_reports(start):
    mta, sink = start()
    mta.sendmail(TO, message(), "-v", "-f", "backup@test.example.com")
    sink.wait_messages(1)
    assert "Action: relayed" in str(report_of(mta, "backup"))
    mta.wait_queue(0)
    assert len(mta.mailbox("backup")) == 1
