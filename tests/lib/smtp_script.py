# SPDX-License-Identifier: MIT
"""A scripted SMTP or LMTP server for tests of the client.

    server = SmtpScript(rcpt={"bad@x": "550 5.1.1 no such user"}, eod=DROP)
    server.start()
    ... server.port, server.sessions[0].commands, .messages ...
    server.stop()

What may be scripted, by stage: banner ehlo helo lhlo mail rcpt data eod rset
noop vrfy quit, and auth, which is unknown by default: asked for the command and
for each line that follows a 334. A value is

    "250 text"            the reply; lines separated by LF
    DROP                  close the connection instead
    HANG                  never answer (until stop())
    Delay(seconds, value) the same, later
    [value, ...]          by occurrence within the server's life; the last
                          stays
    {argument: value}     by what the command line contains; None: otherwise
    function(session, line) -> value

In LMTP eod is asked once per accepted recipient, with the recipient's address
as line. ehlo may hold {host} for the server's name.

With tls (an ssl.SSLContext) STARTTLS is known: stage starttls is its reply,
handshake what comes then: None, DROP, HANG, or bytes to send instead. ehlo and
mail may be (in the clear, under TLS). wrapper: TLS from the first byte.
"""
import os
import socket
import threading
import time

DROP = object()
HANG = object()


class Delay:
    def __init__(self, seconds, value=None):
        self.seconds = seconds
        self.value = value


class Message:
    def __init__(self):
        self.mail = ""
        self.rcpts = []
        self.data = b""


class Session:
    def __init__(self, server, number):
        self.server = server
        self.number = number
        self.peer = ""       # the client's address
        self.commands = []   # as received, without CR LF
        self.chunks = []     # sizes of reads, to see pipelining
        self.messages = []   # completed ones
        self.message = Message()
        self.ended = None    # "quit", "eof", "drop"
        self.said = ""       # the last reply
        self.tls = None      # the ssl.SSLSocket
        self.tls_error = None


DEFAULTS = {
    "banner": "220 {host} ESMTP",
    "ehlo": "250-{host}\n250-PIPELINING\n250-SIZE 10240000\n250-DSN\n"
            "250-ENHANCEDSTATUSCODES\n250 8BITMIME",
    "helo": "250 {host}",
    "lhlo": "250-{host}\n250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250 8BITMIME",
    "mail": "250 2.1.0 Ok",
    "rcpt": "250 2.1.5 Ok",
    "data": "354 End data with <CR><LF>.<CR><LF>",
    "eod": "250 2.0.0 Ok: queued as ABC123",
    "rset": "250 2.0.0 Ok",
    "noop": "250 2.0.0 Ok",
    "vrfy": "252 2.0.0 maybe",
    "quit": "221 2.0.0 Bye",
}


