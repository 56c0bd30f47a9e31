# SPDX-License-Identifier: MIT
"""Client limits and address probes, at Debian's Postfix and at Postrider, in
namespaces of their own; print where replies or log lines differ. Run by
test_limits.py: limits_side_by_side.py limits|verify"""
import difflib
import os
import re
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))

import oracle  # noqa: E402
import postrider  # noqa: E402

SETTINGS = {
    "myhostname": "mx.example.com",
    "mydomain": "example.com",
    "mydestination": "$myhostname, localhost, example.com",
    "local_recipient_maps": "",
    "smtpd_error_sleep_time": "0",
    "smtpd_hard_error_limit": "1000",
    "smtpd_soft_error_limit": "1000",
    "smtpd_peername_lookup": "no",
    "in_flow_delay": "0",
    "notify_classes": "",
    "smtpd_discard_ehlo_keywords": "chunking, smtputf8, silent-discard",
    "smtpd_client_event_limit_exceptions": "",
}


class Client:
    """Everything said goes to out."""

    def __init__(self, port, out):
        self.out = out
        self.sock = postrider.connect(port)
        self.sock.settimeout(20)
        self.file = self.sock.makefile("rb")
        self.reply()

    def reply(self):
        while True:
            try:
                line = self.file.readline().decode().rstrip()
            except ConnectionResetError:
                line = ""
            self.out.append("S: " + re.sub(r"\]:\d+", "]:PORT", line))
            if line[3:4] != "-":
                return

    def say(self, *lines):
        for line in lines:
            self.out.append("C: " + line)
            try:
                self.sock.sendall(line.encode() + b"\r\n")
            except OSError:
                self.out.append("S: ")
                return
            self.reply()

    def close(self):
        self.file.close()
        self.sock.close()
        time.sleep(0.2)


# ---- limits ----

LIMITS = {
    "count": {"smtpd_client_connection_count_limit": "2"},
    "rate": {"smtpd_client_connection_rate_limit": "2"},
    "exempt": {"smtpd_client_connection_rate_limit": "1",
               "smtpd_client_event_limit_exceptions": "127.0.0.0/8"},
    "mail": {"smtpd_client_message_rate_limit": "2"},
    "mail2": {"smtpd_client_message_rate_limit": "2"},
    "rcpt": {"smtpd_client_recipient_rate_limit": "2"},
    "rcpt0": {"smtpd_client_recipient_rate_limit": "2",
              "smtpd_client_connection_count_limit": "0"},
}


def limits(ports, out, _mta):
    def client(name):
        return Client(ports[name], out)

    a, b, c = [client("count") for _ in range(3)]
    c.say("EHLO x")
    a.close()
    d = client("count")
    d.say("EHLO x", "QUIT")
    b.close()
    for name in ("rate", "exempt"):
        three = [client(name) for _ in range(3)]
        three[2].say("NOOP")
        for one in three:
            one.close()
    for _ in range(2):
        a = client("mail")
        a.say("EHLO x")
        for _ in range(4):
            a.say("MAIL FROM:<a@b.example>", "RSET")
        a.close()
    a = client("mail2")
    a.say("MAIL FOO", "MAIL FROM:<a", "MAIL FROM:<a@b.example> FOO=x",
          "MAIL FROM:<a@b.example>", "MAIL FOO", "QUIT")
    for name in ("rcpt", "rcpt0"):
        a = client(name)
        a.say("EHLO x", "RCPT TO:<x@example.com>", "MAIL FROM:<a@b.example>",
              "RCPT FOO", "RCPT TO:<bad", "RCPT TO:<x@example.com>",
              "RCPT TO:<x@example.com>", "RCPT TO:<x@example.com>", "RSET",
              "QUIT")
        a = client(name)
        a.say("EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<x@example.com>",
              "QUIT")


# ---- address probes ----

