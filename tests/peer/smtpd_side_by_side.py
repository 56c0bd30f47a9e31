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


def smtpd_lines(log):
    lines = []
    for line in log.splitlines():
        match = re.search(r"postfix/smtpd\[\d+\]: (.*)", line)
        if not match or IGNORED.search(match[1].replace("disconnect from", "")):
            continue
        lines.append(re.sub(r"^(warning: )?[0-9A-F]{5,}: ", r"\1QID: ",
                            match[1]))
    return lines


def play(dialogue, port, mta):
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
        return socket.create_connection(("127.0.0.1", port))

    return replay.play(dialogue, connect)


def compare(scratch, path, number):
    dialogue = replay.Dialogue(path)
    main = dict(SETTINGS, smtpd_peername_lookup="no", in_flow_delay="0",
                defer_transports="local smtp")
    main.update(dialogue.settings)
    port = postrider.free_port()
    theirs = oracle.Postfix(scratch, port, main=main, name=f"o{number}")
    theirs.start()
    try:
        want = play(dialogue, port, theirs)
        time.sleep(0.3 * PATIENCE)
    finally:
        theirs.stop()
    with postrider.Instance(main=main) as mta:
        got = play(dialogue, mta.port, mta)
        time.sleep(0.3 * PATIENCE)
        log = mta.log()
    same = True
    for what, a, b in (("replies", want, got),
                       ("log", smtpd_lines(theirs.log()), smtpd_lines(log))):
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
