# SPDX-License-Identifier: MIT
"""What clients of smtpd may do beside plain SMTP: BDAT, SMTPUTF8, the PROXY
protocol, XCLIENT and XFORWARD; that content ends where it should, also at a
second server; the settings of a cleanup line."""
import os
import socket
import time

import pytest

import buildtree
import postrider
from smtp_script import SmtpScript

LOCAL = {
    "myhostname": "mx.example.com",
    "mydestination": "example.com",
    "local_recipient_maps": "inline:{alice=1, bob=1}",
    "defer_transports": "local",
    "smtpd_error_sleep_time": "0",
}


@pytest.fixture(scope="module")
def mta():
    with postrider.Instance(main=dict(
            LOCAL, smtpd_authorized_xclient_hosts="127.0.0.0/8",
            smtpd_authorized_xforward_hosts="127.0.0.0/8")) as instance:
        yield instance


@pytest.fixture
def empty(mta):
    mta.command("postsuper", "-d", "ALL")
    mta.wait_queue(0)
    return mta


class Client:
    def __init__(self, port, ahead=b""):
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        self.file = self.sock.makefile("rb")
        self.sock.sendall(ahead)
        self.greeting = self.reply()

    def reply(self):
        line = self.file.readline()
        while line[3:4] == b"-":
            line = self.file.readline()
        return line.decode().rstrip()

    def __call__(self, *commands):
        """The last reply."""
        got = ""
        for command in commands:
            if isinstance(command, str):
                command = command.encode() + b"\r\n"
            self.sock.sendall(command)
            got = self.reply()
        return got

    def begin(self, rcpt="alice@example.com", param=""):
        got = self("EHLO client.example",
                   "MAIL FROM:<me@remote.example>" + param,
                   f"RCPT TO:<{rcpt}>")
        assert got.startswith("250"), got

    def close(self):
        self.file.close()
        self.sock.close()


def chunk(data, last=False):
    return b"BDAT %d%s\r\n%s" % (len(data), b" LAST" if last else b"", data)


def content(mta, number=0):
    """Content of the message in the queue, line ends as they are."""
    message = mta.wait_queue(1)[number]
    done = mta.command("postcat", "-bhq", message["queue_id"])
    assert done.returncode == 0, done.stderr + mta.log()[-2000:]
    return done.stdout


# ---- BDAT ----

def test_bdat_is_what_data_is(empty):
    client = Client(empty.port)
    client.begin()
    assert client(chunk(b"Subject: x\r")).startswith("250")
    assert client(chunk(b"\n\r\n..a\r\n.")).startswith("250")
    assert client(chunk(b"\r\nQUIT\r\nend", True)).startswith("250")
    text = content(empty)
    assert text.endswith("Subject: x\n\n..a\n.\nQUIT\nend\n") or \
        "\n\n..a\n.\nQUIT\nend\n" in text
    client.close()


def cpu_and_memory(mta):
    pids = mta.pids("smtpd")
    cpu = memory = 0
    for pid in pids:
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            status = open(f"/proc/{pid}/status").read()
        except FileNotFoundError:
            continue
        cpu += int(fields[11]) + int(fields[12])
        memory = max(memory, int(status.split("RssAnon:")[1].split()[0]))
    return cpu / os.sysconf("SC_CLK_TCK"), memory


def test_sixty_thousand_chunks_of_one_byte(empty):
    client = Client(empty.port)
    client.begin()
    client(chunk(b"Subject: x\r\n\r\n"))
    before, memory = cpu_and_memory(empty)
    body = (b"y" * 59 + b"\n") * 1000
    for at in range(0, len(body), 1000):
        client.sock.sendall(b"".join(b"BDAT 1\r\n%c" % c
                                     for c in body[at:at + 1000]))
        for _ in range(1000):
            assert client.reply() == "250 2.0.0 Ok: 1 bytes"
    after, memory_after = cpu_and_memory(empty)
    assert client(chunk(b"", True)).startswith("250 2.0.0 Ok: 61014 bytes")
    assert after - before < 5
    assert buildtree.SANITIZED or memory_after - memory < 2048
    client.close()


