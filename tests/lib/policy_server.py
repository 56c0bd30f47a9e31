# SPDX-License-Identifier: MIT
"""A scripted policy server (SMTPD_POLICY_README) on TCP and UNIX sockets.

    with PolicyServer(lambda request, n: b"action=DUNNO\\n\\n") as server:
        ... inet:127.0.0.1:{server.port} or unix:{server.path} ...
        server.requests    raw, in order, with the number of their connection

answer gets the request as a list of (name, value) and how many came before on
all connections. What it returns is sent; None closes the connection, HANG
keeps it open and silent, Cut(bytes) is sent before the connection closes.
"""
import os
import socket
import tempfile
import threading

HANG = object()


class Cut(bytes):
    pass


class PolicyServer:
    def __init__(self, answer=None, directory=None):
        self.answer = answer or (lambda request, n: b"action=DUNNO\n\n")
        self.requests = []
        self.connections = 0
        self.open = []
        self.lock = threading.Lock()
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.directory = directory or tempfile.mkdtemp(prefix="policy-")
        os.chmod(self.directory, 0o755)
        self.path = os.path.join(self.directory, "socket")
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(self.path)
        os.chmod(self.path, 0o666)
        self.unix.listen(50)

    def __enter__(self):
        for listener in (self.tcp, self.unix):
            threading.Thread(target=self._accept, args=(listener,),
                             daemon=True).start()
        return self

    def __exit__(self, *exc):
        for listener in (self.tcp, self.unix):
            listener.close()
        self.drop()
        os.unlink(self.path)
        os.rmdir(self.directory)

    def drop(self):
        """Close every connection."""
        with self.lock:
            for sock in self.open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.open = []

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                number = self.connections
                self.open.append(sock)
            threading.Thread(target=self._serve, args=(sock, number),
                             daemon=True).start()

    def _serve(self, sock, number):
        data = b""
        try:
            while True:
                while b"\n\n" not in data:
                    more = sock.recv(65536)
                    if not more:
                        return
                    data += more
                request, data = data.split(b"\n\n", 1)
                text = request.decode("utf-8", "backslashreplace")
                fields = [tuple(line.split("=", 1))
                          for line in text.split("\n")]
                with self.lock:
                    before = len(self.requests)
                    self.requests.append((number, text))
                reply = self.answer(fields, before)
                if reply is HANG:
                    continue
                if reply is None:
                    return
                sock.sendall(reply)
                if isinstance(reply, Cut):
                    return
        except OSError:
            pass
        finally:
            sock.close()
