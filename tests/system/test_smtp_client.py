# SPDX-License-Identifier: MIT
"""The SMTP client against scripted servers; the queue manager is played."""
import contextlib
import os
import re
import socket
import time

import pytest

from buildtree import PATIENCE
from daemon import Box
from dns_server import DnsServer
from smtp_agent import FLAG_REQUIRETLS, FLAG_SMTPUTF8, AgentTalk
from smtp_script import DROP, HANG, Delay, SmtpScript


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


MAIN = {
    "inet_protocols": "ipv4",
    "smtp_randomize_addresses": "no",
    "smtp_connect_timeout": "3s",
    "smtp_helo_timeout": "1s",
    "smtp_mail_timeout": "1s",
    "smtp_rcpt_timeout": "1s",
    "smtp_data_init_timeout": "1s",
    "smtp_data_done_timeout": "1s",
    "smtp_rset_timeout": "1s",
    "lmtp_lhlo_timeout": "1s",
}


class World:
    """A resolver, and servers on 127.1.0.x that share one port."""

    def __init__(self, path):
        self.path = str(path)
        self.dns = DnsServer().start()
        self.zone = []
        self.servers = {}
        self.used = 0
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        self.port = probe.getsockname()[1]
        probe.close()
        self.box = Box(path, dict(
            MAIN, postrider_resolver_servers=f"127.0.0.1@{self.dns.port}"))
        self.box.start("resolver", "private/resolver")

    def agent(self, program="smtp", over=(), args=()):
        name = f"{program}{self.used}"
        self.used += 1
        self.box.start(program, f"private/{name}", over, args)
        return AgentTalk(self.box, f"private/{name}")

    def records(self, text):
        self.zone.append(text)
        self.dns.set("\n".join(self.zone))

    def server(self, **script):
        """A server of its own address; None as script: nobody listens."""
        self.used += 1
        addr = f"127.1.{self.used // 250}.{self.used % 250 + 1}"
        if script.pop("listen", True):
            self.servers[addr] = SmtpScript(host=addr, port=self.port,
                                            **script).start()
        return addr

    def domain(self, name, *scripts):
        """MX records of ascending preference, a server each (a dict, or None
        for nobody). Returns the nexthop and the servers."""
        found = []
        for i, script in enumerate(scripts):
            addr = self.server(**(script if script is not None
                                  else {"listen": False}))
            found.append(self.servers.get(addr))
            self.records(f"{name} MX {10 * (i + 1)} m{i + 1}.{name}\n"
                         f"m{i + 1}.{name} A {addr}")
        self.addr = addr
        return f"{name}:{self.port}", found

    def stop(self):
        self.box.stop()
        for server in self.servers.values():
            server.stop()
        self.dns.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("smtp"))
    yield w
    w.stop()


@pytest.fixture(scope="module")
def agent(world):
    talk = world.agent()
    yield talk
    talk.close()


def status_line(world, talk, rcpt):
    """The log line about a recipient of the last request, from relay= on."""
    start = f"{talk.queue_id}: to=<{rcpt}>, "
    world.box.wait_log(start)
    for line in world.box.log().splitlines():
        if start in line:
            return line.split(start)[1]
    raise AssertionError


def brief(line):
    """Without the parts that depend on time."""
    parts = line.split(", ")
    return ", ".join(p for p in parts if not p.startswith("delay"))


def test_mx_delivery_and_log_line(world, agent):
    nexthop, (server,) = world.domain("ok.example", {})
    got = agent.deliver(nexthop, [
        {"A_RECIPIENT": "a@ok.example", "A_ORIG_TO": "x@y.example",
         "A_DSN_NOTIFY": 6},
        {"A_RECIPIENT": "b c@ok.example"}],
        content=b"Subject: x\n\n.dot\n..\nend\n", A_DSN_ENVID="e+1",
        A_DSN_RET=2, A_ENCODING="8bit")
    assert got.dsn("a@ok.example") == "2.0.0"
    assert got.reply["a@ok.example"]["A_MTA"] == "m1.ok.example"
    assert got.idle == nexthop
    name = f"m1.ok.example[{world.addr}]"
    sent = "status=sent (250 2.0.0 Ok: queued as ABC123)"
    assert brief(status_line(world, agent, "a@ok.example")) == (
        f"orig_to=<x@y.example>, relay={name}:{world.port}, dsn=2.0.0, "
        + sent)
    assert brief(status_line(world, agent, '"b c"@ok.example')) == (
        f"relay={name}:{world.port}, dsn=2.0.0, {sent}")
    session = server.sessions[0]
    assert session.commands == [
        "EHLO client.example.com",
        "MAIL FROM:<s@example.com> SIZE=24 BODY=8BITMIME ENVID=e+2B1 RET=HDRS",
        "RCPT TO:<a@ok.example> ORCPT=rfc822;x@y.example "
        "NOTIFY=SUCCESS,FAILURE",
        'RCPT TO:<"b c"@ok.example> ORCPT=rfc822;b+20c@ok.example',
        "DATA"]
    assert len(session.chunks) == 2  # EHLO, then the rest in one write
    assert server.messages[0].data == b"Subject: x\r\n\r\n..dot\r\n...\r\nend\r\n"


