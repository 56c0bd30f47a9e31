# SPDX-License-Identifier: MIT
"""The table of tests/lib/smtp_faults.py under Debian's Postfix and under
Postrider, in namespaces of their own; print where the status lines differ.

    faults_side_by_side.py [--show] [--only REGEX]
"""
import argparse
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../lib"))

import oracle  # noqa: E402
import postrider  # noqa: E402
import smtp_faults  # noqa: E402

PORT = 2525


def run(mta, world):
    world.start()
    try:
        mta.start()
        return world.run(mta)
    finally:
        mta.stop()
        world.server.stop()


# What Postfix takes for a reply, or reads for ever (docs/DIFFERENCES.md), and
# where it depends on time whether its cache has the session, or whether a
# reset comes before the connection is seen.
OTHER = re.compile("1xx|6xx|endless|garbage|content-hang|"
                   "^kept-(mail|rcpt|data|eod)|^banner-rst")


def differs(a, b):
    return a is None or b is None or a.lines[0] != b.lines[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    scratch = oracle.enter()
    table = [row for row in smtp_faults.rows()
             if re.search(args.only, row.name) and not OTHER.search(row.name)]
    world = smtp_faults.World(scratch, PORT, table)
    pf = oracle.Postfix(scratch, postrider.free_port(), main=world.main())
    with open(pf.config + "/master.cf", "a", encoding="ascii") as out:
        for line in world.master().values():
            if line.split()[0] not in ("smtp", "lmtp"):
                out.write(line + "\n")
    theirs = run(pf, world)
    world = smtp_faults.World(scratch, PORT, table)
    mta = postrider.Instance(main=world.main(), master=world.master())
    try:
        ours = run(mta, world)
    finally:
        mta.close()
    same = True
    for rcpt in sorted(set(theirs) | set(ours)):
        a, b = theirs.get(rcpt), ours.get(rcpt)
        for which, r in (("-", a), ("+", b)):
            if r and (args.show or differs(a, b)):
                print(which, rcpt, *r.lines[0])
        same = same and not differs(a, b)
    print(len(theirs), "recipients")
    sys.exit(0 if same and theirs else 1)


if __name__ == "__main__":
    main()
