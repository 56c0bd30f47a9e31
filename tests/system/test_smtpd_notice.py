# SPDX-License-Identifier: MIT
"""Postmaster notices of smtpd(8) (notify_classes). Texts, and which error is of
which class, are what Debian's Postfix 3.7.11 sent for the same dialogues."""
import contextlib
import re
import socket
import time

import pytest

import postrider
from buildtree import PATIENCE

MAIN = {
    "notify_classes": "bounce, policy, protocol, resource, software",
    "error_notice_recipient": "errors@example.com",
    "bounce_notice_recipient": "bounces@example.com",
    "defer_transports": "local",
    "local_recipient_maps": "inline:{{errors=x} {bounces=x} {bob=x}}",
    "mynetworks": "192.0.2.0/24",
    "smtpd_error_sleep_time": "0",
    "smtpd_hard_error_limit": "3",
    "smtpd_timeout": "1s",
    "smtpd_history_flush_threshold": "12",
    "message_size_limit": "20000",
    "header_checks": "pcre:{{/^X-Bad/ REJECT no}}",
    "smtpd_relay_restrictions": "",
    "smtpd_recipient_restrictions":
        "check_recipient_access inline:{{tmp@example.com=450 4.2.2 later} "
        "{cfg@example.com=nosuch}}, reject_unauth_destination",
}
MAIL = "MAIL FROM:<a@remote.example>"
RCPT = "RCPT TO:<bob@example.com>"
GREETED = (" Out: 220 test.example.com ESMTP Postfix\n In:  EHLO c.example\n"
           " Out: 250-test.example.com\n Out: 250-PIPELINING\n"
           " Out: 250-SIZE 20000\n Out: 250-VRFY\n Out: 250-ETRN\n"
           " Out: 250-ENHANCEDSTATUSCODES\n Out: 250-8BITMIME\n"
           " Out: 250-DSN\n Out: 250-SMTPUTF8\n Out: 250 CHUNKING\n")
BYE = " In:  QUIT\n Out: 221 2.0.0 Bye\n"


@pytest.fixture(scope="module")
def mta():
    with postrider.Instance(main=MAIN) as running:
        yield running


def dialogue(mta, *lines, how="QUIT"):
    """Then nothing is left of it but notices."""
    deadline = time.monotonic() + 20 * PATIENCE
    while mta.command("postsuper", "-d", "ALL") and mta.queue():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # it was on its way to deferred/
    ended = mta.log().count("disconnect from")
    # Some errors make the server close at once.
    with contextlib.suppress(ConnectionError), \
            contextlib.ExitStack() as stack:
        sock = stack.enter_context(
            socket.create_connection(("127.0.0.1", mta.port)))
        sock.settimeout(20 * PATIENCE)
        stream = stack.enter_context(sock.makefile("rwb"))

        def reply():
            while (line := stream.readline())[3:4] == b"-":
                pass
            return line

        reply()
        for line in ("EHLO c.example", *lines, *(["QUIT"] if how == "QUIT"
                                                 else [])):
            stream.write(line.encode() + b"\r\n")
            stream.flush()
            if not reply():
                break
        if how == "WAIT":
            reply()
    mta.wait_log("disconnect from", count=ended + 1)


def notices(mta):
    """(recipient, text) of those in the queue."""
    out = []
    for message in mta.queue():
        text = mta.command("postcat", "-bhq", message["queue_id"]).stdout
        if "Subject: Postfix SMTP server: errors from" in text:
            assert message["sender"] == "double-bounce@test.example.com"
            out.append((message["recipients"][0]["address"], text))
    return out


def body(text):
    return text.split("\n\n", 1)[1]


def test_whole_notice(mta):
    dialogue(mta, MAIL, "RCPT TO:<x@else.example>", RCPT)
    (to, text), = notices(mta)
    assert to == "errors@example.com"
    head, rest = text.split("\n\n", 1)
    head = re.sub(r"(id |; |Date: |Message-Id: ).*", r"\1*", head)
    assert head.endswith(
        "Received: by test.example.com (Postfix)\n\tid *\nDate: *\n"
        "From: Mail Delivery System <MAILER-DAEMON@test.example.com>\n"
        "To: Postmaster <errors@example.com>\n"
        "Subject: Postfix SMTP server: errors from unknown[127.0.0.1]\n"
        "Message-Id: *")
    assert rest.rstrip("\n") == (
        "Transcript of session follows.\n\n" + GREETED +
        " In:  MAIL FROM:<a@remote.example>\n Out: 250 2.1.0 Ok\n"
        " In:  RCPT TO:<x@else.example>\n"
        " Out: 554 5.7.1 <x@else.example>: Relay access denied\n"
        " In:  RCPT TO:<bob@example.com>\n Out: 250 2.1.5 Ok\n" + BYE +
        "\n\nFor other details, see the local mail logfile")


