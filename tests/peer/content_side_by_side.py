# SPDX-License-Identifier: MIT
"""Deliver the same messages with Debian's Postfix and with Postrider, through
transports with settings of their own, to scripted servers; print where the
bytes on the wire or the status lines differ. Run by test_content_oracle.py.

With an argument: only the cases whose name contains it; "-v" shows both."""
import difflib
import os
import re
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../lib"))

import oracle  # noqa: E402
import postrider  # noqa: E402
from content_cases import CASES, FILES, SERVERS  # noqa: E402
from smtp_script import SmtpScript  # noqa: E402

MAIN = {
    "myhostname": "same.example.com", "mydomain": "example.com",
    "myorigin": "example.com", "recipient_delimiter": "+",
    "mydestination": "$myhostname, localhost, example.com",
    "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
    "local_recipient_maps": "", "relayhost": "",
    "smtp_dns_support_level": "disabled", "smtp_host_lookup": "native",
    "notify_classes": "", "local_transport": "discard:",
    "disable_dns_lookups": "yes", "smtpd_peername_lookup": "no",
    "smtp_connection_cache_on_demand": "no",
    "lmtp_connection_cache_on_demand": "no",
    "smtp_pix_workaround_delay_time": "1s",
    "message_size_limit": "0", "maximal_queue_lifetime": "0",
    "header_size_limit": "4096",
}


def start_servers(scratch):
    servers = {}
    for i, (name, script) in enumerate(SERVERS.items()):
        servers[name] = SmtpScript(host=f"127.2.0.{i + 1}", port=25,
                                   **script).start()
    return servers


class Client:
    """One SMTP session to inject mail."""

    def __init__(self, port):
        self.sock = postrider.connect(port)
        self.file = self.sock.makefile("rb")
        self.reply()
        self.say(b"EHLO client.example.org")

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return line

    def say(self, line):
        self.sock.sendall(line + b"\r\n")
        return self.reply()

    def send(self, case, rcpt):
        sender = case.get("sender", "s@example.com").encode()
        options = case.get("mail", "").encode()
        replies = [self.say(b"MAIL FROM:<" + sender + b">" + options)]
        for one in case.get("rcpts", ["{}"]):
            replies.append(self.say(b"RCPT TO:<" +
                                    one.format(rcpt).encode() + b">"))
        self.say(b"DATA")
        data = case["message"].replace(b"\n", b"\r\n")
        data = re.sub(rb"(?m)^\.", b"..", data)
        self.sock.sendall(data + b".\r\n")
        replies.append(self.reply())
        for line in replies:
            assert line.startswith(b"250"), (case["name"], line)


def normal(text):
    """Without the door's Received: header, which holds a queue id."""
    text = re.sub(rb"\AReceived: from [^\r]*\r\n(?:[ \t][^\r]*\r\n)+", b"",
                  text)
    text = re.sub(rb"(?m)^Received: from client.example.org.*\r\n"
                  rb"(?:[ \t].*\r\n)+", b"RECEIVED\r\n", text)
    return text


def status_lines(log):
    out = {}
    for line in log.splitlines():
        match = re.search(r": to=<([^>]*)>.*?(relay=\S+).*?(dsn=.*)", line)
        if match:
            text = f"{match[2]} {match[3]}"
            out.setdefault(match[1].lower(), []).append(text)
    return out


def client_warnings(log):
    out = []
    for line in log.splitlines():
        match = re.search(r"postfix/\w+/?\w*\[\d+\]: (.*)", line)
        if not match or not re.search(
                r"postfix/(t\w+/)?(smtp|lmtp)\[\d+\]:", line):
            continue
        text = match[1]
        if " to=<" in text and "status=" in text:
            continue
        if "lookup error for " not in text:  # it shows a queue id
            out.append(re.sub(r"^(warning: )?[0-9A-F]{6,}: ", r"\1QID: ",
                              text))
    return out


def transports():
    """Transport name by (program, options, server)."""
    names = {}
    for case in CASES:
        key = transport_key(case)
        names.setdefault(key, f"t{len(names)}")
    return names


def transport_key(case):
    return (case.get("program", "smtp"),
            tuple(sorted(case.get("options", {}).items())),
            case.get("server", "plain"))


def expand(text, scratch):
    return text.replace("@@", scratch + "/")


