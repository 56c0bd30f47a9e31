# SPDX-License-Identifier: MIT
"""A milter that plays a script and records what the mail system sends.

    milter = Milter("/tmp/m.sock")          # or a port number of 127.0.0.1
    milter.script = {"version": 6, "actions": 0x1ff, "protocol": 0,
                     "R": [["c"], [reply(550, "5.7.1 no")]],
                     "E": [[add("X-A", "b"), "c"]]}
    ... mail ...
    milter.take()                           # what came, as text lines

A key of one letter is a command of the protocol; its value a list of answers,
the i-th for the i-th command of that letter in a connection ("c" when there is
none). An answer is a list of packets ("c" or bytes), or of the words "close",
"hang" and ("raw", bytes), ("sleep", seconds). No answer is sent where the
protocol flags that the script asks for say that there is none.
"""
import os
import socket
import struct
import threading
import time

# SMFIP_NR_*: commands that get no reply.
NO_REPLY = {"L": 0x80, "C": 0x1000, "H": 0x2000, "M": 0x4000, "R": 0x8000,
            "T": 0x10000, "U": 0x20000, "N": 0x40000, "B": 0x80000}
STAGES = {"C": 0, "H": 1, "M": 2, "R": 3, "T": 4, "E": 5, "N": 6}
SILENT = "ADQK"


def reply(code, text):
    return b"y" + f"{code} {text}".encode() + b"\0"


def header(letter, index, name, value):
    where = b"" if index is None else struct.pack(">I", index)
    return (letter.encode() + where + name.encode("latin-1") + b"\0"
            + value.encode("latin-1") + b"\0")


def add(name, value):
    return header("h", None, name, value)


def insert(index, name, value):
    return header("i", index, name, value)


def change(index, name, value):
    return header("m", index, name, value)


def body(data):
    return b"b" + data


def address(letter, addr, args=None):
    out = letter.encode() + addr.encode("latin-1") + b"\0"
    return out if args is None else out + args.encode("latin-1") + b"\0"


def quarantine(reason):
    return b"q" + reason.encode() + b"\0"


def show(command, data):
    """One packet as text."""
    if command == "C":
        name, rest = data.split(b"\0", 1)
        if rest[:1] in (b"4", b"6", b"L") and len(rest) > 3:
            port = struct.unpack(">H", rest[1:3])[0]
            return f"C {name.decode()} {rest[:1].decode()} " \
                   f"{'PORT' if port else 0} {rest[3:]!r}"
        return f"C {name.decode()} {rest!r}"
    if command == "O":
        return "O " + " ".join(f"{n:#x}" for n in
                               struct.unpack(f">{len(data) // 4}I", data))
    if command == "B" and len(data) > 400:
        return f"B {len(data)} bytes {data[:40]!r}...{data[-40:]!r}"
    return f"{command} {data!r}"


class Milter:
    def __init__(self, where):
        if isinstance(where, int):
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", where))
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            if os.path.exists(where):
                os.unlink(where)
            self.listener.bind(where)
            os.chmod(where, 0o666)
        self.listener.listen(50)
        self.script = {}
        self.lines = []
        self.open = 0
        self.changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def take(self, timeout=5):
        """What was recorded, once no connection is left."""
        with self.changed:
            self.changed.wait_for(lambda: self.open == 0, timeout)
            lines, self.lines = self.lines, []
        return lines

    def _note(self, line):
        with self.changed:
            self.lines.append(line)

    def _accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            with self.changed:
                self.open += 1
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _serve(self, sock):
        try:
            with sock:
                self._converse(sock, sock.makefile("rb"), dict(self.script))
        except OSError:
            pass
        with self.changed:
            self.open -= 1
            self.changed.notify_all()

    def _converse(self, sock, file, script):
        seen = {}
        while True:
            head = file.read(4)
            if len(head) < 4:
                return
            data = file.read(struct.unpack(">I", head)[0])
            command, data = data[:1].decode(), data[1:]
            self._note(show(command, data))
            n = seen[command] = seen.get(command, -1) + 1
            answers = script.get(command, [])
            if n < len(answers):
                answer = answers[n]
            elif command == "O":
                answer = [self._options(script)]
            else:
                answer = ["c"]
            if command in SILENT and n >= len(answers):
                if command == "Q":
                    return
                continue
            if n >= len(answers) and (script.get("protocol", 0)
                                      & NO_REPLY.get(command, 0)):
                continue
            if not self._answer(sock, answer):
                return

    @staticmethod
    def _options(script):
        out = b"O" + struct.pack(">III", script.get("version", 6),
                                 script.get("actions", 0x1ff),
                                 script.get("protocol", 0))
        for stage, names in script.get("symlist", {}).items():
            out += struct.pack(">I", STAGES[stage]) + names.encode() + b"\0"
        return out

    @staticmethod
    def _answer(sock, answer):
        for packet in answer:
            if packet == "close":
                return False
            if packet == "hang":
                sock.settimeout(60)
                while sock.recv(65536):
                    pass
                return False
            if packet[0] == "raw":
                sock.sendall(packet[1])
                continue
            if packet[0] == "sleep":
                time.sleep(packet[1])
                continue
            if isinstance(packet, str):
                packet = packet.encode()
            sock.sendall(struct.pack(">I", len(packet)) + packet)
        return True