def test_no_trailing_newline_and_empty(world, agent):
    nexthop, (server,) = world.domain("nl.example", {})
    agent.deliver(nexthop, ["a@nl.example"], content=b"S: x\n\nend")
    agent.deliver(nexthop, ["a@nl.example"], content=b"")
    assert [m.data for m in server.messages] == [b"S: x\r\n\r\nend\r\n", b""]


# Scripts of one server, and what becomes of the one recipient: {h} is the
# server's "host[addr]".
ONE = {
    "banner4": ({"banner": "450 4.3.2 go away"}, "4.3.2",
                "host {h} refused to talk to me: 450 4.3.2 go away"),
    "banner5": ({"banner": "554 5.7.1 no service"}, "4.7.1",
                "host {h} refused to talk to me: 554 5.7.1 no service"),
    "banner421": ({"banner": "421 4.3.2 service shutting down"}, "4.3.2",
                  "host {h} refused to talk to me: "
                  "421 4.3.2 service shutting down"),
    "ehlo4": ({"ehlo": "421 4.3.0 busy"}, "4.3.0",
              "host {h} refused to talk to me: 421 4.3.0 busy"),
    "helo5": ({"ehlo": "502 no", "helo": "501 5.5.4 bad helo"}, "5.5.4",
              "host {h} refused to talk to me: 501 5.5.4 bad helo"),
    "mail5": ({"mail": "553 5.1.8 bad sender"}, "5.1.8",
              "host {h} said: 553 5.1.8 bad sender "
              "(in reply to MAIL FROM command)"),
    "mail4": ({"mail": "452 4.3.1 Insufficient system storage"}, "4.3.1",
              "host {h} said: 452 4.3.1 Insufficient system storage "
              "(in reply to MAIL FROM command)"),
    "mail421": ({"mail": "421 4.3.2 service shutting down"}, "4.3.2",
                "host {h} said: 421 4.3.2 service shutting down "
                "(in reply to MAIL FROM command)"),
    "rcpt5": ({"rcpt": "550-5.1.1 line one\n550-5.1.1 line two\n"
                       "550 5.1.1 line three"}, "5.1.1",
              "host {h} said: 550-5.1.1 line one 550-5.1.1 line two "
              "550 5.1.1 line three (in reply to RCPT TO command)"),
    "noenh": ({"rcpt": "550 no such user here"}, "5.0.0",
              "host {h} said: 550 no such user here "
              "(in reply to RCPT TO command)"),
    "data5": ({"data": "554 5.6.0 no data"}, "5.6.0",
              "host {h} said: 554 5.6.0 no data (in reply to DATA command)"),
    "data2": ({"data": "250 2.0.0 what"}, "5.5.0",
              "Protocol error: host {h} said: 250 2.0.0 what "
              "(in reply to DATA command)"),
    "eod5": ({"eod": "550 5.7.1 spam message"}, "5.7.1",
             "host {h} said: 550 5.7.1 spam message "
             "(in reply to end of DATA command)"),
    "eod4": ({"eod": "451 4.3.0 try later"}, "4.3.0",
             "host {h} said: 451 4.3.0 try later "
             "(in reply to end of DATA command)"),
    "dropbanner": ({"banner": DROP}, "4.4.2",
                   "lost connection with {h} while receiving the initial "
                   "server greeting"),
    "dropehlo": ({"ehlo": DROP}, "4.4.2",
                 "lost connection with {h} while performing the EHLO "
                 "handshake"),
    "drophelo": ({"ehlo": "500 what", "helo": DROP}, "4.4.2",
                 "lost connection with {h} while performing the HELO "
                 "handshake"),
    "dropmail": ({"mail": DROP}, "4.4.2",
                 "lost connection with {h} while sending MAIL FROM"),
    "droprcpt": ({"rcpt": DROP}, "4.4.2",
                 "lost connection with {h} while sending RCPT TO"),
    "dropdata": ({"data": DROP}, "4.4.2",
                 "lost connection with {h} while sending DATA command"),
    "dropeod": ({"eod": DROP}, "4.4.2",
                "lost connection with {h} while sending end of data -- "
                "message may be sent more than once"),
    "hangbanner": ({"banner": HANG}, "4.4.2",
                   "conversation with {h} timed out while receiving the "
                   "initial server greeting"),
    "hangmail": ({"mail": HANG}, "4.4.2",
                 "conversation with {h} timed out while sending MAIL FROM"),
    "hangeod": ({"eod": HANG}, "4.4.2",
                "conversation with {h} timed out while sending end of data "
                "-- message may be sent more than once"),
    "size": ({"ehlo": "250-{host}\n250 SIZE 10"}, "5.3.4",
             "message size 21 exceeds size limit 10 of server {h}"),
    "garbage": ({"rcpt": "hello world"}, "4.5.0",
                "Protocol error: host {h} said: hello world "
                "(while sending RCPT TO)"),
}