def master_lines(names, scratch):
    out = {}
    for (program, options, _), name in names.items():
        line = f"{name} unix - - n - - {program}"
        for key, value in options:
            if key == "flags":
                line += " flags=" + value
        args = "".join(f" -o {{ {key} = {expand(value, scratch)} }}"
                       for key, value in options if key != "flags")
        line = line.replace(" flags=", args + " flags=") \
            if " flags=" in line else line + args
        out[name + " unix"] = line
    return out


def run(mta, scratch, names, cases):
    servers = start_servers(scratch)
    by_case = {}
    try:
        mta.start()
        if isinstance(mta, oracle.Postfix):
            deadline = time.time() + 20
            while time.time() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", mta.port)).close()
                    break
                except OSError:
                    time.sleep(0.05)
        client = Client(mta.port)
        want = set()
        for case in cases:
            name = names[transport_key(case)]
            domain = case.get("domain", f"{name}.example")
            rcpt = f"{case['name']}@{domain}"
            client.send(case, rcpt)
            want.update(one.format(rcpt).lower()
                        for one in case.get("rcpts", ["{}"]))
        deadline = time.time() + 60 * postrider.PATIENCE
        while not want <= set(status_lines(mta.log())):
            if time.time() > deadline:
                print("no status for",
                      sorted(want - set(status_lines(mta.log()))))
                break
            time.sleep(0.1)
        mta.stop()
        log = mta.log()
        status = status_lines(log)
        for server in servers.values():
            for session in server.sessions:
                collect(by_case, session, cases)
        for case in cases:
            lines = by_case.setdefault(case["name"], [])
            for rcpt, texts in status.items():
                if rcpt.split("@")[0].split("+")[0] == case["name"].lower():
                    lines += sorted(set(f"{rcpt} {t}" for t in texts))
        return by_case, sorted(client_warnings(log))
    finally:
        mta.stop()
        for server in servers.values():
            server.stop()


def collect(by_case, session, cases):
    """What a session shows, under the case that its first RCPT names."""
    name = "?"
    text = "\n".join(session.commands)
    match = re.search(r"(?:RCPT TO:<|NAME=X)([a-z0-9-]+)[+@-]", text)
    if match:
        name = match[1]
    lines = by_case.setdefault(name, [])
    for command in session.commands:
        command = re.sub(r"IDENT=\w+", "IDENT=QID", command)
        command = re.sub(r"SIZE=\d+", "SIZE=N", command)
        command = re.sub(r"PORT=\d+", "PORT=N", command)
        lines.append("C: " + command)
    for message in session.messages:
        lines += [f"M: {line!r}" for line in  # noqa
                  normal(message.data).split(b"\r\n")]


def main():
    args = [a for a in sys.argv[1:] if a != "-v"]
    verbose = "-v" in sys.argv
    scratch = oracle.enter()
    cases = [c for c in CASES if not args or any(a in c["name"] for a in args)]
    names = transports()
    index = {name: i + 1 for i, name in enumerate(SERVERS)}
    with open(os.path.join(scratch, "transport"), "w",
              encoding="ascii") as file:
        for (_, _, server), name in names.items():
            file.write(f"{name}.example {name}:[127.2.0.{index[server]}]:25\n")
    for name, text in FILES.items():
        with open(os.path.join(scratch, name), "w", encoding="utf-8") as file:
            file.write(text)
    settings = dict(MAIN, transport_maps=f"texthash:{scratch}/transport")
    master = master_lines(names, scratch)
    theirs = oracle.Postfix(scratch, postrider.free_port(), main=settings)
    with open(os.path.join(theirs.config, "master.cf"), "a",
              encoding="ascii") as file:
        for line in master.values():
            file.write(line + "\n")
    a, a_log = run(theirs, scratch, names, cases)
    if args and verbose:
        for case in cases:
            print("=====", case["name"])
            print("\n".join(a[case["name"]]))
        print("\n".join(a_log))
    mta = postrider.Instance(main=settings, master=master)
    try:
        b, b_log = run(mta, scratch, names, cases)
    finally:
        mta.close()
    bad = 0
    for case in cases:
        diff = list(difflib.unified_diff(
            a.get(case["name"], []), b.get(case["name"], []),
            "Postfix", "Postrider", lineterm="", n=0))
        if diff:
            bad += 1
            print("=====", case["name"])
            print("\n".join(diff))
    logs = list(difflib.unified_diff(a_log, b_log, "Postfix log",
                                     "Postrider log", lineterm="", n=0))
    print("\n".join(logs))
    print(len(cases), "cases,", bad, "differ,", len(logs), "lines of log")
    sys.exit(1 if bad or logs else 0)


if __name__ == "__main__":
    main()
