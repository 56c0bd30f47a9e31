# SPDX-License-Identifier: MIT
"""TLS in the SMTP clients of Debian's Postfix and of Postrider, in namespaces
of their own: each security level against each kind of server, the attributes
of policy tables, errors in them, old parameters. Prints where the log lines of
the client or what servers were sent differ. Run by test_clienttls_oracle.py.

With "oracle" or "ours" as argument: only print that side's lines."""
import difflib
import os
import re
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../lib"))

import oracle  # noqa: E402
import postrider  # noqa: E402
import tls_ca  # noqa: E402
from dns_server import DnsServer  # noqa: E402
from smtp_script import DROP, HANG, SmtpScript  # noqa: E402

LEVELS = ["none", "may", "encrypt", "fingerprint", "verify", "secure"]
PLAIN = ("250-{host}\n250-PIPELINING\n250-SIZE 10240000\n"
         "250-ENHANCEDSTATUSCODES\n250 8BITMIME")
OFFER = PLAIN.replace("250 8BITMIME", "250-8BITMIME\n250 STARTTLS")

# Kind of server: how its certificate is made, how it behaves.
CERTS = {
    "good": {"names": ["mx-good.example", "secure-good.example"]},
    "wrong": {"names": ["other.example.com"]},
    "expired": {"names": ["mx-expired.example", "secure-expired.example"],
                "days": 0},
    "selfsigned": {"names": ["mx-selfsigned.example"], "ca": None},
    "stranger": {"names": ["mx-stranger.example"], "ca": "ca2"},
    "wild": {"names": ["*.example"]},
    "sub": {"names": ["x.secure-sub.example", "x.mx-sub.example"]},
    "nosan": {"names": [], "common": "mx-nosan.example"},
    "middle": {"names": ["mx-middle.example", "secure-middle.example"],
               "ca": "inter"},
    "chain": {"names": ["mx-chain.example", "secure-chain.example"],
              "ca": "inter", "send": "inter"},
    "client": {"names": ["mx-client.example", "secure-client.example"],
               "usage": "clientAuth"},
    "rsa": {"names": ["mx-rsa.example", "secure-rsa.example"], "kind": "rsa"},
}
SERVERS = {
    "anon": {"cert": None},
    "tls12": {"version": "TLSv1_2"},
    "notls": {"ehlo": PLAIN},
    "refused4": {"starttls": "454 4.7.0 TLS not available"},
    "refused5": {"starttls": "554 5.7.0 no TLS for you"},
    "refused421": {"starttls": "421 4.7.0 TLS is down"},
    "refused2": {"starttls": "250 2.0.0 what"},
    "dropstarttls": {"starttls": DROP},
    "hangstarttls": {"starttls": HANG},
    "garbage": {"handshake": b"this is no TLS\r\n"},
    "drop": {"handshake": DROP},
    "hang": {"handshake": HANG},
    "early": {"starttls": "220 2.0.0 go\n250 2.0.0 early"},
    "wantscert": {"ask": True},
    "hello4": {"ehlo": (OFFER, "421 4.3.0 not under TLS")},
    "hellodrop": {"ehlo": (OFFER, DROP)},
    "again": {"ehlo": OFFER},
    "mail4": {"mail": ("250 2.1.0 Ok", "450 4.1.8 not under TLS")},
    "helo": {"ehlo": "502 5.5.1 what"},
}

