# SPDX-License-Identifier: MIT
"""Play dialogues to Debian's Postfix and to Postrider, in namespaces of their
own; print where the replies or smtpd's log lines differ. Run by
test_smtpd_oracle.py: smtpd_side_by_side.py FILE..."""
import difflib
import os
import re
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../lib", "../replay"):
    sys.path.insert(0, os.path.join(HERE, folder))

import oracle  # noqa: E402
import postrider  # noqa: E402
import replay  # noqa: E402
from buildtree import PATIENCE  # noqa: E402
from test_replay import SETTINGS  # noqa: E402

# Lines that nobody parses and that are worded or placed differently.
IGNORED = re.compile("discarding EHLO keywords|mapping DSN status|"
                     "Illegal address syntax|unknown DSN NOTIFY|"
                     "unknown smtpd restriction|queue file size limit|"
                     "overriding earlier entry|connect from|"
                     "initializing the|reload|table has changed")


# What each process of Postfix says when it starts, and ours once.
ONCE = re.compile("warning: (error opening|error loading|cannot get|No |key at |"
                  "Can't require|Both |RSA private|ECDSA private|Invalid TLS|"
                  "Digest|disabling TLS|unknown (tls_|smtpd_tls)|ignoring unk|"
                  "TLS library problem: .*(fopen|BIO|system lib|no such file|"
                  "PEM|different key|mismatch)"
                  "|tls_session_ticket|smtpd_tls_security_level)|"
                  "cannot load Cert|initializing")


def smtpd_lines(log):
    lines = []
    for line in log.splitlines():
        match = re.search(r"postfix/smtpd\[\d+\]: (.*)", line)
        if not match or IGNORED.search(match[1].replace("disconnect from", "")):
            continue
        line = re.sub(r"^(warning: )?[0-9A-F]{5,}: ", r"\1QID: ", match[1])
        line = re.sub(r"service 127.0.0.1:\d+", "service PORT", line)
        if not ONCE.match(line) or line not in lines:
            lines.append(line)
    return lines


def play(dialogue, ports, mta):
    """A connection begins when the log has the end of the one before, which is
    another process's: the order of their lines is that of the dialogue."""
    count = 0

    def connect():
        nonlocal count
        deadline = time.monotonic() + PATIENCE
        while (mta.log().count("disconnect from") < count and
               time.monotonic() < deadline):
            time.sleep(0.01)
        count += 1
        return socket.create_connection(
            ("127.0.0.1", ports[dialogue.service]))

    return replay.play(dialogue, connect)


def compare(scratch, path, number):
    dialogue = replay.Dialogue(path)
    main = dict(SETTINGS, smtpd_peername_lookup="no", in_flow_delay="0",
                defer_transports="local smtp")
    with replay.settings_of(dialogue) as settings:
        main.update(settings)
        return compare_with(scratch, dialogue, main, number)


def compare_with(scratch, dialogue, main, number):
    port = postrider.free_port()
    more = [postrider.free_port() for _ in dialogue.services]
    lines = dialogue.master_lines(more)
    theirs = oracle.Postfix(scratch, port, main=main, name=f"o{number}",
                            master={"discard unix": "\n".join(
                                ["discard unix - - n - - discard", *lines])})
    theirs.start()
    try:
        want = play(dialogue, [port, *more], theirs)
        time.sleep(0.3 * PATIENCE)
    finally:
        theirs.stop()
    with postrider.Instance(main=main,
                            master=dict(enumerate(lines))) as mta:
        got = play(dialogue, [mta.port, *more], mta)
        time.sleep(0.3 * PATIENCE)
        log = mta.log()
    same = True
    logs = [smtpd_lines(theirs.log()), smtpd_lines(log)]
    for what, a, b in (("replies", want, got), ("log", *logs)):
        for line in difflib.unified_diff(a, b, "Postfix " + what,
                                         "Postrider " + what, lineterm="",
                                         n=2):
            print(line)
            same = False
    return same


def main():
    scratch = oracle.enter()
    same = [compare(scratch, path, i)
            for i, path in enumerate(sys.argv[1:])]
    sys.exit(0 if same and all(same) else 1)


if __name__ == "__main__":
    main()