class SmtpScript:
    def __init__(self, host="127.0.0.1", port=0, unix=None, lmtp=False,
                 name="server.example.net", tls=None, wrapper=False,
                 handshake=None, **stages):
        self.stages = dict(DEFAULTS)
        self.tls = tls
        self.wrapper = wrapper
        self.handshake = handshake
        if tls:
            self.stages["starttls"] = "220 2.0.0 Ready to start TLS"
        self.stages.update(stages)
        self.lmtp = lmtp
        self.name = name
        self.sessions = []
        self.counts = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.unix = unix
        if unix:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(unix)
            os.chmod(unix, 0o666)
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.sock = socket.socket(family)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind((host, port))
            self.port = self.sock.getsockname()[1]
        self.sock.listen(64)
        self.open = []

    @property
    def messages(self):
        return [m for s in list(self.sessions) for m in s.messages]

    @property
    def commands(self):
        return [c for s in list(self.sessions) for c in s.commands]

    def start(self):
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        self.stopping.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for client in list(self.open):
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if self.unix and os.path.exists(self.unix):
            os.unlink(self.unix)

    def drop_all(self):
        """End all sessions from this side."""
        for client in list(self.open):
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait_messages(self, count, timeout=10):
        deadline = time.time() + timeout
        while len(self.messages) < count:
            if time.time() > deadline:
                raise AssertionError(
                    f"{len(self.messages)} messages of {count}: "
                    f"{self.commands}")
            time.sleep(0.02)
        return self.messages

    def _accept(self):
        while not self.stopping.is_set():
            try:
                client, peer = self.sock.accept()
            except OSError:
                return
            if not self.unix:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, len(self.sessions))
            session.peer = peer[0] if peer else ""
            self.sessions.append(session)
            self.open.append(client)
            threading.Thread(target=self._serve, args=(client, session),
                             daemon=True).start()

    def _value(self, stage, session, line):
        value = self.stages[stage]
        while True:
            if callable(value):
                value = value(session, line)
            elif isinstance(value, tuple):
                value = value[1 if session.tls else 0]
            elif isinstance(value, list):
                with self.lock:
                    n = self.counts.get(stage, 0)
                    self.counts[stage] = n + 1
                value = value[min(n, len(value) - 1)]
            elif isinstance(value, dict):
                for key, one in value.items():
                    if key is not None and key in line:
                        value = one
                        break
                else:
                    value = value.get(None, DEFAULTS[stage])
            elif isinstance(value, Delay):
                self.stopping.wait(value.seconds)
                value = (DEFAULTS[stage] if value.value is None
                         else value.value)
            else:
                return value

    def _answer(self, client, stage, session, line="", accepted=None):
        """Send the scripted reply; returns its code, or 0 to end. accepted is
        called before a positive one."""
        value = self._value(stage, session, line)
        if value is DROP:
            session.ended = "drop"
            return 0
        if value is HANG:
            self.stopping.wait()
            return 0
        text = value.replace("{host}", self.name).replace("\n", "\r\n")
        session.said = text
        last = text.split("\r\n")[-1]
        code = int(last[:3]) if last[:3].isdigit() else 250
        if accepted and code < 400:
            accepted()
        client.sendall(text.encode("latin-1") + b"\r\n")
        return code

    def _serve(self, client, session):
        try:
            self._talk(client, session)
        except (OSError, ValueError):
            session.ended = session.ended or "eof"
        finally:
            try:
                client.close()
            finally:
                if client in self.open:
                    self.open.remove(client)

    def _start_tls(self, client, session):
        """The socket to go on with, or None."""
        if self.handshake is not None and self.handshake is not HANG:
            client.recv(65536)  # the client's hello
        if self.handshake is DROP:
            return None
        if self.handshake is HANG:
            self.stopping.wait()
            return None
        if self.handshake is not None:
            client.sendall(self.handshake)
            client.settimeout(20)
            while client.recv(65536):
                pass
            return None
        try:
            session.tls = self.tls.wrap_socket(client, server_side=True)
        except OSError as err:
            session.tls_error = err
            raise
        self.open.append(session.tls)
        return session.tls

    def _talk(self, client, session):
        try:
            if self.wrapper:
                client = self._start_tls(client, session)
            if client:
                self._dialogue(client, session)
        finally:
            if session.tls:
                session.tls.close()

    def _dialogue(self, client, session):
        buffered = b""
        code = self._answer(client, "banner", session)
        if not code or code == 421:
            return
        while True:
            while b"\n" not in buffered:
                got = client.recv(65536)
                if not got:
                    session.ended = session.ended or "eof"
                    return
                session.chunks.append(len(got))
                buffered += got
            raw, buffered = buffered.split(b"\n", 1)
            line = raw.rstrip(b"\r").decode("latin-1")
            session.commands.append(line)
            verb = line.split(" ")[0].split(":")[0].lower()
            if code == 334:
                verb = "auth"
            if verb not in self.stages or verb in ("banner", "eod"):
                client.sendall(b"502 5.5.2 Error: command not recognized\r\n")
                code = 502
                continue
            code = self._answer(client, verb, session, line)
            if not code:
                return
            if verb == "quit":
                session.ended = "quit"
                return
            if verb == "starttls" and session.said.startswith("220"):
                buffered = b""
                client = self._start_tls(client, session)
                if not client:
                    return
                continue
            if code == 421:
                return
            if verb in ("mail", "rset") and code < 400:
                session.message = Message()
                session.message.mail = line
            elif verb == "rcpt" and code < 400:
                session.message.rcpts.append(line)
            elif verb == "data" and code == 354:
                buffered, ok = self._data(client, session, buffered)
                if not ok:
                    return

    def _data(self, client, session, buffered):
        while not (buffered.startswith(b".\r\n") or
                   b"\r\n.\r\n" in buffered):
            got = client.recv(1 << 20)
            if not got:
                session.ended = session.ended or "eof"
                return b"", False
            buffered += got
        if buffered.startswith(b".\r\n"):
            content, buffered = b"", buffered[3:]
        else:
            content, buffered = buffered.split(b"\r\n.\r\n", 1)
            content += b"\r\n"
        message = session.message
        message.data = content

        def accepted():
            if message not in session.messages:
                session.messages.append(message)

        for rcpt in message.rcpts if self.lmtp else [""]:
            code = self._answer(client, "eod", session, rcpt, accepted)
            if not code or code == 421:
                return b"", False
        session.message = Message()
        return buffered, True
