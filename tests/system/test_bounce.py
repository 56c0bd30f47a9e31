# SPDX-License-Identifier: MIT
"""The bounce service: notices, read back from the queue."""
import email
import email.policy
import os
import subprocess
import time

import pytest

from daemon import Box
from ipc_frames import Ipc

FAILURE, DELAY, SUCCESS, POSTMASTER, REPORT = range(1, 6)
NEVER, WANT_SUCCESS, WANT_FAILURE, WANT_DELAY = 1, 2, 4, 8
FULL, HDRS = 1, 2
SMTPUTF8, REPORT_FLAG = 1 << 2, 1 << 5
ARRIVAL = 1700000000 * 1000000
DAY = 86400 * 1000000

MESSAGE = (b"Received: from x\n\tby y\nSubject: the original\n"
           b"From: a@b.test\n\nbody one\n.\nFrom here\nlast line")

SAID = dict(A_DSN="5.1.1", A_TEXT="host mx.b.test[192.0.2.1] said: 550 5.1.1 "
            "there is nobody here whose name is anything like that one (in "
            "reply to RCPT TO command)", A_MTA="mx.b.test",
            A_DIAGNOSTIC="550 5.1.1 there is nobody here whose name is "
            "anything like that one", A_DIAG_TYPE="smtp")
LOCAL = dict(A_DSN="5.2.2", A_TEXT="mailbox is full")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    box = Box(tmp_path_factory.mktemp("box"), {
        "myhostname": "mx.example.org", "myorigin": "example.org",
        "mydestination": "example.org", "alias_maps": "",
        "local_recipient_maps": "", "inet_protocols": "ipv4",
        "bounce_size_limit": "10000"})
    os.makedirs(os.path.join(box.queue, "incoming"), exist_ok=True)
    box.start("bounce", "private/bounce")
    yield box
    box.stop()


@pytest.fixture
def ipc(box):
    ipc = Ipc(box.connect("private/bounce"))
    yield ipc
    ipc.sock.close()


def request(ipc, tmp_path, kind, rcpts, message=MESSAGE, **attrs):
    path = tmp_path / "message"
    path.write_bytes(b"skip me " + message + b"not mine")
    with open(path, "rb") as file:
        ipc.send("MSG_BOUNCE", {
            "A_KIND": kind, "A_QUEUE_ID": "0A1B2C3D", "A_CONTENT_OFFSET": 8,
            "A_CONTENT_LENGTH": len(message), "A_ARRIVAL": ARRIVAL,
            "A_SENDER": "from@example.org", "A_RECIPIENT": "from@example.org",
            **attrs}, file.fileno())
    for rcpt in rcpts:
        ipc.send("MSG_BOUNCE_RCPT", rcpt)
    ipc.send("MSG_BOUNCE_END", {})
    return ipc.recv()


def notice(box, answer):
    kind, attrs = answer
    assert kind == "MSG_STATUS" and attrs["A_STATUS"] == 0, answer
    got = subprocess.run([os.path.join(box.build, "sbin/postcat"), "-c",
                          box.config, "-hbq", attrs["A_QUEUE_ID"]],
                         capture_output=True, check=True)
    raw = got.stdout
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    assert not mail.defects
    return mail, raw.decode("utf-8", "replace"), attrs["A_QUEUE_ID"]


def rcpt(address, why=None, **attrs):
    return {"A_RECIPIENT": address, **(why or SAID), **attrs}


