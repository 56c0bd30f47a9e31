# SPDX-License-Identifier: MIT
"""Deliver the same mail with Debian's Postfix and with Postrider to scripted
servers, in namespaces of their own; print where the status lines, the other
lines of the SMTP client, or what the servers were sent differ. Run by
test_smtp_oracle.py."""
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
from dns_server import DnsServer  # noqa: E402
from smtp_script import DROP, HANG, SmtpScript  # noqa: E402

PLAIN = "250-{host}\n250-SIZE 1000000\n250-ENHANCEDSTATUSCODES\n250 8BITMIME"
GREY = {"rcpt": "450 4.2.0 grey"}

# Domain: the servers behind its MX records, best first (None: nobody there).
CASES = {
    "ok": [{}],
    "plain": [{"ehlo": PLAIN}],
    "helo": [{"ehlo": "502 5.5.1 what"}],
    "ehlo450": [{"ehlo": "450 4.3.0 not now"}],
    "refused": [None],
    "refused2": [None, {}],
    "refused6": [None] * 7,
    "banner4": [{"banner": "450 4.3.2 go away"}],
    "banner5": [{"banner": "554 5.7.1 no service"}],
    "banner5next": [{"banner": "554 5.3.2 nope"}, {}],
    "banner421": [{"banner": "421 4.3.2 service shutting down"}],
    "banners": [{"banner": f"450 4.3.{i} busy"} for i in range(4)],
    "bannerdrop": [{"banner": DROP}],
    "bannerhang": [{"banner": HANG}],
    "ehlo421": [{"ehlo": "421 4.3.0 busy", "helo": "421 4.3.0 busy"}],
    "helo5": [{"ehlo": "502 no", "helo": "501 5.5.4 bad helo"}],
    "helo421": [{"ehlo": "500 5.5.1 x", "helo": "421 4.3.2 down"}, {}],
    "ehlodrop": [{"ehlo": DROP}],
    "mail5": [{"mail": "553 5.1.8 bad sender"}],
    "mail4": [{"mail": "452 4.3.1 Insufficient system storage"}],
    "mail421": [{"mail": "421 4.3.2 service shutting down"}],
    "mail4then5": [{"mail": "450 4.1.8 mail4"}, {"mail": "550 5.1.8 mail5"}],
    "maildrop": [{"mail": DROP}],
    "mix": [{"rcpt": {"b@": "550 5.1.1 no", "c@": "450 4.2.0 grey",
                      "d@": "452 too many", "e@": "552 5.2.2 full"}}],
    "mixnext": [{"rcpt": {"b@": "550 5.1.1 no", "c@": "450 4.2.0 grey"}}, {}],
    "greys": [GREY, {"rcpt": "451 4.2.0 grey2"}],
    "greylimit": [GREY, GREY, {}],
    "greyrefused": [GREY, {"banner": "421 4.0.0 x"}, None],
    "multiline": [{"rcpt": "550-5.1.1 one\n550-5.1.1 two\n550 5.1.1 three"}],
    "noenhanced": [{"rcpt": "550 no such user here"}],
    "rcptdrop": [{"rcpt": DROP}],
    "data5": [{"data": "554 5.6.0 no data"}],
    "data2": [{"data": "250 2.0.0 what"}],
    "datadrop": [{"data": DROP}, {}],
    "datahang": [{"data": HANG}],
    "eod5": [{"eod": "550 5.7.1 spam message"}],
    "eod4": [{"eod": "451 4.3.0 try later"}],
    "eod4next": [{"eod": "451 4.5.1 eod"}, {}],
    "eoddrop": [{"eod": DROP}],
    "eodhang": [{"eod": HANG}],
    "size": [{"ehlo": "250-{host}\n250 SIZE 100"}],
    "badsize": [{"ehlo": "250-{host}\n250-SIZE abc\n250 PIPELINING"}],
    "pix": [{"banner": "220 ****************"}],
    "greeter": [{"banner": "220 same.example.com ESMTP"}],
    "ownname": [{"name": "same.example.com", "banner": "220 x ESMTP"}],
}
RCPTS = {"mix": "abcdef", "mixnext": "abc", "ok": "ab"}

