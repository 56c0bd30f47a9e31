# SPDX-License-Identifier: MIT
"""The same mail, with the same scripted milters, through Debian's Postfix and
Postrider: what the milters get, the replies, the log, and the message that is
queued. Prints where they differ. Run by test_milter_oracle.py; within
namespaces of its own: milter_side_by_side.py [-o] [NAME]...; -o shows
Postfix's side."""
import difflib
import os
import re
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))
sys.path.insert(0, HERE)

import oracle  # noqa: E402
import postrider  # noqa: E402
from milter_script import Milter  # noqa: E402
from milter_cases import CASES, LISTENERS, MAIN, TABLES  # noqa: E402

MILTERS = ("m1", "m2")
PICKUP = "pickup unix n - n 0 1 pickup\n"
# Logged otherwise, or by one side only.
IGNORED = re.compile(r": (dis)?connect from|initializing|discarding EHLO|"
                     r"Illegal address|lost connection|milter8_event|"
                     r"status=bounced|message not taken now")


def normal(line, port, qids):
    """Without ids, times and ports."""
    line = line.replace(f"{port}", "LISTEN")
    for qid in qids:
        line = line.replace(qid, "QID")
    line = re.sub(r"\b\d{14}\.(?=QID)", "TIME.", line)
    line = re.sub(r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \(\w+\)",
                  "DATE", line)
    line = re.sub(r"(client_port}\\x00|127.0.0.1:)\d+", r"\1PORT", line)
    line = re.sub(r"(unreasonable packet length: \d+ >) \d+", r"\1 MAX", line)
    return line.replace("from userid 0", "from userid UID")


