# SPDX-License-Identifier: MIT
"""MTA-STS and TLSRPT in the SMTP client: policy host, name server and mail
exchangers are scripted, the queue manager is played."""
import hashlib
import os
import socket
import ssl
import subprocess

import pytest

import postrider
import tls_ca
from dns_sign import Signer
from smtp_agent import AgentTalk
from smtp_script import SmtpScript
from sts_host import policy
from sts_world import (
    World, avoid_midnight, day_before, read_reports, state, wait_for)

MAIN = {
    "smtp_randomize_addresses": "no",
    "smtp_tls_security_level": "may",
    "smtp_tls_loglevel": "1",
    "postrider_mta_sts": "yes",
    "smtp_tlsrpt_enable": "yes",
}


class Client(World):
    def __init__(self, path, main=None, signer=None):
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        self.mx_port = probe.getsockname()[1]
        probe.close()
        self.servers = []
        self.agents = 0
        self.mx_zone = ""
        super().__init__(path, {
            name: value.replace("PORT", str(self.mx_port))
            for name, value in dict(MAIN, **(main or {})).items()},
            signer=signer)
        for name, hosts, ca in (
                ("sts-mx", [f"mx{i}.{d}.example" for i in (1, 2)
                            for d in "abcde"], "ca"),
                ("sts-mx-name", ["mx.other.example"], "ca"),
                ("sts-mx-ca", ["mx1.a.example"], "ca2")):
            tls_ca.issue(self.ca, name, hosts[0], ca=ca, names=hosts)

    def agent(self, over=()):
        self.agents += 1
        name = f"private/smtp{self.agents}"
        self.box.start("smtp", name, over)
        return AgentTalk(self.box, name)

    def mx(self, host, cert="sts-mx", preference=10):
        """A mail exchanger of its own address; cert None: without TLS."""
        addr = f"127.2.0.{len(self.servers) + 1}"
        context, ehlo = None, "250-{host}\n250 PIPELINING"
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{self.ca}/{cert}.pem",
                                    f"{self.ca}/{cert}.key")
            ehlo = ("250-{host}\n250-PIPELINING\n250 STARTTLS",
                    "250-{host}\n250 PIPELINING")
        server = SmtpScript(host=addr, port=self.mx_port, tls=context,
                            ehlo=ehlo).start()
        self.servers.append(server)
        domain = host.split(".", 1)[1]
        self.mx_zone += (f"ttl=0 {domain} MX {preference} {host}\n"
                         f"ttl=0 {host} A {addr}\n")
        self.publish("mx", self.mx_zone)
        return server

    def deliver(self, talk, domain):
        """status code and text for a message to it"""
        rcpt = f"x@{domain}"
        got = talk.deliver(f"{domain}:{self.mx_port}", [rcpt])
        return got.dsn(rcpt), got.text(rcpt)

    def stop(self):
        super().stop()
        for server in self.servers:
            server.stop()


@pytest.fixture
def client(tmp_path):
    made = []

    def make(*args):
        made.append(Client(tmp_path, *args))
        return made[0]

    yield make
    for one in made:
        one.stop()


def tls_of(server):
    return [bool(session.tls) for session in server.sessions]