ZONE = """
nodata.example TXT hello
servfail.example SERVFAIL
nullmx.example MX 0 .
mxservfail.example MX 10 mx.servfail.example
mx.servfail.example SERVFAIL
mxgone.example MX 10 gone.example
mxnodata.example MX 10 nodata.example
self.example A 127.0.0.1
selfmx.example MX 10 self.example
selfmx.example MX 20 m1.ok.example
selfworse.example MX 10 m1.ok.example
selfworse.example MX 20 self.example
aonly.example CNAME m1.ok.example
mxcname.example CNAME ok.example
nummx.example MX 10 127.2.0.1
nullandmore.example MX 0 .
nullandmore.example MX 20 m1.ok.example
hyphen.example MX 10 -x.hyphen.example
hyphen2.example MX 10 -x.hyphen.example
hyphen2.example MX 20 m1.ok.example
"""
NAMES = ["nodata", "servfail", "nullmx", "mxservfail", "mxgone", "mxnodata",
         "self", "selfmx", "selfworse", "aonly", "mxcname", "nowhere",
         "nummx", "nullandmore", "hyphen", "hyphen2"]

TRANSPORT = """
t1.example smtp:[127.2.0.1]
t2.example smtp:[127.2.0.1]:2599
t3.example smtp:[127.2.0.250]:2599, [127.2.0.250]:2598 [127.2.0.1]
t4.example smtp:[127.2.0.1]:smtp
t5.example smtp:[gone.example]
t6.example smtp:[self.example]
t7.example smtp:self.example:2597
t8.example smtp:[ipv6:::1]
t9.example smtp:127.2.0.1
l1.example lmtp:unix:@/lmtp.sock
l2.example lmtp:unix:@/nobody.sock
l3.example lmtp:inet:127.2.0.240
l4.example lmtp:127.2.0.240:24
l5.example lmtp:inet:[127.2.0.249]
"""
LMTP = {"lmtp": True, "rcpt": {"bad@": "550 5.1.1 no"},
        "eod": {"b@": "452 4.2.2 over quota", "c@": "552 5.2.2 way over",
                "e@": DROP}}

MAIN = {
    "myhostname": "same.example.com", "mydomain": "example.com",
    "mydestination": "$myhostname, localhost, example.com",
    "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
    "local_recipient_maps": "", "relayhost": "",
    "smtp_dns_support_level": "", "smtp_host_lookup": "dns",
    "smtp_randomize_addresses": "no", "smtp_connect_timeout": "3s",
    "smtp_helo_timeout": "2s", "smtp_mail_timeout": "2s",
    "smtp_rcpt_timeout": "2s", "smtp_data_init_timeout": "2s",
    "smtp_data_done_timeout": "2s", "local_transport": "discard:",
    "lmtp_randomize_addresses": "no", "lmtp_lhlo_timeout": "2s",
    "lmtp_data_done_timeout": "2s", "notify_classes": "", "initial_destination_concurrency": "1",
    "smtp_connection_cache_on_demand": "no",
    "lmtp_connection_cache_on_demand": "no",
}

MESSAGE = (b"Message-Id: <x@example.com>\nFrom: s@example.com\n"
           b"Date: Sun, 22 Nov 2026 11:00:00 +0000\nSubject: test\n\n"
           b"hello\n.dot\n..\n" + b"x" * 1200 + b"\nend\n")


def start_servers(scratch):
    servers, zone, n = {}, ZONE, 0
    servers["lmtp unix"] = SmtpScript(unix=scratch + "/lmtp.sock",
                                      **LMTP).start()
    servers["lmtp inet"] = SmtpScript(host="127.2.0.240", port=24,
                                      **LMTP).start()
    for name, scripts in CASES.items():
        for i, script in enumerate(scripts):
            n += 1
            host = f"m{i + 1}.{name}.example"
            zone += f"{name}.example MX {10 * (i + 1)} {host}\n"
            zone += f"{host} A 127.2.0.{n}\n"
            if script is not None:
                servers[host] = SmtpScript(host=f"127.2.0.{n}", port=25,
                                           **script).start()
    return servers, zone