def test_failure(box, ipc, tmp_path):
    mail, raw, id = notice(box, request(ipc, tmp_path, FAILURE, [
        rcpt("one@b.test"),
        rcpt("two words@b.test", LOCAL, A_ORIG_TO="alias@example.org",
             A_DSN_ORCPT="rfc822;orig+x@c.test"),
        rcpt("three@b.test", A_DSN_NOTIFY=NEVER),
        rcpt("four@b.test", A_DSN_NOTIFY=WANT_SUCCESS),
    ], A_DSN_ENVID="env=1"))
    assert mail["Subject"] == "Undelivered Mail Returned to Sender"
    assert mail["From"] == "Mail Delivery System <MAILER-DAEMON@example.org>"
    assert mail["To"] == "from@example.org"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["Message-Id"] and mail["Date"]
    assert mail["Received"].startswith("by mx.example.org (Postfix)")
    assert mail.get_boundary().startswith("0A1B2C3D.")
    text, status, original = mail.iter_parts()
    people = text.get_content()
    assert text["Content-Description"] == "Notification"
    assert "This is the mail system at host mx.example.org." in people
    assert "\n                   The mail system\n\n<one@b.test>: host" in people
    assert ("\n<\"two words\"@b.test> (expanded from <alias@example.org>): "
            "mailbox is full\n") in people
    assert "three" not in raw and "four" not in raw
    assert max(map(len, people.splitlines())) <= 79
    fields = status.get_payload()
    assert fields[0]["Reporting-MTA"] == "dns; mx.example.org"
    assert fields[0]["Original-Envelope-Id"] == "env=1"
    assert fields[0]["X-Postfix-Queue-ID"] == "0A1B2C3D"
    assert fields[0]["X-Postfix-Sender"] == "rfc822; from@example.org"
    assert "14 Nov 2023" in fields[0]["Arrival-Date"]
    one, two = fields[1:]
    assert one["Final-Recipient"] == "rfc822; one@b.test"
    assert one["Original-Recipient"] == "rfc822;one@b.test"
    assert (one["Action"], one["Status"]) == ("failed", "5.1.1")
    assert one["Remote-MTA"] == "dns; mx.b.test"
    assert " ".join(one["Diagnostic-Code"].split()) == (
        "smtp; " + SAID["A_DIAGNOSTIC"])
    assert two["Original-Recipient"] == "rfc822;orig+x@c.test"
    assert two["Remote-MTA"] is None
    assert two["Diagnostic-Code"] == "X-Postfix; mailbox is full"
    assert original.get_content_type() == "message/rfc822"
    assert original["Content-Description"] == "Undelivered Message"
    inner = original.get_payload()[0]
    assert inner["Return-Path"] == "<from@example.org>"
    assert inner["Subject"] == "the original"
    assert inner.get_payload() == "body one\n.\nFrom here\nlast line\n"
    box.wait_log(f"postfix/bounce: 0A1B2C3D: sender non-delivery "
                 f"notification: {id}")


@pytest.mark.parametrize("attrs,message", [
    (dict(A_DSN_RET=HDRS), MESSAGE),
    (dict(), MESSAGE + b"\n" + b"x" * 20000),
])
def test_headers_only(box, ipc, tmp_path, attrs, message):
    mail, raw, _ = notice(box, request(ipc, tmp_path, FAILURE,
                                       [rcpt("a@b.test")], message, **attrs))
    part = list(mail.iter_parts())[2]
    assert part.get_content_type() == "text/rfc822-headers"
    assert part["Content-Description"] == "Undelivered Message Headers"
    assert "Subject: the original\nFrom: a@b.test\n\n--0A1B" in raw
    assert "body one" not in raw


def test_full_when_asked(box, ipc, tmp_path):
    mail, _, _ = notice(box, request(ipc, tmp_path, FAILURE,
                                     [rcpt("a@b.test")], A_DSN_RET=FULL))
    assert list(mail.iter_parts())[2].get_content_type() == "message/rfc822"


def test_message_without_body(box, ipc, tmp_path):
    for message in (b"Subject: x", b"Subject: x\n", b"\nbody\n", b""):
        mail, raw, _ = notice(box, request(ipc, tmp_path, FAILURE,
                                           [rcpt("a@b.test")], message,
                                           A_DSN_RET=HDRS))
        assert len(list(mail.iter_parts())) == 3
        assert "body" not in raw.split("Return-Path")[1]


def test_delay(box, ipc, tmp_path):
    late = dict(SAID, A_DSN="4.2.1")
    mail, raw, id = notice(box, request(
        ipc, tmp_path, DELAY, [rcpt("a@b.test", late)],
        A_NEXT_TIME=ARRIVAL + 5 * DAY))
    assert mail["Subject"] == "Delayed Mail (still being retried)"
    fields = list(mail.iter_parts())[1].get_payload()
    assert (fields[1]["Action"], fields[1]["Status"]) == ("delayed", "4.2.1")
    assert "19 Nov 2023" in fields[1]["Will-Retry-Until"]
    assert "5 days old" in raw
    assert "body one" not in raw
    box.wait_log(f"0A1B2C3D: sender delay notification: {id}")


