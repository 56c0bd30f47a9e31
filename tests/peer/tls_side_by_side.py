# SPDX-License-Identifier: MIT
"""TLS in Debian's Postfix and in Postrider, in namespaces of their own: the
Received: header for each kind of client, names in certificates that are not
harmless, the log lines of smtpd_tls_loglevel 2, resumption, and what breaks
off. Prints the differences. Run by test_tls_oracle.py."""
import difflib
import os
import re
import socket
import ssl
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../lib", "../replay"):
    sys.path.insert(0, os.path.join(HERE, folder))

import oracle  # noqa: E402
import postrider  # noqa: E402
import tls_ca  # noqa: E402
from test_replay import SETTINGS  # noqa: E402

ODD = {  # names that strangers may choose
    "nocn": "/O=Only an organization",
    "utf8": "/CN=Ünï cödé 漢",
    "quote": '/CN=a"b(c)\\\\d; e <f> @g',
    "two": "/CN=first/CN=second",
    "control": "/O=x\x01y/CN=zz\x01\x7f\tq\r\nfoo",
}


def make_odd(where):
    for name, subject in ODD.items():
        tls_ca.new_key(f"{where}/{name}.key")
        tls_ca.openssl("req", "-new", "-utf8", "-key", f"{where}/{name}.key",
                       "-subj", subject, "-out", f"{where}/{name}.csr")
        tls_ca.openssl("x509", "-req", "-in", f"{where}/{name}.csr", "-CA",
                       f"{where}/ca.pem", "-CAkey", f"{where}/ca.key",
                       "-CAcreateserial", "-days", "10", "-out",
                       f"{where}/{name}.pem")


class Client:
    def __init__(self, port, folder):
        self.port = port
        self.folder = folder
        self.contexts = {}

    def context(self, version, cert):
        if (version, cert) not in self.contexts:
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            c.check_hostname = False
            c.verify_mode = ssl.CERT_NONE
            c.minimum_version = c.maximum_version = ssl.TLSVersion[version]
            if cert:
                c.load_cert_chain(f"{self.folder}/{cert}.pem",
                                  f"{self.folder}/{cert}.key")
            self.contexts[version, cert] = c
        return self.contexts[version, cert]

    def start(self, version="TLSv1_3", cert=None, session=None, sni=None):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        sock.recv(1000)
        sock.sendall(b"STARTTLS\r\n")
        sock.recv(1000)
        return self.context(version, cert).wrap_socket(
            sock, session=session, server_hostname=sni)

    def send(self, sock, hello="EHLO x"):
        for line in (hello, "MAIL FROM:<a@b.example>",
                     "RCPT TO:<alice@example.com>", "DATA", ".", "QUIT"):
            sock.sendall(line.encode() + b"\r\n")
            reply = sock.recv(4096)
            assert reply[:1] in b"23", reply
        while sock.recv(1000):
            pass
        session = sock.session
        sock.close()
        return session


def header_cases(c):
    for version in ("TLSv1_2", "TLSv1_3"):
        for cert in (None, "client", "stranger", "selfsigned", "expired"):
            session = c.send(c.start(version, cert))
            c.send(c.start(version, cert, session))
        c.send(c.start(version), "HELO x")
    for cert in ODD:
        c.send(c.start("TLSv1_3", cert))


def break_cases(c):
    """Each in a session of its own; what is sent in the clear under TLS."""
    for raw in (b"\x17\x03\x03\x00\x20" + b"x" * 32, b"QUIT\r\n",
                b"\x15\x03\x03\x00\x02\x02\x28", b"\x17\x03\x03\x00\x10abc"):
        sock = c.start("TLSv1_2")
        fd = sock.detach()
        with socket.socket(fileno=fd) as plain:
            plain.settimeout(5)
            plain.sendall(raw)
            try:
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(1000):
                    pass
            except OSError:
                pass
        time.sleep(0.2)
    sock = c.start("TLSv1_3")
    sock.unwrap().close()


def normal(line):
    line = re.sub(r"key expiration: \d+", "key expiration: N", line)
    line = re.sub(r"id [0-9A-F]{8,}", "id QID", line)
    line = re.sub(r"^[0-9A-F]{8,}: ", "QID: ", line)
    return re.sub(r"; +\w{3}, .*", "; DATE", line)


def lines_of(log):
    out = []
    for line in log.splitlines():
        match = re.search(r"postfix/smtpd\[\d+\]: (.*)", line)
        if match and not match[1].startswith(("connect from", "initializing")):
            out.append(normal(match[1]))
    return sorted(out)


def headers_of(log, postcat):
    out = []
    for qid in re.findall(r"smtpd\[\d+\]: (\w+): client=", log):
        text = postcat("postcat", "-qh", qid).stdout
        match = re.search(r"^Received:.*\n(?:[ \t].*\n)+", text, re.M)
        out += [normal(x) for x in match[0].splitlines()] if match else [text]
    return out


def run(cases, main, scratch, name, folder):
    port = postrider.free_port()
    settings = dict(SETTINGS, smtpd_peername_lookup="no", in_flow_delay="0",
                    defer_transports="local smtp", max_use="1000")
    settings.update(main)
    theirs = oracle.Postfix(scratch, port, main=settings, name=name)
    theirs.start()
    try:
        cases(Client(port, folder))
        time.sleep(0.5)
        want = (headers_of(theirs.log(), theirs.run), lines_of(theirs.log()))
    finally:
        theirs.stop()
    with postrider.Instance(main=settings) as mta:
        cases(Client(mta.port, folder))
        time.sleep(0.5)
        got = (headers_of(mta.log(), mta.command), lines_of(mta.log()))
    same = True
    for what, a, b in zip(("headers", "log"), want, got):
        for line in difflib.unified_diff(a, b, f"Postfix {name} {what}",
                                         f"Postrider {name} {what}",
                                         lineterm="", n=2):
            print(line)
            same = False
    return same


def main():
    scratch = oracle.enter()
    folder = tls_ca.folder()
    make_odd(folder)
    tls = {
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": f"{folder}/rsa.pem",
        "smtpd_tls_key_file": f"{folder}/rsa.key",
        "smtpd_tls_CAfile": f"{folder}/ca.pem",
        "smtpd_tls_fingerprint_digest": "sha256",
        "smtpd_tls_received_header": "yes",
        "smtpd_tls_ask_ccert": "yes",
        "smtpd_tls_loglevel": "1",
    }
    same = [
        run(header_cases, tls, scratch, "ask", folder),
        run(header_cases, dict(tls, smtpd_tls_ask_ccert="no"), scratch,
            "noask", folder),
        run(header_cases, dict(tls, smtpd_tls_loglevel="2"), scratch,
            "verbose", folder),
        run(break_cases, tls, scratch, "break", folder),
        run(break_cases, dict(tls, smtpd_tls_loglevel="2"), scratch,
            "breakverbose", folder),
    ]
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