@pytest.mark.parametrize("case", ONE)
@pytest.mark.parametrize("pipelining", [True, False])
def test_one_server(world, agent, case, pipelining):
    script, dsn, text = ONE[case]
    script = dict(script)
    if not pipelining:
        if "ehlo" in script or case.startswith("hang"):
            return
        script["ehlo"] = "250-{host}\n250-SIZE\n250 ENHANCEDSTATUSCODES"
    domain = f"{case}{int(pipelining)}.example"
    nexthop, (server,) = world.domain(domain, script)
    got = agent.deliver(nexthop, [f"u@{domain}"])
    name = f"m1.{domain}[{world.addr}]"
    text = text.replace("{h}", name)
    assert got.text(f"u@{domain}") == text
    assert got.dsn(f"u@{domain}") == dsn
    word = "bounced" if dsn[0] == "5" else "deferred"
    assert brief(status_line(world, agent, f"u@{domain}")) == (
        f"relay={name}:{world.port}, dsn={dsn}, status={word} ({text})")
    assert "\n." not in "\n".join(server.commands)
    # What the remote said is kept apart.
    said = " said: " in text and "(in reply" in text or "refused" in text
    assert ("A_DIAGNOSTIC" in got.reply[f"u@{domain}"]) == said


def test_connection_refused(world, agent):
    nexthop, _ = world.domain("ref.example", None, None)
    got = agent.deliver(nexthop, ["u@ref.example"])
    text = (f"connect to m2.ref.example[{world.addr}]:{world.port}: "
            "Connection refused")
    assert got.text("u@ref.example") == text
    assert brief(status_line(world, agent, "u@ref.example")) == (
        f"relay=none, dsn=4.4.1, status=deferred ({text})")
    assert "connect to m1.ref.example[" in world.box.log()
    assert got.idle == ""


def test_connect_timeout(world):
    """A full backlog makes connect() hang."""
    addr = world.server(listen=False)
    trap = socket.socket()
    trap.bind((addr, world.port))
    trap.listen(0)
    fill = []
    for _ in range(3):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((addr, world.port))
        fill.append(s)
    talk = world.agent(over=["smtp_connect_timeout=1s"])
    start = time.time()
    got = talk.deliver(f"[{addr}]:{world.port}", ["u@x.example"])
    assert got.text("u@x.example") == (
        f"connect to {addr}[{addr}]:{world.port}: Connection timed out")
    assert time.time() - start < 5
    for s in fill + [trap]:
        s.close()


def test_recipients_of_all_kinds(world, agent):
    nexthop, (server,) = world.domain("mix.example", {"rcpt": {
        "b@": "550 5.1.1 <b@mix.example>: user unknown",
        "c@": "450 4.2.1 greylisted", "d@": "452 too many recipients",
        "e@": "552 5.2.2 full"}})
    got = agent.deliver(nexthop, [f"{x}@mix.example" for x in "abcdef"])
    assert {x[0]: got.dsn(x) for x in got.order} == {
        "a": "2.0.0", "b": "5.1.1", "c": "4.2.1", "d": "4.0.0", "e": "5.2.2",
        "f": "2.0.0"}
    assert got.order[-2:] == ["a@mix.example", "f@mix.example"]
    assert len(server.messages) == 1
    assert len(server.messages[0].rcpts) == 2


def test_deferred_goes_to_next_host(world, agent):
    nexthop, (one, two) = world.domain(
        "next.example",
        {"rcpt": {"b@": "550 5.1.1 no", "c@": "450 4.2.0 grey"}}, {})
    got = agent.deliver(nexthop, [f"{x}@next.example" for x in "abc"])
    assert {x[0]: got.dsn(x)[0] for x in got.order} == {
        "a": "2", "b": "5", "c": "2"}
    assert len(one.messages[0].rcpts) == 1
    assert [r.split(" ORCPT")[0] for r in two.messages[0].rcpts] == [
        "RCPT TO:<c@next.example>"]
    world.box.wait_log(f"{agent.queue_id}: host m1.next.example[")
    assert ("said: 450 4.2.0 grey (in reply to RCPT TO command)\n"
            in world.box.log())


@pytest.mark.parametrize("script,logged", [
    ({"banner": "554 5.3.2 nope"}, "refused to talk to me: 554 5.3.2 nope"),
    ({"banner": DROP}, "while receiving the initial server greeting"),
    ({"mail": "450 4.1.8 x"}, "said: 450 4.1.8 x (in reply to MAIL FROM"),
    ({"data": DROP}, "while sending DATA command"),
    ({"eod": "451 4.5.1 e"}, "451 4.5.1 e (in reply to end of DATA command)"),
    ({"eod": DROP}, "message may be sent more than once"),
    ({"ehlo": "500 x", "helo": "421 4.3.2 d"}, "refused to talk to me: 421"),
    (None, None),
], ids=["banner5", "bandrop", "mail4", "datadrop", "eod4", "eoddrop",
        "helo421", "refused"])
def test_next_host(world, agent, script, logged):
    world.used += 1
    domain = f"n{world.used}.example"
    nexthop, servers = world.domain(domain, script, {})
    got = agent.deliver(nexthop, [f"u@{domain}"])
    assert got.dsn(f"u@{domain}") == "2.0.0"
    assert len(servers[1].messages) == 1
    line = status_line(world, agent, f"u@{domain}")
    assert f"relay=m2.{domain}[" in line
    if logged:
        assert any(f"{agent.queue_id}: " in row and logged in row
                   for row in world.box.log().splitlines())