POLICY_ROWS = """
# domain, server, what the policy says
match1 good secure match=mx-good.example
match2 good secure match=.example
match3 good secure match=hostname
match4 good secure match=nexthop:dot-nexthop
match5 good secure match=nowhere.example:MX-Good.Example
match6 sub secure match=.mx-sub.example
match7 sub secure match=mx-sub.example
match8 good verify match=nexthop
match9 good verify match=nexthop:hostname
match10 good encrypt match=nowhere
match11 good secure match=
match12 wild secure match=a.b.example
match13 wild secure match=.example
match14 good secure match=mx-good.example match=nexthop
finger1 good fingerprint match=@good@
finger2 good fingerprint match=@good-key@
finger3 good fingerprint match=@wrong@
finger4 good fingerprint match=@wrong@|@good@
finger5 good fingerprint match=@wrong@ match=@good@
finger6 good fingerprint match=@good-low@
finger7 good fingerprint match=@good-bare@
finger8 good fingerprint
finger9 good fingerprint match=zz:yy
finger10 selfsigned fingerprint match=@selfsigned@
finger11 expired fingerprint match=@expired@
finger12 anon fingerprint match=@good@
finger13 notls fingerprint match=@good@
finger14 good fingerprint match=
proto1 tls12 encrypt protocols=TLSv1.2
proto2 tls12 encrypt protocols=TLSv1.3
proto3 tls12 may protocols=TLSv1.3
proto4 good encrypt protocols=!TLSv1.3
proto5 good encrypt protocols=>=TLSv1.3
proto6 good encrypt protocols=nonsense
proto7 good may protocols=nonsense
proto8 good encrypt protocols=SSLv2:SSLv3
proto9 good secure protocols=<=TLSv1.2 match=hostname
cipher1 tls12 encrypt ciphers=high
cipher2 tls12 encrypt ciphers=nonsense
cipher3 tls12 may ciphers=nonsense
cipher4 tls12 encrypt exclude=aECDSA
cipher5 tls12 encrypt ciphers=high exclude=AES256:CHACHA20
cipher6 tls12 may exclude=ECDHE
cipher7 tls12 encrypt ciphers=HIGH
cipher8 tls12 encrypt ciphers=null
sni1 good encrypt servername=hostname
sni2 good encrypt servername=nexthop
sni3 good encrypt servername=some.name.example
sni4 good encrypt servername=-bad-.example
sni5 good may servername=hostname
sni6 good encrypt servername=
tafile1 good secure tafile=@dir@/ca.pem match=hostname
tafile2 good secure tafile=@dir@/ca2.pem match=hostname
tafile3 stranger verify tafile=@dir@/ca2.pem
tafile4 good verify tafile=@dir@/nosuchfile.pem
tafile5 chain verify tafile=@dir@/inter.pem
tafile6 stranger verify tafile=@dir@/ca.pem tafile=@dir@/ca2.pem
tafile7 good verify tafile=@dir@/capub.pem
tafile8 good encrypt tafile=@dir@/ca.pem
tafile10 expired verify tafile=@dir@/ca.pem
tafile11 selfsigned verify tafile=@dir@/selfsigned.pem
tafile12 good verify tafile=@dir@/good.pem
tafile13 expired verify tafile=@dir@/expired.pem
tafile14 wrong verify tafile=@dir@/wrong.pem
tafile15 wrong secure tafile=@dir@/wrong.pem match=other.example.com
reuse2 good encrypt connection_reuse=no
reuse3 good encrypt connection_reuse=maybe
reuse4 good none connection_reuse=yes
bad1 good nonsense
bad2 good encrypt nonsense=x
bad3 good encrypt nonsense
bad4 good none match=x
bad5 good may match=x
bad6 good encrypt ciphers=high ciphers=medium
bad7 good encrypt protocols=TLSv1.2 protocols=TLSv1.3
bad8 good encrypt, protocols=TLSv1.2,ciphers=high
bad9 good ENCRYPT
bad10 good half-dane
bad11 good may ciphers=
bad12 good encrypt match
bad13 good , ,
bad14 good none protocols=TLSv1.2
bad15 good secure ciphers
bad16 good encrypt exclude=aNULL exclude=MD5
"""

# Keys of the policy table in forms of their own: recipient, nexthop, entries.
KEYS = """
k1.example smtp:[mx-good.example] [mx-good.example]=secure;match=hostname
k2.example smtp:[mx-good.example]:25 [mx-good.example]:25=encrypt
k3.example smtp:[mx-sub.example]:25 [mx-sub.example]=none
k4.example smtp:mx-good.example mx-good.example=verify
k5.parent.example smtp:x.parent.example .parent.example=none
k6.example smtp:[mx-wrong.example] mx-wrong.example=verify
k7.example smtp:[127.3.0.1] [127.3.0.1]=verify
k8.example smtp:[127.3.0.12] [127.3.0.12]=secure;match=mx-rsa.example
k9.example smtp:MX-Rsa.example mx-rsa.example=secure
k10.example smtp:[mx-tls12.example],[mx-rsa.example] [mx-tls12.example]=none
k11.example smtp:[mx-rsa.example]:smtp [mx-rsa.example]:smtp=secure
k12.example smtp:mx-wild.example:25 mx-wild.example:25=verify
k13.example smtp:[x.under.example] .under.example=none
"""

