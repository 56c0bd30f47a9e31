# SPDX-License-Identifier: MIT
"""The frames of lib/ipc, from Python: numbers come from lib/ipc/proto.h."""
import array
import os
import re
import socket
import struct

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def _enum(text, name):
    body = re.search(r"enum %s \{(.*?)\};" % name, text, re.S).group(1)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    names = [w.strip() for w in body.split(",") if w.strip()]
    return {n: i for i, n in enumerate(names)}


with open(os.path.join(TOP, "lib/ipc/proto.h"), encoding="utf-8") as _f:
    _text = _f.read()
TYPES = _enum(_text, "msg_type")
ATTRS = _enum(_text, "msg_attr")
TYPE_NAMES = {v: k for k, v in TYPES.items()}
ATTR_NAMES = {v: k for k, v in ATTRS.items()}
with open(os.path.join(TOP, "lib/ipc/proto.c"), encoding="utf-8") as _f:
    NUMBERS = set(re.findall(r"\[(A_\w+)\] = \{\"\w+\", ATTR_NUM", _f.read()))


class Ipc:
    """A blocking connection."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b""

    def send(self, kind, attrs, fd=None):
        """attrs: dict, or list of pairs for repeated ones."""
        pairs = list(attrs.items()) if isinstance(attrs, dict) else attrs
        body = struct.pack("<HH", TYPES[kind], len(pairs))
        for name, value in pairs:
            if name in NUMBERS:
                value = struct.pack("<q", value)
            elif isinstance(value, str):
                value = value.encode()
            body += struct.pack("<HI", ATTRS[name], len(value)) + value
        frame = struct.pack("<I", len(body)) + body
        if fd is None:
            self.sock.sendall(frame)
            return
        sent = self.sock.sendmsg(
            [frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                       array.array("i", [fd]))])
        self.sock.sendall(frame[sent:])

    def _read(self, n):
        while len(self.data) < n:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self.data += piece
        out, self.data = self.data[:n], self.data[n:]
        return out

    def recv(self):
        """(type, dict)."""
        length = struct.unpack("<I", self._read(4))[0]
        body = self._read(length)
        kind, n = struct.unpack_from("<HH", body)
        at, out = 4, {}
        for _ in range(n):
            attr, size = struct.unpack_from("<HI", body, at)
            value = body[at + 6:at + 6 + size]
            at += 6 + size
            name = ATTR_NAMES[attr]
            if name in NUMBERS:
                value = struct.unpack("<q", value)[0]
            else:
                value = value.decode("utf-8", "replace")
            out[name] = value
        return TYPE_NAMES[kind], out

    def close(self):
        self.sock.close()
