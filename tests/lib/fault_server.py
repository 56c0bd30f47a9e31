# SPDX-License-Identifier: MIT
"""An SMTP or LMTP server on many addresses, each with a fault of its own.

    server = FaultServer(port)
    server.add("127.3.0.1", Fault("rcpt", "drop"))   # None: a good server
    server.start()
    ... server.copies("127.3.0.1") ...
    server.heal()        all are good from now on
    server.stop()

Points: connect banner ehlo helo starttls handshake auth mail rcpt data content
eod quit rset idle bdat. A fault happens at the first reply of its point (eod in
LMTP: of the first recipient), in session number Fault.session (0: in each) and
there in transaction number Fault.transaction (0: in any).

Faults, with REPLY as what a good server says:

    drop rst            the connection ends; is reset
    hang                nothing comes any more
    half                "25", then the end
    halfline            "250-first line", then the end
    garbage             bytes that are no reply
    endless             "250-..." without an end
    endlessline         a line without an end
    4xx 5xx 421         that reply (421: and the end)
    wrong               a positive reply of another class
    1xx 6xx             a reply of a class that there is not
    early               REPLY comes in one packet with the reply before
    extra               REPLY and a further, positive reply in one packet
    extra4 extra5       REPLY and a 4xx or 5xx reply in one packet
    packed              REPLY comes in one packet with the reply after it
    4drop 5drop         that reply, then the end

At content (after about 100 kB) drop, rst, hang, and 4drop, 5drop for a server
that says why; 4xx and 5xx go on reading. At idle, after a message, all but
those that need a REPLY. For rset the first transaction's recipients are refused.
"""
import contextlib
import selectors
import socket
import ssl
import struct
import threading

GOOD = {
    "banner": "220 server.example.net ESMTP",
    "helo": "250 server.example.net",
    "starttls": "220 2.0.0 Ready to start TLS",
    "auth": "235 2.7.0 Authentication successful",
    "mail": "250 2.1.0 Ok",
    "rcpt": "250 2.1.5 Ok",
    "data": "354 End data with <CR><LF>.<CR><LF>",
    "bdat": "250 2.0.0 Ok",
    "eod": "250 2.0.0 Ok: queued as ABC123",
    "rset": "250 2.0.0 Ok",
    "quit": "221 2.0.0 Bye",
}
CONTENT_AT = 100000


class Fault:
    def __init__(self, point, kind, session=0, transaction=0, features=(),
                 lmtp=False):
        self.point = point
        self.kind = kind
        self.session = session
        self.transaction = transaction
        self.features = features  # further EHLO keywords
        self.lmtp = lmtp


class Gone(Exception):
    """The session is over."""


