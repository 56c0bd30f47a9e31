# SPDX-License-Identifier: MIT
"""A scripted look-up server: tcp_table(5) or socketmap_table(5), whose answer
depends on the key; KEYS are those with an answer of their own, any other key
is found, with itself as value."""
import socket
import threading

CLOSE = object()

TCP = {
    b"ok": b"200 val%20ue%25x\n", b"plain": b"200 a b c\n",
    b"none": b"500 not here\n", b"temp": b"400 try%20later\n",
    b"junk": b"hello\n", b"short": b"20\n", b"nospace": b"200\n",
    b"bad%25": b"200 x%zz\n", b"cut": b"200 x%4\n", b"empty": b"200 \n",
    b"newline": b"200 a%0Ab\n", b"close": CLOSE, b"crlf": b"200 abc\r\n",
    b"big": b"200 " + b"x" * 5000 + b"\n", b"code": b"300 abc\n",
    b"two": b"200 a\n200 b\n", b"binary": b"200 \xff\xfe\n",
    b"upper": b"200 AbC\n",
    b"eve@example.com": b"200 REJECT%20go%20away\n",
    b"bob@example.com": b"500 unknown\n",
}
SOCKETMAP = {
    b"ok": b"OK value x", b"none": b"NOTFOUND ", b"none2": b"NOTFOUND",
    b"none3": b"NOTFOUND xx", b"temp": b"TEMP later",
    b"timeout": b"TIMEOUT slow", b"perm": b"PERM bad", b"perm2": b"PERM ",
    b"perm3": b"PERM", b"junk": b"hello", b"empty": b"OK ", b"bare": b"OK",
    b"close": CLOSE, b"big": b"OK " + b"x" * 100000,
    b"fits": b"OK " + b"x" * 9000, b"lower": b"ok x", b"newline": b"OK a\nb",
    b"bad": (b"5:OK xy;",), b"bad2": (b"abc",),
    b"bad3": (b"99999999999:OK x,",), b"zero": (b"05:OK xy,",),
    b"eve@example.com": b"OK REJECT go away", b"bob@example.com": b"NOTFOUND ",
}
KEYS = {"tcp": TCP, "socketmap": SOCKETMAP}
OTHERS = [b"a b", b"caf\xc3\xa9", b"x%y", b"UPPER", b"a@b.c", b"\x01",
          b"tab\there"]


class Server:
    """Listens on a port of the loopback address, or at a path."""

    def __init__(self, kind, path=None):
        self.kind, self.asked, self.clients = kind, [], []
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(path)
        else:
            self.socket = socket.create_server(("127.0.0.1", 0))
            self.port = self.socket.getsockname()[1]
        self.socket.listen(50)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """No new connection, and the end of the others."""
        for sock in [self.socket, *self.clients]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.socket.close()

    def _accept(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            self.clients.append(conn)
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _serve(self, conn):
        with conn, conn.makefile("rwb") as stream:
            try:
                while self._one(stream):
                    stream.flush()
            except OSError:
                pass

    def _question(self, stream):
        if self.kind == "tcp":
            line = stream.readline()
            return line.rstrip(b"\n")[4:] if line else None
        digits = b""
        while not digits.endswith(b":"):
            byte = stream.read(1)
            if not byte:
                return None
            digits += byte
        question = stream.read(int(digits[:-1]))
        stream.read(1)
        return question.split(b" ", 1)[1]

    def _one(self, stream):
        key = self._question(stream)
        if key is None:
            return False
        self.asked.append(key)
        if self.kind == "tcp":
            answer = TCP.get(key, b"200 k=" + key + b"\n")
        else:
            answer = SOCKETMAP.get(key, b"OK k=" + key)
        if answer is CLOSE:
            return False
        if isinstance(answer, tuple):
            stream.write(answer[0])
        elif self.kind == "tcp":
            stream.write(answer)
        else:
            stream.write(b"%d:%s," % (len(answer), answer))
        return True
