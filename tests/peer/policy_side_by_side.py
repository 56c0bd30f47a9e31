# SPDX-License-Identifier: MIT
"""Ask a scripted policy server from Debian's Postfix and from Postrider, in
namespaces of their own; print where requests, replies or log lines differ.
Run by test_policy.py."""
import difflib
import os
import re
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))

import oracle  # noqa: E402
import postrider  # noqa: E402
from policy_server import HANG, Cut, PolicyServer  # noqa: E402

SETTINGS = {
    "myhostname": "mx.example.com",
    "mydomain": "example.com",
    "mydestination": "$myhostname, localhost, example.com",
    "mynetworks": "127.0.0.0/8",
    "local_recipient_maps": "inline:{alice=1, bob=1}",
    "smtpd_error_sleep_time": "0",
    "smtpd_peername_lookup": "no",
    "in_flow_delay": "0",
    "defer_transports": "local smtp",
    "smtpd_client_event_limit_exceptions": "",
    "notify_classes": "",
    "rej": "reject",
    "smtpd_restriction_classes": "rej",
}

ALL = ("EHLO client.example", "MAIL FROM:<a@remote.example> SIZE=100",
       "RCPT TO:<alice@example.com>", "DATA", "Subject: x\r\n\r\ntext\r\n.",
       "VRFY bob@example.com", "ETRN example.com", "QUIT")
ONE = ("EHLO c", "MAIL FROM:<a@remote.example>", "RCPT TO:<alice@example.com>",
       "RCPT TO:<bob@example.com>", "QUIT")
LISTS = ("client", "helo", "sender", "recipient", "data", "end_of_data",
         "etrn")


def always(reply):
    return lambda request, n: reply


def action(text):
    return always(b"action=" + text + b"\n\n")


def first(reply, then=b"action=DUNNO\n\n"):
    return lambda request, n: reply if n == 0 else then


def in_all(**more):
    s = {f"smtpd_{name}_restrictions": "check_policy_service TCP"
         for name in LISTS}
    s.update(more)
    return s


def rcpt(service="check_policy_service TCP", **more):
    return dict(more, smtpd_recipient_restrictions=service)


QUICK = {"smtpd_policy_service_timeout": "1s",
         "smtpd_policy_service_retry_delay": "1s"}

