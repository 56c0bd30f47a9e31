# SPDX-License-Identifier: MIT
"""Deliver the same mail with Debian's Postfix and with Postrider, both at the
DANE levels, to Debian's SMTP server over a signed internet of their own
(tests/lib/signed_zone.py). Prints the lines of the SMTP client that differ.
Run by test_dane_oracle.py.

    dane_side_by_side.py [oracle | ours]    the lines of one, nothing compared
"""
import collections
import difflib
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../lib"))

import oracle  # noqa: E402
import postrider  # noqa: E402
import signed_zone  # noqa: E402
import tls_ca  # noqa: E402
from buildtree import PATIENCE  # noqa: E402

# Servers, 127.3.0.N: certificate (None: no TLS), and whether the authority
# is sent along.
SERVERS = {1: ("one", True), 2: (None, False), 3: ("two", False),
           4: ("selfsigned", False), 5: ("old", True), 6: ("nexthop", True)}
# Names in the certificates; "one" fits those domains.
NAMES = {"one": ["mx.ta.s.example", "mx.tanone.s.example",
                 "mx.ta210.s.example", "mx.tamixed.s.example",
                 "mx.tacn.s.example", "mx.taex.s.example"],
         "two": ["two.example", "mx.ta200.s.example"],
         "nexthop": ["tanexthop.s.example", "tanexthop.i.example"]}

