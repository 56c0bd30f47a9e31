# SPDX-License-Identifier: MIT
"""The resolver, asked over its socket, against a scripted name server."""
import os
import time

import pytest

from daemon import Box
from dns_server import TYPES, DnsServer
from dns_sign import Signer
from ipc_frames import Ipc

FOUND, NO_NAME, NO_DATA, RETRY, BAD_NAME = range(5)
HOSTS, HOSTS_ONLY = 1, 2

ZONE = """
example.com MX 10 mx1.example.com
example.com MX 20 mx2.example.com
ttl=7 mx1.example.com A 192.0.2.1
mx1.example.com A 192.0.2.2
mx1.example.com AAAA 2001:db8::1
alias.example.com CNAME alias2.example.com
ttl=5 alias2.example.com CNAME example.com
null.example MX 0 .
txt.example TXT hello world
broken.example SERVFAIL
refused.example REFUSED
slow.example DELAY 0.7
slow.example A 192.0.2.3
garbage.example GARBAGE
big.example TRUNCATE
big.example A 192.0.2.4
foo.test A 192.0.2.5
1.2.0.192.in-addr.arpa PTR mx1.example.com
8.8.16.172.in-addr.arpa PTR lan.example.com
9.0.5.127.in-addr.arpa PTR jail.example.com
_submission._tcp.example.com SRV 1 2 587 sub.example.com
_25._tcp.mx1.example.com TLSA 3 1 1 abcdef
loop1.example CNAME loop2.example
loop2.example CNAME loop1.example
odd.example MX 10 spa_ce\\x.example.com
drop.example DROP
*.many.example A 192.0.2.6
*.later.example DELAY 0.3
*.later.example A 192.0.2.7
"""


class Resolver:
    def __init__(self, path, main=None, zone=ZONE, signer=None):
        self.dns = DnsServer(zone, signer=signer).start()
        settings = {"postrider_resolver_servers": f"127.0.0.1@{self.dns.port}"}
        settings.update(main or {})
        self.box = Box(path, settings)
        self.child = self.box.start("resolver", "private/resolver")
        self.ipc = self.connect()
        self.serial = 0

    def connect(self):
        return Ipc(self.box.connect("private/resolver"))

    def send(self, name, rtype, flags=0):
        self.serial += 1
        self.ipc.send("MSG_DNS_QUERY", {
            "A_SERIAL": self.serial, "A_NAME": name,
            "A_RRTYPE": TYPES[rtype], "A_FLAGS": flags})
        return self.serial

    def ask(self, name, rtype, flags=0):
        """(status, records, attributes)"""
        serial = self.send(name, rtype, flags)
        kind, attrs, records = self.receive()
        assert kind == "MSG_DNS_ANSWER" and attrs["A_SERIAL"] == serial
        return attrs["A_STATUS"], sorted(records), attrs

    def receive(self):
        """As Ipc.recv(), with all records."""
        import struct
        length = struct.unpack("<I", self.ipc._read(4))[0]
        body = self.ipc._read(length)
        whole = struct.pack("<I", length) + body
        one = Ipc(None)
        one.data = whole
        kind, attrs = one.recv()
        from ipc_frames import ATTRS
        at, records = 4, []
        for _ in range(struct.unpack_from("<HH", body)[1]):
            attr, size = struct.unpack_from("<HI", body, at)
            if attr == ATTRS["A_RR"]:
                records.append(body[at + 6:at + 6 + size].decode())
            at += 6 + size
        return kind, attrs, records

    def stop(self):
        self.ipc.close()
        self.box.stop()
        self.dns.stop()


@pytest.fixture(scope="module")
def resolver(tmp_path_factory):
    r = Resolver(tmp_path_factory.mktemp("resolver"))
    yield r
    r.stop()


