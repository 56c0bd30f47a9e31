# SPDX-License-Identifier: MIT
"""smtpd: what it queues, logs, refuses at start, and how sessions end. The
replies themselves are in tests/replay."""
import re
import signal
import socket
import time

import pytest

import postrider

MAIN = {
    "local_recipient_maps": "inline:{alice=1, bob=1, carol=1}",
    "defer_transports": "local smtp",
    "smtpd_error_sleep_time": "0",
    "smtpd_timeout": "2s",
    "message_size_limit": "1000000",
    "smtpd_restriction_classes": "strict",
    "strict": "reject_non_fqdn_helo_hostname, permit",
    "smtpd_sender_restrictions":
        "check_sender_access inline:{"
        "{hold@t.example = HOLD for a look}, {redir@t.example = REDIRECT "
        "carol@example.com}, {bcc@t.example = BCC carol@example.com}, "
        "{filter@t.example = FILTER smtp:[127.0.0.1]:1}, "
        "{prep@t.example = PREPEND X-Seen: yes}, "
        "{discard@t.example = DISCARD}, {strict@t.example = strict}}",
}


@pytest.fixture(scope="module")
def mta():
    with postrider.Instance(main=MAIN) as instance:
        yield instance


@pytest.fixture
def empty(mta):
    mta.command("postsuper", "-d", "ALL")
    mta.wait_queue(0)
    return mta


class Client:
    def __init__(self, mta, source="127.0.0.1"):
        self.sock = socket.create_connection(("127.0.0.1", mta.port),
                                             source_address=(source, 0))
        self.sock.settimeout(15)
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()

    def reply(self):
        text = ""
        while True:
            line = self.file.readline().decode()
            text += line
            if len(line) < 4 or line[3] != "-":
                return text

    def __call__(self, text):
        if isinstance(text, str):
            text = text.encode()
        self.sock.sendall(text + b"\r\n")
        return self.reply()

    def start(self, sender="me@remote.example", rcpts=("alice@example.com",),
              mail="", rcpt=""):
        assert self("EHLO client.example").startswith("250")
        assert self(f"MAIL FROM:<{sender}>{mail}").startswith("250")
        for address in rcpts:
            assert self(f"RCPT TO:<{address}>{rcpt}").startswith("250")
        assert self("DATA").startswith("354")

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.fixture
def client(empty):
    c = Client(empty)
    yield c
    c.close()


def queued(mta):
    message = mta.wait_queue(1)[0]
    return message, mta.command("postcat", "-q", message["queue_id"]).stdout


def addresses(message):
    return sorted(r["address"] for r in message["recipients"])


# ---- what is queued ----

def test_message(empty, client):
    client.start()
    assert re.match(r"250 2\.0\.0 Ok: queued as \w+\r\n$",
                    client("Subject: x\r\n\r\n..a\r\nb\r\n."))
    message, text = queued(empty)
    assert message["sender"] == "me@remote.example"
    assert re.search(
        r"\nReceived: from client\.example \(unknown \[127\.0\.0\.1\]\)\n"
        r"\tby test\.example\.com \(Postfix\) with ESMTP id %s\n"
        r"\tfor <alice@example\.com>; \w\w\w, [ \d]\d \w\w\w \d{4} [\d:]{8} "
        r"[+-]\d{4} \(\w+\)\nSubject: x\n" % message["queue_id"], text)
    assert "\n\n.a\nb\n*** HEADER EXTRACTED" in text
    assert f"{message['queue_id']}: client=unknown[127.0.0.1]" in empty.log()


def test_several_recipients_are_not_shown(empty, client):
    client.start(rcpts=("alice@example.com", "bob@example.com"))
    assert client(".").startswith("250")
    message, text = queued(empty)
    assert addresses(message) == ["alice@example.com", "bob@example.com"]
    assert re.search(r"with ESMTP id \w+;\n\t\w\w\w, ", text)
    assert "for <" not in text


def test_dsn_and_body(empty, client):
    client.start(mail=" BODY=8BITMIME RET=HDRS ENVID=a+2Bb",
                 rcpt=" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+40y")
    assert client(b"Subject: x\r\n\r\n\xc3\xa4\r\n.").startswith("250")
    _, text = queued(empty)
    assert "rfc822;x@y" in text
    assert "a+b" in text or "a+2Bb" in text


@pytest.mark.parametrize("sender,want", [
    ("hold@t.example", ["alice@example.com"]),
    ("redir@t.example", ["carol@example.com"]),
    ("bcc@t.example", ["alice@example.com", "carol@example.com"]),
    ("filter@t.example", ["alice@example.com"]),
    ("prep@t.example", ["alice@example.com"]),
    ("strict@t.example", ["alice@example.com"]),
])
def test_access_actions(empty, client, sender, want):
    client.start(sender=sender)
    assert client("Subject: x\r\n\r\n.").startswith("250")
    message, text = queued(empty)
    assert addresses(message) == want
    assert (message["queue_name"] == "hold") == (sender[0] == "h")
    if sender.startswith("prep"):
        assert re.search(r"\nX-Seen: yes\nReceived: from ", text)
    if sender.startswith("filter"):
        assert "[127.0.0.1]:1" in text


