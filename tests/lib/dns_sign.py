# SPDX-License-Identifier: MIT
"""Signatures for the scripted name server (RFC 4034; ECDSA P-256, RFC 6605).

One key signs everything in the name of the root, so that no delegation is
needed. Uses the openssl command.
"""
import base64
import os
import struct
import subprocess
import time

from dns_server import TYPES, pack_name

ALGORITHM = 13
TTL = 60


class Signer:
    def __init__(self, folder):
        self.pem = os.path.join(str(folder), "dnskey.pem")
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey",
                        "-noout", "-out", self.pem], check=True)
        der = subprocess.run(["openssl", "ec", "-in", self.pem, "-pubout",
                              "-outform", "DER"], check=True,
                             capture_output=True).stdout
        self.dnskey = struct.pack(">HBB", 257, 3, ALGORITHM) + der[-64:]
        total = sum(byte if i & 1 else byte << 8
                    for i, byte in enumerate(self.dnskey))
        self.tag = (total + (total >> 16)) & 0xffff

    def anchor(self):
        """A trust anchor file's text."""
        key = base64.b64encode(self.dnskey[4:]).decode()
        return f". IN DNSKEY 257 3 {ALGORITHM} {key}\n"

    def sign(self, owner, rtype, rdatas):
        """The data of the RRSIG record over these."""
        now = int(time.time())
        labels = len([x for x in owner.split(".") if x])
        head = struct.pack(">HBBIIIH", TYPES[rtype], ALGORITHM, labels, TTL,
                           now + 3600, now - 3600, self.tag) + pack_name("")
        name = pack_name(owner.lower())
        text = head
        for rdata in sorted(rdatas):
            text += name + struct.pack(">HHIH", TYPES[rtype], 1, TTL,
                                       len(rdata)) + rdata
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.pem],
                             input=text, check=True,
                             capture_output=True).stdout
        # SEQUENCE { INTEGER r, INTEGER s }
        at, numbers = 2, []
        for _ in range(2):
            size = der[at + 1]
            value = int.from_bytes(der[at + 2:at + 2 + size], "big")
            numbers.append(value.to_bytes(32, "big"))
            at += 2 + size
        return head + b"".join(numbers)
