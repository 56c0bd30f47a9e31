# SPDX-License-Identifier: MIT
"""Mail through every fault of tests/lib/fault_server.py, in one running mail
system (Postrider's or Debian's Postfix): what became of it.

    world = World(tls=...); mta = Instance(main=world.main(), master=...)
    outcome = world.run(mta)
"""
import json
import os
import re
import smtplib
import time

from buildtree import PATIENCE
from fault_server import Fault, FaultServer

CUT = ("drop", "rst", "hang", "half", "halfline", "garbage", "endless",
       "endlessline")
CODES = ("4xx", "5xx", "421", "4drop", "5drop", "wrong", "1xx", "6xx")
ORDER = ("early", "extra", "extra4", "extra5", "packed")
# What a session that ends at the client's time limit is limited by.
LIMITS = {
    "connect": "connect", "banner": "helo", "ehlo": "helo", "mail": "mail",
    "rcpt": "rcpt", "data": "data_init", "content": "data_xfer",
    "eod": "data_done", "quit": "quit", "rset": "rset", "starttls": "starttls",
    "handshake": "starttls", "auth": "helo", "bdat": "data_xfer",
}
SENDERS = "sender.example"


class Row:
    """A destination, and what is wrong with its server."""

    def __init__(self, name, fault, transport="smtp", after=False, big=False,
                 messages=1):
        self.name = name
        self.fault = fault
        self.transport = transport
        self.after = after        # a good server comes next
        self.big = big
        self.messages = messages  # one after another

    def rcpts(self, message=0):
        return [f"{who}{message or ''}@{self.name}.example" for who in "ab"]


def transport_of(point, kind, default="smtp"):
    """Faults that last get a time limit for their point alone."""
    return f"{default}-{point}" if kind == "hang" else default


def rows(features=()):
    """features: of "tls", "auth", "bdat", what the client can do."""
    out = []
    for kind in ("refuse", "hang"):
        for after in (False, True):
            out.append(Row(f"connect-{kind}" + "-next" * after,
                           Fault("connect", kind),
                           transport_of("connect", kind), after))
    for point in ("banner", "ehlo", "mail", "rcpt", "data", "eod", "quit"):
        for kind in CUT + CODES + ORDER:
            if (kind, point) in (("early", "banner"), ("packed", "eod"),
                                 ("packed", "quit"), ("packed", "data"),
                                 ("packed", "banner"), ("packed", "ehlo")):
                continue
            for after in (False, True):
                if after and (point == "quit" or kind in ORDER):
                    continue
                out.append(Row(f"{point}-{kind}" + "-next" * after,
                               Fault(point, kind),
                               transport_of(point, kind), after))
    for kind in ("drop", "rst", "hang", "4xx", "5xx", "4drop", "5drop", "421",
                 "extra"):
        for after in (False, True):
            out.append(Row(f"content-{kind}" + "-next" * after,
                           Fault("content", kind),
                           transport_of("content", kind), after, big=True))
    for point in ("idle", "rset", "mail", "rcpt", "data", "eod"):
        for kind in CUT + CODES:
            if (point, kind) == ("idle", "hang"):
                continue
            out.append(Row(f"kept-{point}-{kind}",
                           Fault(point, kind, session=1, transaction=1
                                 if point in ("idle", "rset") else 2),
                           f"kept-{point}-{kind}", messages=2))
    for point in ("ehlo", "rcpt", "eod"):
        for kind in CUT + CODES:
            out.append(Row(f"lmtp-{point}-{kind}",
                           Fault(point, kind, lmtp=True),
                           transport_of(point, kind, "lmtp")))
    return out