MAIN = {
    "myhostname": "same.example.com", "mydomain": "example.com",
    "mydestination": "$myhostname, localhost, example.com",
    "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
    "local_recipient_maps": "", "relayhost": "",
    "smtp_dns_support_level": "", "smtp_host_lookup": "dns",
    "smtp_randomize_addresses": "no", "smtp_connect_timeout": "3s",
    "smtp_helo_timeout": "2s", "smtp_mail_timeout": "2s",
    "smtp_rcpt_timeout": "2s", "smtp_data_init_timeout": "2s",
    "smtp_data_done_timeout": "2s", "smtp_starttls_timeout": "2s",
    "local_transport": "discard:",
    "notify_classes": "", "initial_destination_concurrency": "1",
    "smtp_connection_cache_on_demand": "no",
    "smtp_tls_loglevel": "1",
    "smtp_tls_fingerprint_digest": "sha256",
    "smtp_tls_security_level": "may",
    "smtp_tls_note_starttls_offer": "yes",
}

MESSAGE = ("Message-Id: <x@example.com>\nFrom: s@example.com\n"
           "Date: Sun, 22 Nov 2026 11:00:00 +0000\nSubject: test\n\nhello\n")


def make_certs(where):
    """Certificates of CERTS; an intermediate authority; odd tafiles."""
    tls_ca.new_key(f"{where}/inter.key")
    with open(f"{where}/inter.ext", "w", encoding="ascii") as out:
        out.write("basicConstraints=critical,CA:TRUE\n")
    tls_ca.openssl("req", "-new", "-key", f"{where}/inter.key", "-subj",
                   "/CN=Intermediate", "-out", f"{where}/inter.csr")
    tls_ca.openssl("x509", "-req", "-in", f"{where}/inter.csr", "-CA",
                   f"{where}/ca.pem", "-CAkey", f"{where}/ca.key",
                   "-CAcreateserial", "-days", "100", "-extfile",
                   f"{where}/inter.ext", "-out", f"{where}/inter.pem")
    for name, c in CERTS.items():
        ca = c.get("ca", "ca")
        names = c["names"] or ["x"]
        tls_ca.new_key(f"{where}/{name}.key", c.get("kind", "ec"))
        with open(f"{where}/x.ext", "w", encoding="ascii") as out:
            out.write("basicConstraints=CA:FALSE\n")
            if c["names"]:
                out.write("subjectAltName=" +
                          ",".join("DNS:" + n for n in names) + "\n")
            if "usage" in c:
                out.write(f"extendedKeyUsage={c['usage']}\n")
        tls_ca.openssl("req", "-new", "-key", f"{where}/{name}.key", "-subj",
                       "/CN=" + c.get("common", names[0]), "-out",
                       f"{where}/x.csr")
        sign = (["-CA", f"{where}/{ca}.pem", "-CAkey", f"{where}/{ca}.key",
                 "-CAcreateserial"] if ca
                else ["-signkey", f"{where}/{name}.key"])
        tls_ca.openssl("x509", "-req", "-in", f"{where}/x.csr", *sign, "-days",
                       str(c.get("days", 300)), "-extfile", f"{where}/x.ext",
                       "-out", f"{where}/{name}.pem")
    with open(f"{where}/capub.pem", "wb") as out:
        out.write(tls_ca.openssl("x509", "-in", f"{where}/ca.pem", "-noout",
                                 "-pubkey"))
    with open(f"{where}/empty.pem", "w", encoding="ascii") as out:
        out.write("nothing\n")
    subprocess.run(["chmod", "a+r"] + [f"{where}/{f}" for f in
                                       os.listdir(where)], check=True)


