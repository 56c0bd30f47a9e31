# SPDX-License-Identifier: MIT
"""The resolver and DNSSEC: signed zones, served by nsd, behind a validating
unbound, and, in a namespace, with root servers of our own."""
import os
import subprocess
import sys

import pytest

import signed_zone
from buildtree import PATIENCE
from test_resolver import FOUND, NO_DATA, NO_NAME, RETRY, Resolver

HERE = os.path.dirname(os.path.abspath(__file__))
ZONES = """
zone s.example
s.example MX 10 mx.s.example
mx.s.example A 192.0.2.1
_25._tcp.mx.s.example TLSA 3 1 1 {digest}
big.s.example TLSA 3 0 0 {big}
alias.s.example CNAME mx.s.example
out.s.example CNAME mx.u.example
forged.s.example A 192.0.2.2
forged.s.example FORGED A
old.s.example A 192.0.2.3
old.s.example EXPIRED A
deny.s.example A 192.0.2.4
deny.s.example FORGED NSEC
zone u.example unsigned
u.example MX 10 mx.s.example
mx.u.example A 192.0.2.5
in.u.example CNAME mx.s.example
_25._tcp.mx.u.example TLSA 3 1 1 {digest}
zone x.example expired
x.example A 192.0.2.6
zone w.example wrongds
w.example A 192.0.2.7
""".format(digest="ab" * 32, big="cd" * 5000)

# Name, type, status, validated; what the reason contains.
ANSWERS = [
    ("s.example", "MX", FOUND, 1, None),
    ("mx.s.example", "A", FOUND, 1, None),
    ("_25._tcp.mx.s.example", "TLSA", FOUND, 1, None),
    ("alias.s.example", "A", FOUND, 1, None),
    ("mx.s.example", "AAAA", NO_DATA, 1, None),
    ("nobody.s.example", "A", NO_NAME, 1, None),
    ("_25._tcp.nobody.s.example", "TLSA", NO_NAME, 1, None),
    ("out.s.example", "A", FOUND, 0, None),
    ("in.u.example", "A", FOUND, 0, None),
    ("u.example", "MX", FOUND, 0, None),
    ("_25._tcp.mx.u.example", "TLSA", FOUND, 0, None),
    ("nobody.u.example", "A", NO_NAME, 0, None),
    ("forged.s.example", "A", RETRY, 0, "signature"),
    ("old.s.example", "A", RETRY, 0, "signature expired"),
    ("_25._tcp.deny.s.example", "TLSA", RETRY, 0, "DNSSEC validation failed"),
    ("x.example", "A", RETRY, 0, "signature expired"),
    ("w.example", "A", RETRY, 0, "DNSSEC validation failed"),
]


def check(resolver, skip=()):
    for name, rtype, status, secure, reason in ANSWERS:
        if name in skip:
            continue
        got, records, attrs = resolver.ask(name, rtype)
        assert (got, attrs["A_SECURE"]) == (status, secure), (name, rtype,
                                                              attrs)
        assert bool(records) == (status == FOUND)
        if reason:
            assert reason in attrs["A_REASON"], (name, attrs)


@pytest.fixture(scope="module")
def dns(tmp_path_factory):
    with signed_zone.SignedDns(tmp_path_factory.mktemp("dns"), ZONES) as d:
        yield d


@pytest.mark.parametrize("which", ["port", "auth_port"])
def test_through_others(dns, tmp_path, which):
    """Through a resolver that validates and would keep bad answers to itself,
    and through a server that knows nothing of DNSSEC but has the records."""
    r = Resolver(tmp_path, {
        "postrider_resolver_servers": f"127.0.0.1@{getattr(dns, which)}",
        "postrider_resolver_trust_anchor": dns.anchor})
    try:
        check(r)
        big = r.ask("big.s.example", "TLSA")
        assert big[:2] == (FOUND, ["030000" + "cd" * 5000])
        assert "without DNSSEC" not in r.box.log()
    finally:
        r.stop()


@pytest.mark.parametrize("anchor", [
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237"
    "C7F8EC8D\n", "nonsense\n", None])
def test_wrong_anchor(dns, tmp_path, anchor):
    path = tmp_path / "anchor"
    if anchor:
        path.write_text(anchor)
    r = Resolver(tmp_path, {
        "postrider_resolver_servers": f"127.0.0.1@{dns.port}",
        "postrider_resolver_trust_anchor": str(path)})
    try:
        status, records, attrs = r.ask("mx.s.example", "A")
        assert (status, attrs["A_SECURE"]) == (FOUND, 0)
        r.box.wait_log("DNSSEC validation may be unavailable")
    finally:
        r.stop()


@pytest.mark.parametrize("probe,secure", [
    ("mx:s.example", 1), ("", 1), ("a:x.example", 0), ("ns:", 1),
    ("nonsense", 1)])
def test_probe(dns, tmp_path, probe, secure):
    r = Resolver(tmp_path, {
        "postrider_resolver_servers": f"127.0.0.1@{dns.port}",
        "postrider_resolver_trust_anchor": dns.anchor,
        "dnssec_probe": probe})
    try:
        status, _, attrs = r.ask("mx.s.example", "A")
        assert (status, attrs["A_SECURE"]) == (FOUND, secure)
    finally:
        r.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
@pytest.mark.parametrize("case", ["both", "root", "unreachable"])
def test_root_servers(case):
    signed_zone.needs()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "resolver_roots.py"), case],
        capture_output=True, text=True, timeout=120 * PATIENCE)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