def test_enforce(client):
    avoid_midnight()
    world = client()
    talk = world.agent(["smtp_connection_cache_on_demand=no"])
    for domain, patterns in (("a.example", ["mx1.a.example"]),
                             ("b.example", ["*.b.example"]),
                             ("c.example", ["*.c.example"]),
                             ("d.example", ["mx.d.example"]),
                             ("e.example", ["*.e.example"])):
        world.announce(domain)
        world.host.set(domain, policy("enforce", patterns, 86400))
    world.publish("rpt", "".join(
        f"_smtp._tls.{d}.example TXT v=TLSRPTv1; rua=mailto:x@{d}.example\n"
        for d in "abcde"))
    # The name that is not in the policy is left out.
    wrong = world.mx("mx2.a.example", preference=5)
    right = world.mx("mx1.a.example")
    assert world.deliver(talk, "a.example")[0] == "2.0.0"
    assert wrong.sessions == [] and tls_of(right) == [True]
    world.box.wait_log("Verified TLS connection established to "
                       "mx1.a.example[")
    world.box.wait_log("the MTA-STS policy of a.example does not allow mail "
                       "exchanger mx2.a.example")
    # No STARTTLS; a certificate for another name; no name in the policy; a
    # certificate that nobody vouches for.
    plain = world.mx("mx1.b.example", cert=None)
    dsn, text = world.deliver(talk, "b.example")
    assert dsn == "4.7.4" and "TLS is required" in text
    other = world.mx("mx1.c.example", cert="sts-mx-name")
    assert world.deliver(talk, "c.example") == (
        "4.7.5", "Server certificate not verified")
    world.mx("mx1.d.example")
    assert world.deliver(talk, "d.example") == (
        "4.7.5", "the MTA-STS policy of d.example does not allow mail "
        "exchanger mx1.d.example")
    stranger = world.mx("mx1.e.example", cert="sts-mx-ca")
    assert world.deliver(talk, "e.example") == (
        "4.7.5", "Server certificate not verified")
    for server in (wrong, plain, other, stranger):
        assert server.messages == []
    assert len(right.messages) == 1
    # With the policy host away the policies hold.
    world.host.stop()
    for domain in "abcde":
        world.publish(f"{domain}.example", "")
    world.restart()
    assert world.deliver(talk, "b.example")[0] == "4.7.4"
    assert world.deliver(talk, "a.example")[0] == "2.0.0"
    assert tls_of(right) == [True, True]
    talk.close()
    check_enforce_reports(world)


def check_enforce_reports(world):
    # Whatever was told before is taken before the answer.
    world.ask("a.example")
    world.end()
    day_before(world)
    world.start()
    world.ask("a.example")
    world.end()
    reports = read_reports(world)
    assert sorted(reports) == [f"{d}.example" for d in "abcde"]
    got = {}
    for domain, report in reports.items():
        one, = report["policies"]
        assert one["policy"]["policy-type"] == "sts"
        assert one["policy"]["policy-domain"] == domain
        details = [(d["result-type"], d["failed-session-count"])
                   for d in one.get("failure-details", [])]
        got[domain[0]] = (one["summary"]["total-successful-session-count"],
                          one["summary"]["total-failure-session-count"],
                          details)
    assert got == {
        "a": (2, 2, [("validation-failure", 2)]),
        "b": (0, 2, [("starttls-not-supported", 2)]),
        "c": (0, 1, [("certificate-host-mismatch", 1)]),
        "d": (0, 1, [("validation-failure", 1)]),
        "e": (0, 1, [("certificate-not-trusted", 1)])}
    policy_of_b = reports["b.example"]["policies"][0]["policy"]
    assert policy_of_b["policy-string"] == [
        "version: STSv1", "mode: enforce", "mx: *.b.example",
        "max_age: 86400"]
    assert policy_of_b["mx-host"] == ["*.b.example"]
    detail, = reports["c.example"]["policies"][0]["failure-details"]
    assert detail["receiving-mx-hostname"] == "mx1.c.example"
    assert detail["receiving-ip"].startswith("127.2.0.")
    assert detail["sending-mta-ip"].startswith("127.")


def test_testing_none_and_failed(client):
    avoid_midnight()
    world = client()
    talk = world.agent()
    world.publish("rpt", "".join(
        f"_smtp._tls.{d}.example TXT v=TLSRPTv1; rua=mailto:x@{d}.example\n"
        for d in "abcde"))
    # Testing: mail goes, the report tells.
    for domain, mx, cert in (("a", "mx1.a.example", "sts-mx-ca"),
                             ("b", "other.b.example", "sts-mx"),
                             ("c", "mx1.c.example", "sts-mx")):
        world.announce(f"{domain}.example")
        world.host.set(f"{domain}.example",
                       policy("testing", [f"mx1.{domain}.example"]))
        world.mx(mx, cert=cert)
        assert world.deliver(talk, f"{domain}.example")[0] == "2.0.0"
    # A policy that says nothing; one that cannot be had.
    world.announce("d.example")
    world.host.set("d.example", policy("none"))
    world.mx("mx1.d.example", cert=None)
    assert world.deliver(talk, "d.example")[0] == "2.0.0"
    world.announce("e.example", "1", "127.0.0.99")
    world.mx("mx1.e.example", cert="sts-mx-ca")
    assert world.deliver(talk, "e.example")[0] == "2.0.0"
    talk.close()
    world.ask("a.example")
    world.end()
    day_before(world)
    world.start()
    world.ask("a.example")
    world.end()
    got = {}
    for domain, report in read_reports(world).items():
        got[domain[0]] = sorted(
            (p["policy"]["policy-type"],
             p["summary"]["total-successful-session-count"],
             p["summary"]["total-failure-session-count"],
             [d["result-type"] for d in p.get("failure-details", [])])
            for p in report["policies"])
    assert got == {
        "a": [("sts", 0, 1, ["certificate-not-trusted"])],
        "b": [("sts", 0, 1, ["validation-failure"])],
        "c": [("sts", 1, 0, [])],
        "d": [("no-policy-found", 0, 1, ["starttls-not-supported"])],
        "e": [("no-policy-found", 1, 0, []),
              ("sts", 0, 1, ["sts-policy-fetch-error"])]}