@pytest.mark.parametrize("name,rtype,status,records", [
    ("example.com", "MX", FOUND, ["10 mx1.example.com", "20 mx2.example.com"]),
    ("EXAMPLE.com", "MX", FOUND, ["10 mx1.example.com", "20 mx2.example.com"]),
    ("mx1.example.com", "A", FOUND, ["192.0.2.1", "192.0.2.2"]),
    ("mx1.example.com", "AAAA", FOUND, ["2001:db8::1"]),
    ("null.example", "MX", FOUND, ["0 "]),
    ("txt.example", "TXT", FOUND, ["hello world"]),
    ("txt.example", "MX", NO_DATA, []),
    ("nothing.example", "MX", NO_NAME, []),
    ("broken.example", "A", RETRY, []),
    ("refused.example", "A", RETRY, []),
    ("garbage.example", "A", RETRY, []),
    ("loop1.example", "A", RETRY, []),
    ("slow.example", "A", FOUND, ["192.0.2.3"]),
    ("big.example", "A", FOUND, ["192.0.2.4"]),
    ("foo.test", "A", FOUND, ["192.0.2.5"]),
    ("192.0.2.1", "PTR", FOUND, ["mx1.example.com"]),
    ("172.16.8.8", "PTR", FOUND, ["lan.example.com"]),
    ("127.5.0.9", "PTR", FOUND, ["jail.example.com"]),
    ("192.0.2.9", "PTR", NO_NAME, []),
    ("2001:db8::9", "PTR", NO_NAME, []),
    ("not-an-address", "PTR", BAD_NAME, []),
    ("_submission._tcp.example.com", "SRV", FOUND,
     ["1 2 587 sub.example.com"]),
    ("_25._tcp.mx1.example.com", "TLSA", FOUND, ["030101abcdef"]),
    ("odd.example", "MX", FOUND, ["10 spa_ce\\092x.example.com"]),
    ("localhost", "A", FOUND, ["127.0.0.1"]),
    ("localhost", "AAAA", FOUND, ["::1"]),
    ("127.0.0.1", "PTR", FOUND, ["localhost"]),
    ("x" * 64 + ".example", "A", BAD_NAME, []),
])
def test_answers(resolver, name, rtype, status, records):
    got, found, attrs = resolver.ask(name, rtype)
    assert (got, found) == (status, records)
    assert attrs["A_SECURE"] == 0
    assert (status != RETRY) or attrs["A_REASON"]


def test_alias_and_ttl(resolver):
    status, found, attrs = resolver.ask("alias.example.com", "MX")
    assert status == FOUND and len(found) == 2
    assert attrs["A_NAME"] == "example.com"
    assert attrs["A_TTL"] <= 5


def test_one_cache(resolver):
    before = resolver.dns.count("once.many.example", "A")
    for _ in range(5):
        assert resolver.ask("once.many.example", "A")[0] == FOUND
    assert resolver.dns.count("once.many.example", "A") == before + 1


def test_many_at_once(resolver):
    want = {resolver.send(f"n{i}.later.example", "A") for i in range(1500)}
    start = time.time()
    while want:
        kind, attrs, records = resolver.receive()
        want.remove(attrs["A_SERIAL"])
        assert attrs["A_STATUS"] == FOUND and records == ["192.0.2.7"]
    assert time.time() - start < 20


def test_same_question_of_two(resolver):
    other = resolver.connect()
    for ipc, serial in ((resolver.ipc, 90001), (other, 90002)):
        ipc.send("MSG_DNS_QUERY", {"A_SERIAL": serial,
                                   "A_NAME": "both.later.example",
                                   "A_RRTYPE": 1})
    assert resolver.receive()[1]["A_SERIAL"] == 90001
    assert other.recv()[1]["A_SERIAL"] == 90002
    assert resolver.dns.count("both.later.example", "A") == 1
    other.close()


def test_client_goes_away(resolver):
    other = resolver.connect()
    for i in range(100):
        other.send("MSG_DNS_QUERY", {"A_SERIAL": i, "A_RRTYPE": 1,
                                     "A_NAME": f"gone{i}.later.example"})
    other.close()
    time.sleep(0.5)
    assert resolver.ask("example.com", "MX")[0] == FOUND


def test_bad_client(resolver):
    for junk in (b"\xff\xff\xff\xff", b"\x08\0\0\0\xff\xff\0\0\0\0\0\0"):
        other = resolver.connect()
        other.sock.sendall(junk)
        assert other.sock.recv(10) == b""
        other.close()
    other = resolver.connect()
    other.send("MSG_FLUSH", {})
    assert other.sock.recv(10) == b""
    other.close()
    assert resolver.child.poll() is None
    assert resolver.ask("example.com", "MX")[0] == FOUND


@pytest.mark.slow
def test_no_answer_in_time(resolver):
    start = time.time()
    assert resolver.ask("drop.example", "A")[0] == RETRY
    assert time.time() - start < 31