# Domain: MX hosts "NAME=SERVER" (NAME in short: mx, made mx.DOMAIN), and TLSA
# records as formulas, "USAGE SELECTOR MTYPE CERTIFICATE"; "-" before a
# formula: its last byte is wrong. Those of a second host after "/".
DOMAINS = {
    "ee": (1, ["3 1 1 one"]),
    "ee300": (1, ["3 0 0 one"]),
    "ee310": (1, ["3 1 0 one"]),
    "ee301": (1, ["3 0 1 one"]),
    "ee302": (1, ["3 0 2 one"]),
    "ee312": (1, ["3 1 2 one"]),
    "self": (4, ["3 1 1 selfsigned"]),
    "eeold": (5, ["3 1 1 old"]),
    "ta": (1, ["2 0 1 ca"]),
    "ta210": (1, ["2 1 0 ca"]),
    "ta200": (3, ["2 0 0 ca"]),
    "taname": (1, ["2 0 1 ca"]),
    "tanexthop": (6, ["2 1 1 ca"]),
    "taold": (5, ["2 0 1 ca"]),
    "ta2": (1, ["2 0 1 ca2"]),
    "tamixed": (1, ["2 0 1 ca", "-3 1 1 one"]),
    "bad": (1, ["-3 1 1 one"]),
    "roll": (1, ["3 1 1 two", "3 1 1 one"]),
    "agile": (1, ["3 1 1 one", "-3 1 2 one"]),
    "agile2": (1, ["-3 1 1 one", "3 1 2 one"]),
    "agile3": (1, ["-3 1 1 one", "3 0 2 one"]),
    "agile4": (1, ["-3 1 2 one", "3 1 0 one"]),
    "pkix": (1, ["1 1 1 one"]),
    "pkix0": (1, ["0 0 1 ca"]),
    "pkixee": (1, ["1 1 1 two", "3 1 1 one"]),
    "plainpkix": (2, ["1 1 1 one"]),
    "mtype9": (1, ["3 1 9 one"]),
    "sel2": (1, ["3 2 1 one"]),
    "usage4": (1, ["4 1 1 one"]),
    "short": (1, ["3 1 1 :abcdef"]),
    "empty": (1, ["3 1 0 :00"]),
    "trash": (1, ["2 0 0 :3003020100"]),
    "trashee": (1, ["3 1 0 :3003020100"]),
    "trashok": (1, ["3 1 0 :3003020100", "3 1 1 one"]),
    "none": (1, []),
    "plain": (2, []),
    "plainee": (2, ["3 1 1 one"]),
    "many": (1, ["3 1 1 :" + "%064x" % i for i in range(40)] +
             ["3 1 1 one"]),
}
OTHER = """
forged.s.example MX 10 mx.forged.s.example
mx.forged.s.example A 127.3.0.1
_25._tcp.mx.forged.s.example TLSA {ee}
_25._tcp.mx.forged.s.example FORGED TLSA
over.s.example MX 10 mx.over.s.example
mx.over.s.example A 127.3.0.1
_25._tcp.mx.over.s.example TLSA {ee}
_25._tcp.mx.over.s.example EXPIRED TLSA
denyforged.s.example MX 10 mx.denyforged.s.example
mx.denyforged.s.example A 127.3.0.1
mx.denyforged.s.example FORGED NSEC
mxforged.s.example MX 10 mx.ee.s.example
mxforged.s.example FORGED MX
aforged.s.example MX 10 mx.aforged.s.example
mx.aforged.s.example A 127.3.0.1
mx.aforged.s.example FORGED A
_25._tcp.mx.aforged.s.example TLSA {ee}
two.s.example MX 10 mx.bad.s.example
two.s.example MX 20 mx.ee.s.example
two2.s.example MX 10 mx.plain.s.example
two2.s.example MX 20 mx.bad.s.example
forgedtwo.s.example MX 10 mx.forged.s.example
forgedtwo.s.example MX 20 mx.ee.s.example
hostin.s.example MX 10 mx.i.example
hostinalias.s.example MX 10 hostinalias1.s.example
hostinalias1.s.example CNAME mx.i.example
_25._tcp.hostinalias1.s.example TLSA {ee}
tlsain.s.example MX 10 mx.tlsain.s.example
mx.tlsain.s.example A 127.3.0.1
_25._tcp.mx.tlsain.s.example CNAME _25._tcp.mx.i.example
tlsaalias.s.example MX 10 mx.tlsaalias.s.example
mx.tlsaalias.s.example A 127.3.0.1
_25._tcp.mx.tlsaalias.s.example CNAME _25._tcp.mx.ee.s.example
alias.s.example MX 10 alias1.s.example
alias1.s.example CNAME mx.ee.s.example
aliasown.s.example MX 10 aliasown1.s.example
aliasown1.s.example CNAME mx.none.s.example
_25._tcp.aliasown1.s.example TLSA {ee}
aliasboth.s.example MX 10 aliasboth1.s.example
aliasboth1.s.example CNAME mx.bad.s.example
_25._tcp.aliasboth1.s.example TLSA {ee}
aliasforged.s.example MX 10 aliasforged1.s.example
aliasforged1.s.example CNAME mx.forged.s.example
_25._tcp.aliasforged1.s.example TLSA {ee}
aliasnone.s.example MX 10 aliasnone1.s.example
aliasnone1.s.example CNAME mx.none.s.example
aliasta.s.example MX 10 aliasta1.s.example
aliasta1.s.example CNAME mx.ta.s.example
tacn.s.example MX 10 tacn1.s.example
tacn1.s.example CNAME mx.none.s.example
_25._tcp.tacn1.s.example TLSA {ta}
taex.s.example MX 10 taex1.s.example
taex1.s.example CNAME mx.taex.s.example
mx.taex.s.example A 127.3.0.1
_25._tcp.taex1.s.example TLSA {ta}
domalias.s.example CNAME ee.s.example
domaliasta.s.example CNAME tanexthop.s.example
domaliasin.s.example CNAME dom.i.example
nomx.s.example A 127.3.0.1
_25._tcp.nomx.s.example TLSA {ee}
nomxalias.s.example CNAME nomx.s.example
nomxnone.s.example A 127.3.0.1
port.s.example A 127.3.0.1
_2525._tcp.port.s.example TLSA {ee}
_25._tcp.port.s.example TLSA {bad}
zone i.example unsigned
dom.i.example MX 10 mx.ee.s.example
bad.i.example MX 10 mx.bad.s.example
none.i.example MX 10 mx.none.s.example
pkix.i.example MX 10 mx.pkix.s.example
plain.i.example MX 10 mx.plain.s.example
plainee.i.example MX 10 mx.plainee.s.example
forged.i.example MX 10 mx.forged.s.example
ta.i.example MX 10 mx.ta.s.example
taname.i.example MX 10 mx.taname.s.example
tanexthop.i.example MX 10 mx.tanexthop.s.example
domaliasta.i.example CNAME tanexthop.s.example
own.i.example MX 10 mx.i.example
mx.i.example A 127.3.0.1
_25._tcp.mx.i.example TLSA {ee}
alias.i.example MX 10 alias1.i.example
alias1.i.example CNAME mx.ee.s.example
alias2.i.example MX 10 alias1.s.example
nomx.i.example A 127.3.0.1
_25._tcp.nomx.i.example TLSA {ee}
nomxalias.i.example CNAME nomx.s.example
domalias.i.example CNAME ee.s.example
zone x.example expired
x.example MX 10 mx.x.example
mx.x.example A 127.3.0.1
_25._tcp.mx.x.example TLSA {ee}
zone w.example wrongds
w.example MX 10 mx.w.example
mx.w.example A 127.3.0.1
zone m.example
x.m.example MX 10 mx.x.example
xtwo.m.example MX 10 mx.x.example
xtwo.m.example MX 20 mx.ee.s.example
"""
# Transports: settings of the SMTP client.
LEVELS = {
    "dane": {},
    "daneonly": {"smtp_tls_security_level": "dane-only"},
    "imxmay": {"smtp_tls_dane_insecure_mx_policy": "may"},
    "imxencrypt": {"smtp_tls_dane_insecure_mx_policy": "encrypt"},
    "digbad": {"tls_dane_digests": "sha256 nonsense"},
    "nodnssec": {"smtp_dns_support_level": "enabled"},
    "nodnsseconly": {"smtp_dns_support_level": "enabled",
                     "smtp_tls_security_level": "dane-only"},
    "native": {"smtp_host_lookup": "native"},
    "both": {"smtp_host_lookup": "dns, native"},
    "force": {"smtp_tls_force_insecure_host_tlsa_lookup": "yes"},
    "sha256": {"tls_dane_digests": "sha256"},
    "names": {"smtp_tls_secure_cert_match": "nexthop",
              "smtp_tls_verify_cert_match": "nexthop"},
    "maymap": {"smtp_tls_security_level": "may"},
}
# Domains that go through others than "dane" too; "[host]" has no MX look-up.
MORE = {
    "daneonly": ["ee.s", "none.s", "pkix.s", "bad.s", "forged.s", "dom.i",
                 "own.i", "hostin.s", "plainee.s", "plain.s", "two.s", "two2.s",
                 "nomx.s", "nomx.i", "alias.s", "aliasnone.s", "x.m",
                 "denyforged.s", "bad.i", "trash.s", "tlsain.s"],
    "imxmay": ["dom.i", "bad.i", "plainee.i", "pkix.i", "ee.s", "forged.i"],
    "digbad": ["ee.s", "bad.s", "none.s", "dom.i", "plainee.s"],
    "imxencrypt": ["dom.i", "bad.i", "plainee.i", "pkix.i", "none.i",
                   "plain.i", "forged.i", "taname.i"],
    "nodnssec": ["ee.s", "bad.s", "dom.i", "alias.s", "forged.s"],
    "nodnsseconly": ["ee.s", "bad.s"],
    "native": ["ee.s"],
    "both": ["ee.s", "bad.s", "x.m"],
    "force": ["own.i", "hostin.s", "hostinalias.s"],
    "sha256": ["ee.s", "ee312.s", "agile.s", "ee310.s"],
    "names": ["tanexthop.s", "ta.s"],
    "maymap": ["ee.s", "bad.s", "dom.i"],
}
NEXTHOPS = {
    "b1": "dane:[mx.ee.s.example]", "b2": "dane:[port.s.example]:2525",
    "b3": "dane:[port.s.example]", "b4": "dane:[127.3.0.1]",
    "b5": "dane:[mx.i.example]", "b6": "dane:[alias1.s.example]",
    "b7": "dane:[mx.x.example]", "b8": "dane:[mx.ta.s.example]",
    "b9": "dane:[mx.none.s.example]", "b10": "daneonly:[127.3.0.1]",
    "b11": "daneonly:[mx.i.example]", "b12": "daneonly:[mx.ee.s.example]",
    "b13": "dane:port.s.example:2525", "b14": "dane:[alias1.i.example]",
    "b15": "dane:[aliasboth1.s.example]", "b16": "dane:ee.s.example",
    "b17": "dane:[mx.bad.s.example]:2525",
    "p1": "maymap:p1.pol.example", "p2": "maymap:p2.pol.example",
    "p3": "dane:p3.pol.example", "p4": "dane:p4.pol.example",
}
POLICY = """
p1.pol.example dane
p2.pol.example dane-only
p3.pol.example may
p4.pol.example encrypt
"""