def test_discard(empty, client):
    client.start(sender="discard@t.example")
    assert client("Subject: x\r\n\r\n.").startswith("250 2.0.0 Ok: queued as")
    empty.wait_log(r"discard: RCPT from .*<discard@t\.example>: Sender address "
                   r"triggers DISCARD action")
    time.sleep(0.3)
    assert empty.queue() == []


def test_class_refuses(empty, client):
    client("HELO short")
    client("MAIL FROM:<strict@t.example>")
    assert client("RCPT TO:<alice@example.com>") == (
        "504 5.5.2 <short>: Helo command rejected: need fully-qualified "
        "hostname\r\n")


def test_too_big(empty, client):
    client.start()
    reply = client(b"Subject: x\r\n\r\n" + b"y" * 70 * 20000 + b"\r\n.")
    assert reply == "552 5.3.4 Error: message file too big\r\n"
    assert client("MAIL FROM:<>").startswith("250")
    assert empty.queue() == []


def test_pipelined_messages(empty, client):
    client("EHLO client.example")
    one = (b"MAIL FROM:<>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n")
    client.sock.sendall(one)
    assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    # The next transaction's commands right behind the end of data.
    client.sock.sendall(b"x: y\r\n\r\n.\r\n" + one)
    assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "250",
                                                      "354"]
    client.sock.sendall(b".\r\nQUIT\r\n")
    assert [client.reply()[:3] for _ in range(2)] == ["250", "221"]
    assert len(empty.wait_queue(2)) == 2


# ---- SMTP smuggling: one message in, one message queued ----

ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r",
        b"\n.\r", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n", b"\n\r\n.\n", b"\r\n..\r\n", b"\n.\r\n\r\n",
        b"\r\n.\t\r\n", b"\r\n. \r\n", b"\r\n.\x0b\r\n", b"\r\n\xe2\x80\xa4\r\n",
        b"\n\n.\n\n", b"\r\n\r.\r\n"]


@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_smuggling(empty, client, end):
    client.start()
    inner = (b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<bob@example.com>\r\n"
             b"DATA\r\nSubject: smuggled\r\n\r\nx\r\n.")
    reply = client(b"Subject: outer\r\n\r\nbody" + end + inner)
    assert reply.startswith("250 2.0.0 Ok: queued")
    assert client("NOOP").startswith("250")
    message, text = queued(empty)
    assert message["sender"] == "me@remote.example"
    assert addresses(message) == ["alice@example.com"]
    body = text.split("*** MESSAGE CONTENTS")[1]
    assert "Subject: smuggled" in body
    assert "\r" not in body.replace("\r\n", "")


# ---- how sessions end ----

def test_statistics(empty):
    c = Client(empty)
    for line in ("EHLO a.example", "NOOP", "FOO", "MAIL FROM:<>",
                 "RCPT TO:<nosuch@example.com>", "RCPT TO:<alice@example.com>",
                 "QUIT"):
        c(line)
    c.close()
    empty.wait_log(r"disconnect from unknown\[127\.0\.0\.1\] ehlo=1 mail=1 "
                   r"rcpt=1/2 noop=1 quit=1 unknown=0/1 commands=5/7$")


def test_lost_connections(empty):
    c = Client(empty)
    c("EHLO lost.example")
    c.close()
    empty.wait_log(r"lost connection after EHLO from unknown\[127\.0\.0\.1\]$")
    c = Client(empty)
    c.start()
    c.sock.sendall(b"Subject: x\r\n\r\nnot a line yet")
    c.close()
    empty.wait_log(r"lost connection after DATA \(14 bytes\) from "
                   r"unknown\[127\.0\.0\.1\]$")
    Client(empty).close()
    empty.wait_log(r"lost connection after CONNECT from ")
    assert empty.queue() == []


def test_timeout(empty, client):
    client("EHLO slow.example")
    assert client.reply() == (
        "421 4.4.2 test.example.com Error: timeout exceeded\r\n")
    assert client.reply() == ""
    empty.wait_log(r"timeout after EHLO from unknown\[127\.0\.0\.1\]$")


def test_timeout_in_data(empty, client):
    client.start()
    client.sock.sendall(b"Subject: x\r\n")
    assert client.reply().startswith("421 4.4.2 ")
    empty.wait_log(r"timeout after DATA \(\d+ bytes\) from ")
    assert empty.queue() == []


