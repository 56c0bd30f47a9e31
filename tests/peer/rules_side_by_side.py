# SPDX-License-Identifier: MIT
"""Play the dialogues of tests/peer/rules to Debian's Postfix and to Postrider,
both asking the name server of rules/zone, in namespaces of their own; print
where the replies or smtpd's log lines differ from each other, or the replies
from the recorded ones. All dialogues of a run share one instance of each
server: every dialogue has an smtpd line of its own in master.cf, whose -o
options are its settings. Run by test_rules_oracle.py.

    rules_side_by_side.py [--record | --ours | --oracle] FILE...

--record: write Postfix's replies into the files; --ours: only Postrider, against
the recorded replies; --oracle: only Postfix, print what it says.
"""
import difflib
import os
import re
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../lib", "../replay"):
    sys.path.insert(0, os.path.join(HERE, folder))

import oracle  # noqa: E402
import postrider  # noqa: E402
import replay  # noqa: E402
from dns_server import DnsServer  # noqa: E402
from test_replay import SETTINGS  # noqa: E402

MAIN = dict(SETTINGS, in_flow_delay="0", inet_protocols="all",
            mynetworks="10.0.0.0/8", smtpd_peername_lookup="yes",
            defer_transports="local smtp relay", smtpd_tls_security_level="",
            smtpd_client_connection_count_limit="0",
            default_process_limit="20", notify_classes="",
            smtpd_discard_ehlo_keywords="chunking, smtputf8")

# Lines that nobody parses and that are worded or placed differently.
IGNORED = re.compile("connect from|initializing the|reload|table has changed|"
                     "discarding EHLO keywords|mapping DSN status|"
                     "Illegal address syntax|is ignored$")


def name_of(path):
    return os.path.basename(path).removesuffix(".txt")


class Case:
    def __init__(self, path, port):
        self.path = path
        self.name = name_of(path)
        self.port = port
        self.dialogue = replay.Dialogue(path)

    def lines(self):
        """The master.cf lines of its services, by name and type."""
        options = "".join(f" -o {{{name} = {value}}}"
                          for name, value in self.dialogue.settings)
        options = options.replace("RULES/", os.path.join(HERE, "rules/"))
        return {f"{host}:{self.port} inet":
                f"{host}:{self.port} inet n - n - - smtpd"
                f" -o syslog_name=postfix/{self.name}{options}"
                for host in ("127.0.0.1", "[::1]")}

    def connect(self, source=None):
        host = "::1" if source and ":" in source else "127.0.0.1"
        deadline = time.time() + 10
        while True:  # master listens a moment after it has started
            try:
                return socket.create_connection(
                    (host, self.port),
                    source_address=(source, 0) if source else None)
            except ConnectionRefusedError:
                if time.time() > deadline:
                    raise
                time.sleep(0.05)

    def play(self):
        return replay.play(self.dialogue, self.connect)

    def sources(self):
        return {line[3:] for line in self.dialogue.lines
                if line.startswith("-- ")}

    def sessions(self):
        return sum(replay.is_connect(line) for line in self.dialogue.lines)

    def wait_sessions(self, mta):
        """Until the last one is over for the server, too."""
        end = re.compile(rf"postfix/{self.name}/smtpd\[\d+\]: "
                         "(disconnect from|fatal)")
        deadline = time.time() + 10
        while time.time() < deadline:
            if len(end.findall(mta.log())) >= self.sessions():
                return
            time.sleep(0.05)

    def log_lines(self, log):
        """Session by session: the end of one and the start of the next are
        two processes' matter. What a process says once, once."""
        sessions, current, once = [], {}, set()
        for line in log.splitlines():
            match = re.search(rf"postfix/{self.name}/smtpd\[(\d+)\]: (.*)",
                              line)
            if not match:
                continue
            pid, text = match.groups()
            if pid not in current:
                current[pid] = []
                sessions.append(current[pid])
            lines = current[pid]
            if text.startswith("disconnect from"):
                del current[pid]
            if IGNORED.search(text.replace("disconnect from", "")):
                continue
            if "support for restriction" in text:
                if text in once:
                    continue
                once.add(text)
            text = re.sub(r"^[0-9A-F]{5,}: ", "QID: ", text)
            lines.append(re.sub(r"\. \d+ IN ", ". TTL IN ", text))
        return [text for session in sessions for text in session]


def add_master_lines(mta, cases):
    with open(os.path.join(mta.config, "master.cf"), "a") as out:
        for case in cases:
            for line in case.lines().values():
                out.write(line + "\n")


def run(mta, cases):
    add_master_lines(mta, cases)
    mta.start()
    try:
        replies = [case.play() for case in cases]
        for case in cases:
            case.wait_sessions(mta)
    finally:
        mta.stop()
    return replies, [case.log_lines(mta.log()) for case in cases]


def record(case, replies):
    with open(case.path, "w", encoding="utf-8") as out:
        out.write("\n".join(replies) + "\n")


def differences(what, a, b, names=("Postfix", "Postrider")):
    lines = list(difflib.unified_diff(a, b, f"{names[0]} {what}",
                                      f"{names[1]} {what}", lineterm="", n=2))
    print("\n".join(lines), end="\n" if lines else "")
    return bool(lines)


def set_up(scratch, cases):
    """The name server and the clients' addresses."""
    with open(os.path.join(scratch, "resolv.conf"), "w") as file:
        file.write("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", scratch + "/resolv.conf",
                    "/etc/resolv.conf"], check=True)
    for source in set().union(*(case.sources() for case in cases)):
        if not source.startswith("127."):
            subprocess.run(["ip", "addr", "add", source, "dev", "lo"],
                           check=True)
    with open(os.path.join(HERE, "rules/zone"), encoding="utf-8") as file:
        return DnsServer(file.read(), port=53).start()


def main():
    ours = "--ours" in sys.argv
    scratch = oracle.enter(with_oracle=not ours)
    replay.TIMEOUT = 15.0  # a busy machine, two name servers in a row
    args = sys.argv[1:]
    recording = "--record" in args
    only = "--oracle" in args
    args = [arg for arg in args if not arg.startswith("--")]
    cases = [Case(path, 10000 + i) for i, path in enumerate(args)]
    dns = set_up(scratch, cases)
    if ours:
        want = [case.dialogue.lines for case in cases]
        want_log = []
    else:
        theirs = oracle.Postfix(scratch, postrider.free_port(), main=MAIN)
        want, want_log = run(theirs, cases)
    if recording:
        for case, replies in zip(cases, want):
            record(case, replies)
    if only:
        for case, replies, log in zip(cases, want, want_log):
            print("\n".join(replies + log))
        sys.exit(0)
    mta = postrider.Instance(main=MAIN)
    try:
        got, got_log = run(mta, cases)
    finally:
        if "--log" in sys.argv:
            print(mta.log())
        mta.close()
        dns.stop()
    bad = []
    for i, case in enumerate(cases):
        parts = [differences(case.name + " replies", want[i], got[i])]
        if want_log:
            parts.append(differences(case.name + " log", want_log[i],
                                     got_log[i]))
        if not recording and not ours:
            parts.append(differences(case.name + " replies",
                                     case.dialogue.lines, want[i],
                                     ("recorded", "Postfix")))
        if any(parts):
            bad.append(case.name)
    rcpts = sum(line.startswith("C: RCPT") for case in cases
                for line in case.dialogue.lines)
    print(len(cases), "dialogues,", rcpts, "transactions, differ:", *bad)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
