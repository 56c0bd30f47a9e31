# SPDX-License-Identifier: MIT
"""The mtasts service with a resolver, a scripted name server and policy host,
as test_mtasts.py and test_smtp_sts.py need it."""
import json
import os
import re
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "system"))
import tls_ca  # noqa: E402
from buildtree import PATIENCE  # noqa: E402
from daemon import Box  # noqa: E402
from dns_server import DnsServer  # noqa: E402
from ipc_frames import ATTRS, Ipc  # noqa: E402
from sts_host import StsHost  # noqa: E402

NONE, TESTING, ENFORCE = range(3)
NO_POLICY, CACHED, FETCHED = range(3)
(SUCCESS, NO_STARTTLS, MISMATCH, EXPIRED, NOT_TRUSTED, VALIDATION, TLSA,
 DNSSEC, DANE, FETCH_ERROR, POLICY_INVALID, WEBPKI) = range(12)
DAY = 86400

DOMAINS = ["a.example", "b.example", "c.example", "d.example", "e.example",
           "xn--bcher-kva.example"]


class World:
    def __init__(self, path, main=None, host="127.0.0.1", signer=None):
        self.ca = tls_ca.folder()
        self.host = StsHost(self.ca, DOMAINS, host)
        self.dns = DnsServer(signer=signer).start()
        self.zone = {}
        if signer:
            self.publish("root", ". NS ns.example\n")
        self.box = Box(path, dict({
            "postrider_resolver_servers": f"127.0.0.1@{self.dns.port}",
            "postrider_mta_sts_ca_file": f"{self.ca}/ca.pem",
            "postrider_mta_sts_port": str(self.host.port),
            "inet_protocols": "ipv4"}, **(main or {})))
        self.cache = os.path.join(self.box.path, "data/mta_sts")
        self.reports = os.path.join(self.box.path, "data/tlsrpt")
        self.box.start("resolver", "private/resolver")
        self.start()

    def start(self):
        self.box.start("mtasts", "private/mta-sts")
        self.ipc = self.connect()
        self.serial = 0

    def end(self):
        self.ipc.close()
        assert self.box.end("private/mta-sts") == 0

    def restart(self):
        self.end()
        self.start()

    def connect(self):
        return Ipc(self.box.connect("private/mta-sts"))

    def announce(self, domain, policy_id="1", addr="127.0.0.1"):
        """TXT record and address; None: there is none."""
        self.zone[domain] = ""
        if policy_id is not None:
            self.zone[domain] += (f"ttl=0 _mta-sts.{domain} TXT v=STSv1; "
                                  f"id={policy_id};\n")
        if addr is not None:
            self.zone[domain] += f"ttl=0 mta-sts.{domain} A {addr}\n"
        self.publish()

    def publish(self, domain=None, text=None):
        if domain:
            self.zone[domain] = text
        self.dns.set("\n".join(self.zone.values()))

    def send(self, domain, ipc=None):
        self.serial += 1
        (ipc or self.ipc).send("MSG_STS_QUERY", {
            "A_SERIAL": self.serial, "A_NAME": domain})
        return self.serial

    def receive(self, ipc=None):
        ipc = ipc or self.ipc
        length = ipc._read(4)
        body = ipc._read(struct.unpack("<I", length)[0])
        one = Ipc(None)
        one.data = length + body
        kind, attrs = one.recv()
        assert kind == "MSG_STS_POLICY"
        at, mx = 4, []
        for _ in range(struct.unpack_from("<HH", body)[1]):
            attr, size = struct.unpack_from("<HI", body, at)
            if attr == ATTRS["A_PATTERN"]:
                mx.append(body[at + 6:at + 6 + size].decode())
            at += 6 + size
        attrs["mx"] = mx
        return attrs

    def ask(self, domain):
        """(mode, source, failure), attributes"""
        serial = self.send(domain)
        got = self.receive()
        assert got["A_SERIAL"] == serial
        return (got["A_MODE"], got["A_STATUS"], got["A_RESULT"]), got

    def cached(self, domain):
        with open(os.path.join(self.cache, domain), encoding="ascii") as f:
            return f.read()

    def age(self, domain, seconds):
        """Make a cached policy older; the service does not run."""
        text = re.sub(r"^fetched: (\d+)",
                      lambda m: f"fetched: {int(m[1]) - seconds}",
                      self.cached(domain), flags=re.M)
        with open(os.path.join(self.cache, domain), "w",
                  encoding="ascii", newline="") as f:
            f.write(text)

    def stop(self):
        self.ipc.close()
        self.box.stop()
        self.host.stop()
        self.dns.stop()


def wait_for(what, *args):
    deadline = time.time() + 20 * PATIENCE
    while not what(*args):
        assert time.time() < deadline
        time.sleep(0.02)


def state(world):
    with open(os.path.join(world.reports, "state"), encoding="utf-8") as f:
        return f.read()


def day_before(world):
    """Turn the counts of today into those of yesterday; returns its begin."""
    text = state(world)
    begin = int(re.match(r"tlsrpt 1 (\d+)\n", text)[1])
    with open(os.path.join(world.reports, "state"), "w",
              encoding="utf-8") as f:
        f.write(text.replace(f"tlsrpt 1 {begin}\n",
                             f"tlsrpt 1 {begin - DAY}\n", 1))
    return begin - DAY


def avoid_midnight():
    """The counts of a test belong to one day."""
    left = DAY - time.time() % DAY
    if left < 60 * PATIENCE:
        time.sleep(left + 1)


def read_reports(world):
    """Reports of finished days, by domain."""
    out = {}
    for name in os.listdir(world.reports):
        if name.startswith("client.example.com!"):
            with open(os.path.join(world.reports, name),
                      encoding="utf-8") as f:
                out[name.split("!")[1]] = json.load(f)
    return out