def context(where, kind, spec):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.set_ciphers("ALL:@SECLEVEL=0")
    cert = spec.get("cert", kind if kind in CERTS else "good")
    if cert is None:
        c.set_ciphers("aNULL:@SECLEVEL=0")
        c.maximum_version = ssl.TLSVersion.TLSv1_2
    else:
        with open(f"{where}/served-{kind}.pem", "w", encoding="ascii") as out:
            out.write(tls_ca.read(f"{where}/{cert}.pem"))
            if "send" in CERTS.get(kind, {}):
                out.write(tls_ca.read(f"{where}/{CERTS[kind]['send']}.pem"))
        c.load_cert_chain(f"{where}/served-{kind}.pem", f"{where}/{cert}.key")
    if "version" in spec:
        c.maximum_version = ssl.TLSVersion[spec["version"]]
    if "ask" in spec:
        c.load_verify_locations(f"{where}/ca.pem")
        c.verify_mode = ssl.CERT_REQUIRED
        c.maximum_version = ssl.TLSVersion.TLSv1_2
    return c


def sni_of(c, names):
    c.sni_callback = lambda sock, name, ctx: names.append(name)


class World:
    """The servers, and the zone that leads to them."""

    def __init__(self, where):
        self.where = where
        self.servers, self.sni, self.contexts = {}, {}, {}
        self.zone = ""
        self.address = {}
        for n, kind in enumerate(list(CERTS) + list(SERVERS), 1):
            self.address[kind] = f"127.3.0.{n}"
            self.zone += f"mx-{kind}.example A 127.3.0.{n}\n"
            self.contexts[kind] = context(where, kind, SERVERS.get(kind, {}))

    def add_domain(self, domain, kind):
        self.zone += f"{domain} MX 10 mx-{kind}.example\n"

    def start(self):
        for kind, address in self.address.items():
            spec = dict(SERVERS.get(kind, {}))
            for key in ("cert", "version", "ask"):
                spec.pop(key, None)
            spec.setdefault("ehlo", (OFFER, PLAIN))
            if kind == "notls":
                spec["ehlo"] = PLAIN
            self.sni[kind] = []
            sni_of(self.contexts[kind], self.sni[kind])
            self.servers[kind] = SmtpScript(
                host=address, port=25, tls=self.contexts[kind], **spec).start()
        self.servers["smtps"] = SmtpScript(
            host="127.3.0.1", port=465, tls=self.contexts["good"],
            wrapper=True, ehlo=OFFER).start()

    def stop(self):
        for server in self.servers.values():
            server.stop()

    def lines(self):
        """What the servers were sent, and with which protection."""
        out = []
        for kind, server in self.servers.items():
            for s in server.sessions:
                done = " ".join(c.split()[0] for c in s.commands
                            if c[:4].isalpha() and c[:4].isascii())
                rcpts = " ".join(c for c in s.commands if "RCPT" in c)
                out.append(f"{kind}: {'TLS' if s.tls else 'clear'}: {done} "
                           f"{rcpts} -> {len(s.messages)}")
            for name in self.sni.get(kind, []):
                if name:
                    out.append(f"{kind}: SNI {name}")
        return sorted(out)


def policy_rows(where):
    prints = {}
    for name in CERTS:
        path = f"{where}/{name}.pem"
        prints[name] = tls_ca.fingerprint(path)
        prints[name + "-key"] = tls_ca.fingerprint(path, public_key=True)
        prints[name + "-low"] = prints[name].lower()
        prints[name + "-bare"] = prints[name].replace(":", "")
    prints["dir"] = where
    for line in POLICY_ROWS.strip().splitlines():
        if line.startswith("#"):
            continue
        name, kind, policy = line.split(" ", 2)
        yield name, kind, re.sub(r"@([\w-]+)@", lambda m: prints[m[1]], policy)


def level_cases(world):
    """Each level against each server."""
    table, rcpts = "", []
    for kind in list(CERTS) + list(SERVERS):
        for level in LEVELS:
            domain = f"{level}-{kind}.example"
            world.add_domain(domain, kind)
            more = ""
            if level == "fingerprint":
                more = " match=" + tls_ca.fingerprint(
                    f"{world.where}/{kind if kind in CERTS else 'good'}.pem")
            table += f"{domain} {level}{more}\n"
            rcpts.append(f"u@{domain}")
    return {"smtp_tls_CAfile": f"{world.where}/ca.pem"}, table, "", rcpts