@pytest.mark.parametrize("size", [b"18446744073709551616", b"-1", b"+1", b"1x",
                                  b"0x10", b"", b"1 LAST LAST", b"1 FIRST",
                                  b"9223372036854775808"])
def test_bad_chunk_sizes_end_the_session(empty, size):
    client = Client(empty.port)
    client.begin()
    assert client(b"BDAT " + size + b"\r\n") == \
        "521 5.5.4 Syntax: BDAT count [LAST]"
    assert client.reply() == ""
    client.close()


def test_huge_chunk_is_not_stored(empty):
    client = Client(empty.port)
    client.begin()
    client.sock.sendall(b"BDAT 9223372036854775807\r\n")
    block = b"z" * 65536
    for _ in range(800):
        client.sock.sendall(block)
    assert buildtree.SANITIZED or cpu_and_memory(empty)[1] < 20000
    client.close()
    empty.wait_log("lost connection after BDAT from")
    assert empty.queue() == []


def test_lost_within_a_chunk(empty):
    client = Client(empty.port)
    client.begin()
    client(chunk(b"Subject: lost\r\n"))
    client.sock.sendall(b"BDAT 100 LAST\r\nhalf")
    client.close()
    empty.wait_log(r"lost connection after BDAT \(19 bytes\) from")
    assert empty.queue() == []


# ---- content ends where it should ----

ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r",
        b"\n.\r", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n", b"\n\r\n.\n", b"\r\n..\r\n", b"\r\n.\t\r\n",
        b"\r\n. \r\n", b"\r\r.\r\r", b"\n\n.\n\n", b"\r\n\r.\r\n",
        b"\r\n.\x0b\r\n", b"\r\0\n.\r\0\n", b"\r\n\x1a.\r\n", b"\n.\n\r\n"]
INNER = (b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<bob@example.com>\r\n"
         b"DATA\r\nSubject: smuggled\r\n\r\nx\r\n")


@pytest.fixture(scope="module")
def two():
    """A relay, and the server behind it, which is of the same kind."""
    with postrider.Instance(main=LOCAL) as second:
        with postrider.Instance(main={
                "myhostname": "relay.example.net", "mydestination": "",
                "relay_domains": "example.com",
                "relayhost": f"[127.0.0.1]:{second.port}",
                "smtp_dns_support_level": "disabled",
                "relay_transport": f"smtp:[127.0.0.1]:{second.port}",
                "defer_transports": ""}) as relay:
            yield relay, second


def one_message(two, send):
    relay, second = two
    second.command("postsuper", "-d", "ALL")
    second.wait_queue(0)
    client = Client(relay.port)
    client.begin()
    reply = send(client)
    assert reply.startswith("250 2.0.0 Ok"), reply
    assert client("NOOP").startswith("250")
    client.close()
    queue = second.wait_queue(1)
    relay.wait_queue(0)
    queue = second.queue()
    assert [m["sender"] for m in queue] == ["me@remote.example"]
    assert [r["address"] for r in queue[0]["recipients"]] == \
        ["alice@example.com"]
    text = second.command("postcat", "-bhq", queue[0]["queue_id"]).stdout
    assert "Subject: smuggled" in text


@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_one_message_at_a_second_server(two, end):
    message = b"Subject: outer\r\n\r\nbody" + end + INNER

    def data(client):
        assert client("DATA").startswith("354")
        return client(message + b".\r\n")

    def split(client):
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert client("DATA").startswith("354")
        at = message.index(end)
        client.sock.sendall(message[:at])
        for i in range(at, at + len(end)):
            time.sleep(0.01)
            client.sock.sendall(message[i:i + 1])
        return client(message[at + len(end):] + b".\r\n")

    def bdat(client):
        return client(chunk(message, True))

    def bdat_split(client):
        at = message.index(end) + len(end) // 2
        assert client(chunk(message[:at])).startswith("250")
        return client(chunk(message[at:], True))

    for send in (data, split, bdat, bdat_split):
        one_message(two, send)