def test_address_and_session_limits(world, agent):
    nexthop, _ = world.domain("many.example", *[None] * 7)
    got = agent.deliver(nexthop, ["u@many.example"])
    assert "connect to m5.many" in got.text("u@many.example")
    assert "connect to m6.many" not in world.box.log()
    # Two sessions that got through the greeting, no more.
    grey = {"rcpt": "450 4.2.0 grey"}
    nexthop, servers = world.domain("sess.example", {"banner": "421 4.0.0 x"},
                                    grey, grey, {})
    got = agent.deliver(nexthop, ["u@sess.example"])
    assert got.dsn("u@sess.example") == "4.2.0"
    assert "m3.sess.example" in got.text("u@sess.example")
    assert not servers[3].sessions


def test_reuse_and_count(world):
    talk = world.agent(over=["smtp_connection_reuse_count_limit=3"])
    nexthop, (server,) = world.domain("reuse.example", {})
    for i in range(4):
        got = talk.deliver(nexthop, ["u@reuse.example"])
        line = status_line(world, talk, "u@reuse.example")
        assert (f"conn_use={i + 1}" in line) == (0 < i < 3)
        assert got.idle == ("" if i == 2 else nexthop)
    assert len(server.sessions) == 2
    assert server.sessions[0].commands[-1] == "QUIT"
    assert [c[:4] for c in server.sessions[0].commands].count("MAIL") == 3
    # Another destination ends the session first.
    other, (server2,) = world.domain("reuse2.example", {})
    talk.deliver(other, ["u@reuse2.example"])
    assert server.sessions[1].commands[-1] == "QUIT"
    # After the time limit without a request the client says goodbye.
    assert server2.sessions[0].commands[-1] == "DATA"
    until(lambda: server2.sessions[0].commands[-1] == "QUIT")
    assert talk.deliver(other, ["u@reuse2.example"]).dsn(
        "u@reuse2.example") == "2.0.0"
    talk.close()


def test_reuse_off(world):
    talk = world.agent(over=["smtp_connection_cache_on_demand=no"])
    nexthop, (server,) = world.domain("once.example", {})
    got = talk.deliver(nexthop, ["u@once.example"])
    assert got.idle == ""
    until(lambda: server.sessions[0].ended == "quit")
    talk.close()


def test_reuse_reset_after_rejected(world, agent):
    nexthop, (server,) = world.domain(
        "rset.example", {"rcpt": ["550 5.1.1 no", "250 ok"],
                         "data": ["503 5.5.1 no recipients", "354 go"]})
    assert agent.deliver(nexthop, ["u@rset.example"]).idle == nexthop
    agent.deliver(nexthop, ["u@rset.example"])
    assert len(server.sessions) == 1
    assert "RSET" in server.commands
    assert len(server.messages) == 1


def test_kept_session_that_died(world, agent):
    nexthop, (server,) = world.domain("dead.example", {})
    agent.deliver(nexthop, ["u@dead.example"])
    server.drop_all()
    got = agent.deliver(nexthop, ["u@dead.example"])
    assert got.dsn("u@dead.example") == "2.0.0"
    assert "conn_use" not in status_line(world, agent, "u@dead.example")
    assert len(server.sessions) == 2


@pytest.mark.parametrize("second", ["421 4.7.0 too many messages",
                                    "450 4.7.1 slow down", DROP])
def test_kept_session_refuses(world, agent, second):
    world.used += 1
    domain = f"stale{world.used}.example"
    nexthop, (server,) = world.domain(
        domain, {"mail": ["250 ok", second, "250 ok"]})
    agent.deliver(nexthop, [f"u@{domain}"])
    got = agent.deliver(nexthop, [f"u@{domain}"])
    assert got.dsn(f"u@{domain}") == "2.0.0"
    assert len(server.sessions) == 2


def test_many_recipients_windowed(world, agent):
    nexthop, (server,) = world.domain("wide.example", {})
    rcpts = [f"recipient-number-{i}@wide.example" for i in range(2000)]
    got = agent.deliver(nexthop, rcpts)
    assert all(got.dsn(r) == "2.0.0" for r in rcpts)
    assert len(server.messages[0].rcpts) == 2000


def test_big_and_long_lines(world, agent):
    nexthop, (server,) = world.domain("long.example", {})
    body = (b"Subject: " + b"s" * 1200 + b"\n\n" + b"." + b"w" * 999 + b"\n" +
            b"x" * 998 + b"\n" + (b".line %d\n" * 3 % (1, 2, 3)) * 100000)
    agent.deliver(nexthop, ["u@long.example"], content=body)
    lines = server.messages[0].data.split(b"\r\n")
    assert lines[0] == b"Subject: " + b"s" * 989
    assert lines[1] == b" " + b"s" * 211
    assert lines[3][:2] == b".." and len(lines[3]) in (998, 999)
    assert b"\n" not in b"".join(lines)
    assert max(len(line) for line in lines) <= 999
    assert server.messages[0].data.count(b"\r\n..line 1\r\n") == 100000
    world.box.wait_log(
        f"{agent.queue_id}: breaking line > 998 bytes with <CR><LF>SPACE")


