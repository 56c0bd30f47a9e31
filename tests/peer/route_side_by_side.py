# SPDX-License-Identifier: MIT
"""Where mail goes, with Debian's Postfix and with Postrider: the recipients of
route_cases.py, one instance of each in namespaces of their own, the same
tables, zone and receivers. Prints where relay=, dsn=, status= and text, the
clients' other lines, or what the receivers saw, differ. Run by
test_route_oracle.py; with an argument it leaves both logs in that folder."""
import difflib
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), HERE]

import oracle  # noqa: E402
import postrider  # noqa: E402
import route_cases as cases  # noqa: E402
from buildtree import PATIENCE  # noqa: E402
from dns_server import DnsServer  # noqa: E402
from smtp_script import SmtpScript  # noqa: E402

MESSAGE = "From: s@example.com\nSubject: test\n\nhello\n"
STATUS = re.compile(r"^.* (postfix\S*/\w+)\[\d+\]: [0-9A-Za-z]+: (?:to=<([^>]*)>)"
                    r"(?:, orig_to=<[^>]*>)?, (relay=.*), delay=.*, "
                    r"(dsn=\S+, status=.*)$", re.M)
ADDRESSES = ["fd00:3::1", "fd00:3::2", "fd00:3::3", "fd00:3::4", "fd00:3::f0",
             "fd00:3::101", "fd00:7::1"]
INTERFACES = ["127.7.0.3"]


# Lines of the client that differ on purpose: destinations that make no sense,
# the remedy for a loop, and DNSSEC, which the resolver looks after.
IGNORED = re.compile(
    "look-up of | is this host |valid_hostname: |fatal: |panic: |DNSSEC|dnssec|bad destination"
    "|: unknown service: |: no destination|nosuchtransport|bad smtp_bind"
    "|bind 192.0.2.7|127.3.0.249|no MX host for .*gone.idn")


def start_servers(scratch):
    out = [SmtpScript(unix=scratch + "/lmtp.sock", lmtp=True)]
    for address, port in (("127.3.0.240", 24), ("127.3.0.240", 2024),
                          ("fd00:3::f0", 24), ("127.3.0.1", 24)):
        out.append(SmtpScript(host=address, port=port, lmtp=True))
    for i in cases.GOOD:
        for port in (25, 587, 2525):
            out.append(SmtpScript(host=f"127.3.0.{i}", port=port))
    for i in range(1, 5):
        for port in (25, 2525):
            out.append(SmtpScript(host=f"fd00:3::{i}", port=port))
    for address, stages in cases.SCRIPTED.items():
        out.append(SmtpScript(host=address, port=25, **stages))
    return [server.start() for server in out]


def statuses(log):
    """Recipient to its first result."""
    out = {}
    for program, rcpt, relay, rest in STATUS.findall(log):
        out.setdefault(rcpt, f"{program} {relay}, {rest}")
    return out


def wait_statuses(mta, want, timeout=30):
    """Until each recipient has had its result."""
    deadline = time.monotonic() + timeout * PATIENCE
    while time.monotonic() < deadline:
        missing = want - set(statuses(mta.log()))
        if not missing:
            return True
        time.sleep(0.1)
    print("no status for", sorted(missing))
    return False


def client_lines(log):
    """Other lines of the clients, sorted, each once."""
    out = set()
    for line in log.splitlines():
        match = re.search(r"postfix/((?:smtp|relay|lmtp)\[\d+\]: .*)", line)
        if not match or " status=" in line:
            continue
        text = re.sub(r"\[\d+\]", "", match[1], count=1)
        text = re.sub(r": [0-9A-F]{6,}: ", ": QID: ", text, count=1)
        text = re.sub(r"(DNS RR: \S+) \d+ ", r"\1 TTL ", text)
        if not IGNORED.search(text):
            out.add(text)
    return sorted(out)


def server_lines(servers):
    """Who was sent what, from where, under which name."""
    out = []
    for server in servers:
        place = (server.unix and "unix") or "%s:%d" % server.sock_name
        for session in server.sessions:
            hello = " ".join(c for c in session.commands
                             if c[:4] in ("EHLO", "HELO", "LHLO"))
            for command in session.commands:
                rcpt = re.match(r"RCPT TO:<(.*?)>", command)
                if rcpt and not cases.ours(rcpt[1]):
                    out.append(f"{place}: {command} from {session.peer} "
                               f"{hello}")
    return sorted(re.sub(r" ORCPT=\S+", "", line) for line in out)


