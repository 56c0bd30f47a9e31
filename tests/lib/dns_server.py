# SPDX-License-Identifier: MIT
r"""A small name server for tests, scripted by a zone text.

Each line is "NAME TYPE DATA", TYPE being A, AAAA, CNAME, MX, PTR, SRV, TXT,
NS, or a behaviour: SERVFAIL, REFUSED, DROP (no answer), DELAY seconds,
GARBAGE (not a DNS packet), TRUNCATE (UDP answers say: ask by TCP). A name
with no line at all does not exist; "*.example.com" stands for what is below.
In TXT data \DDD is the byte of that number. TTL is 60 unless a line begins
with "ttl=N".

    server = DnsServer(ZONE)        # 127.0.0.1, a port of its own
    server.start()
    ... server.port, server.queries, server.set(ZONE) ...
    server.stop()

From a shell: dns_server.py [-p PORT] ZONEFILE
"""
import re
import socket
import struct
import sys
import threading
import time

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15,
         "TXT": 16, "AAAA": 28, "SRV": 33, "RRSIG": 46, "DNSKEY": 48,
         "TLSA": 52}
NAMES = {number: name for name, number in TYPES.items()}
BEHAVIOURS = ("SERVFAIL", "REFUSED", "DROP", "DELAY", "GARBAGE", "TRUNCATE",
              "UNSIGNED", "FORGED")


def pack_name(name):
    out = b""
    for label in name.rstrip(".").split("."):
        if label:
            raw = label.encode("latin-1")
            out += bytes([len(raw)]) + raw
    return out + b"\0"


def unpack_name(packet, at):
    labels = []
    while packet[at]:
        n = packet[at]
        labels.append(packet[at + 1:at + 1 + n].decode("latin-1"))
        at += n + 1
    return ".".join(labels), at + 1


def pack_rdata(rtype, words):
    if rtype == "A":
        return socket.inet_pton(socket.AF_INET, words[0])
    if rtype == "AAAA":
        return socket.inet_pton(socket.AF_INET6, words[0])
    if rtype in ("CNAME", "PTR", "NS"):
        return pack_name(words[0])
    if rtype == "MX":
        return struct.pack(">H", int(words[0])) + pack_name(words[1])
    if rtype == "SRV":
        numbers = [int(word) for word in words[:3]]
        return struct.pack(">HHH", *numbers) + pack_name(words[3])
    if rtype == "TXT":
        raw = re.sub(rb"\\(\d\d\d)", lambda m: bytes([int(m[1])]),
                     " ".join(words).encode())
        return b"".join(bytes([len(raw[i:i + 255])]) + raw[i:i + 255]
                        for i in range(0, len(raw) or 1, 255))
    if rtype == "TLSA":
        return bytes(int(word) for word in words[:3]) + bytes.fromhex(words[3])
    raise ValueError(rtype)


class Zone:
    def __init__(self, text):
        self.records = {}
        self.behaviours = {}
        self.names = set()
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            ttl = 60
            if words[0].startswith("ttl="):
                ttl = int(words.pop(0)[4:])
            name, rtype, data = words[0].lower().rstrip("."), words[1], words[2:]
            self.names.add(name)
            if rtype in BEHAVIOURS:
                self.behaviours.setdefault(name, []).append((rtype, data))
            elif rtype != "EMPTY":
                self.records.setdefault((name, rtype), []).append(
                    (ttl, pack_rdata(rtype, data)))
                if rtype == "CNAME":
                    self.records[(name, "target")] = data[0].lower().rstrip(".")

    def find(self, name):
        """The name in the zone that stands for this one, or None."""
        if name in self.names:
            return name
        labels = name.split(".")
        for i in range(1, len(labels)):
            wild = ".".join(["*"] + labels[i:])
            if wild in self.names:
                return wild
        # An empty non-terminal exists, without data.
        if any(n.endswith("." + name) for n in self.names):
            return name
        return None

    def answers(self, name, rtype):
        """Records of the answer section, following aliases; response code."""
        out = []
        for _ in range(20):
            known = self.find(name)
            if known is None:
                return out, 3
            found = self.records.get((known, rtype), [])
            if found:
                return out + [(name, rtype, ttl, data)
                              for ttl, data in found], 0
            target = self.records.get((known, "target"))
            if target is None:
                return out, 0
            ttl, data = self.records[(known, "CNAME")][0]
            out.append((name, "CNAME", ttl, data))
            name = target
        return out, 0