def test_long_reply_is_folded(mta):
    dialogue(mta, MAIL, "RCPT TO:<nobody-of-that-name@example.com>")
    (to, text), = notices(mta)
    assert to == "bounces@example.com"
    assert ("\n Out: 550 5.1.1 <nobody-of-that-name@example.com>: Recipient "
            "address rejected:\n     User unknown in local recipient table\n"
            in text)


@pytest.mark.parametrize("lines,how,reason", [
    (["FOO"] * 3, "", "too many errors"), (["FOO"], "", "lost connection"),
    (["FOO"], "WAIT", "timeout")])
def test_broken_off(mta, lines, how, reason):
    dialogue(mta, *lines, how=how)
    (_, text), = notices(mta)
    assert text.rstrip("\n").endswith(
        f"\n\nSession aborted, reason: {reason}\n\n"
        "For other details, see the local mail logfile")


def test_taken_mail_makes_up_for_errors(mta):
    dialogue(mta, "FOO", MAIL, RCPT, "DATA", "Subject: x\r\n\r\nx\r\n.")
    assert len(mta.wait_queue(1)) == 1 and not notices(mta)


def test_long_transcript_begins_anew(mta):
    dialogue(mta, "FOO", MAIL, RCPT, "DATA", "Subject: x\r\n\r\nx\r\n.", "BAR")
    (_, text), = notices(mta)
    assert body(text).startswith(
        "Transcript of session follows.\n\n In:  BAR\n Out: 500 5.5.2 Error: "
        "command not recognized\n" + BYE)
    dialogue(mta, "FOO", "RSET", "BAR")
    first, second = sorted(body(text) for _, text in notices(mta))
    assert first.startswith("Transcript of session follows.\n\n Out: 220 ")
    if "In:  BAR" in first:
        first, second = second, first
    assert " In:  RSET\n\n\nFor other details" in first + second


def test_no_password(mta):
    dialogue(mta, "AUTH PLAIN AHVzZXIAc2VjcmV0", "AUTH")
    (_, text), = notices(mta)
    assert " In:  AUTH PLAIN ...\n Out: 503 " in text
    assert "AHVz" not in text and " In:  AUTH\n" in text


OF_CLASS = {
    "bounce": [
        [MAIL, "RCPT TO:<no@example.com>"], ["VRFY no@example.com"],
        [MAIL, RCPT, "DATA", "S: a\r\n\r\n" + "x\r\n" * 15000 + "."],
        [MAIL, RCPT, "DATA", "Received: x\r\n" * 60 + "\r\nx\r\n."]],
    "policy": [
        [MAIL, "RCPT TO:<tmp@example.com>"], [MAIL + " SIZE=99999999"],
        ["XCLIENT ADDR=192.0.2.1"],
        [MAIL, RCPT, "DATA", "X-Bad: a\r\n\r\nx\r\n."]],
    "protocol": [
        ["FOO"], [RCPT], [MAIL, MAIL], ["MAIL FROM:<"], [MAIL + " FOO=1"],
        ["VRFY"], ["STARTTLS"], ["HELO"], ["RSET x"], ["HELP"],
        ["BDAT 1x"], [""]],
    "software": [[MAIL, "RCPT TO:<cfg@example.com>"]],
    "": [["ETRN example.com"], [MAIL, "BDAT 0 LAST"], [MAIL, "DATA"]],
}


@pytest.mark.parametrize("name", OF_CLASS)
def test_classes(mta, name):
    """With one class in notify_classes there are its errors alone."""
    mta.write_main(notify_classes=name or "policy, software, bounce",
                   smtpd_hard_error_limit="20",
                   smtpd_history_flush_threshold="100")
    mta.reload()
    for of, cases in OF_CLASS.items():
        for lines in cases:
            dialogue(mta, *lines)
            want = 1 if of == name and name else 0
            if name or not of:
                assert len(notices(mta)) == want, (of, lines)


def test_debug_peer_list():
    main = dict(MAIN, debug_peer_list="127.0.0.2/31", debug_peer_level="1",
                notify_classes="")
    with postrider.Instance(main=main) as mta:
        dialogue(mta, "NOOP one")
        assert "NOOP" not in mta.log()
        with socket.create_connection(("127.0.0.1", mta.port), 20,
                                      ("127.0.0.2", 0)) as sock:
            sock.sendall(b"HELO x\r\nAUTH PLAIN AHVzZXIA\r\nQUIT\r\n")
            while sock.recv(1000):
                pass
        mta.wait_log("disconnect from", count=2)
        said = re.findall(r"smtpd\[\d+\]: ([<>] .*)", mta.log())
        assert said == [
            "> unknown[127.0.0.2]: 220 test.example.com ESMTP Postfix",
            "< unknown[127.0.0.2]: HELO x",
            "> unknown[127.0.0.2]: 250 test.example.com",
            "< unknown[127.0.0.2]: AUTH PLAIN ...",
            "> unknown[127.0.0.2]: 503 5.5.1 Error: authentication not "
            "enabled",
            "< unknown[127.0.0.2]: QUIT",
            "> unknown[127.0.0.2]: 221 2.0.0 Bye"]
        dialogue(mta, "NOOP two")
        assert "NOOP" not in mta.log()