def test_expired_and_new_policies(client):
    world = client()
    for domain in ("a.example", "b.example"):
        world.announce(domain)
        world.host.set(domain, policy("enforce", [f"old.{domain}"], 3600))
        assert world.ask(domain)[1]["mx"] == [f"old.{domain}"]
    a = world.mx("mx1.a.example")
    b = world.mx("mx1.b.example", cert=None)
    # One agent each: it remembers an answer for ten seconds.
    for domain in ("a.example", "b.example"):
        talk = world.agent()
        assert world.deliver(talk, domain)[0] == "4.7.5"
        talk.close()
    # A new id brings a new policy.
    world.announce("a.example", "2")
    world.host.set("a.example", policy("enforce", ["mx1.a.example"], 3600))
    talk = world.agent()
    assert world.deliver(talk, "a.example")[0] == "2.0.0"
    assert tls_of(a) == [True]
    talk.close()
    # What has expired holds no longer when there is no other to be had.
    world.end()
    world.age("b.example", 3601)
    world.host.set("b.example", {"status": 503})
    world.start()
    talk = world.agent()
    assert world.deliver(talk, "b.example")[0] == "2.0.0"
    assert len(b.messages) == 1
    talk.close()


def test_who_wins(client):
    world = client({"smtp_tls_policy_maps": "inline:{a.example:PORT=may}"})
    for domain in ("a.example", "b.example"):
        world.announce(domain)
        world.host.set(domain, policy("enforce", ["mx.else.example"]))
        server = world.mx(f"mx1.{domain}")
    # The administrator's entry, and a host that is named instead of a domain.
    talk = world.agent()
    assert world.deliver(talk, "a.example")[0] == "2.0.0"
    assert world.deliver(talk, "b.example")[0] == "4.7.5"
    assert world.deliver(talk, "[mx1.b.example]")[0] == "2.0.0"
    talk.close()
    assert world.host.count("a.example") == 0
    for over in (["postrider_mta_sts=no"], ["smtp_tls_security_level=none"]):
        talk = world.agent(over)
        assert world.deliver(talk, "b.example")[0] == "2.0.0"
        talk.close()
    assert tls_of(server) == [True, True, False]
    # Whoever cannot ask does not send.
    world.end()
    talk = world.agent()
    dsn, text = world.deliver(talk, "b.example")
    assert dsn == "4.7.5"
    assert text.startswith("cannot find the MTA-STS policy of b.example: ")
    talk.close()
    world.start()


