# SPDX-License-Identifier: MIT
"""Replay of SMTP dialogues.

A dialogue file holds lines of these forms:

    # comment
    @ name = value      a main.cf setting of the server under test
    @@ name = value; .. from here on: another service of the same server, with
                        these settings on its master.cf line
    C: text             sent with CR LF, then one reply is read
    C+: text            sent with CR LF together with what follows
    R: text             sent as it is (escapes of a Python bytes literal),
                        then one reply is read
    R+: text            sent together with what follows, gets no reply
    S: line             the reply that is expected, line by line
    W: seconds          wait
    --                  a new connection (its greeting is read first)
    -- ADDRESS          the same, from this address
    --< text            the same; text (escapes as R:) is sent ahead of that
    T: name=value ...   TLS starts here; version=TLSv1.2, ciphers=, sni=, cert=
                        (a file of tests/lib/tls_ca.py). What came of it is
                        "S: <TLSv1.3 CIPHER>" or "S: <TLS failed>"
    T-: name=value ...  a new connection that begins with TLS

AUTH_SERVER in a setting stands for a scripted authentication server
(tests/lib/auth_server.py) that runs meanwhile.

Queue ids in replies are replaced by QID. An end of the connection is written
"S: <EOF>", no reply within the time limit "S: <NONE>".

    replay.py HOST PORT FILE    print FILE with the server's replies
"""

import ast
import contextlib
import re
import socket
import ssl
import sys
import time

import tls_ca

QUEUED = re.compile(r"(queued as )[0-9A-Za-z]+")
TIMEOUT = 3.0


class Dialogue:
    def __init__(self, path):
        self.path = path
        self.settings = []
        self.services = []
        self.service = 0  # that is played to; 0: the first
        self.lines = []
        with open(path, encoding="utf-8") as f:
            for line in f:
                line = line.rstrip("\n")
                if line.startswith("@@ "):
                    self.services.append([x.strip() for x in
                                          line[3:].split(";")])
                if line.startswith("@ "):
                    name, _, value = line[2:].partition("=")
                    self.settings.append((name.strip(), value.strip()))
                self.lines.append(line)


    def master_lines(self, ports):
        """Lines of master.cf for the further services."""
        return [f"127.0.0.1:{port} inet n - n - - smtpd" +
                "".join(f" -o {{ {x} }}" for x in options)
                for port, options in zip(ports, self.services)]


class Peer:
    """One connection; replies come back as lists of text lines."""

    def __init__(self, connect):
        self.sock = connect()
        self.sock.settimeout(TIMEOUT)
        self.data = b""
        self.eof = False

    def start_tls(self, text):
        """Returns what came of it."""
        want = dict(word.split("=", 1) for word in text.split())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers(want.get("ciphers", "DEFAULT:@SECLEVEL=0"))
        if "version" in want:
            version = ssl.TLSVersion[want["version"].replace(".", "_")]
            context.minimum_version = context.maximum_version = version
        if "cert" in want:
            path = f"{tls_ca.folder()}/{want['cert']}"
            context.load_cert_chain(path + ".pem", path + ".key")
        try:
            self.sock = context.wrap_socket(
                self.sock, server_hostname=want.get("sni"))
        except OSError:
            self.eof = True
        if self.eof or not self.sock.version():
            return "<TLS failed>"
        return f"<{self.sock.version()} {self.sock.cipher()[0]}>"

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            self.eof = True

    def line(self):
        while b"\n" not in self.data:
            try:
                more = self.sock.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                more = b""
            if not more:
                self.eof = True
                return None
            self.data += more
        line, self.data = self.data.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "backslashreplace")

    def reply(self):
        lines = []
        while True:
            line = self.line()
            if line is None:
                return lines + ["<EOF>" if self.eof else "<NONE>"]
            lines.append(QUEUED.sub(r"\1QID", line))
            if not re.match(r"\d\d\d-", line):
                return lines

    def close(self):
        self.sock.close()


@contextlib.contextmanager
def settings_of(dialogue):
    """Its settings, as a list of pairs, with the servers that they name."""
    settings = list(dialogue.settings)
    if any("$test_tls" in line for line in dialogue.lines):
        settings.append(("test_tls", tls_ca.folder()))
    if any("AUTH_SERVER" in value for _, value in settings):
        from auth_server import AuthServer
        with AuthServer() as auth:
            yield [(name, value.replace("AUTH_SERVER",
                                        f"inet:127.0.0.1:{auth.port}"))
                   for name, value in settings]
    else:
        yield settings


def raw(text):
    return ast.literal_eval('b"' + text.replace('"', '\\"') + '"')


def is_connect(line):
    return line == "--" or line.startswith(("-- ", "--< "))


def play(dialogue, connect):
    """Drive a server, connect() being a socket to it; returns the dialogue's
    lines with its replies."""
    out = []
    dialogue.service = 0
    peer = None
    pending = b""
    waiting = 0

    def reply():
        out.extend("S: " + line for line in peer.reply())

    for line in dialogue.lines:
        if line.startswith("S: ") or line == "S:":
            continue
        out.append(line)
        if line.startswith("@@ "):
            if peer:
                peer.close()
            peer = None
            dialogue.service += 1
        if not line or line[0] in "#@":
            continue
        if line.startswith("T-:"):
            if peer:
                peer.close()
            peer = Peer(connect)
            out.append("S: " + peer.start_tls(line[3:]))
            reply()
            continue
        if peer is None and not is_connect(line):
            peer = Peer(connect)
            greeting = ["S: " + x for x in peer.reply()]
            out[-1:] = greeting + [line]
        if is_connect(line):
            if peer:
                peer.close()
            ahead = raw(line[4:]) if line.startswith("--<") else b""
            source = "" if ahead else line[3:].strip()
            peer = Peer(lambda: connect(source) if source else connect())
            if ahead:
                peer.send(ahead)
            reply()
            continue
        kind, _, text = line.partition(": ")
        if kind == "T" or line == "T:":
            out.append("S: " + peer.start_tls(text))
            continue
        if kind.startswith("W"):
            time.sleep(float(text))
            continue
        pending += raw(text) if kind[0] == "R" else text.encode() + b"\r\n"
        if kind != "R+":
            waiting += 1
        if kind.endswith("+"):
            continue
        peer.send(pending)
        pending = b""
        while waiting:
            waiting -= 1
            reply()
            if peer.eof:
                waiting = 0
    if peer:
        peer.close()
    return out


def main():
    host, port, path = sys.argv[1:]
    dialogue = Dialogue(path)
    for line in play(dialogue,
                     lambda: socket.create_connection((host, int(port)))):
        print(line)


if __name__ == "__main__":
    main()
