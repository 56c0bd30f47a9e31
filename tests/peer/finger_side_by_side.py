# SPDX-License-Identifier: MIT
"""The same command lines for posttls-finger of Debian's Postfix and of
Postrider, against scripted servers, Debian's SMTP server and signed zones.
Prints the lines that differ. Run by test_posttls_finger_oracle.py.

    finger_side_by_side.py [oracle | ours]    the lines of one, nothing compared
"""
import concurrent.futures
import difflib
import os
import re
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../lib"))

import dane_side_by_side as dane  # noqa: E402
import oracle  # noqa: E402
import signed_zone  # noqa: E402
import tls_ca  # noqa: E402
from buildtree import PATIENCE, directory  # noqa: E402
from smtp_script import DROP, HANG, SmtpScript  # noqa: E402

PRINT = {}  # fingerprints, filled in by main
EHLO = ("250-{host}\n250-STARTTLS\n250 SIZE",
        "250-{host}\n250-AUTH PLAIN\n250 SIZE 5")

# Server, arguments. CA is the folder of certificates, DEST the server.
CASES = """
tls DEST
tls -c DEST
tls -l secure -F CA/ca.pem DEST mx.example.com
tls -l secure -F CA/ca.pem DEST other.example.com
tls -l secure -F CA/ca.pem DEST
tls -l verify -F CA/ca.pem DEST
tls -l verify -F CA/ca.pem DEST other.example.com mx.example.com
tls -l verify -F CA/ca2.pem DEST mx.example.com
tls -l verify -A CA/ca.pem DEST mx.example.com
tls -l verify -A CA/ca2.pem DEST mx.example.com
tls -l verify -A CA/ca2.pem -A CA/ca.pem DEST mx.example.com
tls -l dane-only DEST
tls -l dane -F CA/ca.pem DEST mx.example.com
tls -l may DEST
tls -l none DEST
tls -l encrypt DEST
tls -l fingerprint DEST CERT
tls -l fingerprint DEST KEY
tls -l fingerprint DEST OTHER
tls -l fingerprint DEST OTHER CERT
tls -d sha1 -c DEST
tls -C DEST
tls -C -c -L none DEST
tls -C -c -l secure -F CA/ca.pem DEST mx.example.com
tls -L none -l may DEST
tls -L summary DEST
tls -L peercert DEST
tls -L certmatch -l verify -F CA/ca.pem DEST mx.example.com
tls -L peercert,summary -l may DEST
tls -L nonsense -c -l may DEST
tls -p <=TLSv1.2 -g high DEST
tls -p TLSv1.2 DEST
tls -p nonsense DEST
tls -g nonsense DEST
tls -d nonsense DEST
tls -F /nonexistent DEST
tls -k /nonexistent DEST
tls -k CA/client.pem -K CA/client.key DEST
tls -H CA/chain.pem DEST
tls -s mx.example.com DEST
tls -o myhostname=other.example DEST
tls -S DEST
tls -a ipv4 -h native -M may -f -t 20 -T 20 DEST
chain -C -c -l secure -F CA/ca.pem DEST mx.example.com
chain -C -c -l may DEST
selfsigned DEST
expired -l verify -F CA/ca.pem DEST mx.example.com
tls -r 1 DEST
tls -r 1 -l secure -F CA/ca.pem DEST mx.example.com
tls12 DEST
tls12 -c -r 1 DEST
wrapper -w DEST
wrapper -w -C -c -l secure -F CA/ca.pem DEST mx.example.com
plain DEST
plain -l secure DEST
noehlo DEST
ehlomany DEST
ehlo421 DEST
ehlodrop DEST
ehlohang -T 1 DEST
ehlodrop2 DEST
ehlo500two DEST
banner554 DEST
banner421 DEST
bannerdrop DEST
bannerhang -t 1 DEST
starttls454 DEST
starttlsdrop DEST
starttlshang -T 1 DEST
handshakedrop DEST
handshakehang -T 1 DEST
handshakegarbage DEST
quitdrop DEST
quithang -T 1 DEST
quit554 DEST
- -S unix:/nonexistent/socket
- [127.0.0.1]:1
- -S inet:127.0.0.1:1
- [::1]:1
- [ipv6:::1]:1
- [127.0.0.1]:nosuch
- -l nonsense x.example
- -a nonsense x.example
- -M nonsense x.example
- -h nonsense x.example
- -l none -w x.example
- -H a -k b x.example
- nosuch.s.example
- nomxs.s.example
- ee.s.example
- -c ee300.s.example
- -c ta.s.example
- -c taname.s.example
- -c tanexthop.s.example
- -c bad.s.example
- -c -l dane-only bad.s.example
- -c roll.s.example
- -c self.s.example
- -c none.s.example
- -c -l dane-only none.s.example
- -c plain.s.example
- -c plainee.s.example
- -c two.s.example
- -c dom.i.example
- dom.i.example
- -c ee302.s.example
- -c ee310.s.example
- -c ee312.s.example
- -c ta200.s.example
- -c pkix.s.example
- -c -M may dom.i.example
- -c -M encrypt dom.i.example
- -c forged.s.example
- -c bad.i.example
- -c x.example
- -c own.i.example
- -c -f own.i.example
- -c -l dane-only dom.i.example
- -c alias.s.example
- -c [mx.ee.s.example]
- -c [port.s.example]:2525
- -l secure -F CA/ca.pem [mx.ta.s.example]
- -l secure -F CA/ca.pem -c ta.s.example mx.ta.s.example
- -C -c -L none ta.s.example
- -l may ee.s.example
- nomx.s.example
"""