class Session:
    """One connection; run() is its thread."""

    def __init__(self, server, address, fault, conn, number):
        self.server = server
        self.address = address
        self.fault = fault
        self.conn = conn
        self.number = number
        self.input = b""
        self.held = b""     # replies that wait for the next one
        self.sent = set()   # points whose reply came early
        self.struck = False
        self.mails = 0      # transactions
        self.in_mail = False
        self.refused = False  # the content, in the middle of it
        self.rcpts = []
        self.tls = False

    # ---- bytes ----

    def fill(self):
        got = self.conn.recv(65536)
        if not got:
            raise Gone
        self.input += got

    def line(self):
        while b"\n" not in self.input:
            self.fill()
        raw, self.input = self.input.split(b"\n", 1)
        return raw.rstrip(b"\r").decode("latin-1")

    def put(self, data):
        self.conn.sendall(self.held + data)
        self.held = b""

    def say(self, text):
        self.put(text.replace("\n", "\r\n").encode() + b"\r\n")

    def end(self, reset=False):
        if reset:
            self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        raise Gone

    def starve(self):
        """Until the client gives up."""
        while True:
            self.fill()
            self.input = b""

    # ---- replies ----

    def faulty(self, point):
        f = self.fault
        return (f and not self.server.healed and f.point == point and
                not self.struck and f.session in (0, self.number) and
                f.transaction in (0, self.mails))

    def reply(self, point, good):
        """Answer; the code of the answer."""
        if point in self.sent:
            self.sent.remove(point)
            return int(good[:3])
        if not self.faulty(point):
            f = self.fault
            if (f and f.kind == "early" and not self.server.healed and
                    self.before(point) == f.point):
                self.sent.add(f.point)
                good += "\n" + GOOD.get(f.point, self.ehlo())
            self.say(good)
            return int(good[:3])
        if self.fault.kind == "early":
            self.say(good)
            return int(good[:3])
        self.struck = True
        return self.strike(point, good)

    def before(self, point):
        order = ["banner", "ehlo"]
        if "STARTTLS" in self.fault.features:
            order.append("starttls")
        if "AUTH PLAIN" in self.fault.features:
            order.append("auth")
        order += ["mail", "rcpt", "data", "eod", "quit"]
        after = dict(zip(order, order[1:]))
        return after.get(point)

    def strike(self, point, good):
        kind = self.fault.kind
        self.server.struck.add(self.address)
        if kind in ("drop", "rst"):
            self.end(kind == "rst")
        elif kind == "hang":
            self.starve()
        elif kind == "half":
            self.put(good[:2].encode())
            self.end()
        elif kind == "halfline":
            self.put(good[:3].encode() + b"-first line\r\n")
            self.end()
        elif kind == "garbage":
            self.put(b"\x00\xfe\x80gar\x1b[2Jbage\r\n")
            self.starve()
        elif kind == "endless":
            while True:
                self.put((good[:3] + "-" + "x" * 60 + "\r\n").encode() * 100)
        elif kind == "endlessline":
            self.put(good[:4].encode())
            while True:
                self.put(b"x" * 4096)
        texts = {
            "4xx": f"451 4.7.1 try {point} later",
            "4drop": f"451 4.7.1 try {point} later",
            "5xx": f"550 5.7.1 no {point}",
            "5drop": f"550 5.7.1 no {point}",
            "421": f"421 4.3.2 going down at {point}",
            "wrong": (f"250 2.0.0 what {point}" if good[0] == "3"
                      else f"354 what {point}"),
            "1xx": f"150 well {point}",
            "6xx": f"650 well {point}",
            "extra": good + "\n250 2.0.0 unasked",
            "extra4": good + "\n451 4.3.0 unasked",
            "extra5": good + "\n554 5.3.0 unasked",
        }
        if kind == "packed":
            self.held += good.replace("\n", "\r\n").encode() + b"\r\n"
            return int(good[:3])
        text = texts[kind]
        self.say(text)
        if kind in ("421", "4drop", "5drop"):
            self.end()
        return int(text[:3])

    # ---- dialogue ----

    def ehlo(self):
        words = ["PIPELINING", "SIZE 10240000", "DSN", "ENHANCEDSTATUSCODES"]
        if self.fault:
            words += [w for w in self.fault.features
                      if not (w == "STARTTLS" and self.tls)]
        words.append("8BITMIME")
        lines = ["server.example.net"] + words
        return "\n".join("250-" + w for w in lines[:-1]) + "\n250 " + lines[-1]

    def run(self):
        with contextlib.suppress(Gone, OSError, ValueError):
            self.talk()
        with contextlib.suppress(OSError):
            self.conn.close()

    def talk(self):
        self.reply("banner", GOOD["banner"])
        while True:
            line = self.line()
            verb = line.split(" ")[0].split(":")[0].lower()
            self.server.note(self.address, self.number, line)
            if verb == "starttls":
                self.starttls()
                continue
            if verb in ("ehlo", "lhlo"):
                code = self.reply("ehlo", self.ehlo())
            elif verb == "auth":
                code = self.auth()
            elif verb == "bdat":
                self.bdat(line)
                continue
            elif verb == "rcpt" and self.mails == 1 and self.faulty("rset"):
                self.say("550 5.1.1 refused")
                continue
            elif verb == "rcpt" and not self.in_mail:
                self.say("503 5.5.1 need MAIL")
                continue
            elif verb == "data" and not self.rcpts:
                self.say("503 5.5.1 no recipients")
                continue
            elif verb in GOOD and verb not in ("banner", "eod"):
                self.mails += verb == "mail"
                code = self.reply(verb, GOOD[verb])
            else:
                self.say("502 5.5.2 Error: command not recognized")
                continue
            if verb == "mail":
                self.rcpts, self.chunks = [], b""
                self.in_mail = code // 100 == 2
            elif verb == "rcpt" and code // 100 == 2:
                self.rcpts.append(line[line.index("<") + 1:line.index(">")])
            elif verb == "data" and code == 354:
                self.content()
            elif verb == "quit":
                return

    def starttls(self):
        if self.reply("starttls", GOOD["starttls"]) != 220:
            return
        if self.faulty("handshake"):
            self.struck = True
            self.strike("handshake", "250 nothing")
            self.end()
        self.conn = self.server.tls.wrap_socket(self.conn, server_side=True)
        self.tls, self.input = True, b""

    def auth(self):
        return self.reply("auth", GOOD["auth"])

    def bdat(self, line):
        size = int(line.split()[1])
        while len(self.input) < size:
            self.fill()
        self.chunks += self.input[:size]
        self.input = self.input[size:]
        if "LAST" in line:
            self.take(self.chunks, "bdat")
        else:
            self.reply("bdat", GOOD["bdat"])

    def content(self):
        data, mark = b"", 0
        while True:
            self.input, data = b"", data + self.input
            if self.faulty("content") and len(data) > CONTENT_AT:
                self.struck = True
                if self.fault.kind == "hang":
                    self.server.struck.add(self.address)
                    self.server.stopping.wait()
                    raise Gone
                self.refused = self.fault.kind in ("4xx", "5xx")
                self.strike("content", "250 nothing")
            if data.startswith(b".\r\n"):
                self.input = data[3:]
                self.take(b"", "eod")
                return
            end = data.find(b"\r\n.\r\n", mark)
            if end >= 0:
                self.input = data[end + 5:]
                self.take(data[:end + 2], "eod")
                return
            mark = max(0, len(data) - 4)
            self.fill()

    def take(self, data, point):
        """The message is complete: kept when the reply is positive, and when
        the client cannot know what it was."""
        if self.refused:
            return
        rcpts = list(self.rcpts)
        for rcpt in rcpts if self.fault and self.fault.lmtp else [None]:
            mine = [rcpt] if rcpt else rcpts
            lost = self.faulty(point) and self.fault.kind in (
                "drop", "rst", "hang", "half", "halfline", "garbage",
                "endless", "endlessline", "1xx", "6xx", "wrong")
            if lost:
                self.server.keep(self.address, mine, data, False)
            code = self.reply(point, GOOD["eod"])
            if code // 100 == 2 and not lost:
                self.server.keep(self.address, mine, data, True)
        if self.fault and self.fault.point == "idle" and self.faulty("idle"):
            self.struck = True
            self.strike("idle", "250 nothing")