class DnsServer:
    def __init__(self, zone="", host="127.0.0.1", port=0, signer=None):
        """signer: a dns_sign.Signer; its key is the DNSKEY of the root."""
        self.signer = signer
        self.signatures = {}
        self.zone = Zone(zone)
        self.queries = []
        self.host = host
        for attempt in range(20):
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self.tcp = socket.socket()
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.udp.bind((host, port))
            self.port = self.udp.getsockname()[1]
            try:
                self.tcp.bind((host, self.port))
                break
            except OSError:
                # Somebody has that port for TCP: another one for both.
                self.udp.close()
                self.tcp.close()
                if port or attempt == 19:
                    raise
        self.tcp.listen(64)
        self.stopping = False
        self.threads = []

    def set(self, zone):
        self.zone = Zone(zone)

    def count(self, name, rtype):
        return self.queries.count((name.lower(), rtype))

    def start(self):
        for target in (self._serve_udp, self._serve_tcp):
            thread = threading.Thread(target=target, daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def stop(self):
        self.stopping = True
        for sock in (self.udp, self.tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        for thread in self.threads:
            thread.join(2)

    def reply(self, packet, tcp):
        """(delay, bytes or None)"""
        ident, flags, count = struct.unpack(">HHH", packet[:6])
        name, at = unpack_name(packet, 12)
        number, = struct.unpack(">H", packet[at:at + 2])
        question = packet[12:at + 4]
        rtype = NAMES.get(number, str(number))
        zone = self.zone
        name = name.lower()
        self.queries.append((name, rtype))
        delay, rcode, answers, bits = 0, 0, [], 0x8180
        for kind, words in zone.behaviours.get(zone.find(name) or "", []):
            if kind == "DROP":
                return 0, None
            if kind == "GARBAGE":
                return 0, packet[:2] + b"\x81\x80" + b"\xff" * 30
            if kind == "DELAY":
                delay = float(words[0])
            elif kind == "TRUNCATE" and not tcp:
                bits |= 0x0200
            elif kind in ("SERVFAIL", "REFUSED"):
                rcode = 2 if kind == "SERVFAIL" else 5
        if rcode == 0 and not bits & 0x0200:
            answers, rcode = zone.answers(name, rtype)
        if self.signer:
            answers = self._signed(name, rtype, answers)
        out = struct.pack(">HHHHHH", ident, bits | rcode, 1, len(answers),
                          0, 0) + question
        for owner, kind, ttl, data in answers:
            out += pack_name(owner) + struct.pack(
                ">HHIH", TYPES[kind], 1, ttl, len(data)) + data
        if not tcp and len(out) > 1232:
            out = struct.pack(">HHHHHH", ident, 0x8380, 1, 0, 0, 0) + question
        return delay, out

    def _signed(self, name, rtype, answers):
        """With a signature over each set of records."""
        if name == "" and rtype == "DNSKEY":
            answers = [("", "DNSKEY", 60, self.signer.dnskey)]
        out = list(answers)
        for owner, kind in dict.fromkeys((a[0], a[1]) for a in answers):
            words = [w for w, _ in self.zone.behaviours.get(owner, [])]
            if "UNSIGNED" in words:
                continue
            data = [a[3] for a in answers if a[:2] == (owner, kind)]
            key = (owner, kind, tuple(data))
            if key not in self.signatures:
                self.signatures[key] = self.signer.sign(owner, kind, data)
            signature = self.signatures[key]
            if "FORGED" in words:
                signature = signature[:-1] + bytes([signature[-1] ^ 1])
            out.append((owner, "RRSIG", 60, signature))
        return out

    def _later(self, delay, send, data):
        if delay:
            timer = threading.Timer(delay, send, (data,))
            timer.daemon = True
            timer.start()
        else:
            send(data)

    def _serve_udp(self):
        while not self.stopping:
            try:
                packet, peer = self.udp.recvfrom(4096)
                delay, data = self.reply(packet, False)
            except (OSError, IndexError, struct.error):
                if self.stopping:
                    return
                continue
            if data is not None:
                def send(what, peer=peer):
                    try:
                        self.udp.sendto(what, peer)
                    except OSError:
                        pass
                self._later(delay, send, data)

    def _serve_tcp(self):
        while not self.stopping:
            try:
                client, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_client, args=(client,),
                             daemon=True).start()

    def _serve_client(self, client):
        with client:
            stream = client.makefile("rb")
            while True:
                head = stream.read(2)
                if len(head) < 2:
                    return
                packet = stream.read(struct.unpack(">H", head)[0])
                delay, data = self.reply(packet, True)
                if data is None:
                    continue
                time.sleep(delay)
                try:
                    client.sendall(struct.pack(">H", len(data)) + data)
                except OSError:
                    return


def main():
    args = sys.argv[1:]
    port = 53
    if args and args[0] == "-p":
        port = int(args[1])
        args = args[2:]
    with open(args[0], encoding="latin-1") as file:
        server = DnsServer(file.read(), port=port)
    server.start()
    print("port", server.port, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