SENDER = {
    "myhostname": "sender.example.com", "mydomain": "example.com",
    "mydestination": "$myhostname, localhost", "relayhost": "",
    "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
    "smtp_dns_support_level": "dnssec", "smtp_host_lookup": "dns",
    "smtp_tls_security_level": "dane", "smtp_tls_loglevel": "1",
    "smtp_tls_CAfile": "", "smtp_randomize_addresses": "no",
    "smtp_connection_cache_on_demand": "no", "local_transport": "discard:",
    "notify_classes": "", "initial_destination_concurrency": "1",
    "default_process_limit": "6",
}


def make_certificates():
    where = tls_ca.folder()
    for name, names in NAMES.items():
        tls_ca.issue(where, name, names[0], names=names)
    tls_ca.issue(where, "old", "mx.taold.s.example", days=0)
    for name, (cert, chain) in SERVERS.items():
        if cert:
            with open(f"{where}/server{name}.pem", "w") as out:
                out.write(tls_ca.read(f"{where}/{cert}.key",
                                      f"{where}/{cert}.pem"))
                if chain:
                    out.write(tls_ca.read(f"{where}/ca.pem"))
    return where


def record(formula, certs):
    wrong = formula.startswith("-")
    usage, selector, mtype, cert = formula.lstrip("-").split()
    if cert.startswith(":"):
        return f"{usage} {selector} {mtype} {cert[1:]}"
    head = f"{usage} {selector} {mtype} "
    kind = int(mtype) if mtype in "012" else 1
    data = signed_zone.tlsa(f"{certs}/{cert}.pem", int(usage),
                            int(selector) % 2, kind).split()[-1]
    if wrong:
        data = data[:-1] + ("0" if data[-1] != "0" else "1")
    return head + data