# name: settings, what the server answers, dialogue
SCENARIOS = {
    "states": (in_all(), always(b"action=DUNNO\n\n"), ALL),
    "states-nodelay": (in_all(smtpd_delay_reject="no"),
                       always(b"action=DUNNO\n\n"), ALL),
    "two-recipients": (in_all(), always(b"action=DUNNO\n\n"), (
        "HELO c", "MAIL FROM:<>", "RCPT TO:<alice@example.com>",
        "RCPT TO:<bob@example.com>", "DATA", "x\r\n.", "RSET",
        "MAIL FROM:<a=b@remote.example>", "RCPT TO:<\"al ice\"@example.com>",
        "RCPT TO:<alice@example.com>", "QUIT")),
    "no-helo": (in_all(), always(b"action=DUNNO\n\n"), (
        "MAIL FROM:<a@b.example> BODY=8BITMIME",
        "RCPT TO:<alice@example.com>", "QUIT")),
    "odd-values": (in_all(), always(b"action=DUNNO\n\n"), (
        "EHLO a=b;c d", 'MAIL FROM:<"a=b\\"c\\\\d"@remote.example>',
        "RCPT TO:<alice@example.com>", "VRFY postmaster", "ETRN #example.com",
        "ETRN example.com", "QUIT")),
    "unix": (rcpt("check_policy_service UNIX"), action(b"REJECT no"), ONE),
    "braces": (rcpt("check_policy_service { TCP, timeout=3s, "
                    "default_action=DUNNO, { policy_context = ctx a } }"),
               always(b"action=450 4.7.1 later\n\n"), ONE),
    "context": (rcpt(smtpd_policy_service_policy_context="main=x y"),
                action(b"ok"), ONE),
    "reject": (rcpt(), action(b"REJECT"), ONE),
    "reject-text": (rcpt(), action(b"reject 5.9.9 go away"), ONE),
    "defer": (rcpt(), action(b"defer_if_permit later"), ONE),
    "code": (rcpt(), action(b"554 5.7.0 spam"), ONE),
    "421": (rcpt(), action(b"421 4.7.0 bye"), ONE),
    "permit": (rcpt("check_policy_service TCP, reject"), action(b"PERMIT"),
               ONE),
    "class": (rcpt(), action(b"rej"), ONE),
    "unknown-action": (rcpt(), action(b"whatever this is"), ONE),
    "empty-action": (rcpt(), action(b""), ONE),
    "prepend": (rcpt(), action(b"PREPEND X-Policy: yes"), ONE),
    "hold": (rcpt(), action(b"HOLD why"), ONE),
    "discard": (rcpt(), action(b"DISCARD x"), ONE),
    "redirect": (rcpt(), action(b"REDIRECT x"), ONE),
    "filter": (rcpt(), action(b"FILTER x"), ONE),
    "warn": (rcpt(), action(b"WARN hm"), ONE),
    "info": (rcpt(), action(b"INFO hm"), ONE),
    "table": (rcpt(), action(b"check_sender_access inline:{a=b}"), ONE),
    "warn-if-reject": (rcpt("warn_if_reject check_policy_service TCP"),
                       action(b"REJECT"), ONE),
    "two-services": (rcpt("check_policy_service TCP, "
                          "check_policy_service UNIX"),
                     action(b"DUNNO"), ONE),
    "request-limit": (rcpt(smtpd_policy_service_request_limit="1"),
                      action(b"DUNNO"), ONE),
    # trouble
    "refused": (rcpt("check_policy_service inet:127.0.0.1:1", **QUICK),
                action(b"DUNNO"), ONE[:3] + ONE[-1:]),
    "no-socket": (rcpt("check_policy_service unix:/no/such", **QUICK),
                  action(b"DUNNO"), ONE[:3] + ONE[-1:]),
    "closed": (rcpt(**QUICK), always(None), ONE[:3] + ONE[-1:]),
    "closed-once": (rcpt(**QUICK), first(None), ONE),
    "hang": (rcpt(**QUICK), always(HANG), ONE[:3] + ONE[-1:]),
    "garbage": (rcpt(**QUICK), always(b"hello\n\n"), ONE[:3] + ONE[-1:]),
    "empty": (rcpt(**QUICK), always(b"\n"), ONE[:3] + ONE[-1:]),
    "half": (rcpt(**QUICK), always(b"action=DUNNO\n"), ONE[:3] + ONE[-1:]),
    "other-name": (rcpt(**QUICK), always(b"answer=OK\n\n"),
                   ONE[:3] + ONE[-1:]),
    "extra-before": (rcpt(**QUICK), always(b"x=y\naction=OK\n\n"),
                     ONE[:3] + ONE[-1:]),
    "extra-after": (rcpt(**QUICK), always(b"action=OK\nx=y\n\n"),
                    ONE[:3] + ONE[-1:]),
    "twice": (rcpt(**QUICK), always(b"action=OK\naction=REJECT\n\n"),
              ONE[:3] + ONE[-1:]),
    "crlf": (rcpt(**QUICK), always(b"action=REJECT x\r\n\r\n"),
             ONE[:3] + ONE[-1:]),
    "default-action": (rcpt("check_policy_service { TCP, "
                            "default_action=DUNNO, try_limit=1 }", **QUICK),
                       always(None), ONE[:3] + ONE[-1:]),
    "default-reject": (rcpt(smtpd_policy_service_default_action=
                            "550 5.7.1 no policy",
                            smtpd_policy_service_try_limit="1", **QUICK),
                       always(None), ONE[:3] + ONE[-1:]),
    "default-bad": (rcpt(smtpd_policy_service_default_action="nonsense",
                         smtpd_policy_service_try_limit="1", **QUICK),
                    always(None), ONE[:3] + ONE[-1:]),
    "long": (rcpt(**QUICK), always(b"action=550 " + b"x" * 3000 + b"\n\n"),
             ONE[:3] + ONE[-1:]),
    "longer": (rcpt(**QUICK), always(b"action=550 " + b"x" * 50000 + b"\n\n"),
               ONE[:3] + ONE[-1:]),
    "cut-name": (rcpt(**QUICK), always(Cut(b"acti")), ONE[:3] + ONE[-1:]),
    "cut-value": (rcpt(**QUICK), always(Cut(b"action=OK")),
                  ONE[:3] + ONE[-1:]),
    "cut-end": (rcpt(**QUICK), always(Cut(b"action=OK\n")),
                ONE[:3] + ONE[-1:]),
    "closed-3": (rcpt(smtpd_policy_service_try_limit="3", **QUICK),
                 always(None), ONE[:3] + ONE[-1:]),
    "control": (rcpt(**QUICK), always(b"action=550 a\x01\x7fx\tb\n\n"),
                ONE[:3] + ONE[-1:]),
    "utf8": (rcpt(**QUICK), always("action=550 \u00e9\n\n".encode()),
             ONE[:3] + ONE[-1:]),
    "spaces": (rcpt(**QUICK), always(b" action = REJECT x \n\n"),
               ONE[:3] + ONE[-1:]),
    "upper-name": (rcpt(**QUICK), always(b"ACTION=REJECT x\n\n"),
                   ONE[:3] + ONE[-1:]),
    "no-value": (rcpt(**QUICK), always(b"action\n\n"), ONE[:3] + ONE[-1:]),
    "nul": (rcpt(**QUICK), always(b"action=550 a\0b\n\n"),
            ONE[:3] + ONE[-1:]),
    "binary": (rcpt(**QUICK), always(b"action=550 \x01\xff\x7fx\n\n"),
               ONE[:3] + ONE[-1:]),
}