class Side:
    """One of the two mail systems."""

    def __init__(self, scratch, mine, milters):
        self.scratch, self.mine, self.milters = scratch, mine, milters
        base = 3525 if mine else 2525
        self.ports = {name: base + i for i, name in enumerate(LISTENERS)}
        main = dict(MAIN)
        for key, value in main.items():
            main[key] = value.replace("SCRATCH", scratch)
        lines = []
        for name, options in LISTENERS.items():
            options = options.replace("SCRATCH", scratch)
            lines.append(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd"
                         f" {options}")
        if mine:
            master = {"smtp inet": "\n".join(lines), "pickup unix": PICKUP}
            self.mta = postrider.Instance(main=main, master=master)
        else:
            master = {"pickup unix": PICKUP, "qmgr unix": "qmgr unix n - n - 1 discard\n"
                      + "\n".join(lines[1:])}
            self.mta = oracle.Postfix(scratch, self.ports["one"], main=main,
                                      master=master)
        self.queue = (self.mta.queue_directory if mine else self.mta.queue)
        self.mta.start()

    def close(self):
        (self.mta.close if self.mine else self.mta.stop)()

    def talk(self, case):
        """The replies to the case's SMTP lines."""
        port = self.ports[case.get("listener", "one")]
        got = []
        try:
            self.converse(case, port, got)
        except ConnectionError:
            got.append("<EOF>")
        return got

    @staticmethod
    def converse(case, port, got):
        with socket.create_connection(("127.0.0.1", port), 30) as sock:
            file = sock.makefile("rb")
            lines = [None] + case["smtp"]
            for line in lines:
                if line == "EOF":
                    break
                if isinstance(line, bytes):
                    if not got[-1].startswith("354"):
                        continue
                    sock.sendall(line)
                elif line is not None:
                    sock.sendall(line.encode("latin-1") + b"\r\n")
                while True:
                    reply = file.readline().decode("latin-1")
                    if not reply:
                        got.append("<EOF>")
                        return
                    if not reply.startswith("250-"):
                        got.append(reply.rstrip())
                    if reply[3:4] != "-":
                        break

    def submit(self, case):
        argv = ["sendmail", "-f", "sender@example.com"] + case["sendmail"]
        done = self.mta.run(*argv, input=case["message"])
        return [f"exit {done.returncode}"]

    def wait_for_pickup(self, before):
        """Until it has taken the message, or is to try again, in which case
        that shall not be."""
        maildrop = self.queue + "/maildrop"
        deadline = time.time() + 8
        while os.listdir(maildrop) and time.time() < deadline:
            if "milter-reject" in self.mta.log()[before:]:
                deadline = min(deadline, time.time() + 0.4)
            time.sleep(0.03)
        for name in os.listdir(maildrop):
            os.unlink(f"{maildrop}/{name}")

    def queued(self, qid):
        """Content and envelope of a message in the queue."""
        if self.mine:
            done = self.mta.run("postcat", "-ehbq", qid, errors="replace")
            text = done.stdout
        else:
            text = ""
            for name in ("incoming", "hold"):
                path = os.path.join(self.mta.queue, name, qid)
                if os.path.exists(path):
                    text = self.mta.run("postcat", "-ehb", path,
                                        errors="replace").stdout
        if "*** MESSAGE CONTENTS" not in text:
            return ["nothing"]
        head, content = text.split("*** MESSAGE CONTENTS", 1)
        content, tail = content.split("\n", 1)[1].rsplit("*** HEADER EXTR", 1)
        envelope, notes = [], []
        for line in (head + tail).split("\n"):
            if line.startswith(("sender:", "content_filter:")):
                envelope.append(line)
            elif line.startswith(("named_attribute: notify", "original_rec",
                                  "named_attribute: dsn_orig")):
                notes.append(line.split(": ", 1)[1])
            elif line.startswith(("recipient:", "done_recipient:")):
                notes = [n for n in notes if n != line.split(": ", 1)[1]]
                envelope.append(f"{line} {sorted(notes)}")
                notes = []
        return sorted(envelope) + content.rstrip("\n").split("\n")

    def run(self, name, case):
        """All that is compared, as lines."""
        for i, m in enumerate(MILTERS):
            script = case.get("milter" if i == 0 else "milter2", {})
            self.milters[m].script = script
            self.milters[m].take(1)
        before = len(self.mta.log())
        out = ["# " + name]
        out += self.submit(case) if "sendmail" in case else self.talk(case)
        last = "cleanup" if "sendmail" in case else "disconnect from"
        deadline = time.time() + 8
        while last not in self.mta.log()[before:] and time.time() < deadline:
            time.sleep(0.03)
        time.sleep(0.08)
        if "sendmail" in case:
            self.wait_for_pickup(before)
        for m in MILTERS:
            out += [f"{m} {line}" for line in self.milters[m].take()]
        log = self.mta.log()[before:]
        lines = [re.sub(r"^.*?postfix/", "", line) for line in
                 log.split("\n") if re.search(r"postfix/(smtpd|cleanup|pickup)",
                                              line)]
        lines = [re.sub(r"\[\d+\]:", ":", line, count=1) for line in lines]
        local = "sendmail" in case
        lines = [line for line in lines
                 if not (local and "message-id=" in line) and not IGNORED.search(line)]
        # A process apart may log in another order.
        if not case.get("log", True):
            lines = []
        for program in ("smtpd", "pickup", "cleanup"):
            out += [x for x in lines if x.startswith(program)]
        qids = list(dict.fromkeys(re.findall(
            r"(?:smtpd|pickup)\[\d+\]: (\w+): (?:client|uid)=", log)))
        for qid in qids if case.get("queue", True) else ():
            out += ["queue " + line for line in self.queued(qid)]
        port = self.ports[case.get("listener", "one")]
        return [normal(line.replace(self.scratch, "SCRATCH")
                       .replace(self.queue, "QUEUE"), port, qids) for line in out]


def main():
    args = sys.argv[1:]
    only_oracle = "-o" in args
    args = [a for a in args if a != "-o"]
    scratch = oracle.enter()
    os.environ["TZ"] = "UTC"
    for name, text in TABLES.items():
        with open(os.path.join(scratch, name), "w", encoding="ascii") as out:
            out.write(text)
    milters = {m: Milter(os.path.join(scratch, m)) for m in MILTERS}
    names = [n for n in CASES if not args or any(re.search(a, n) for a in args)]
    sides = []
    wrong = 0
    try:
        sides.append(Side(scratch, False, milters))
        if not only_oracle:
            sides.append(Side(scratch, True, milters))
        for name in names:
            got = [side.run(name, CASES[name]) for side in sides]
            if only_oracle:
                print("\n".join(got[0]))
                continue
            diff = list(difflib.unified_diff(got[0], got[1], "Postfix " + name,
                                             "Postrider", lineterm="", n=1))
            wrong += bool(diff)
            print("\n".join(diff) if diff else "same: " + name, flush=True)
    finally:
        for side in sides:
            side.close()
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{len(names)} cases, {wrong} differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