def test_no_esmtp(world, agent):
    nexthop, (server,) = world.domain("old.example", {"ehlo": "502 what"})
    agent.deliver(nexthop, ["u@old.example"], A_ENCODING="8bit")
    assert server.commands == [
        "EHLO client.example.com", "HELO client.example.com",
        "MAIL FROM:<s@example.com>", "RCPT TO:<u@old.example>", "DATA"]


def test_original_recipient_brings_no_parameters(world, agent):
    nexthop, (server,) = world.domain("orcpt.example", {})
    for given, sent in (("rfc822;a b", "rfc822;a+20b"),
                        ("rfc822 NOTIFY=NEVER;x", "rfc822;u@orcpt.example"),
                        (";x", "rfc822;u@orcpt.example")):
        agent.deliver(nexthop, [{"A_RECIPIENT": "u@orcpt.example",
                                 "A_DSN_ORCPT": given}])
        rcpt = [c for c in server.commands if c.startswith("RCPT")][-1]
        assert rcpt == "RCPT TO:<u@orcpt.example> ORCPT=" + sent


def test_null_sender_and_smtputf8(world, agent):
    nexthop, (server,) = world.domain("utf.example", {
        "ehlo": ["250-{host}\n250-SMTPUTF8\n250 8BITMIME",
                 "250-{host}\n250 8BITMIME"]})
    rcpt = "\u00fc@utf.example"
    got = agent.deliver(nexthop, [rcpt], sender="", A_FLAGS=FLAG_SMTPUTF8)
    assert got.dsn(rcpt) == "2.0.0"
    assert server.commands[1] == "MAIL FROM:<> SMTPUTF8"
    server.drop_all()
    got = agent.deliver(nexthop, [rcpt], A_FLAGS=FLAG_SMTPUTF8)
    assert got.dsn(rcpt) == "5.6.7"
    assert got.text(rcpt) == (
        "SMTPUTF8 is required, but was not offered by host "
        f"m1.utf.example[{world.addr}]")
    # Asked for, but not needed; needed by the header.
    for content, dsn in ((b"Subject: x\n\n\xc3\xbc\n", "2.0.0"),
                         (b"Subject: \xc3\xbc\n\nx\n", "5.6.7")):
        got = agent.deliver(nexthop, ["u@utf.example"], content=content,
                            A_FLAGS=FLAG_SMTPUTF8)
        assert got.dsn("u@utf.example") == dsn
    # Nobody asked: sent as before there was SMTPUTF8.
    got = agent.deliver(nexthop, [rcpt])
    assert got.dsn(rcpt) == "2.0.0"


# Names, and what the look-up says.
NAMES = {
    "nx.example": ("5.4.4", "Host or domain name not found. Name service "
                   "error for name=nx.example type=A: Host not found"),
    "nodata.example": ("5.4.4", "Host or domain name not found. Name service "
                       "error for name=nodata.example type=A: Host found but "
                       "no data record of requested type"),
    "serv.example": ("4.4.3", "Host or domain name not found. Name service "
                     "error for name=serv.example type=MX: Host not found, "
                     "try again"),
    "null.example": ("5.1.0",
                     "Domain null.example does not accept mail (nullMX)"),
    "mxserv.example": ("4.4.3", "Host or domain name not found. Name service "
                       "error for name=mx.serv.example type=A: Host not "
                       "found, try again"),
    "mxnx.example": ("5.4.4", "Host or domain name not found. Name service "
                     "error for name=gone.example type=A: Host not found"),
    "badmx.example": ("5.4.4", "Name service error for name=badmx.example "
                      "type=MX: Malformed or unexpected name server reply"),
    "self.example": ("5.4.6", "mail for self.example loops back to myself"),
    "self10.example": ("5.4.6",
                       "mail for self10.example loops back to myself"),
    "[127.0.0.1]": ("5.4.6", "mail for 127.0.0.1 loops back to myself"),
    "[ipv6:::1]": ("5.4.4", "Name service error for ::1: invalid host or "
                   "domain name"),
    "[nx.example]": ("5.4.4", "Host or domain name not found. Name service "
                     "error for name=nx.example type=A: Host not found"),
    "[127.9.9.9]:nosuchport": ("4.3.5", "unknown service: nosuchport/tcp"),
}
NAMES_ZONE = """
nodata.example TXT hello
serv.example SERVFAIL
null.example MX 0 .
mxserv.example MX 10 mx.serv.example
mx.serv.example SERVFAIL
mxnx.example MX 10 gone.example
badmx.example MX 10 spa_ce\\x.example
self.example A 127.0.0.1
self10.example MX 10 self.example
self10.example MX 20 other.self.example
other.self.example A 127.9.9.9
"""


@pytest.mark.parametrize("name", NAMES)
def test_names(world, agent, name):
    if NAMES_ZONE not in world.zone:
        world.records(NAMES_ZONE)
    dsn, text = NAMES[name]
    got = agent.deliver(name, ["u@example.net"])
    assert (got.dsn("u@example.net"), got.text("u@example.net")) == (dsn, text)
    assert "relay=none" in status_line(world, agent, "u@example.net")


def test_self_with_better_exchanger(world, agent):
    """Only what is better than this host is tried."""
    addr = world.server()
    world.records(f"half.example MX 10 mx.half.example\n"
                  f"mx.half.example A {addr}\n"
                  "half.example MX 20 self.half.example\n"
                  "self.half.example A 127.0.0.1")
    nexthop = f"half.example:{world.port}"
    assert agent.deliver(nexthop, ["u@half.example"]).dsn(
        "u@half.example") == "2.0.0"