def settings(scratch):
    main = {k: v.replace("SCRATCH", scratch) for k, v in cases.MAIN.items()}
    master = {}
    for name, text in cases.OPTIONS.items():
        words = text.replace("SCRATCH", scratch)
        program = "smtp"
        if words.startswith("lmtp"):
            program, words = "lmtp", words[5:]
        options = re.findall(r"\{[^ ].*?\}$|\S+", words)
        master[f"{name} unix"] = (
            f"{name} unix - - n - 20 {program}"
            + "".join(f" -o {word}" for word in options) + "\n")
    return main, master


def run(mta, scratch, want):
    servers = start_servers(scratch)
    for server in servers:
        if not server.unix:
            server.sock_name = server.sock.getsockname()[:2]
    dns = DnsServer(cases.ZONE, port=53).start()
    try:
        mta.start()
        complete = True
        for sender, rcpts in cases.messages():
            done = mta.run("sendmail", "-N", "never", "-f", sender, *rcpts,
                           input=MESSAGE)
            assert done.returncode == 0, done.stderr
            # One by one: a few hundred processes are too much for postlogd.
            complete &= wait_statuses(mta, want & set(cases.logged(rcpts)))
        mta.stop()
        return (statuses(mta.log()), client_lines(mta.log()),
                server_lines(servers), complete)
    finally:
        mta.stop()
        dns.stop()
        for server in servers:
            server.stop()


def prepare(scratch):
    """Files, addresses."""
    files = {
        "resolv.conf": "nameserver 127.0.0.1\nsearch example.com\n",
        "hosts": cases.HOSTS, "relay": cases.RELAY, "default": cases.DEFAULT,
        "relocated": cases.RELOCATED, "virtual": cases.VIRTUAL,
        "pattern": cases.PATTERN, "filter": cases.FILTER,
        "transport": cases.TRANSPORT + cases.opt_table()[0],
    }
    for name, text in files.items():
        with open(os.path.join(scratch, name), "w", encoding="utf-8") as file:
            file.write(text.replace("SCRATCH", scratch))
    for name in ("resolv.conf", "hosts"):
        subprocess.run(["mount", "--bind", f"{scratch}/{name}", "/etc/" + name],
                       check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "addr", "add", address + "/128", "dev", "lo",
                        "nodad"], check=True)
    for address in INTERFACES:
        subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"],
                       check=True)


def difference(what, a, b):
    lines = list(difflib.unified_diff(a, b, "Postfix " + what,
                                      "Postrider " + what, lineterm="", n=0))
    print("\n".join(lines))
    return len(lines)


def main():
    scratch = oracle.enter()
    prepare(scratch)
    main_cf, master = settings(scratch)
    every = set(cases.expected())
    same = {rcpt for rcpt in every if not cases.ours(rcpt)}
    # Under load its postlogd may stop for good: then once more.
    for name in ("oracle", "oracle2"):
        postfix = oracle.Postfix(scratch, postrider.free_port(), main=main_cf,
                                 name=name)
        with open(os.path.join(postfix.config, "master.cf"), "a",
                  encoding="ascii") as file:
            file.writelines(master.values())
        theirs = run(postfix, scratch, same)
        if theirs[3]:
            break
    master["relay unix"] = ("relay unix - - n - - smtp "
                            "-o syslog_name=postfix/$service_name")
    mta = postrider.Instance(main=main_cf, master=master)
    try:
        ours = run(mta, scratch, every)
        if len(sys.argv) > 1:
            shutil.copy(postfix.logfile, os.path.join(sys.argv[1], "theirs"))
            shutil.copy(mta.logfile, os.path.join(sys.argv[1], "ours"))
    finally:
        mta.close()
    wrong = 0
    for rcpt in sorted(filter(cases.ours, every)):
        text = theirs[0].pop(rcpt, None)
        have, want = ours[0].pop(rcpt), cases.ours(rcpt)
        if have == text or want.replace("SCRATCH", scratch) not in have:
            print(f"{rcpt}: {have}, not {want}; Postfix: {text}")
            wrong += 1
    for i, what in enumerate(("results", "log", "receivers")):
        pair = [t[i] if i else [f"{r} {s}" for r, s in sorted(t[i].items())]
                for t in (theirs, ours)]
        wrong += difference(what, *pair)
    print(len(theirs[0]), "results,", len(theirs[1]), "other log lines,",
          len(theirs[2]), "recipients seen by receivers")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