def sink():
    """A server that knows everybody but bad* and later*."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen = []

    def answer(line):
        verb = line.upper()
        if verb.startswith(b"EHLO"):
            return b"250-sink\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 DSN\r\n"
        if verb.startswith(b"RCPT TO:<BAD"):
            return b"550 5.1.1 no such user\r\n"
        if verb.startswith(b"RCPT TO:<LATER"):
            return b"450 4.2.0 try later\r\n"
        if verb.startswith(b"DATA"):
            return b"354 go on\r\n"
        return b"250 2.0.0 fine\r\n"

    def serve(sock):
        try:
            sock.sendall(b"220 sink.example ESMTP\r\n")
            for line in sock.makefile("rb"):
                if line[:4].upper() in (b"MAIL", b"RCPT", b"DATA"):
                    seen.append(line.decode().rstrip())
                sock.sendall(answer(line))
                if line.upper().startswith(b"QUIT"):
                    break
        except OSError:
            pass
        sock.close()

    def accept():
        while True:
            sock = listener.accept()[0]
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1], seen


RECIPIENT = {"smtpd_recipient_restrictions": "reject_unverified_recipient"}
SENDER = {"smtpd_recipient_restrictions": "reject_unverified_sender"}
VERIFY = {
    "rcpt": RECIPIENT,
    "from": SENDER,
    "codes": dict(RECIPIENT, unverified_recipient_reject_code="550",
                  unverified_recipient_reject_reason="no one",
                  unverified_recipient_defer_code="451"),
    "from-codes": dict(SENDER, unverified_sender_reject_code="551",
                       unverified_sender_reject_reason="because"),
    "plain-code": dict(RECIPIENT, unverified_recipient_reject_code="550"),
    "defer": {"unverified_recipient_tempfail_action": "defer",
              "smtpd_recipient_restrictions":
              "reject_unverified_recipient, reject"},
    "defer-if": {"smtpd_recipient_restrictions":
                 "reject_unverified_recipient, reject"},
    "once": dict(RECIPIENT, address_verify_poll_count="1"),
}
KNOWN = ("good@sink.example", "bad@sink.example", "later@sink.example",
         "x@dead.example", "x@err.example", "x@disc.example", "x@ret.example",
         "alice@example.com", "nouser@example.com", "list@example.com",
         "other@example.com", "u@virt.example", "nou@virt.example",
         "postmaster@example.com", "double-bounce@example.com")


def verify_settings(port):
    dead = postrider.free_port()
    return {
        "transport_maps":
            "inline:{ {sink.example=smtp:[127.0.0.1]:%d}, "
            "{dead.example=smtp:[127.0.0.1]:%d}, "
            "{err.example=error:5.1.6 moved}, {disc.example=discard:x}, "
            "{ret.example=retry:4.0.0 hm} }" % (port, dead),
        "smtp_dns_support_level": "disabled",
        "smtp_host_lookup": "native",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "virtual_mailbox_domains": "virt.example",
        "virtual_mailbox_maps": "inline:{u@virt.example=u}",
        "virtual_mailbox_base": "/nonexistent",
        "virtual_uid_maps": "static:5910",
        "virtual_gid_maps": "static:5910",
        "alias_maps": "inline:{ {list=|/bin/true}, {other=bad@sink.example} }",
        "address_verify_poll_delay": "1s",
    }


def verify(ports, out, _mta):
    def client(name, *lines):
        c = Client(ports[name], out)
        c.say("EHLO x", *lines)
        c.close()

    mail = "MAIL FROM:<a@remote.example>"
    known = [f"RCPT TO:<{name}>" for name in KNOWN]
    client("rcpt", mail, *known, *known[:4])
    for name in ("from", "from-codes"):
        client(name, "MAIL FROM:<good@sink.example>", "RCPT TO:<q@q.example>",
               "RSET", "MAIL FROM:<bad@sink.example>",
               "RCPT TO:<q@q.example>", "RSET", "MAIL FROM:<>",
               "RCPT TO:<q@q.example>", "RSET",
               "MAIL FROM:<later@sink.example>", "RCPT TO:<q@q.example>",
               "RSET", "MAIL FROM:<double-bounce@mx.example.com>",
               "RCPT TO:<q@q.example>")
    for name in ("codes", "plain-code", "defer", "defer-if"):
        client(name, mail, *known[:4])
    client("once", mail, "RCPT TO:<new@sink.example>")
    time.sleep(2)
    client("once", mail, "RCPT TO:<new@sink.example>")
    client("rcpt", "VRFY good@sink.example", "VRFY bad@sink.example")


def stored(mta):
    """What was written to address_verify_map, without times."""
    done = mta.run("postmap", "-s", "btree:" + mta.data + "/verify_cache")
    return [re.sub(r":\d{10}:", ":TIME:", re.sub(r"\]:\d+", "]:PORT", line))
            for line in sorted(done.stdout.split("\n"))
            if not line.startswith("_LAST_CACHE")]


# ---- both ----

def lines_of(log, ports):
    lines = []
    for line in log.splitlines():
        match = re.search(r"postfix/(smtpd|smtp|error|retry|discard|local|virtual)"
                          r"\[\d+\]: (.*)", line)
        if not match or re.search("connect(ion)? (from|after)|client=|"
                                  "Illegal address syntax|DATA ", match[2]):
            continue
        text = re.sub(r"^[0-9A-F]{8,}: ", "QID: ", match[2])
        text = re.sub(r"127\.0\.0\.1:\d+|\]:\d+", "PORT", text)
        text = re.sub(r"conn_use=\d+, ", "", text)
        text = re.sub(r"delays?=[0-9./]+", "delay", text)
        lines.append(text)
    return lines


def run(start, more, options, play):
    free = postrider.free_ports(len(options) + 1)
    ports = dict(zip(options, free))
    lines = "discard unix - - n - - discard\n"
    for name, settings in options.items():
        lines += f"127.0.0.1:{ports[name]} inet n - n - - smtpd\n"
        for key, value in settings.items():
            lines += f"    -o {{ {key}={value} }}\n"
    mta = start(free[-1], dict(SETTINGS, **more),
                {"discard unix": lines,
                 "virtual unix": "virtual unix - n n - - virtual"})
    out = []
    try:
        play(ports, out, mta)
    except OSError as err:
        sys.exit(f"{err}\n{out[-5:]}\n" + mta.log()[-3000:])
    finally:
        mta.stop()
    if play is verify:
        out += stored(mta)
    return out, lines_of(mta.log(), ports)


def main():
    scratch = oracle.enter(["alice"])
    what = sys.argv[1]
    result = []
    for start in (
            lambda port, main, master: oracle.Postfix(
                scratch, port, main=main,
                master=master).start(),
            lambda port, main, master: postrider.Instance(
                port=port, main=main, master=master).start()):
        if what == "limits":
            result.append(run(start, {}, LIMITS, limits))
        else:
            port, seen = sink()
            out, log = run(start, verify_settings(port), VERIFY, verify)
            result.append((out, log, seen))
    same = True
    for part, want, got in zip(("replies", "log", "sink"), *result):
        for line in difflib.unified_diff(want, got, "Postfix " + part,
                                         "Postrider " + part, lineterm="",
                                         n=1):
            print(line)
            same = False
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
