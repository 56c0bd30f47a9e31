# SPDX-License-Identifier: MIT
r"""Signed zones for tests of DNSSEC and DANE: a root of our own and zones below
it, served by nsd; unbound beside it resolves and validates.

    ZONES = '''
    zone good.example
    good.example MX 10 mx.good.example
    mx.good.example A 127.0.0.1
    _25._tcp.mx.good.example TLSA {tlsa}
    zone plain.example unsigned
    plain.example MX 10 mx.good.example
    '''
    with signed_zone.SignedDns(folder, ZONES) as dns:
        dns.port          unbound, 127.0.0.1: for postrider_resolver_servers
                          (f"127.0.0.1@{dns.port}") or, with port=53 in a
                          namespace, for a resolv.conf; it sets AD
        dns.auth_port     nsd, 127.0.0.1; authoritative, for all zones
        dns.anchor        file with the root's key: for
                          postrider_resolver_trust_anchor
        dns.set(ZONES)    other zones; what unbound knew is forgotten

"zone NAME [KIND]" begins a zone; KIND is

    signed    with NSEC; the root has its DS (default)
    unsigned  delegated without a DS: insecure
    expired   signed, and all its signatures are over: bogus
    wrongds   the DS in the root is of another key: bogus
    lame      delegated to a server that is not there: no answer, slowly

The lines after it are "NAME TYPE DATA" as in dns_server.py, all names in full
without a final dot, for any type that a zone file may have. What is not there
is denied with signatures. Two more forms:

    NAME FORGED TYPE     the signature over that set of records is wrong
    NAME EXPIRED TYPE    it is over; TYPE NSEC for denials that begin at NAME

tlsa(pem, usage, selector, mtype) is the data of a TLSA record for the first
certificate of a file.

needs() skips the test, or raises Unavailable, where nsd, unbound or ldnsutils
are not installed.
"""
import base64
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import time

from buildtree import PATIENCE

ALGORITHM = "ECDSAP256SHA256"
DAY = 86400
PROGRAMS = {name: shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin"
                                          ":/usr/local/bin")
            for name in ("nsd", "unbound", "ldns-keygen", "ldns-signzone")}
# The end of each line that has a name for data.
NAMED = ("CNAME", "DNAME", "NS", "PTR", "MX", "SRV")
KINDS = ("signed", "unsigned", "expired", "wrongds", "lame")


class Unavailable(Exception):
    """The programs are not there; the reason is the text."""


def needs():
    missing = [name for name, path in PROGRAMS.items() if not path]
    if not missing:
        return
    reason = "not installed: " + ", ".join(missing)
    if "pytest" in sys.modules:
        import pytest
        pytest.skip(reason)
    raise Unavailable(reason)


def tlsa(pem, usage=3, selector=1, mtype=1):
    der = subprocess.run(["openssl", "x509", "-in", pem, "-outform", "DER"],
                         check=True, capture_output=True).stdout
    if selector == 1:
        key = subprocess.run(["openssl", "x509", "-in", pem, "-noout",
                              "-pubkey"], check=True,
                             capture_output=True).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"],
                             input=key, check=True,
                             capture_output=True).stdout
    data = {0: lambda: der, 1: lambda: hashlib.sha256(der).digest(),
            2: lambda: hashlib.sha512(der).digest()}[mtype]()
    return f"{usage} {selector} {mtype} {data.hex()}"


