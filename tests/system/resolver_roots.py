# SPDX-License-Identifier: MIT
"""The resolver with root servers of our own at the addresses of the real ones,
in a namespace. Run by test_resolver_dnssec.py.

    both         the host's name server does not pass DNSSEC on, and knows
                 names that nobody else does
    root         postrider_resolver_servers = root-servers
    unreachable  as both, and there are no root servers
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../lib"))

import oracle  # noqa: E402
import signed_zone  # noqa: E402
from dns_server import DnsServer  # noqa: E402
from test_resolver import FOUND, NO_NAME, Resolver  # noqa: E402
from test_resolver_dnssec import ZONES, check  # noqa: E402

ROOTS = ("198.41.0.4,199.9.14.201,170.247.170.2,192.33.4.12,199.7.91.13,"
         "192.203.230.10,192.5.5.241,192.112.36.4,198.97.190.53,"
         "192.36.148.17,192.58.128.30,193.0.14.129,199.7.83.42,"
         "202.12.27.33,192.228.79.201")
LOCAL = """
inside.s.example A 192.0.2.51
mx.s.example A 192.0.2.52
mx.u.example A 192.0.2.53
host.corp A 192.0.2.54
forged.s.example A 192.0.2.55
mail.split.example A 192.0.2.56
9.2.0.192.in-addr.arpa PTR inside.s.example
"""


def run(case, scratch, anchor):
    local = DnsServer(LOCAL, port=53).start()
    r = Resolver(pathlib.Path(scratch), {
        "postrider_resolver_servers":
            "root-servers" if case == "root" else "",
        "postrider_resolver_trust_anchor": anchor,
        "postrider_resolver_insecure_zones": "split.example"})

    def ask(name, rtype="A"):
        status, records, attrs = r.ask(name, rtype)
        return status, records, attrs["A_SECURE"]

    try:
        if case == "unreachable":
            assert ask("mx.s.example") == (FOUND, ["192.0.2.52"], 0)
            assert ask("nobody.s.example")[0] == NO_NAME
            r.box.wait_log("going on without DNSSEC")
            return
        assert ask("mx.s.example") == (FOUND, ["192.0.2.1"], 1)
        if case == "root":
            check(r)
            assert ask("inside.s.example")[0] == NO_NAME
            assert not local.queries
            return
        # What a signature vouches for comes from the roots, and a bad one
        # does not make the local server's word good enough.
        check(r, skip=("nobody.s.example", "mx.s.example", "out.s.example",
                       "_25._tcp.nobody.s.example"))
        assert ask("nobody.s.example")[0] == NO_NAME
        assert ask("inside.s.example") == (FOUND, ["192.0.2.51"], 0)
        assert ask("mx.u.example") == (FOUND, ["192.0.2.53"], 0)
        assert ask("host.corp") == (FOUND, ["192.0.2.54"], 0)
        assert ask("mail.split.example") == (FOUND, ["192.0.2.56"], 0)
        assert ask("192.0.2.9", "PTR")[:2] == (FOUND, ["inside.s.example"])
        r.box.wait_log("asking the root servers")
    finally:
        r.stop()
        local.stop()


def main():
    case = sys.argv[1]
    signed_zone.needs()
    scratch = oracle.enter(with_oracle=False)
    resolv = os.path.join(scratch, "resolv.conf")
    with open(resolv, "w", encoding="ascii") as file:
        file.write("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"],
                   check=True)
    if case != "unreachable":
        for address in ROOTS.split(","):
            subprocess.run(["ip", "address", "add", address + "/32", "dev",
                            "lo"], check=True)
    auth = "127.0.0.1" if case == "unreachable" else ROOTS
    with signed_zone.SignedDns(scratch, ZONES, auth=auth, auth_port=53 if
                               case != "unreachable" else 0) as dns:
        run(case, scratch, dns.anchor)


if __name__ == "__main__":
    main()