def test_success(box, ipc, tmp_path):
    relayed = dict(A_DSN="2.0.0", A_TEXT="250 ok", A_MTA="mx.b.test",
                   A_DIAGNOSTIC="250 ok", A_DIAG_TYPE="smtp")
    mail, raw, id = notice(box, request(ipc, tmp_path, SUCCESS, [
        rcpt("a@b.test", relayed, A_DSN_NOTIFY=WANT_SUCCESS),
        rcpt("b@b.test", dict(A_DSN="2.0.0", A_TEXT="delivered to mailbox"),
             A_DSN_NOTIFY=WANT_SUCCESS | WANT_FAILURE),
        rcpt("c@b.test", relayed),
    ]))
    assert mail["Subject"] == "Successful Mail Delivery Report"
    fields = list(mail.iter_parts())[1].get_payload()
    assert [f["Action"] for f in fields[1:]] == ["relayed", "delivered"]
    assert list(mail.iter_parts())[2]["Content-Description"] == (
        "Message Headers")
    box.wait_log(f"0A1B2C3D: sender delivery status notification: {id}")


def test_postmaster(box, ipc, tmp_path):
    mail, raw, id = notice(box, request(
        ipc, tmp_path, POSTMASTER, [rcpt("a@b.test", A_DSN_NOTIFY=NEVER)],
        A_SENDER="", A_RECIPIENT="postmaster"))
    assert mail["Subject"] == "Postmaster Copy: Undelivered Mail"
    assert mail["To"] == "postmaster@example.org"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "X-Postfix-Sender: rfc822; MAILER-DAEMON@example.org\n" in raw
    assert "Return-Path: <MAILER-DAEMON@example.org>\n" in raw
    assert "body one" in raw
    box.wait_log(f"0A1B2C3D: postmaster non-delivery notification: {id}")
    envelope = subprocess.run(
        [os.path.join(box.build, "sbin/postcat"), "-c", box.config, "-eq", id],
        capture_output=True, text=True, check=True).stdout
    assert "sender: double-bounce@example.org\n" in envelope
    mail, raw, _ = notice(box, request(
        ipc, tmp_path, POSTMASTER, [rcpt("a@b.test")],
        A_RECIPIENT="postmaster"))
    assert "body one" not in raw


def test_report(box, ipc, tmp_path):
    good = dict(A_DSN="2.1.5", A_TEXT="250 ok")
    late = dict(A_DSN="4.2.1", A_TEXT="later")
    rcpts = [rcpt("a@b.test", good), rcpt("b@b.test", late),
             rcpt("c@b.test")]
    for flags, want in ((0, ["deliverable", "undeliverable", "undeliverable"]),
                        (REPORT_FLAG, ["delivered", "delayed", "failed"])):
        mail, _, _ = notice(box, request(ipc, tmp_path, REPORT, rcpts,
                                         A_FLAGS=flags))
        assert mail["Subject"] == "Mail Delivery Status Report"
        fields = list(mail.iter_parts())[1].get_payload()
        assert [f["Action"] for f in fields[1:]] == want


def test_smtputf8(box, ipc, tmp_path):
    mail, raw, _ = notice(box, request(
        ipc, tmp_path, FAILURE, [rcpt("jürgen@b.test")],
        A_FLAGS=SMTPUTF8))
    parts = list(mail.iter_parts())
    assert parts[1].get_content_type() == "message/global-delivery-status"
    assert parts[2].get_content_type() == "message/global"
    assert "Final-Recipient: utf-8; jürgen@b.test\n" in raw


def test_nobody_to_tell(box, ipc, tmp_path):
    before = box.log().count("notification")
    for kind, rcpts, attrs in (
            (FAILURE, [rcpt("a@b.test")], dict(A_RECIPIENT="")),
            (FAILURE, [rcpt("a@b.test", A_DSN_NOTIFY=NEVER)], {}),
            (DELAY, [rcpt("a@b.test", A_DSN_NOTIFY=WANT_FAILURE)], {}),
            (FAILURE, [], {})):
        answer = request(ipc, tmp_path, kind, rcpts, **attrs)
        assert answer == ("MSG_STATUS", {"A_STATUS": 0})
    time.sleep(0.2)
    assert box.log().count("notification") == before


def test_errors(box, ipc, tmp_path):
    kind, answer = request(ipc, tmp_path, 99, [rcpt("a@b.test")])
    assert answer["A_STATUS"] == 1
    assert answer["A_REASON"] == "unknown kind of notice: 99"
    kind, answer = request(ipc, tmp_path, FAILURE, [rcpt("a@b.test")],
                           A_CONTENT_LENGTH=5000)
    assert answer["A_STATUS"] == 1
    assert "cannot read the original message" in answer["A_REASON"]
    # The connection goes on.
    notice(box, request(ipc, tmp_path, FAILURE, [rcpt("a@b.test")]))
    # Not in this order.
    ipc.send("MSG_BOUNCE_RCPT", rcpt("a@b.test"))
    with pytest.raises((EOFError, ConnectionError)):
        ipc.recv()