def _free_port():
    """One that is free for UDP and TCP."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            port = udp.getsockname()[1]
            with socket.socket() as tcp:
                try:
                    tcp.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    pass
    raise RuntimeError("no free port")


def _dot(name):
    return name.rstrip(".") + "."


def _query(host, port, rtype=6):
    """Ask for a record of the root; the response code, None without a reply."""
    packet = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        try:
            sock.sendto(packet + struct.pack(">HH", rtype, 1),
                        (host, port))
            return sock.recv(4096)[3] & 15
        except OSError:
            return None


class _Zone:
    def __init__(self, name, kind):
        assert kind in KINDS, kind
        self.name, self.kind = name.strip(".").lower(), kind
        self.lines, self.spoilt = [], []

    def add(self, words):
        name, rtype, data = _dot(words[0].lower()), words[1], words[2:]
        if rtype in ("FORGED", "EXPIRED"):
            self.spoilt.append((name, rtype, data[0]))
            return
        if rtype in NAMED:
            data = data[:-1] + [_dot(data[-1])]
        elif rtype == "TXT":
            data = ['"' + " ".join(data) + '"']
        self.lines.append(f"{name} 60 IN {rtype} {' '.join(data)}")


def _parse(text):
    zones = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "zone":
            zones.append(_Zone(words[1], (words[2:] or ["signed"])[0]))
        else:
            zones[-1].add(words)
    return zones


class SignedDns:
    def __init__(self, folder, zones="", port=0, auth_port=0, auth="127.0.0.1"):
        """port, auth_port: 0 for free ones. auth: where nsd listens, by
        commas; the first address is what the zones give as their server, and
        where unbound asks."""
        needs()
        self.folder = os.path.join(str(folder), "signed-dns")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o755)
        self.port = port or _free_port()
        self.auth_port = auth_port or _free_port()
        self.listen = auth.split(",")
        self.auth = self.listen[0]
        self.serial = 0
        self.keys = {}
        self.text = zones
        self.children = {}
        self.anchor = os.path.join(self.folder, "root.key")
        with open(self._key(".") + ".key", encoding="ascii") as key:
            with open(self.anchor, "w", encoding="ascii") as out:
                out.write(key.read())

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        self._write()
        self._start("nsd", self.auth, self.auth_port)
        self._start("unbound", "127.0.0.1", self.port)
        return self

    def stop(self):
        for name in list(self.children):
            self._stop(name)

    def set(self, zones):
        self.text = zones
        self.stop()
        self.start()

    def forget(self):
        """Empty unbound's cache."""
        self._stop("unbound")
        self._start("unbound", "127.0.0.1", self.port)

    # ---- zones ----

    def _key(self, name, which=""):
        """Path of its key without an extension."""
        if (name, which) not in self.keys:
            where = os.path.join(self.folder, f"key{len(self.keys)}")
            os.makedirs(where)
            base = subprocess.run(
                [PROGRAMS["ldns-keygen"], "-a", ALGORITHM, "-k", name],
                cwd=where, check=True, capture_output=True,
                text=True).stdout.strip()
            self.keys[(name, which)] = os.path.join(where, base)
        return self.keys[(name, which)]

    def _ds(self, name, which):
        """The DS record's line, of SHA-256 (RFC 4509)."""
        with open(self._key(name, which) + ".key", encoding="ascii") as file:
            words = file.read().split(";")[0].split()
        flags, protocol, algorithm = map(int, words[-4:-1])
        rdata = struct.pack(">HBB", flags, protocol, algorithm)
        rdata += base64.b64decode(words[-1])
        total = sum(byte if i & 1 else byte << 8
                    for i, byte in enumerate(rdata))
        owner = b"".join(bytes([len(x)]) + x.encode()
                         for x in name.strip(".").split(".")) + b"\0"
        digest = hashlib.sha256(owner + rdata).hexdigest()
        tag = (total + (total >> 16)) & 0xffff
        return f"{_dot(name)} 60 IN DS {tag} {algorithm} 2 {digest}"

    def _sign(self, name, plain, start, end):
        stamp = [time.strftime("%Y%m%d%H%M%S", time.gmtime(t))
                 for t in (start, end)]
        signed = plain + ".signed"
        done = subprocess.run(
            [PROGRAMS["ldns-signzone"], "-i", stamp[0], "-e", stamp[1], "-o",
             _dot(name), "-f", signed, plain, self._key(_dot(name))],
            capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"ldns-signzone {name}: {done.stderr}")
        with open(signed, encoding="ascii") as file:
            return [line for line in file.read().split("\n") if line]

    @staticmethod
    def _signature_of(line):
        """(owner, type covered), or None."""
        words = line.split()
        if len(words) > 4 and words[3] == "RRSIG":
            return words[0].lower(), words[4]
        return None

    def _spoil(self, lines, spoilt, expired):
        old = {self._signature_of(line): line for line in expired}
        for name, how, rtype in spoilt:
            for i, line in enumerate(lines):
                if self._signature_of(line) != (name, rtype):
                    continue
                if how == "EXPIRED":
                    lines[i] = old[(name, rtype)]
                else:
                    head, sig = line.rstrip().rsplit(" ", 1)
                    raw = bytearray(base64.b64decode(sig))
                    raw[-1] ^= 1
                    lines[i] = head + " " + base64.b64encode(raw).decode()
                break
            else:
                raise ValueError(f"no signature of {name} {rtype}")

    def _write_zone(self, name, kind, lines, spoilt=()):
        path = os.path.join(self.folder, f"zone.{name or 'root'}")
        with open(path, "w", encoding="ascii") as out:
            out.write(f"{_dot(name)} 60 IN SOA ns. hostmaster.ns. "
                      f"{self.serial} 3600 600 86400 5\n"
                      f"{_dot(name)} 60 IN NS ns.\n")
            out.write("\n".join(lines) + "\n")
        if kind in ("unsigned", "lame"):
            return path
        now = time.time()
        old = []
        if kind == "expired" or any(s[1] == "EXPIRED" for s in spoilt):
            old = self._sign(name, path, now - 9 * DAY, now - 2 * DAY)
        if kind == "expired":
            signed = old
        else:
            signed = self._sign(name, path, now - DAY, now + 9 * DAY)
        self._spoil(signed, spoilt, old)
        with open(path, "w", encoding="ascii") as out:
            out.write("\n".join(signed) + "\n")
        return path

    def _write(self):
        self.serial += 1
        root = [f"ns. 60 IN A {self.auth}"]
        files = {}
        for zone in _parse(self.text):
            server = "ns."
            if zone.kind == "lame":
                server = f"ns.{zone.name}."
                root.append(f"{server} 60 IN A 127.0.0.254")
            else:
                files[zone.name] = self._write_zone(
                    zone.name, zone.kind, zone.lines, zone.spoilt)
            root.append(f"{zone.name}. 60 IN NS {server}")
            if zone.kind not in ("unsigned", "lame"):
                root.append(self._ds(zone.name + ".",
                                     "wrong" if zone.kind == "wrongds"
                                     else ""))
        files[""] = self._write_zone("", "signed", root)
        self._write_nsd(files)
        self._write_unbound()

    # ---- servers ----

    def _write_nsd(self, files):
        with open(self.folder + "/nsd.conf", "w", encoding="ascii") as out:
            out.write('server:\nusername: ""\nserver-count: 1\n'
                      f'pidfile: "{self.folder}/nsd.pid"\n'
                      f'zonesdir: "{self.folder}"\ndatabase: ""\n'
                      f'xfrdfile: ""\nxfrdir: "{self.folder}"\n'
                      f'zonelistfile: "{self.folder}/zone.list"\n'
                      "rrl-ratelimit: 0\n"
                      "remote-control:\ncontrol-enable: no\n")
            out.write("server:\n" + "".join(
                f"ip-address: {ip}@{self.auth_port}\n" for ip in self.listen))
            for name, path in files.items():
                out.write(f'zone:\nname: "{_dot(name)}"\n'
                          f'zonefile: "{path}"\n')

    def _write_unbound(self):
        with open(self.folder + "/unbound.conf", "w", encoding="ascii") as out:
            out.write(f"""
server:
    username: ""
    chroot: ""
    directory: "{self.folder}"
    pidfile: "{self.folder}/unbound.pid"
    use-syslog: no
    logfile: ""
    verbosity: 1
    val-log-level: 2
    do-daemonize: no
    num-threads: 1
    module-config: "validator iterator"
    interface: 127.0.0.1@{self.port}
    port: {self.port}
    do-ip6: no
    do-not-query-localhost: no
    trust-anchor-file: "{self.anchor}"
    infra-host-ttl: 5
    rrset-roundrobin: no
    outgoing-range: 200
    num-queries-per-thread: 100
    local-zone: "test." nodefault
    local-zone: "127.in-addr.arpa." nodefault
    local-zone: "10.in-addr.arpa." nodefault
    local-zone: "168.192.in-addr.arpa." nodefault
remote-control:
    control-enable: no
stub-zone:
    name: "."
    stub-addr: {self.auth}@{self.auth_port}
""")

    def _start(self, name, host, port):
        argv = [PROGRAMS[name], "-d", "-c", f"{self.folder}/{name}.conf"]
        if name == "unbound":
            argv.insert(1, "-p")  # no file of its own
        with open(f"{self.folder}/{name}.log", "ab") as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log)
        self.children[name] = child
        deadline = time.time() + 20 * PATIENCE
        while _query(host, port) != 0:
            if child.poll() is not None or time.time() > deadline:
                self.stop()
                raise RuntimeError(f"{name} does not start: " +
                                   self.log(name)[-2000:])
            time.sleep(0.05)

    def _stop(self, name):
        child = self.children.pop(name)
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def log(self, name="unbound"):
        with open(f"{self.folder}/{name}.log", errors="replace") as file:
            return file.read()