def make_zones(certs):
    lines = ["zone s.example"]
    for domain, (server, formulas) in DOMAINS.items():
        host = f"mx.{domain}.s.example"
        lines += [f"{domain}.s.example MX 10 {host}",
                  f"{host} A 127.3.0.{server}"]
        lines += [f"_25._tcp.{host} TLSA {record(f, certs)}"
                  for f in formulas]
    for i in range(1, 5):
        lines.append(f"p{i}.pol.s.example MX 10 mx.ee.s.example")
    text = "\n".join(lines) + OTHER.format(
        ee=record("3 1 1 one", certs), bad=record("-3 1 1 one", certs),
        ta=record("2 0 1 ca", certs))
    text += "zone pol.example\n"
    for i in range(1, 5):
        text += f"p{i}.pol.example MX 10 mx.ee.s.example\n"
    return text


def destinations(text):
    """(recipient domain, transport:nexthop)"""
    out, seen = [], set()
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("_"):
            continue
        name = words[0]
        if words[1] in ("MX", "CNAME") or name.startswith("nomx"):
            if name not in seen and ".pol." not in name and (
                    words[1] == "MX" or name.split(".")[0].startswith(
                        ("dom", "nomx"))):
                seen.add(name)
                out.append((name, f"dane:{name}"))
    for level, domains in MORE.items():
        out += [(f"{d}-{level}.test", f"{level}:{d}.example")
                for d in domains]
    out += [(f"{name}.test", nexthop) for name, nexthop in NEXTHOPS.items()]
    return out


def client_lines(log):
    """In order within one message; messages by recipient. Without what
    depends on time and on the process."""
    messages, pending = {}, {}
    for line in log.splitlines():
        match = re.search(r"postfix/(smtp|\w+/smtp)\[(\d+)\]: (.*)", line)
        if not match or "to=<s@example.com>" in line:
            continue
        pid, text = match[2], match[3]
        if "look-up of " in text or "tls_dane_digests:" in text:
            continue
        text = re.sub(r" delay=[^,]*, delays=[^,]*,", "", text)
        text = re.sub(r" server-digest \w+", "", text)  # not when resumed
        text = re.sub(r" conn_use=\d+,", "", text)
        text = re.sub(r"queued as \w+", "queued as QID", text)
        text = re.sub(r"\b[0-9A-Za-z]{10,}: to=", "QID: to=", text)
        text = re.sub(r"^[0-9A-F]{6,}: |^[0-9A-Za-z]{14,}: ", "QID: ", text)
        lines = pending.setdefault(pid, [])
        # Postfix may ask twice for the same.
        if not ("lookup problem" in text and text in lines):
            lines.append(text)
        to = re.search(r" to=<u@([^>]*)>", line)
        if to:
            messages.setdefault(to[1], []).extend(pending.pop(pid))
    return messages


def run(mta, wanted):
    mta.start()
    try:
        for domain, _ in wanted:
            done = mta.run("sendmail", "-f", "s@example.com", f"u@{domain}",
                           input="Subject: x\n\nhello\n")
            assert done.returncode == 0, done.stderr
        want = {d for d, _ in wanted}
        deadline = time.time() + 90 * PATIENCE
        while time.time() < deadline:
            if want <= set(re.findall(r" to=<u@([^>]*)>", mta.log())):
                break
            time.sleep(0.3)
        return client_lines(mta.log())
    finally:
        mta.stop()