class World:
    """What one mail system meets. folder: for the transport table."""

    def __init__(self, folder, port, table, tls=None):
        self.folder = folder
        self.port = port
        self.rows = table
        self.tls = tls
        self.address = {}
        for i, row in enumerate(table):
            self.address[row.name] = f"127.3.{i // 200 + 1}.{i % 200 + 1}"
        with open(self.map_file(), "w") as out:
            out.write(f"{SENDERS} smtp:[127.4.0.1]:{port}\n")
            for row in table:
                out.write(f"{row.name}.example {row.transport}:"
                          f"{self.nexthop(row)}\n")

    def map_file(self):
        return os.path.join(self.folder, "transport")

    def nexthop(self, row):
        address = self.address[row.name]
        if row.fault.lmtp:
            return f"inet:{address}:{self.port}"
        hop = f"[{address}]:{self.port}"
        if row.after:
            hop += f", [{address.replace('127.3', '127.4')}]:{self.port}"
        return hop

    def main(self):
        return {
            "mydestination": "", "relayhost": "", "inet_protocols": "ipv4",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "smtp_connection_cache_on_demand": "no",
            "lmtp_connection_cache_on_demand": "no",
            "smtp_randomize_addresses": "no",
            "transport_maps": f"texthash:{self.map_file()}",
            "smtpd_client_connection_rate_limit": "0",
            "smtpd_recipient_restrictions": "permit_mynetworks,reject",
            "minimal_backoff_time": "600s", "queue_run_delay": "600s",
            "default_process_limit": "50", "bounce_queue_lifetime": "1d",
            "notify_classes": "", "tcp_windowsize": "65536",
        }

    def master(self):
        """Lines for each transport that the table names."""
        out = {}
        kept = " ".join(self.address[r.name] for r in self.rows
                        if r.transport.startswith("kept"))
        for name in {row.transport for row in self.rows}:
            line = f"{name} unix - - n - - " + (
                "lmtp" if name.startswith("lmtp") else "smtp")
            # A service for each: a process that is free would be given
            # another destination, and forget its session.
            program, point, kind = (name + "--").split("-")[:3]
            if program == "kept" and kind != "hang":
                point = ""
            prefix = "lmtp" if program == "lmtp" else "smtp"
            if point:
                limit = LIMITS[point]
                if prefix == "lmtp" and limit == "helo":
                    limit = "lhlo"
                line += f" -o {prefix}_{limit}_timeout=1s"
            if program == "kept":
                line += (" -o smtp_connection_cache_on_demand=yes"
                         " -o smtp_connection_cache_time_limit=60s -o "
                         f"{{smtp_connection_cache_destinations = {kept}}}")
            out[f"{name} unix"] = line
        return out

    def start(self):
        self.server = FaultServer(self.port, self.tls)
        self.server.add("127.4.0.1")
        for row in self.rows:
            address = self.address[row.name]
            self.server.add(address, row.fault)
            if row.after:
                self.server.add(address.replace("127.3", "127.4"))
        self.server.start()

    # ---- mail ----

    def send(self, mta, number):
        """A message of each row that has so many."""
        with smtplib.SMTP("127.0.0.1", mta.port, timeout=60 * PATIENCE,
                          local_hostname="client.example.com") as client:
            client.ehlo()
            for row in self.rows:
                if number < row.messages:
                    client.sendmail(f"{row.name}@{SENDERS}",
                                    row.rcpts(number), message(row))

    def rcpts(self, numbers):
        return [rcpt for row in self.rows for n in numbers
                if n < row.messages for rcpt in row.rcpts(n)]

    def run(self, mta):
        """All of it; the system was started. Returns {rcpt: Result}."""
        for number in range(max(row.messages for row in self.rows)):
            self.send(mta, number)
            wait_statuses(mta, self.rcpts(range(number + 1)))
        results = {}
        waiting = listed(mta)
        text = mta.run("postqueue", "-p").stdout
        for rcpt, status in statuses(mta.log()).items():
            if rcpt.endswith(".example") and not rcpt.endswith(SENDERS):
                results[rcpt] = Result(rcpt, status)
        for rcpt, result in results.items():
            result.listed = waiting.get(rcpt)
            result.shown = result.text and result.text in text
        self.server.heal()
        mta.run("postqueue", "-f")
        wait_empty(mta)
        after = statuses(mta.log())
        for rcpt, result in results.items():
            result.lines = after[rcpt]
            result.copies = self.server.copies(rcpt)
        return results

    def notices(self):
        """{sender's name: content of what came back}."""
        out = {}
        for rcpts, data, _ in self.server.kept.get("127.4.0.1", ()):
            for rcpt in rcpts:
                out.setdefault(rcpt.split("@")[0], []).append(data.decode())
        return out