def test_hosts_file(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n192.0.2.77 Box.example.com box # x\n"
                     "2001:db8::77 box.example.com\nnonsense here\n")
    r = Resolver(tmp_path, {"postrider_resolver_hosts": str(hosts)})
    try:
        assert r.ask("box.example.com", "A")[0] == NO_NAME
        assert r.ask("box.EXAMPLE.com", "A", HOSTS)[:2] == (
            FOUND, ["192.0.2.77"])
        assert r.ask("box.example.com", "AAAA", HOSTS)[:2] == (
            FOUND, ["2001:db8::77"])
        assert r.ask("box", "AAAA", HOSTS)[0] == NO_DATA
        assert r.ask("192.0.2.77", "PTR", HOSTS)[:2] == (
            FOUND, ["Box.example.com"])
        assert r.ask("mx1.example.com", "A", HOSTS)[0] == FOUND
        assert r.ask("mx1.example.com", "A", HOSTS_ONLY)[0] == NO_NAME
        assert r.ask("localhost", "AAAA", HOSTS_ONLY)[:2] == (FOUND, ["::1"])
        time.sleep(1.1)
        hosts.write_text("192.0.2.78 box.example.com\n")
        os.utime(hosts, (1, 1))
        assert r.ask("box.example.com", "A", HOSTS)[:2] == (
            FOUND, ["192.0.2.78"])
    finally:
        r.stop()


def test_server_that_does_not_validate(tmp_path):
    """With a trust anchor, but answers without signatures: no DNSSEC, and a
    line about it, instead of no mail."""
    anchor = tmp_path / "root.key"
    anchor.write_text(". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E88"
                      "0409BBC683457104237C7F8EC8D\n")
    r = Resolver(tmp_path, {"postrider_resolver_trust_anchor": str(anchor)})
    try:
        status, records, attrs = r.ask("example.com", "MX")
        assert (status, len(records), attrs["A_SECURE"]) == (FOUND, 2, 0)
        r.box.wait_log("going on without DNSSEC")
        # The root's keys were asked for.
        assert r.dns.queries[0][0] == ""
    finally:
        r.stop()


def test_validation(tmp_path):
    signer = Signer(tmp_path)
    anchor = tmp_path / "root.key"
    anchor.write_text(signer.anchor())
    r = Resolver(tmp_path, {"postrider_resolver_trust_anchor": str(anchor),
                            "postrider_resolver_insecure_zones": "in.example"},
                 """
                 mail.corp A 192.0.2.4
                 mail.corp UNSIGNED
                 mail.in.example A 192.0.2.5
                 mail.in.example UNSIGNED
                 . NS ns.example
                 signed.example MX 10 mx.signed.example
                 mx.signed.example A 192.0.2.1
                 alias.example CNAME signed.example
                 forged.example A 192.0.2.2
                 forged.example FORGED
                 bare.example A 192.0.2.3
                 bare.example UNSIGNED
                 """, signer)
    try:
        for name in ("signed.example", "alias.example"):
            status, records, attrs = r.ask(name, "MX")
            assert (status, records, attrs["A_SECURE"]) == (
                FOUND, ["10 mx.signed.example"], 1), attrs
        # What must be signed, and is not, or not well, is no answer.
        for name in ("forged.example", "bare.example"):
            status, records, attrs = r.ask(name, "A")
            assert (status, records) == (RETRY, []), name
            assert attrs["A_SECURE"] == 0
            assert attrs["A_REASON"].startswith("DNSSEC validation failed")
        # Where no signatures can be expected.
        for name in ("mail.corp", "mail.in.example"):
            status, records, attrs = r.ask(name, "A")
            assert (status, len(records), attrs["A_SECURE"]) == (FOUND, 1, 0)
        # What is from the hosts file was not validated.
        assert r.ask("localhost", "A")[2]["A_SECURE"] == 0
        assert "without DNSSEC" not in r.box.log()
    finally:
        r.stop()


@pytest.mark.slow
def test_nobody_answers(tmp_path):
    """No server at all: every question gets an answer, nothing dies; and when
    the server comes back, so do the answers."""
    r = Resolver(tmp_path)
    port = r.dns.port
    r.dns.stop()
    try:
        start = time.time()
        for i in range(20):
            r.send(f"down{i}.many.example", "A")
        for _ in range(20):
            assert r.receive()[1]["A_STATUS"] == RETRY
        assert time.time() - start < 31
        r.dns = DnsServer(ZONE, port=port).start()
        deadline = time.time() + 25
        n = 0
        while r.ask(f"up{n}.many.example", "A")[0] != FOUND:
            n += 1
            assert time.time() < deadline
            time.sleep(0.5)
    finally:
        r.stop()