def test_dane_wins(tmp_path, client):
    signer = Signer(tmp_path)
    anchor = tmp_path / "root.key"
    anchor.write_text(signer.anchor())
    world = client({"smtp_tls_security_level": "dane",
                    "postrider_mta_sts": "${{$smtp_tls_security_level} == "
                                         "{dane} ? {yes} : {no}}",
                    "postrider_resolver_trust_anchor": str(anchor),
                    "postrider_resolver_insecure_zones": "b.example"}, signer)
    digest = {}
    for cert in ("sts-mx", "sts-mx-ca"):
        pem = tls_ca.openssl("x509", "-in", f"{world.ca}/{cert}.pem",
                             "-noout", "-pubkey")
        der = tls_ca.openssl("pkey", "-pubin", "-outform", "DER", input=pem)
        digest[cert] = hashlib.sha256(der).hexdigest()
    for domain, pattern in (("a.example", "else.a.example"),
                            ("b.example", "*.b.example"),
                            ("c.example", "*.c.example")):
        world.announce(domain)
        world.host.set(domain, policy("enforce", [pattern]))
    world.publish("b", "b.example UNSIGNED\n*.b.example UNSIGNED\n")
    # Records that match: neither names nor authorities of MTA-STS count.
    a = world.mx("mx1.a.example", cert="sts-mx-ca")
    # Records that do not match a server which MTA-STS would take.
    c = world.mx("mx1.c.example")
    world.publish("tlsa", "".join(
        f"_{world.mx_port}._tcp.mx1.{d}.example TLSA 3 1 1 "
        f"{digest['sts-mx-ca']}\n" for d in "ac"))
    # Records that cannot be had.
    d = world.mx("mx1.d.example")
    world.publish("d", f"_{world.mx_port}._tcp.mx1.d.example SERVFAIL\n"
                  "_smtp._tls.d.example TXT v=TLSRPTv1; rua=mailto:x@d\n")
    # No signatures.
    b = world.mx("mx1.b.example")
    for name in ("b.example", "mx1.b.example", "_mta-sts.b.example",
                 "mta-sts.b.example"):
        world.publish(name + " unsigned", name + " UNSIGNED\n")
    talk = world.agent()
    assert world.deliver(talk, "a.example")[0] == "2.0.0"
    assert world.deliver(talk, "b.example")[0] == "2.0.0"
    for domain in ("c.example", "d.example"):
        assert world.deliver(talk, domain)[0] == "4.7.5"
    talk.close()
    assert [len(s.messages) for s in (a, b, c, d)] == [1, 1, 0, 0]
    assert world.host.count("a.example") == world.host.count("c.example") == 0
    assert world.host.count("b.example") == 1
    for domain in "ab":
        world.box.wait_log("Verified TLS connection established to "
                           f"mx1.{domain}.example[")
    wait_for(world.dns.count, "_smtp._tls.d.example", "TXT")
    world.ask("b.example")
    world.end()
    assert ("\ndomain d.example wanted\npolicy tlsa 0 d.example\n"
            "failed dnssec-invalid 1 - ") in state(world)
    world.start()


def test_default(tmp_path, client):
    world = client()

    def value(level):
        return subprocess.run(
            [f"{world.box.build}/sbin/postconf", "-c", world.box.config, "-x",
             "-h", "-o", f"smtp_tls_security_level={level}", "-o",
             "postrider_mta_sts=${{$smtp_tls_security_level} == {dane} ? "
             "{yes} : {no}}", "postrider_mta_sts"],
            check=True, capture_output=True, text=True).stdout.strip()

    assert value("dane") == "yes"
    assert value("may") == "no"
    dflt = subprocess.run(
        [f"{world.box.build}/sbin/postconf", "-d", "-h", "postrider_mta_sts"],
        check=True, capture_output=True, text=True).stdout.strip()
    assert dflt == ("${{$smtp_tls_security_level} == {dane} ? {yes} : {no}}")


def test_in_an_instance(client):
    """Started by master without a line, as the mail owner; the client may be
    in a chroot."""
    world = client()
    world.announce("a.example")
    world.host.set("a.example", policy("enforce", ["mx1.a.example"]))
    server = world.mx("mx1.a.example")
    chroot = "y" if os.geteuid() == 0 else "n"
    with postrider.Instance(main=dict(
            MAIN, smtp_dns_support_level="enabled", smtp_host_lookup="dns",
            smtp_tcp_port=world.mx_port, relayhost="",
            postrider_resolver_servers=f"127.0.0.1@{world.dns.port}",
            postrider_mta_sts_ca_file=f"{world.ca}/ca.pem",
            postrider_mta_sts_port=world.host.port), master={
                "smtp unix": f"smtp unix - - {chroot} - - smtp"}) as mta:
        mta.sendmail("x@a.example", "Subject: 1\n\n1\n")
        mta.wait_log("status=sent")
        assert "MTA-STS policy of a.example: id=1, mode=enforce" in mta.log()
        kept = os.stat(os.path.join(mta.data, "mta_sts/a.example"))
        assert kept.st_uid == os.stat(mta.data).st_uid
        assert kept.st_mode & 0o777 == 0o600
        # It goes on at a reload, and keeps its policies when it starts again.
        before = mta.pids("mtasts")
        mta.reload()
        assert mta.pids("mtasts") == before and len(before) == 1
        mta.stop()
        assert os.path.exists(os.path.join(mta.data, "tlsrpt/state"))
        world.host.stop()
        world.publish("a.example", "")
        mta.start()
        mta.sendmail("x@a.example", "Subject: 2\n\n2\n")
        mta.wait_log("status=sent", count=2)
    assert tls_of(server) == [True, True]
