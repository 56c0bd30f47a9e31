# SPDX-License-Identifier: MIT
"""logs_side_by_side.py FOLDER: the same mixed day of mail, first with Debian's
Postfix and then with Postrider, in namespaces of their own; leaves their logs
as FOLDER/postfix.log and FOLDER/postrider.log. Run by test_logs.py."""
import os
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../lib"))

import oracle  # noqa: E402
import postrider  # noqa: E402
from dns_server import DnsServer  # noqa: E402
from smtp_script import DROP, SmtpScript  # noqa: E402

OUTSIDE = "127.5.0.9"
LISTED = "127.5.0.10"
BLOCKED = "127.5.0.11"
ZONE = """
ok.example MX 10 mx.ok.example
mx.ok.example A 127.2.0.1
grey.example MX 10 mx.grey.example
mx.grey.example A 127.2.0.2
bad.example MX 10 mx.bad.example
mx.bad.example A 127.2.0.3
dead.example MX 10 mx.dead.example
mx.dead.example A 127.2.0.4
lost.example MX 10 mx.lost.example
mx.lost.example A 127.2.0.5
10.0.5.127.rbl.example A 127.0.0.2
10.0.5.127.rbl.example TXT listed for a test
9.0.5.127.in-addr.arpa PTR client.example
client.example A 127.5.0.9
"""
SERVERS = {
    "127.2.0.1": {},
    "127.2.0.2": {"rcpt": "450 4.2.0 greylisted, come back later"},
    "127.2.0.3": {"rcpt": "550 5.1.1 no such user here"},
    "127.2.0.5": {"eod": DROP},
}
ALIASES = """
both alice, u@ok.example
cmd "|exit 75"
gone nobody-at-all
root alice
"""
CHECKS = """
/^Subject: hold/ HOLD for a look
/^Subject: throw/ DISCARD unwanted
/^Subject: no/ REJECT not this subject
/^Subject: odd/ WARN odd subject
/^Subject: swap/ REPLACE Subject: swapped
"""


def settings(scratch):
    def table(name, text, kind="texthash"):
        path = os.path.join(scratch, name)
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
        return f"{kind}:{path}"

    return {
        "myhostname": "mx.example.com", "mydomain": "example.com",
        "mydestination": "$myhostname, localhost, example.com",
        "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
        "mynetworks": "127.0.0.1", "enable_long_queue_ids": "yes",
        "home_mailbox": "Maildir/", "mail_spool_directory": "/var/mail",
        "alias_maps": table("aliases", ALIASES),
        "header_checks": table("headers", CHECKS, "regexp"),
        "virtual_alias_domains": "virt.example",
        "virtual_alias_maps": table("virtual", "a@virt.example u@ok.example\n"),
        "transport_maps": table("transport", "shut.example error:5.1.2 shut\n"
                                "wait.example retry:4.3.0 wait\n"
                                "void.example discard:void\n"),
        "relay_domains": "ok.example",
        "smtpd_client_restrictions": "check_client_access "
        + table("clients", BLOCKED + " REJECT we know you\n"),
        "smtpd_helo_required": "yes",
        "smtpd_helo_restrictions": "reject_invalid_helo_hostname",
        "smtpd_sender_restrictions": "reject_non_fqdn_sender, check_sender_"
        "access " + table("senders", "spam@bad.example 550 5.7.1 spammer\n"
                          "later@bad.example DEFER_IF_PERMIT later\n"
                          "keep@ok.example HOLD kept\n"
                          "note@ok.example WARN noted\n"
                          "drop@ok.example DISCARD dropped\n"),
        "smtpd_recipient_restrictions": "permit_mynetworks, "
        "reject_unknown_sender_domain, reject_unauth_destination",
        "smtpd_data_restrictions": "reject_unauth_pipelining",
        "smtpd_hard_error_limit": "4", "smtpd_soft_error_limit": "10",
        "smtpd_error_sleep_time": "0", "message_size_limit": "20000",
        "smtpd_delay_reject": "yes", "smtp_tls_security_level": "",
        "smtp_dns_support_level": "", "smtp_host_lookup": "dns",
        "smtpd_peername_lookup": "yes", "smtp_connect_timeout": "3s",
        "minimal_backoff_time": "1000s", "maximal_backoff_time": "1000s",
        "notify_classes": "", "smtp_connection_cache_on_demand": "no",
        "maximal_queue_lifetime": "5d", "delay_warning_time": "0",
        "recipient_delimiter": "+",
    }