def test_destination_list_and_literal(world, agent):
    addr = world.server()
    got = agent.deliver(f"[127.9.9.8]:{world.port}, [127.9.9.9]:{world.port} "
                        f"[{addr}]:{world.port}", ["u@x.example"])
    assert got.dsn("u@x.example") == "2.0.0"
    assert status_line(world, agent, "u@x.example").startswith(
        f"relay={addr}[{addr}]:{world.port}, ")


def test_fallback_relay(world):
    addr = world.server()
    talk = world.agent(over=[f"smtp_fallback_relay=[{addr}]:{world.port}"])
    nexthop, servers = world.domain("fb.example", {"rcpt": "450 4.2.0 grey"},
                                    {"rcpt": "450 4.2.0 grey"})
    assert talk.deliver(nexthop, ["u@fb.example"]).dsn("u@fb.example") == "2.0.0"
    got = talk.deliver("nowhere.example", ["u@nowhere.example"])
    assert got.dsn("u@nowhere.example") == "2.0.0"
    assert got.idle == ""
    assert len(world.servers[addr].messages) == 2
    talk.close()


def test_soft_bounce(world):
    talk = world.agent(over=["soft_bounce=yes"])
    nexthop, _ = world.domain("soft.example", {"rcpt": "550 5.1.1 no"})
    got = talk.deliver(nexthop, ["u@soft.example"])
    assert got.dsn("u@soft.example") == "4.1.1"
    assert "dsn=4.1.1, status=SOFTBOUNCE (host m1.soft.example[" in (
        status_line(world, talk, "u@soft.example"))
    talk.close()


def test_dns_disabled(world):
    talk = world.agent(over=["smtp_dns_support_level=disabled"])
    got = talk.deliver("foo.nowhere.example", ["u@x.example"])
    assert (got.dsn("u@x.example"), got.text("u@x.example")) == (
        "5.4.4", "unable to look up host foo.nowhere.example: "
        "Name or service not known")
    got = talk.deliver("localhost:1", ["u@x.example"])
    assert got.text("u@x.example") == (
        "connect to localhost[127.0.0.1]:1: Connection refused")
    talk.close()


def test_own_name_in_reply(world, agent):
    """Only where the standard port makes a loop possible."""
    nexthop, _ = world.domain("own.example", {"name": "client.example.com"})
    assert agent.deliver(nexthop, ["u@own.example"]).dsn(
        "u@own.example") == "2.0.0"
    talk = world.agent(over=[f"smtp_tcp_port={world.port}"])
    got = talk.deliver(nexthop, ["u@own.example"])
    assert got.text("u@own.example") == (
        f"mail for {nexthop} loops back to myself")
    assert got.dsn("u@own.example") == "5.4.6"
    world.box.wait_log(
        f"warning: host m1.own.example[{world.addr}]:{world.port} replied "
        "to HELO/EHLO with my own hostname client.example.com")
    talk.close()


def test_discard_keywords_and_bad_size(world):
    talk = world.agent(over=["smtp_discard_ehlo_keywords=dsn, pipelining"])
    nexthop, (server,) = world.domain(
        "disc.example",
        {"ehlo": "250-{host}\n250-SIZE abc\n250-DSN\n250 PIPELINING"})
    talk.deliver(nexthop, ["u@disc.example"])
    assert server.commands[1:3] == ["MAIL FROM:<s@example.com>",
                                    "RCPT TO:<u@disc.example>"]
    world.box.wait_log('warning: bad EHLO SIZE limit "abc" from '
                       f"m1.disc.example[{world.addr}]:{world.port}")
    talk.close()


def test_pix(world, agent):
    nexthop, (server,) = world.domain("pix.example",
                                      {"banner": "220 ****************"})
    agent.deliver(nexthop, ["u@pix.example"])
    assert server.commands[0] == "HELO client.example.com"
    world.box.wait_log(
        f"{agent.queue_id}: enabling PIX workarounds: disable_esmtp for "
        f"m1.pix.example[{world.addr}]:{world.port}")


def test_xforward(world):
    talk = world.agent(over=["smtp_send_xforward_command=yes"])
    nexthop, (server,) = world.domain("xf.example", {
        "ehlo": "250-{host}\n250-PIPELINING\n"
                "250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
        "xforward": "250 2.0.0 Ok"})
    talk.deliver(nexthop, ["u@xf.example"], A_CLIENT_NAME="localhost",
                 A_CLIENT_ADDR="127.0.0.1", A_CLIENT_PORT="53598",
                 A_CLIENT_PROTO="ESMTP", A_CLIENT_HELO="client.example",
                 A_REWRITE="local")
    talk.deliver(nexthop, ["u@xf.example"], A_REWRITE="local")
    assert server.commands[1:3] == [
        "XFORWARD NAME=localhost ADDR=127.0.0.1 PORT=53598",
        f"XFORWARD PROTO=ESMTP HELO=client.example IDENT="
        f"{talk.queue_id[:-1]}1 SOURCE=LOCAL"]
    assert "XFORWARD SOURCE=LOCAL" in server.commands
    assert len(server.messages) == 2
    talk.close()