def policy_cases(world):
    table, transport, rcpts = "", "", []
    for name, kind, policy in policy_rows(world.where):
        world.add_domain(f"{name}.example", kind)
        table += f"{name}.example {policy}\n"
        rcpts.append(f"u@{name}.example")
    world.zone += ("x.parent.example MX 10 mx-good.example\n"
                   f"x.under.example A {world.address['good']}\n")
    for line in KEYS.strip().splitlines():
        domain, rest = line.split(" ", 1)
        nexthop, entry = rest.rsplit(" ", 1)
        transport += f"{domain} {nexthop}\n"
        table += entry.replace("=", " ", 1).replace(";", " ") + "\n"
        rcpts.append(f"u@{domain}")
    return ({"smtp_tls_CAfile": f"{world.where}/ca.pem"}, table, transport,
            rcpts)


def main_cases(more=(), **settings):
    """Settings of main.cf against some servers."""
    def cases(world):
        rcpts = []
        for kind in more + ("good", "wrong", "stranger", "selfsigned", "notls",
                     "garbage", "refused4", "wantscert", "anon"):
            world.add_domain(f"{kind}.example", kind)
            rcpts.append(f"u@{kind}.example")
        main = {"smtp_tls_CAfile": f"{world.where}/ca.pem"}
        table = settings.pop("table", None)
        main.update({k: v.replace("@dir@", world.where)
                     for k, v in settings.items()})
        return main, table, settings.pop("transport", ""), rcpts
    return cases


PER_SITE = """
good.example NONE
wrong.example MUST
mx-stranger.example MUST_NOPEERMATCH
notls.example MAY
selfsigned.example MAY
mx-selfsigned.example MUST
anon.example nonsense
"""

RUNS = {
    "levels": level_cases,
    "policy": policy_cases,
    "verify": main_cases(smtp_tls_security_level="verify"),
    "encrypt2": main_cases(smtp_tls_security_level="encrypt",
                           smtp_tls_loglevel="2"),
    "verify2": main_cases(smtp_tls_security_level="verify",
                          smtp_tls_loglevel="2"),
    "nolog": main_cases(smtp_tls_security_level="may", smtp_tls_loglevel="0",
                        smtp_tls_note_starttls_offer="no"),
    "enforce": main_cases(smtp_tls_security_level="", smtp_enforce_tls="yes"),
    "nopeer": main_cases(smtp_tls_security_level="", smtp_enforce_tls="yes",
                         smtp_tls_enforce_peername="no"),
    "persite": main_cases(smtp_tls_security_level="",
                          smtp_tls_per_site="texthash:@dir@/per_site"),
    "clientcert": main_cases(smtp_tls_cert_file="@dir@/client.pem",
                             smtp_tls_key_file="@dir@/client.key"),
    "chainfiles": main_cases(smtp_tls_security_level="encrypt",
                             smtp_tls_chain_files="@dir@/chain.pem"),
    "badcert": main_cases(smtp_tls_cert_file="@dir@/nosuch.pem"),
    "badcertenc": main_cases(smtp_tls_security_level="encrypt",
                             smtp_tls_cert_file="@dir@/nosuch.pem"),
    "badca": main_cases(smtp_tls_security_level="encrypt",
                        smtp_tls_CAfile="@dir@/nosuch.pem"),
    "badproto": main_cases(smtp_tls_security_level="encrypt",
                           smtp_tls_mandatory_protocols="nonsense"),
    "tafile": main_cases(smtp_tls_security_level="verify",
                         smtp_tls_trust_anchor_file="@dir@/ca2.pem"),
    "badtafile": main_cases(smtp_tls_security_level="verify",
                            smtp_tls_trust_anchor_file="@dir@/nosuch.pem"),
    "failmaps": main_cases(smtp_tls_policy_maps="fail:x"),
    "failsite": main_cases(smtp_tls_per_site="fail:x",
                           smtp_tls_security_level=""),
    "depth": main_cases(smtp_tls_security_level="verify",
                        smtp_tls_scert_verifydepth="0"),
    "finger": main_cases(smtp_tls_security_level="fingerprint"),
    "wrapper": main_cases(smtp_tls_security_level="encrypt",
                          smtp_tls_wrappermode="yes", smtp_tcp_port="465"),
    "wrappermay": main_cases(smtp_tls_security_level="may",
                             smtp_tls_wrappermode="yes", smtp_tcp_port="465"),
    "badsni": main_cases(smtp_tls_security_level="encrypt",
                         smtp_tls_servername="-x"),
    "fallback": main_cases(more=("hellodrop", "drop"),
                           minimal_backoff_time="2s", queue_run_delay="2s",
                           maximal_backoff_time="2s"),
}