def settings_of(name, server):
    out = {}
    for key, value in SCENARIOS[name][0].items():
        value = value.replace("TCP", f"inet:127.0.0.1:{server.port}")
        out[key] = value.replace("UNIX", f"unix:{server.path}")
    return out


def line_of(port, settings):
    text = f"127.0.0.1:{port} inet n - n - - smtpd\n"
    for key, value in settings.items():
        text += "    -o { " + f"{key}={value}" + " }\n"
    return text


def talk(port, dialogue):
    lines = []
    with postrider.connect(port) as sock:
        sock.settimeout(30)
        f = sock.makefile("rb")

        def reply():
            while True:
                try:
                    line = f.readline().decode("utf-8", "backslashreplace")
                except ConnectionResetError:
                    line = ""
                lines.append("S: " + line.rstrip("\r\n"))
                if line[3:4] != "-":
                    return line
        reply()
        for command in dialogue:
            lines.append("C: " + command)
            try:
                sock.sendall(command.encode() + b"\r\n")
            except OSError:
                break
            if not reply():
                break
    return [re.sub(r"queued as \w+", "queued as QID", line) for line in lines
            if not re.match("S: 250.(CHUNKING|SMTPUTF8|DSN|8BITMIME)", line)]


INSTANCE = re.compile(r"^instance=(\w+\.\w+)\.(\w+)\.(\w+)$", re.M)


def normal(requests):
    out, seen = [], {}

    def instance(match):
        number = seen.setdefault(match[0], len(seen))
        assert re.match(r"^[0-9a-f]+\.[0-9a-f]+$", match[1]), match[0]
        return f"instance=I{number}.{match[3]}"

    for connection, text in requests:
        text = INSTANCE.sub(instance, text)
        text = re.sub(r"(client_port|server_port)=\d+", r"\1=PORT", text)
        text = re.sub(r"queue_id=\w+", "queue_id=QID", text)
        out += [f"-- connection {connection}"] + text.split("\n")
    return out


def smtpd_lines(log, port_of):
    lines = []
    for line in log.splitlines():
        match = re.search(r"postfix/smtpd\[\d+\]: (.*)", line)
        if not match or "connect from" in match[1]:
            continue
        text = re.sub(r"^[0-9A-F]{5,}: ", "QID: ", match[1])
        text = re.sub(r"127.0.0.1:\d+", "ADDR", text)
        text = re.sub(r"/tmp/\S+/socket", "SOCKET", text)
        lines.append(text)
    return lines


def run(start, names):
    servers, lines, ports = {}, "", {}
    result = {}
    for name in names:
        servers[name] = PolicyServer(SCENARIOS[name][1]).__enter__()
    free = postrider.free_ports(len(names) + 1)
    ports = dict(zip(names, free))
    for name in names:
        lines += line_of(ports[name], settings_of(name, servers[name]))
    mta = start(free[-1], {"discard unix": "discard unix - - n - - discard\n" + lines})
    try:
        for name in names:
            before = len(mta.log())
            replies = talk(ports[name], SCENARIOS[name][2])
            time.sleep(0.15)
            if os.environ.get("RAW"):
                print(*servers[name].requests[:2], sep="\n")
            result[name] = {
                "replies": replies,
                "requests": normal(servers[name].requests),
                "log": smtpd_lines(mta.log()[before:], ports)}
    except OSError as err:
        sys.exit(f"{name}: {err}\n" + mta.log()[-3000:])
    finally:
        mta.stop()
        for server in servers.values():
            server.__exit__()
    return result


def main():
    scratch = oracle.enter()
    show = "-v" in sys.argv
    names = [a for a in sys.argv[1:] if a != "-v"] or list(SCENARIOS)

    def theirs(port, master):
        return oracle.Postfix(scratch, port, main=SETTINGS,
                              master=master).start()

    def ours(port, master):
        return postrider.Instance(port=port, main=SETTINGS, master=master).start()

    want = run(theirs, names)
    if show:
        for name in names:
            for what, text in want[name].items():
                print("==", name, what, *text, sep="\n")
        return
    got = run(ours, names)
    same = True
    for name in names:
        for what in want[name]:
            for line in difflib.unified_diff(
                    want[name][what], got[name][what],
                    f"Postfix {name} {what}", f"Postrider {name} {what}",
                    lineterm="", n=2):
                print(line)
                same = False
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