class FaultServer:
    def __init__(self, port, tls=None):
        """tls: (certificate, key) for STARTTLS."""
        self.port = port
        self.faults = {}
        self.healed = False
        self.kept = {}       # address: [(rcpts, content, confirmed)]
        self.commands = {}   # address: [(session, line)]
        self.struck = set()  # addresses whose fault happened
        self.counts = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.socks = {}
        self.selector = selectors.DefaultSelector()
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)

    def add(self, address, fault=None):
        self.faults[address] = fault
        if fault and fault.point == "connect" and fault.kind == "refuse":
            return
        sock = socket.socket()
        self.socks.setdefault(address, []).append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if fault and fault.point == "content":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        sock.bind((address, self.port))
        if fault and fault.point == "connect" and fault.kind == "hang":
            # Two connections that nobody takes fill the queue.
            sock.listen(0)
            for _ in range(2):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex((address, self.port))
                self.socks[address].append(filler)
            return
        sock.listen(64)
        self.selector.register(sock, selectors.EVENT_READ, (address, fault))

    def start(self):
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        return self

    def heal(self):
        self.healed = True
        for address, fault in list(self.faults.items()):
            if fault and fault.point == "connect":
                for sock in self.socks.pop(address, ()):
                    sock.close()
                self.add(address)

    def stop(self):
        self.stopping.set()
        self.thread.join()
        for sock in sum(self.socks.values(), []):
            sock.close()
        self.selector.close()

    def note(self, address, number, line):
        with self.lock:
            self.commands.setdefault(address, []).append((number, line))

    def keep(self, address, rcpts, data, confirmed):
        with self.lock:
            self.kept.setdefault(address, []).append((rcpts, data, confirmed))

    def copies(self, rcpt):
        """[(address, content, was it confirmed)] of that recipient."""
        with self.lock:
            return [(address, data, confirmed)
                    for address, kept in self.kept.items()
                    for rcpts, data, confirmed in kept if rcpt in rcpts]

    def _accept(self):
        while not self.stopping.is_set():
            for key, _ in self.selector.select(0.2):
                address, fault = key.data
                try:
                    conn, _ = key.fileobj.accept()
                except OSError:
                    continue
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                number = self.counts[address] = self.counts.get(address, 0) + 1
                session = Session(self, address, fault, conn, number)
                threading.Thread(target=session.run, daemon=True).start()