class Client:
    """A dialogue: text is sent and its reply awaited, bytes are only sent."""

    def __init__(self, port, source="127.0.0.1", helo="client.example"):
        self.sock = socket.create_connection(("127.0.0.1", port), 30,
                                             (source, 0))
        self.file = self.sock.makefile("rb")
        self.reply()
        if helo:
            self.say(f"EHLO {helo}")

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return line.decode("latin-1").strip()

    def say(self, *lines):
        out = ""
        for line in lines:
            if isinstance(line, bytes):
                self.sock.sendall(line)
            else:
                self.sock.sendall(line.encode() + b"\r\n")
                out = self.reply()
        return out

    def mail(self, rcpts, sender="s@ok.example", subject="x", size=0):
        rcpts = [rcpts] if isinstance(rcpts, str) else rcpts
        self.say(f"MAIL FROM:<{sender}>")
        good = [r for r in rcpts if self.say(f"RCPT TO:<{r}>")[:1] == "2"]
        if good and self.say("DATA")[:1] == "3":
            text = (f"Message-Id: <{subject}@ok.example>\r\nFrom: {sender}\r\n"
                    "Date: Sun, 22 Nov 2026 11:00:00 +0000\r\n"
                    f"Subject: {subject}\r\n\r\nhello\r\n")
            text += ("x" * 70 + "\r\n") * (size // 72)
            self.sock.sendall(text.encode() + b".\r\n")
            self.reply()
        self.say("RSET")

    def quit(self):
        self.say("QUIT")
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()


def inside(mta):
    """Mail from this host's network."""
    client = Client(mta.port)
    for rcpts in ("alice@example.com", ["alice@example.com", "u@ok.example"],
                  "both@example.com", "cmd@example.com", "gone@example.com",
                  "u@grey.example", ["v@bad.example", "u@ok.example"],
                  "u@dead.example", "a@virt.example", "u@shut.example",
                  "u@wait.example", "u@void.example", "u@nowhere.example",
                  "nobody@example.com", "nobody@virt.example",
                  "u@lost.example"):
        client.mail(rcpts)
    client.quit()
    client = Client(mta.port)
    for subject in ("hold this", "throw away", "no way", "odd", "swap"):
        client.mail("alice@example.com", subject=subject)
    client.mail("alice@example.com", sender="", subject="null")
    client.mail("alice+tag@example.com", subject="tag")
    client.mail("alice@example.com", subject="big", size=15000)
    client.mail("alice@example.com", subject="toobig", size=30000)
    client.quit()
    for sender in ("keep", "note", "drop"):
        client = Client(mta.port)
        client.mail("alice@example.com", sender=sender + "@ok.example")
        client.quit()
    client = Client(mta.port)
    client.say("MAIL FROM:<s@ok.example> SIZE=30000000")
    client.quit()


def outside(mta):
    """Strangers: what the reject lines are made of."""
    client = Client(mta.port, OUTSIDE)
    client.mail("u@elsewhere.example")
    client.mail("nobody@example.com")
    client.mail("alice@example.com", sender="x@nowhere.example")
    client.quit()
    client = Client(mta.port, OUTSIDE)
    client.mail("alice@example.com")
    client.mail("alice@example.com", sender="spam@bad.example")
    client.mail("alice@example.com", sender="later@bad.example")
    client.mail("alice@example.com", sender="nodomain")
    client.quit()
    for source, helo in ((LISTED, "h.example"), (BLOCKED, "h.example"),
                         (OUTSIDE, "-bad-"), (OUTSIDE, "[1.2.3]")):
        client = Client(mta.port, source, helo)
        client.mail("alice@example.com")
        client.quit()
    for lines in ([], ["MAIL FROM:<s@ok.example>"], ["VRFY root"],
                  ["AUTH PLAIN AGEAYgBj"], ["EXPN x", "GET / HTTP/1.0"],
                  ["ETRN example.com"], ["STARTTLS"], ["NOOP", "HELP"],
                  ["MAIL FROM:<s@ok.example>", "RCPT TO:<alice@example.com>"],
                  ["MAIL FROM:<s@ok.example>", "RCPT TO:<alice@example.com>",
                   "DATA"],
                  ["MAIL FROM:<s@ok.example>", "RCPT TO:<alice@example.com>",
                   "DATA", b"Subject: half\r\n\r\nand"],
                  ["MAIL FROM:s@ok.example>", "RCPT TO:alice", "MAIL x",
                   "FOO", "BAR", "BAZ", "QUX"]):
        client = Client(mta.port, OUTSIDE)
        client.say(*lines)
        client.close()
        time.sleep(0.1)
    client = Client(mta.port, OUTSIDE, None)
    client.mail("alice@example.com")
    client.close()
    client = Client(mta.port, OUTSIDE, None)
    client.close()
    client = Client(mta.port, OUTSIDE)
    client.say("MAIL FROM:<s@ok.example>", "RCPT TO:<alice@example.com>",
               b"DATA\r\nSubject: early\r\n\r\nx\r\n.\r\n")
    client.reply()
    client.quit()


def submitted(mta):
    text = ("Message-Id: <sub@ok.example>\nFrom: root@example.com\n"
            "Date: Sun, 22 Nov 2026 11:00:00 +0000\nSubject: %s\n\nhello\n")
    for subject, *argv in (("one", "alice"), ("two", "u@ok.example"),
                           ("three", "nobody-here"),
                           ("four", "-f", "", "alice"),
                           ("five", "-f", "s@ok.example", "u@grey.example",
                            "v@bad.example"),
                           ("hold it", "alice")):
        done = mta.run("sendmail", *argv, input=text % subject)
        assert done.returncode == 0, done.stderr


def settle(mta, seconds=15):
    """Until nothing is logged for a while."""
    deadline, size, since = time.time() + seconds, -1, time.time()
    while time.time() < deadline and time.time() - since < 1.5:
        now = len(mta.log())
        if now != size:
            size, since = now, time.time()
        time.sleep(0.1)


def run(mta):
    servers = [SmtpScript(host=host, port=25, **script).start()
               for host, script in SERVERS.items()]
    try:
        mta.start()
        inside(mta)
        outside(mta)
        submitted(mta)
        settle(mta)
        expired = re.findall(r"(\w+): to=<u@grey\.example>.*deferred",
                             mta.log())
        mta.run("postsuper", "-e", expired[0])
        mta.run("postqueue", "-i", expired[0])
        held = re.findall(r"(\w+): hold: header Subject: hold this", mta.log())
        mta.run("postsuper", "-H", held[0])
        mta.run("postqueue", "-i", held[0])
        settle(mta)
        mta.stop()
    finally:
        mta.stop()
        for server in servers:
            server.stop()


def main():
    out = os.path.abspath(sys.argv[1])
    sys.argv[1] = out
    scratch = oracle.enter(users=("alice",))
    with open(scratch + "/resolv.conf", "w", encoding="ascii") as file:
        file.write("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", scratch + "/resolv.conf",
                    "/etc/resolv.conf"], check=True)
    # With a trust anchor on the host, ours says that this server signs nothing.
    for folder in ("/usr/share/dns", "/var/lib/unbound", "/etc/unbound"):
        if os.path.isdir(folder):
            subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
    dns = DnsServer(ZONE, port=53).start()
    values = settings(scratch)
    theirs = oracle.Postfix(scratch, postrider.free_port(), main=values)
    run(theirs)
    shutil.copy(theirs.logfile, os.path.join(out, "postfix.log"))
    ours = postrider.Instance(main=values, master={
        "relay unix": "relay unix - - n - - smtp "
        "-o syslog_name=postfix/$service_name"})
    try:
        run(ours)
    finally:
        shutil.copy(ours.logfile, os.path.join(out, "postrider.log"))
        ours.close()
        dns.stop()
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