def recipients():
    out = []
    for name in list(CASES) + NAMES:
        out.append([f"{x}@{name}.example" for x in RCPTS.get(name, "u")])
    for line in TRANSPORT.split("\n"):
        if line:
            out.append(["u@" + line.split()[0]])
    for domain in ("l1.example", "l3.example"):
        out.append([f"{x}@{domain}" for x in ("a", "b", "bad", "c", "d")])
        out.append([f"{x}@{domain}" for x in ("a2", "e", "f")])
    return out


# What sendmail(1) is told beside, in turn; it must not matter.
OPTIONS = [[], ["-N", "never"], ["-N", "success,delay"],
           ["-V", "id+1", "-R", "hdrs"], ["-R", "full", "-N", "failure"]]


def wait_statuses(mta, want, timeout=40):
    """Until each recipient has had its result."""
    deadline = time.time() + timeout
    while time.time() < deadline:
        done = set(re.findall(r" to=<([^>]*)>", mta.log()))
        if done >= want:
            return
        time.sleep(0.2)
    print("no status for", sorted(want - done))


def client_lines(log):
    """Sorted, without what depends on time and on the process."""
    out = []
    for line in log.splitlines():
        match = re.search(r"postfix/((?:smtp|relay|lmtp)\[\d+\]: .*)", line)
        if not match or "to=<s@example.com>" in line:
            continue
        text = re.sub(r"\[\d+\]", "", match[1], count=1)
        text = re.sub(r" delay=[^,]*, delays=[^,]*,", "", text)
        text = re.sub(r" conn_use=\d+,", "", text)
        text = re.sub(r": [0-9A-F]{6,}: ", ": QID: ", text, count=1)
        text = re.sub(r"message size \d+ ", "message size N ", text)
        if re.search("look-up of |valid_hostname: | is this host ", text):
            continue
        out.append(text)
    return sorted(out)


def server_lines(servers):
    out = []
    for host, server in servers.items():
        for session in server.sessions:
            for command in session.commands:
                if command.split()[0] not in ("RSET", "QUIT"):
                    out.append(f"{host}: " +
                               re.sub(r"SIZE=\d+", "SIZE=N", command))
        for message in server.messages:
            body = message.data.split(b"Message-Id:")[-1]
            out.append(f"{host}: message {body!r}")
    return sorted(out)


def run(mta, scratch):
    """Send it all; returns the two lists of lines."""
    servers, zone = start_servers(scratch)
    dns = DnsServer(zone, port=53).start()
    try:
        mta.start()
        want = set()
        for i, rcpts in enumerate(recipients()):
            want.update(rcpts)
            done = mta.run("sendmail", "-f", "s@example.com",
                           *OPTIONS[i % len(OPTIONS)], *rcpts,
                           input=MESSAGE.decode())
            assert done.returncode == 0, done.stderr
        wait_statuses(mta, want)
        mta.stop()
        return client_lines(mta.log()), server_lines(servers)
    finally:
        mta.stop()
        dns.stop()
        for server in servers.values():
            server.stop()


def main():
    scratch = oracle.enter()
    for name, text in (("resolv.conf", "nameserver 127.0.0.1\n"),
                       ("transport", TRANSPORT.replace("@", scratch))):
        with open(os.path.join(scratch, name), "w", encoding="ascii") as file:
            file.write(text)
    subprocess.run(["mount", "--bind", scratch + "/resolv.conf",
                    "/etc/resolv.conf"], check=True)
    settings = dict(MAIN, transport_maps=f"texthash:{scratch}/transport")
    theirs = run(oracle.Postfix(scratch, postrider.free_port(),
                                main=settings), scratch)
    mta = postrider.Instance(main=settings)
    try:
        ours = run(mta, scratch)
    finally:
        mta.close()
    same = True
    for what, a, b in (("log", theirs[0], ours[0]),
                       ("dialogue", theirs[1], ours[1])):
        for line in difflib.unified_diff(a, b, "Postfix " + what,
                                         "Postrider " + what, lineterm="",
                                         n=0):
            print(line)
            same = False
    print(len(theirs[0]), "log lines,", len(theirs[1]), "lines of dialogue")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