def test_added_headers(world):
    talk = world.agent(args=["flags=DOR"])
    nexthop, (server,) = world.domain("head.example", {})
    talk.deliver(nexthop, [{"A_RECIPIENT": "u@head.example",
                            "A_ORIG_TO": "o@head.example"}])
    assert server.messages[0].data.startswith(
        b"Return-Path: <s@example.com>\r\nX-Original-To: o@head.example\r\n"
        b"Delivered-To: u@head.example\r\nSubject: test\r\n")
    got = talk.deliver(nexthop, ["u@head.example"],
                       content=b"Received: x\n\ty\nDELIVERED-TO: "
                               b"U@head.example\nX: y\n\nhi\n")
    assert (got.dsn("u@head.example"), got.text("u@head.example")) == (
        "5.4.6", "mail forwarding loop for u@head.example")
    got = talk.deliver(nexthop, ["u@head.example"],
                       content=b"X: y\n\nDelivered-To: u@head.example\n")
    assert got.dsn("u@head.example") == "2.0.0"
    talk.close()


def test_required_tls_is_not_sent_without(world, agent):
    """RFC 8689 section 4.2.1."""
    nexthop, (server,) = world.domain("tls.example", {})
    got = agent.deliver(nexthop, ["u@tls.example"], A_FLAGS=FLAG_REQUIRETLS)
    assert got.dsn("u@tls.example") == "5.7.30"
    assert not server.messages
    assert not [c for c in server.commands if c.startswith("MAIL")]


@pytest.mark.parametrize("unix", [True, False])
def test_lmtp(world, unix):
    talk = world.agent("lmtp")
    script = dict(lmtp=True, rcpt={"bad@": "550 5.1.1 no"},
                  eod={"b@": "452 4.2.2 over quota",
                       "c@": "552 5.2.2 way over"})
    if unix:
        path = os.path.join(world.path, "s")
        if len(path) > 100:
            path = f"/tmp/postrider-test-{os.getpid()}"
        server = SmtpScript(unix=path, **script).start()
        world.servers[path] = server
        nexthop, name = f"unix:{path}", f"client.example.com[{path}]"
        relay = name
    else:
        addr = world.server(**script)
        server = world.servers[addr]
        nexthop, name = f"inet:{addr}:{world.port}", f"{addr}[{addr}]"
        relay = f"{name}:{world.port}"
    rcpts = [f"{x}@lm.example" for x in ("a", "b", "bad", "c", "d")]
    got = talk.deliver(nexthop, rcpts)
    assert [got.dsn(r) for r in rcpts] == ["2.0.0", "4.2.2", "5.1.1", "5.2.2",
                                           "2.0.0"]
    assert got.text("b@lm.example") == (
        f"host {name} said: 452 4.2.2 over quota "
        "(in reply to end of DATA command)")
    assert server.commands[0] == "LHLO client.example.com"
    line = status_line(world, talk, "a@lm.example")
    assert line.startswith(f"relay={relay}, ")
    assert world.box.log().count("postfix/lmtp: ")
    assert got.idle == nexthop
    # A server that goes away between the replies.
    talk.deliver(nexthop, ["d@lm.example"])
    talk.close()


def test_lmtp_no_socket(world):
    talk = world.agent("lmtp")
    got = talk.deliver("unix:/nonexistent/socket", ["u@x.example"])
    assert got.text("u@x.example") == (
        "connect to client.example.com[/nonexistent/socket]: "
        "No such file or directory")
    assert got.dsn("u@x.example") == "4.4.1"
    talk.close()


def test_lmtp_lost_between_replies(world):
    talk = world.agent("lmtp")
    addr = world.server(lmtp=True, eod={"a@": "250 2.0.0 fine", "b@": DROP})
    got = talk.deliver(f"{addr}:{world.port}", ["a@l.example", "b@l.example",
                                                "c@l.example"])
    assert [got.dsn(f"{x}@l.example") for x in "abc"] == [
        "2.0.0", "4.4.2", "4.4.2"]
    talk.close()


def test_slow_server_is_waited_for(world, agent):
    nexthop, _ = world.domain("slow.example", {"eod": Delay(0.5)})
    got = agent.deliver(nexthop, ["u@slow.example"])
    assert got.dsn("u@slow.example") == "2.0.0"
    line = status_line(world, agent, "u@slow.example")
    # The wait is the last of the four, what is before it takes no time.
    a, b, c, d = map(float, re.search(r"delays=([\d./]+),", line)[1].split("/"))
    assert a + b + c < 0.1 * PATIENCE and d >= 0.5


def test_qmgr_goes_away(world):
    """The kept session ends with QUIT, the worker goes on."""
    talk = world.agent()
    nexthop, (server,) = world.domain("bye.example", {})
    talk.deliver(nexthop, ["u@bye.example"])
    talk.close()
    until(lambda: server.sessions[0].ended == "quit")
    assert server.sessions[0].ended == "quit"