# ---- the PROXY protocol ----

@pytest.fixture(scope="module")
def behind_proxy():
    with postrider.Instance(main=dict(
            LOCAL, smtpd_upstream_proxy_protocol="haproxy",
            smtpd_upstream_proxy_timeout="1s",
            mynetworks="192.0.2.0/24")) as instance:
        yield instance


def test_proxy_tells_who_the_client_is(behind_proxy):
    client = Client(behind_proxy.port,
                    b"PROXY TCP4 192.0.2.9 10.0.0.1 4711 25\r\n")
    client.begin("x@elsewhere.example")
    assert client("DATA").startswith("354")
    assert client(b"Subject: x\r\n\r\n.\r\n").startswith("250")
    client.close()
    behind_proxy.wait_log(r"client=unknown\[192\.0\.2\.9\]")
    text = content(behind_proxy)
    assert "(unknown [192.0.2.9])" in text


def test_proxy_header_in_pieces(behind_proxy):
    sock = socket.create_connection(("127.0.0.1", behind_proxy.port), 20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"PROXY TCP4 192.0.2.10 10.0.0.1 4711 25\r\n":
        sock.sendall(bytes([byte]))
        time.sleep(0.005)
    assert sock.recv(100).startswith(b"220 ")
    sock.close()
    behind_proxy.wait_log(r"connect from unknown\[192\.0\.2\.10\]")


def test_nobody_gets_in_without_the_header(behind_proxy):
    started = time.time()
    client = Client(behind_proxy.port)
    assert client.greeting == "421 4.3.0 mx.example.com Server local error"
    assert time.time() - started < 10
    client.close()
    client = Client(behind_proxy.port, b"EHLO client.example\r\n" * 100)
    assert client.greeting == "421 4.3.0 mx.example.com Server local error"
    client.close()


# ---- XFORWARD ----

def test_xforward_is_for_one_message(empty):
    client = Client(empty.port)
    assert client("EHLO x", "XFORWARD NAME=mail.example.net ADDR=192.0.2.44 "
                  "IDENT=ABC HELO=h.example PROTO=SMTP") == "250 2.0.0 Ok"
    for _ in range(2):
        client("MAIL FROM:<me@remote.example>", "RCPT TO:<alice@example.com>",
               "DATA")
        assert client(b"Subject: x\r\n\r\n.\r\n").startswith("250")
    client.close()
    empty.wait_log(r"client=.*127.0.0.1\], orig_queue_id=ABC, "
                   r"orig_client=mail.example.net\[192.0.2.44\]")
    texts = [empty.command("postcat", "-eq", m["queue_id"]).stdout
             for m in empty.wait_queue(2)]
    assert sorted("192.0.2.44" in t for t in texts) == [False, True]


# ---- xtext that hides control characters ----

@pytest.mark.parametrize("code", ["00", "0A", "0D", "7F", "09", "1B"])
def test_xtext_control_characters(empty, code):
    client = Client(empty.port)
    client("EHLO x")
    assert client(f"MAIL FROM:<a@remote.example> ENVID=a+{code}b") == \
        "501 5.5.4 Bad ENVID parameter syntax"
    client("MAIL FROM:<a@remote.example>")
    assert client(f"RCPT TO:<alice@example.com> ORCPT=rfc822;a+{code}b") == \
        "501 5.5.4 Error: Bad ORCPT parameter syntax"
    client.close()


# ---- SMTPUTF8 ----

EIGHT_BIT = "250-{host}\n250-PIPELINING\n250 8BITMIME"


@pytest.mark.parametrize("offers, param, classes, refused", [
    (True, " SMTPUTF8", "sendmail", False),
    (False, " SMTPUTF8", "sendmail", True),
    (False, "", "sendmail", False),
    (False, "", "smtpd", True),
])
def test_smtputf8_to_the_next_server(offers, param, classes, refused):
    ehlo = EIGHT_BIT.replace("250 8", "250-SMTPUTF8\n250 8") if offers \
        else EIGHT_BIT
    server = SmtpScript(ehlo=ehlo)
    server.start()
    try:
        with postrider.Instance(main=dict(
                LOCAL, smtputf8_autodetect_classes=classes,
                smtp_dns_support_level="disabled", notify_classes="",
                relayhost=f"[127.0.0.1]:{server.port}")) as mta:
            client = Client(mta.port)
            client("EHLO x", "MAIL FROM:<me@remote.example>" + param)
            assert client("RCPT TO:<é@next.example>").startswith("250")
            client("DATA")
            assert client("Subject: é\r\n\r\n.").startswith("250")
            client.close()
            if refused:
                mta.wait_log("dsn=5.6.7, status=bounced .SMTPUTF8 is "
                             "required, but was not offered by host")
            else:
                mta.wait_log("status=sent")
                mail = [c for c in server.commands if c.startswith("MAIL")][0]
                assert mail.endswith(" SMTPUTF8") == offers
    finally:
        server.stop()


# ---- the cleanup line of master.cf ----

def test_settings_of_cleanup_lines():
    port = postrider.free_port()
    with postrider.Instance(
            main=dict(LOCAL, header_checks="",
                      virtual_alias_maps="inline:{v@example.com=bob@example.com}"),
            master={
                "cleanup unix": "cleanup unix n - n - 0 cleanup\n"
                "  -o header_checks=inline:{Subject:=x}\n"
                "  -o always_bcc=bob@example.com",
                "submission inet":
                f"127.0.0.1:{port} inet n - n - - smtpd\n"
                "  -o cleanup_service_name=other",
                "other unix": "other unix n - n - 0 cleanup\n"
                "  -o always_bcc=\n  -o virtual_alias_maps=\n"
                "  -o header_checks=regexp:{{/^Subject: secret/ "
                "REJECT not here}}",
            }) as mta:
        def send(where, subject, rcpt):
            client = Client(where)
            client.begin(rcpt)
            client("DATA")
            reply = client(f"Subject: {subject}\r\n\r\n.")
            client.close()
            return reply

        def recipients():
            got = sorted(r["address"] for m in mta.wait_queue(1)
                         for r in m["recipients"])
            mta.command("postsuper", "-d", "ALL")
            mta.wait_queue(0)
            return got

        assert send(port, "secret", "alice@example.com") == \
            "550 5.7.1 not here"
        assert send(mta.port, "secret", "v@example.com").startswith("250")
        assert recipients() == ["bob@example.com"]
        # Known as a recipient by the alias that this cleanup leaves alone.
        assert send(port, "x", "v@example.com").startswith("250")
        assert recipients() == ["v@example.com"]
        mta.sendmail("alice@example.com", b"Subject: secret\n\nx\n")
        assert recipients() == ["alice@example.com", "bob@example.com"]


# ---- ETRN ----

def test_etrn_delivers_what_waits_for_a_site():
    port = postrider.free_port()
    with postrider.Instance(main=dict(
            LOCAL, relay_domains="site.example, other.example",
            smtp_dns_support_level="disabled",
            relayhost=f"[127.0.0.1]:{port}")) as mta:
        client = Client(mta.port)
        client("EHLO x")
        for domain in ("site.example", "other.example"):
            client("MAIL FROM:<me@remote.example>", f"RCPT TO:<u@{domain}>",
                   "DATA")
            assert client("Subject: x\r\n\r\n.").startswith("250")
        mta.wait_log("status=deferred", count=2)
        server = SmtpScript(port=port).start()
        try:
            assert client("ETRN site.example") == "250 Queuing started"
            mta.wait_log(r"to=<u@site.example>.*status=sent")
            assert client("ETRN nowhere.example").startswith("459 ")
            client.close()
            assert [m.rcpts for m in server.messages] == \
                [["RCPT TO:<u@site.example> ORCPT=rfc822;u@site.example"]]
        finally:
            server.stop()