def test_reload_lets_a_transaction_finish(empty):
    busy, idle = Client(empty), Client(empty)
    busy.start()
    idle("EHLO idle.example")
    empty.reload()
    time.sleep(0.3)
    assert busy("Subject: x\r\n\r\n.").startswith("250 2.0.0 Ok: queued")
    assert idle.reply()[:3] == "421"
    empty.wait_queue(1)
    # And the next one is served by the new process.
    again = Client(empty)
    assert again("NOOP").startswith("250")
    for c in (busy, idle, again):
        c.close()


# ---- configuration ----

BAD = [
    ({"smtpd_relay_restrictions": "", "smtpd_recipient_restrictions": ""},
     r"fatal: in parameter smtpd_relay_restrictions or "
     r"smtpd_recipient_restrictions, specify at least one working instance of: "
     r"reject_unauth_destination, defer_unauth_destination, reject, defer, "
     r"defer_if_permit or check_relay_domains"),
    ({"smtpd_relay_restrictions": "warn_if_reject reject_unauth_destination",
      "smtpd_recipient_restrictions": "permit"},
     r"specify at least one working instance"),
    ({"smtpd_forbid_bare_newline": "perhaps"}, r"smtpd_forbid_bare_newline"),
    ({"smtpd_restriction_classes": "missing"}, r"\"missing\" has no value"),
]


@pytest.mark.parametrize("main,text", BAD, ids=[b[1][:40] for b in BAD])
def test_bad_configuration(main, text):
    with postrider.Instance(main=main) as mta:
        # master starts it when a client comes.
        with socket.create_connection(("127.0.0.1", mta.port)):
            mta.wait_log(r"smtpd\[\d+\]: fatal: .*" +
                         text.removeprefix("fatal: "))


MISSPELT = [
    ("reject_everything", 'unknown smtpd restriction: "reject_everything"'),
    ("check_sender_access", 'restriction check_sender_access: bad argument '
     '"check_sender_access": need maptype:mapname'),
    ("reject_rbl_client", "restriction reject_rbl_client requires domain name "
     "argument"),
    ("reject_rbl_client bl.test=127.0.0.[5..3]",
     "restriction reject_rbl_client bl.test=127.0.0.[5..3]: RBL reply error: "
     'numeric range error at "127.0.0.[5..>3<]"'),
    ("check_address_map inline:{x=y}",
     'unknown smtpd restriction: "check_address_map"'),
    ("sleep well", "restriction sleep must be followed by number"),
    ("check_policy_service", "restriction check_policy_service must be "
     "followed by transport:server"),
]


@pytest.mark.parametrize("rule,text", MISSPELT, ids=[r[0] for r in MISSPELT])
def test_postfix_check_finds_misspelt_restrictions(rule, text):
    mta = postrider.Instance(main={"smtpd_helo_restrictions":
                                   "permit_mynetworks, " + rule})
    try:
        done = mta.postfix("check")
        line = list(mta.settings).index("smtpd_helo_restrictions") + 1
        assert done.returncode != 0
        assert (f"{mta.config}/main.cf, line {line}: smtpd_helo_restrictions: "
                + text) in done.stderr + mta.log()
    finally:
        mta.close()


def test_postfix_check_finds_misspelt_restrictions_elsewhere():
    """In a class, on a master.cf line, where only networks may stand; and a
    server that is started all the same does not serve without it."""
    cases = [({"smtpd_restriction_classes": "c", "c": "permit, rejct"}, "",
              'c: unknown smtpd restriction: "rejct"'),
             ({"local_header_rewrite_clients": "permit"}, "",
              'local_header_rewrite_clients: unknown smtpd restriction: '
              '"permit"'),
             ({}, " -o smtpd_client_restrictions=permitt",
              'master.cf, line 1: -o smtpd_client_restrictions=permitt: '
              'unknown smtpd restriction: "permitt"')]
    for main, options, text in cases:
        port = postrider.free_port()
        mta = postrider.Instance(main=main, port=port, master={
            "smtp inet": f"127.0.0.1:{port} inet n - n - - smtpd{options}"})
        try:
            done = mta.postfix("check")
            assert done.returncode != 0
            assert text in done.stderr + mta.log()
        finally:
            mta.close()


def test_misspelt_restriction_at_start(tmp_path):
    with postrider.Instance(main=MAIN) as mta:
        mta.write_main(smtpd_client_restrictions="reject_everything")
        mta.master.send_signal(signal.SIGHUP)
        mta.wait_log(": reload -- version")
        with socket.create_connection(("127.0.0.1", mta.port)):
            mta.wait_log(r"smtpd\[\d+\]: fatal: .*main.cf, line \d+: "
                         r"smtpd_client_restrictions: unknown smtpd "
                         r'restriction: "reject_everything"')
