# SPDX-License-Identifier: MIT
"""Dialogues with postscreen, many at a time: each from a client address of its
own, so that log lines can be told apart and all waiting is shared.

A script file holds lines of these forms:

    # comment
    @ name = value      a main.cf setting
    ! name = value      one of the postscreen line of master.cf (-o)
    % NAME TYPE DATA    a DNS record (tests/lib/dns_server.py); {1} stands for
                        the reversed address of dialogue 1
    > FILE: line        a line of a file in the configuration's folder; {1} is
                        the address of dialogue 1, {dir} that folder
    == [address] name   a dialogue begins, with a new connection
    --                  a new connection in the same dialogue
    G:                  read one reply
    C: text             send with CR LF, read one reply
    C+: text            send with CR LF only
    R: text, R+: text   the same with the escapes of a Python bytes literal
    W: seconds          wait
    T:                  TLS handshake; shows the protocol, or the error
    X:                  close the connection
    X!:                 close it by a reset

and what is expected, as script.play() and log_lines() record it:

    S: line             a line of a reply; <EOF> at the end, <NONE> when none
                        came
    L: line             a log line about the client

Ports are PORT, times T, ids QID there.
"""
import ast
import re
import socket
import ssl
import struct
import threading
import time

import tls_ca

TIMEOUT = 12.0
WORK = "GCRWTX-"
CERT = "{dir}/cert.pem"  # made when a setting names it


def raw(text):
    return ast.literal_eval('b"' + text.replace('"', '\\"') + '"')


class Dialogue:
    def __init__(self, name, address):
        self.name = name
        self.address = address
        self.steps = []   # lines with what is expected, as in the file
        self.log = []     # expected log lines

    @property
    def reversed(self):
        return ".".join(reversed(self.address.split(".")))


class Script:
    def __init__(self, path):
        self.path = path
        self.head = []
        self.main = {}
        self.over = []
        self.zone = []
        self.files = {}
        self.dialogues = []
        with open(path, encoding="utf-8") as f:
            for line in f:
                self._line(line.rstrip("\n"))
        self._fill_in()

    def _line(self, line):
        if line.startswith("== "):
            name = line[3:]
            address = f"127.9.0.{len(self.dialogues) + 1}"
            if re.match(r"127\.[\d.]+ ", name):
                address, name = name.split(" ", 1)
            self.dialogues.append(Dialogue(name, address))
            self.dialogues[-1].head = line
        elif self.dialogues:
            if line.startswith("L: "):
                self.dialogues[-1].log.append(line)
            elif line:
                self.dialogues[-1].steps.append(line)
        else:
            self.head.append(line)
            kind, text = line[:2], line[2:]
            if kind == "@ ":
                name, _, value = text.partition("=")
                self.main[name.strip()] = value.strip()
            elif kind == "! ":
                name, _, value = text.partition("=")
                self.over.append(f"-o {{ {name.strip()} = {value.strip()} }}")
            elif kind == "% ":
                self.zone.append(text)
            elif kind == "> ":
                name, _, value = text.partition(": ")
                self.files.setdefault(name, []).append(value)

    def _fill_in(self):
        def put(text, what):
            return re.sub(r"\{(\d+)\}", lambda m: getattr(
                self.dialogues[int(m[1]) - 1], what), text)

        self.zone = "\n".join(put(line, "reversed") for line in self.zone)
        self.files = {name: "".join(put(line, "address") + "\n"
                                    for line in lines)
                      for name, lines in self.files.items()}

    def settings(self, directory):
        """main.cf; the files are written."""
        if CERT in self.main.values():
            tls_ca.issue(directory, "cert", "mx.example.com", ca=None)
        for name, text in self.files.items():
            with open(f"{directory}/{name}", "w", encoding="utf-8") as out:
                out.write(text)
        return {name: value.replace("{dir}", directory)
                for name, value in self.main.items()}

    def play(self, address, only=None):
        """All dialogues at once; a list of steps with replies for each."""
        results = {}

        def one(i, d):
            try:
                results[i] = play(d, address)
            except Exception as err:  # pylint: disable=broad-except
                results[i] = d.steps + [f"S: {err!r}"]

        threads = []
        for i, d in enumerate(self.dialogues):
            thread = threading.Thread(target=one, args=(i, d), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(120)
        return [results[i] for i in range(len(self.dialogues))]

    def record(self, results, log):
        """The text of the file with these replies and log lines."""
        out = list(self.head)
        while out and not out[-1]:
            out.pop()
        for d, steps in zip(self.dialogues, results):
            out += ["", d.head] + steps + log_lines(log, d.address)
        return "\n".join(out) + "\n"

    def expected(self):
        out = []
        for d in self.dialogues:
            out += ["", d.head] + d.steps + d.log
        return "\n".join(out).split("\n")


class Client:
    def __init__(self, source, address):
        self.sock = socket.create_connection(address, TIMEOUT,
                                             source_address=(source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def line(self):
        while b"\n" not in self.data:
            try:
                more = self.sock.recv(65536)
            except TimeoutError:
                return "<NONE>"
            except OSError:
                more = b""
            if not more:
                return "<EOF>"
            self.data += more
        line, self.data = self.data.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "backslashreplace")

    def reply(self):
        lines = []
        while True:
            lines.append("S: " + normal(self.line()))
            if not re.match(r"S: \d\d\d-", lines[-1]):
                return lines

    def start_tls(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            self.sock = context.wrap_socket(self.sock)
        except TimeoutError:
            return "S: <NONE>"
        except OSError:
            return "S: <NO TLS>"
        self.data = b""
        return "S: " + self.sock.version()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass


def normal(line):
    line = re.sub(r"(queued as )\w+", r"\1QID", line)
    line = re.sub(r"\b[A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d\b", "TIME", line)
    return re.sub(r"port \(\d+\)", "port (PORT)", line)


def play(dialogue, address):
    client = Client(dialogue.address, address)
    out = []
    for line in dialogue.steps:
        if line.startswith("S: "):
            continue
        out.append(line)
        kind, _, text = line.partition(":")
        text = text[1:]
        if kind in ("C", "C+"):
            client.send(text.encode() + b"\r\n")
        elif kind in ("R", "R+"):
            client.send(raw(text))
        elif kind == "T":
            out.append(client.start_tls())
        elif kind == "W":
            time.sleep(float(text))
        elif kind in ("X", "X!"):
            if kind == "X!":
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            client.sock.close()
        elif kind == "--":
            client.sock.close()
            client = Client(dialogue.address, address)
        if kind in ("C", "R", "G"):
            out += client.reply()
    client.sock.close()
    return out


LINE = re.compile(r"postfix/(postscreen|smtpd|dnsblog|smtp/smtpd|tlsproxy)"
                  r"\[\d+\]: (.*)")


def log_lines(log, address):
    """Those about a client, comparable."""
    out, smtpd, blog = [], [], []
    for line in log.splitlines():
        match = LINE.search(line)
        about = rf"(\[|addr ){re.escape(address)}(\]| )"
        if not match or not re.search(about, match[2]):
            continue
        text = re.sub(r"\](:?)\d+", r"]\1PORT", match[2])
        text = re.sub(r" after [\d.e-]+ from ", " after T from ", text)
        text = re.sub(r"^[0-9A-Za-z]{10,}: ", "QID: ", text)
        text = f"L: {match[1]}: {text}"
        # Processes write in any order, block lists answer in any.
        {"postscreen": out, "dnsblog": blog}.get(match[1], smtpd).append(text)
    return out + sorted(smtpd) + sorted(blog)