def test_greeting_failure_does_not_use_up_sessions(world, agent):
    """One session is left; the host that refuses to talk does not take it."""
    grey = {"rcpt": "450 4.2.0 grey"}
    nexthop, servers = world.domain("left.example", grey,
                                    {"banner": "421 4.0.0 x"}, {})
    got = agent.deliver(nexthop, ["u@left.example"])
    assert got.dsn("u@left.example") == "2.0.0"
    assert len(servers[2].messages) == 1


def test_early_reports_come_early(world):
    """A refused recipient is known before the content is through."""
    agent = world.agent(over=["smtp_data_done_timeout=20s"])
    nexthop, _ = world.domain("early.example", {
        "rcpt": {"bad@": "550 5.1.1 no"}, "eod": Delay(3)})
    agent.send(nexthop, ["bad@early.example", "u@early.example"])
    kind, attrs = agent.ipc.recv()
    assert kind == "MSG_RCPT_DONE" and attrs["A_INDEX"] == 100
    start = time.monotonic()
    assert agent.ipc.recv()[1]["A_INDEX"] == 101
    assert time.monotonic() - start > 1
    assert agent.ipc.recv()[0] == "MSG_DELIVER_DONE"
    agent.close()


def test_asked_to_end_in_the_middle(world):
    """What was begun is finished, then the process ends."""
    talk = world.agent()
    where = [w for w in world.box.children if w != "private/resolver"][-1]
    nexthop, (server,) = world.domain("end.example", {"eod": Delay(0.7)})
    talk.send(nexthop, ["u@end.example"])
    until(lambda: server.sessions and
          server.sessions[0].commands[-1:] == ["DATA"])
    world.box.children[where][0].terminate()
    assert talk.result().dsn("u@end.example") == "2.0.0"
    with pytest.raises(EOFError):
        talk.ipc.recv()
    assert world.box.children[where][0].wait(10) == 0
    until(lambda: server.sessions[0].ended == "quit")
    assert server.sessions[0].ended == "quit"


def test_max_idle(world):
    """An agent without work closes the connection; the next one works."""
    talk = world.agent(over=["max_idle=1s"])
    with pytest.raises(EOFError):
        talk.ipc.recv()
    talk.close()


def test_bad_request_ends_only_the_connection(world):
    talk = world.agent()
    where = [w for w in world.box.children if w != "private/resolver"][-1]
    nexthop, _ = world.domain("bad.example", {})
    talk.ipc.send("MSG_FLUSH", {})
    with pytest.raises(EOFError):
        talk.ipc.recv()
    # A request without its recipients.
    talk = AgentTalk(world.box, where)
    with open("/dev/null", "rb") as file, contextlib.suppress(OSError):
        talk.ipc.send("MSG_DELIVER", {
            "A_QUEUE_ID": "X", "A_QUEUE_NAME": "active",
            "A_CONTENT_OFFSET": 0, "A_CONTENT_LENGTH": 0, "A_SIZE": 0,
            "A_ARRIVAL": 0, "A_ACTIVE_TIME": 0, "A_FLAGS": 0, "A_SENDER": "",
            "A_TRANSPORT": "smtp", "A_NEXTHOP": nexthop,
            "A_INDEX": 1 << 40}, file.fileno())
    with pytest.raises((EOFError, ConnectionResetError)):
        talk.ipc.recv()
    talk = AgentTalk(world.box, where)
    assert talk.deliver(nexthop, ["u@bad.example"]).dsn(
        "u@bad.example") == "2.0.0"
    talk.close()


def test_message_file_too_short(world, agent):
    """The server must not take half a message for a whole one."""
    nexthop, (server,) = world.domain("short.example", {})
    got = agent.deliver(nexthop, ["u@short.example"], content=b"S: x\n\nhi\n",
                        A_CONTENT_LENGTH=100000)
    assert got.dsn("u@short.example") == "4.3.0"
    time.sleep(0.2)
    assert not server.messages


@pytest.mark.parametrize("preference", ["ipv6", "ipv4"])
def test_address_families(world, preference):
    talk = world.agent(over=["inet_protocols=all",
                             f"smtp_address_preference={preference}"])
    if "::1" not in world.servers:
        world.servers["::1"] = SmtpScript(host="::1", port=world.port).start()
        world.records("both.example MX 10 mx.both.example\n"
                      "mx.both.example AAAA ::1\n"
                      f"mx.both.example A {world.server()}")
    talk.deliver(f"both.example:{world.port}", ["u@both.example"])
    line = status_line(world, talk, "u@both.example")
    assert ("relay=mx.both.example[::1]:" in line) == (preference == "ipv6")
    talk.deliver(f"[ipv6:::1]:{world.port}", ["u@both.example"])
    assert status_line(world, talk, "u@both.example").startswith(
        f"relay=::1[::1]:{world.port}, ")
    talk.close()


def test_random_order(world):
    """Exchangers of one preference share the load."""
    addrs = [world.server() for _ in range(3)]
    world.records("\n".join(
        f"share.example MX 10 m{i}.share.example\nm{i}.share.example A {a}"
        for i, a in enumerate(addrs)))
    talk = world.agent(over=["smtp_randomize_addresses=yes",
                             "smtp_connection_cache_on_demand=no"])
    for _ in range(40):
        talk.deliver(f"share.example:{world.port}", ["u@share.example"])
    assert all(len(world.servers[a].sessions) > 2 for a in addrs)
    talk.close()
