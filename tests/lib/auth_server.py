# SPDX-License-Identifier: MIT
"""A scripted server of Dovecot's auth protocol, for tests.

    with AuthServer() as auth:           # inet, a free port of 127.0.0.1
        ... smtpd_sasl_path = inet:127.0.0.1:{auth.port}
    AuthServer(path="/queue/private/auth")   # or a UNIX socket

Users are in USERS; any of them can log in with PLAIN, LOGIN or CRAM-MD5. The
names in TRICKS get another answer whatever their password is. lines holds all
that clients sent; greeting and answer may be replaced:

greeting    bytes sent to each new client
answer      function(server, connection, line) that returns the bytes to send,
            or None to close the connection
"""
import base64
import hashlib
import hmac
import os
import socket
import threading

USERS = {"alice": "wonder", "bob": "builder", "alice@example.com": "wonder",
         "jürgen": "straße"}
MECHS = ["PLAIN\tplaintext", "LOGIN\tplaintext",
         "CRAM-MD5\tdictionary\tactive",
         "DIGEST-MD5\tdictionary\tactive\tmutual-auth",
         "ANONYMOUS\tanonymous", "SCRAM-SHA-256\tmutual-auth",
         "EXTERNAL", "X-PRIVATE\tprivate", "X-FORWARD\tforward-secrecy"]
TRICKS = {
    "temp": "FAIL\t{id}\tuser=temp\ttemp",
    "reason": "FAIL\t{id}\tuser=reason\treason=Go away",
    "tempreason": "FAIL\t{id}\tuser=tempreason\ttemp\treason=Come back",
    "authz": "FAIL\t{id}\tuser=authz\tauthz",
    "disabled": "FAIL\t{id}\tuser=disabled\tuser_disabled",
    "code": "FAIL\t{id}\tuser=code\tcode=temp_fail",
    "nameless": "FAIL\t{id}",
    "okless": "OK\t{id}",
    "okempty": "OK\t{id}\tuser=",
    "okother": "OK\t{id}\tuser=someone@else.example\tnologin",
    "spaced": "OK\t{id}\tuser=with space",
    "ctrl": "OK\t{id}\tuser=a\001nb\001tc",
    "cont": "CONT\t{id}\t" + base64.b64encode(b"go on").decode(),
    "wrongid": "OK\t999999\tuser=wrongid",
}


def greeting(server):
    text = "VERSION\t1\t2\n"
    for mech in server.mechs:
        text += f"MECH\t{mech}\n"
    return (text + "SPID\t4711\nCUID\t1\n"
            "COOKIE\t0123456789abcdef0123456789abcdef\nDONE\n").encode()


class Connection:
    def __init__(self):
        self.mech = {}
        self.step = {}


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes)
                            else text.encode()).decode()


def _judge(ident, user, password):
    if user in TRICKS:
        return TRICKS[user].format(id=ident)
    if USERS.get(user) == password:
        return f"OK\t{ident}\tuser={user}"
    return f"FAIL\t{ident}\tuser={user}"


def _step(conn, ident, data):
    """data: decoded response, None when there is none yet."""
    mech = conn.mech[ident]
    if mech == "PLAIN":
        if data is None:
            return f"CONT\t{ident}\t"
        parts = data.split(b"\0")
        if len(parts) != 3:
            return f"FAIL\t{ident}\treason=invalid input"
        return _judge(ident, parts[1].decode("utf-8", "replace"),
                      parts[2].decode("utf-8", "replace"))
    if mech == "LOGIN":
        if data is None:
            return f"CONT\t{ident}\t" + b64("Username:")
        if ident not in conn.step:
            conn.step[ident] = data.decode("utf-8", "replace")
            return f"CONT\t{ident}\t" + b64("Password:")
        return _judge(ident, conn.step.pop(ident),
                      data.decode("utf-8", "replace"))
    if mech == "CRAM-MD5":
        if ident not in conn.step:
            conn.step[ident] = b"<1.2@test>"
            return f"CONT\t{ident}\t" + b64("<1.2@test>")
        user, _, digest = (data or b"").decode("utf-8", "replace").rpartition(" ")
        want = hmac.new(USERS.get(user, "").encode(), b"<1.2@test>",
                        hashlib.md5).hexdigest()
        if user in USERS and digest == want:
            return f"OK\t{ident}\tuser={user}"
        return f"FAIL\t{ident}\tuser={user}"
    if mech == "ANONYMOUS":
        return f"OK\t{ident}\tuser=anonymous"
    return f"FAIL\t{ident}\treason=Unsupported mechanism"


def answer(server, conn, line):
    field = line.split("\t")
    if field[0] == "AUTH":
        ident = field[1]
        conn.mech[ident] = field[2].upper()
        resp = next((f[5:] for f in field if f.startswith("resp=")), None)
        if resp is None:
            return (_step(conn, ident, None) + "\n").encode()
        data = resp
    elif field[0] == "CONT":
        ident, data = field[1], "\t".join(field[2:])
    else:
        return b""
    try:
        raw = base64.b64decode(data, validate=True)
    except ValueError:
        return f"FAIL\t{ident}\treason=Invalid base64 data\n".encode()
    return (_step(conn, ident, raw) + "\n").encode()


class AuthServer:
    def __init__(self, path=None, port=0, mechs=None, greeting=greeting,
                 answer=answer, mode=0o666):
        self.mechs = MECHS if mechs is None else mechs
        self.greeting = greeting
        self.answer = answer
        self.lines = []
        self.clients = []
        self.path = path
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            here = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
            self.sock.bind(f"/proc/self/fd/{here}/{os.path.basename(path)}")
            os.close(here)
            os.chmod(path, mode)
            self.port = None
        else:
            self.sock = socket.socket()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(("127.0.0.1", port))
            self.port = self.sock.getsockname()[1]
        self.sock.listen(100)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self._serve, args=(client,),
                             daemon=True).start()

    def _serve(self, client):
        conn = Connection()
        data = b""
        try:
            hello = self.greeting(self)
            if hello is None:
                client.close()
                return
            client.sendall(hello)
            while True:
                more = client.recv(65536)
                if not more:
                    break
                data += more
                while b"\n" in data:
                    line, data = data.split(b"\n", 1)
                    text = line.decode("utf-8", "replace")
                    self.lines.append(text)
                    out = self.answer(self, conn, text)
                    if out is None:
                        client.close()
                        return
                    client.sendall(out)
        except OSError:
            pass
        finally:
            client.close()

    def drop_clients(self):
        """Close what is open; new ones are served."""
        for client in self.clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.clients = []

    def close(self):
        self.sock.close()
        try:
            poke = (socket.create_connection(("127.0.0.1", self.port), 1)
                    if self.port else None)
            if poke:
                poke.close()
        except OSError:
            pass
        self.drop_clients()
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)