def receiver(scratch, certs):
    lines = ""
    for n, (cert, _) in SERVERS.items():
        ports = (25, 2525) if n == 1 else (25,)
        for port in ports:
            lines += f"127.3.0.{n}:{port} inet n - n - - smtpd"
            if cert:
                lines += (" -o smtpd_tls_security_level=may -o "
                          f"smtpd_tls_chain_files={certs}/server{n}.pem")
            lines += "\n"
    port = postrider.free_port()
    return oracle.Postfix(
        scratch, port, name="receiver",
        main={"myhostname": "receiver.example", "mydestination": "",
              "relay_domains": "static:all", "relay_transport": "discard:",
              "smtpd_client_connection_count_limit": "0",
              "smtpd_peername_lookup": "no", "mynetworks": "127.0.0.0/8"},
        master={f"127.0.0.1:{port} inet": lines})


def master_lines():
    out = {}
    for level, settings in LEVELS.items():
        out[f"{level} unix"] = (f"{level} unix - - n - 4 smtp -o "
                                f"syslog_name=postfix/{level}" + "".join(
                                    f" -o {{{k}={v}}}"
                                    for k, v in settings.items()))
    return out


def compare(wanted, theirs, ours):
    different, words = 0, collections.Counter()
    for domain, nexthop in wanted:
        a, b = (r.get(domain, []) for r in (theirs, ours))
        if nexthop.startswith("nodnssec"):
            # Postfix has no DANE there; we do the same as for "dane".
            a = ours.get(nexthop.split(":")[1], [])
            a, b = ([re.sub(r"@[^>]*", "", x) for x in y] for y in (a, b))
        if domain == "pkix.i.example":
            # Postfix's process may know the records of pkix.s already.
            a, b = ([x for x in y if "certificate usage" not in x]
                    for y in (a, b))
        if a != b:
            different += 1
            print(f"--- {domain} ({nexthop})")
            print("\n".join(difflib.unified_diff(a, b, lineterm="", n=0)))
        words.update(w for line in b for w in (
            "Verified TLS", "Trusted TLS", "Untrusted TLS", "status=sent",
            "certificate not verified", "TLSA lookup error",
            "no TLSA records found", "non DNSSEC destination",
            "TLSA records unusable", "was not offered") if w in line)
    print(len(wanted), "destinations,", different, "differ;", dict(words))
    # It did come to all that.
    return not different and len(words) == 10


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    signed_zone.needs()
    scratch = oracle.enter()
    certs = make_certificates()
    zones = make_zones(certs)
    wanted = destinations(zones)
    files = {"resolv.conf": "nameserver 127.0.0.1\noptions edns0 trust-ad\n",
             "policy": POLICY,
             "transport": "".join(f"{d} {t}\n" for d, t in wanted)}
    for name, text in files.items():
        with open(os.path.join(scratch, name), "w", encoding="ascii") as file:
            file.write(text)
    subprocess.run(["mount", "--bind", scratch + "/resolv.conf",
                    "/etc/resolv.conf"], check=True)
    settings = dict(SENDER, transport_maps=f"texthash:{scratch}/transport",
                    smtp_tls_policy_maps=f"texthash:{scratch}/policy")
    results = []
    there = receiver(scratch, certs)
    with signed_zone.SignedDns(scratch, zones, port=53) as dns:
        there.start()
        try:
            if only != "ours":
                lines = "".join(line + "\n" for line in
                                master_lines().values())
                results.append(run(oracle.Postfix(
                    scratch, postrider.free_port(), main=settings,
                    master={"smtp unix": lines +
                            "smtp unix - - n - - smtp\n"}), wanted))
            if only != "oracle":
                settings["postrider_resolver_trust_anchor"] = dns.anchor
                mta = postrider.Instance(main=settings,
                                         master=master_lines())
                try:
                    results.append(run(mta, wanted))
                    if "-v" in sys.argv:
                        print(mta.log())
                finally:
                    mta.close()
        finally:
            there.stop()
    if only in ("oracle", "ours"):
        for domain, lines in sorted(results[0].items()):
            print(f"--- {domain}")
            print("\n".join(lines))
        return
    sys.exit(0 if compare(wanted, *results) else 1)


if __name__ == "__main__":
    main()