class Result:
    """What became of a recipient: the first status line, and afterwards."""

    def __init__(self, rcpt, lines):
        self.rcpt = rcpt
        self.lines = lines
        self.relay, self.dsn, self.status, self.text = lines[0]
        self.listed = None   # reason of postqueue -j
        self.shown = False   # does mailq have the text?
        self.copies = []

    @property
    def row(self):
        return self.rcpt.split("@")[1][:-len(".example")]


LINE = re.compile(r"(?:smtp|lmtp)\[\d+\]: \w+: to=<([^>]*)>, relay=([^,]*),.*? "
                  r"dsn=([^,]*), status=(\w+) \((.*)\)$", re.M)


def statuses(log):
    """{rcpt: [(relay, dsn, status, text), ...]}"""
    out = {}
    for match in LINE.finditer(log):
        out.setdefault(match[1], []).append(match.groups()[1:])
    return out


def wait_statuses(mta, want, timeout=60):
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        missing = set(want) - set(statuses(mta.log()))
        if not missing:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"no status: {sorted(missing)}\n"
                                 + mta.log()[-2000:])
        time.sleep(0.2)


def listed(mta):
    """{rcpt: reason} of what is in the queue."""
    done = mta.run("postqueue", "-j")
    return {rcpt["address"]: rcpt.get("delay_reason")
            for line in done.stdout.splitlines()
            for rcpt in json.loads(line)["recipients"]}


def wait_empty(mta, timeout=60):
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        left = listed(mta)
        if not left:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"left in the queue: {left}")
        time.sleep(0.2)


def message(row):
    body = ("x" * 70 + "\r\n") * (8000 if row.big else 3)
    return ("Message-Id: <x@example.com>\r\nFrom: s@example.com\r\nDate: Fri, "
            f"27 Nov 2026 11:00:00 +0000\r\nSubject: {row.name}\r\n\r\n{body}")


# ---- what must be true whatever the texts are ----

PERMANENT = ("5xx", "5drop", "wrong", "extra5", "early", "extra", "extra4")


def problems(world, results, log):
    """What is wrong with the outcome of a run of World, as texts."""
    out = [line for line in log.splitlines()
           if re.search(r"panic:|fatal:|killed by signal|exit status", line)]
    rows = {row.name: row for row in world.rows}
    notices = world.notices()
    for rcpt, result in results.items():
        row = rows[result.row]
        # Of replies that nobody asked for one is taken for the result.
        lost = (row.fault.point == "eod" or
                (row.fault.point, row.fault.kind) in (("data", "extra4"),
                                                      ("data", "extra5")))
        sure = [c for c in result.copies if c[2]]
        unsure = [c for c in result.copies if not c[2]]
        last = result.lines[-1]
        say = f"{rcpt}: {result.lines}"
        if last[2] == "sent":
            if not 1 <= len(sure) <= 1 + lost or len(result.copies) > 1 + lost:
                out.append(f"{say}: {len(sure)}+{len(unsure)} copies")
            for _, data, _ in result.copies:
                if data.split(b"Message-Id:")[-1] != message(row).encode(
                        ).split(b"Message-Id:")[-1]:
                    out.append(f"{say}: content differs")
        elif last[2] == "bounced":
            if len(result.copies) > lost:
                out.append(f"{say}: bounced and delivered")
            if not any(rcpt in n and f"Status: {last[1]}" in n
                       for n in notices.get(row.name, ())):
                out.append(f"{say}: no notice")
        else:
            out.append(f"{say}: no end")
        if result.status == "bounced" and (
                row.fault.kind not in PERMANENT and row.fault.point != "rset"):
            out.append(f"{say}: given up")
        if result.status == "deferred" and (
                result.listed != result.text or not result.shown):
            out.append(f"{say}: listed as {result.listed}")
    quiet = {row.name for row in world.rows
             if world.address[row.name] not in world.server.struck and
             row.fault.point != "connect" and row.fault.kind not in
             ("early", "packed")}
    return out + [f"{name}: the fault did not happen" for name in
                  sorted(quiet)]