def contexts(ca):
    def one(*files, **attributes):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(*files)
        for key, value in attributes.items():
            setattr(c, key, value)
        return c
    return {name: one(f"{ca}/{name}.pem", f"{ca}/{name}.key")
            for name in ("rsa", "selfsigned", "expired")} | {
        "chain": one(f"{ca}/chain.pem"),
        "tls12": one(f"{ca}/rsa.pem", f"{ca}/rsa.key",
                     maximum_version=ssl.TLSVersion.TLSv1_2)}


def servers(ca):
    c = contexts(ca)
    tls = {"tls": c["rsa"], "ehlo": EHLO}
    clear = {"ehlo": "250-{host}\n250 SIZE"}
    made = {
        "tls": dict(tls, lhlo=EHLO), "chain": dict(tls, tls=c["chain"]),
        "selfsigned": dict(tls, tls=c["selfsigned"]),
        "expired": dict(tls, tls=c["expired"]),
        "tls12": dict(tls, tls=c["tls12"]),
        "wrapper": {"tls": c["rsa"], "wrapper": True},
        "plain": clear, "noehlo": {"ehlo": "502 no"},
        "ehlomany": {"ehlo": "\n".join(f"250-X{i}" for i in range(90)) +
                     "\n250 END"},
        "ehlo421": {"ehlo": "421 4.3.2 bye"}, "ehlodrop": {"ehlo": DROP},
        "ehlohang": {"ehlo": HANG},
        "ehlodrop2": dict(tls, ehlo=(EHLO[0], DROP)),
        "ehlo500two": dict(tls, ehlo=(EHLO[0], "500 no")),
        "banner554": {"banner": "554 no"}, "banner421": {"banner": "421 bye"},
        "bannerdrop": {"banner": DROP}, "bannerhang": {"banner": HANG},
        "starttls454": dict(tls, starttls="454 no"),
        "starttlsdrop": dict(tls, starttls=DROP),
        "starttlshang": dict(tls, starttls=HANG),
        "handshakedrop": dict(tls, handshake=DROP),
        "handshakehang": dict(tls, handshake=HANG),
        "handshakegarbage": dict(tls, handshake=b"garbage\r\n"),
        "quitdrop": dict(clear, quit=DROP), "quithang": dict(clear, quit=HANG),
        "quit554": dict(clear, quit="554 no"),
    }
    return {name: SmtpScript(**how).start() for name, how in made.items()}


def destination(server):
    return f"[127.0.0.1]:{server.port}"


def run(path, env, argv):
    done = subprocess.run([path, *argv], env=env, capture_output=True,
                          text=True, timeout=60 * PATIENCE)
    return done.stdout.splitlines() + [f"exit {done.returncode}"]


def plain(lines):
    """Without what differs on purpose (docs/DIFFERENCES.md)."""
    out = []
    for line in lines:
        if re.search(r"session \S+ (in|from|to) memory cache|"
                     r"warning: TLS library problem|look-up of ", line):
            continue
        if "unknown -L option" in line and line in out:
            continue
        if "TLSA lookup problem" in line and line in out:
            continue
        if "TLS policy lookup for" in line:
            continue
        if "configured with dnssec lookups disabled" in line:
            continue
        line = re.sub(r"fatal: (valid hostname or network address required in "
                      r"server description|bad destination):", "fatal: bad:",
                      line)
        out.append(line)
    return out


def main():
    scratch = oracle.enter()
    only = sys.argv[1] if len(sys.argv) > 1 else None
    signed_zone.needs()
    ca = dane.make_certificates()
    words = {"CERT": tls_ca.fingerprint(ca + "/rsa.pem"),
             "KEY": tls_ca.fingerprint(ca + "/rsa.pem", public_key=True),
             "OTHER": tls_ca.fingerprint(ca + "/ec.pem")}
    scripts = servers(ca)
    with open(scratch + "/resolv.conf", "w") as out:
        out.write("nameserver 127.0.0.1\noptions edns0 trust-ad\n")
    subprocess.run(["mount", "--bind", scratch + "/resolv.conf",
                    "/etc/resolv.conf"], check=True)
    with signed_zone.SignedDns(scratch, dane.make_zones(ca), port=53) as dns:
        config = os.path.join(scratch, "sender")
        os.makedirs(config)
        with open(config + "/main.cf", "w") as out:
            out.write("myhostname = us.example.com\n"
                      "compatibility_level = 3.6\n"
                      "mail_owner = postfix\nsetgid_group = postdrop\n"
                      f"queue_directory = {scratch}/no-queue\n"
                      "inet_protocols = ipv4\n"
                      f"postrider_resolver_trust_anchor = {dns.anchor}\n"
                      "dnssec_probe = \n"
                      "shlib_directory = /usr/lib/postfix\n")
        path, env = oracle.command("posttls-finger")
        env["MAIL_CONFIG"] = config
        cases = [line.split() for line in CASES.strip().splitlines()]

        def one(case):
            server, argv = case[0], []
            for word in case[1:]:
                word = word.replace("CA/", ca + "/")
                if word == "DEST":
                    word = destination(scripts[server])
                argv.append(words.get(word, word))
            # Not at once: a script's answers may depend on the order.
            return [run(p, env, argv) if only in (None, who) else []
                    for who, p in (("oracle", path),
                                   ("ours", directory() + "/sbin/posttls-finger"))]

        receiver = dane.receiver(scratch, ca)
        receiver.start()
        try:
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                results = list(pool.map(one, cases))
        finally:
            receiver.stop()
            for server in scripts.values():
                server.stop()
    different = 0
    for case, (theirs, ours) in zip(cases, results):
        if only:
            print("=====", *case)
            print("\n".join(theirs or ours))
        elif plain(theirs) != plain(ours):
            different += 1
            print("-----", *case)
            print("\n".join(difflib.unified_diff(
                plain(theirs), plain(ours), lineterm="", n=0)))
    print(len(cases), "command lines,", different, "differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