def wait_statuses(mta, want, timeout):
    deadline = time.time() + timeout
    while time.time() < deadline:
        done = set(re.findall(r" to=<([^>]*)>", mta.log()))
        if done >= want:
            return
        time.sleep(0.2)
    print("no status for", sorted(want - done))


def wait_fallback(mta):
    """A handshake that failed is not tried again by a message that waited."""
    deadline = time.time() + 60
    while (len(re.findall(r"status=sent", mta.log())) < 11 and
           time.time() < deadline):
        time.sleep(0.2)


def client_lines(log, where):
    """Sorted, without what depends on time and on the process."""
    out = []
    for line in log.splitlines():
        match = re.search(r"postfix/((?:smtp|lmtp)\[\d+\]: .*)", line)
        if not match or "to=<s@example.com>" in line:
            continue
        text = re.sub(r"\[\d+\]", "", match[1], count=1)
        text = re.sub(r" delay=[^,]*, delays=[^,]*,", "", text)
        text = re.sub(r": [0-9A-F]{6,}: ", ": QID: ", text, count=1)
        text = re.sub(r"[0-9A-F]{16}:error:", "N:error:", text)
        text = re.sub(r":[\w./]+\.c:\d+:", ":FILE:N:", text)
        text = text.replace(where, "DIR")
        if "tlsproxy" in text or "initializing the client-side" in text:
            continue
        # Postfix says it in each process, Postrider once.
        if re.search("DIR/|library problem|Digest alg|disabling TLS",
                     text) and text in out:
            continue
        out.append(text)
    return sorted(out)


def run(name, mta_of, where):
    """The two lists of lines of one run."""
    world = World(where)
    settings, table, transport, rcpts = RUNS[name](world)
    main = dict(MAIN, **settings)
    for file, text in (("policy", table), ("transport", transport)):
        with open(f"{where}/{file}", "w", encoding="ascii") as out:
            out.write(text or "")
    if transport:
        main["transport_maps"] = f"texthash:{where}/transport"
    if table:
        main["smtp_tls_policy_maps"] = f"texthash:{where}/policy"
    world.start()
    dns = DnsServer(world.zone, port=53).start()
    mta = mta_of(name, main)
    try:
        mta.start()
        for rcpt in rcpts:
            done = mta.run("sendmail", "-f", "s@example.com", rcpt,
                           input=MESSAGE)
            assert done.returncode == 0, done.stderr
        wait_statuses(mta, set(rcpts), 60)
        if name == "fallback":
            wait_fallback(mta)
        mta.stop()
        return client_lines(mta.log(), where), world.lines()
    finally:
        mta.stop()
        if hasattr(mta, "close"):
            mta.close()
        dns.stop()
        world.stop()


def main():
    names = [a for a in sys.argv[1:] if a in RUNS] or list(RUNS)
    side = sys.argv[1] if sys.argv[1:2] in (["oracle"], ["ours"]) else None
    scratch = oracle.enter()
    with open(scratch + "/resolv.conf", "w", encoding="ascii") as out:
        out.write("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", scratch + "/resolv.conf",
                    "/etc/resolv.conf"], check=True)
    where = tls_ca.folder()
    make_certs(where)
    with open(f"{where}/per_site", "w", encoding="ascii") as out:
        out.write(PER_SITE)

    def theirs(name, main):
        return oracle.Postfix(scratch, postrider.free_port(), main=main,
                              name="o-" + name)

    def ours(_, main):
        return postrider.Instance(main=main)

    count, same = 0, True
    for name in names:
        want = run(name, theirs, where) if side != "ours" else ([], [])
        got = run(name, ours, where) if side != "oracle" else ([], [])
        if side:
            both = [a + b for a, b in zip(want, got)]
            print(f"== {name}", *both[0], *both[1], sep="\n")
            continue
        count += len(want[0])
        for what, a, b in (("log", want[0], got[0]),
                           ("dialogue", want[1], got[1])):
            for line in difflib.unified_diff(
                    a, b, f"Postfix {name} {what}", f"Postrider {name} {what}",
                    lineterm="", n=0):
                print(line)
                same = False
    print(count, "log lines")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
