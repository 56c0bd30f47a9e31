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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--system", default="both")
    args = parser.parse_args()
    scratch = oracle.enter()
    table = [row for row in smtp_faults.rows() if re.search(args.only, row.name)]
    theirs, ours = {}, {}
    if args.system != "postrider":
        world = smtp_faults.World(scratch, PORT, [
            r for r in table
            if not re.match("endless|garbage", r.fault.kind) and
            not r.name.startswith("content-hang")])
        pf = oracle.Postfix(scratch, postrider.free_port(), main=world.main(),
                            master=world.master())
        with open(pf.config + "/master.cf", "a") as out:
            for line in world.master().values():
                out.write(line + "\n")
        try:
            theirs = run(pf, world)
        finally:
            open("/tmp/faults-theirs.log", "w").write(pf.log())
    if args.system != "postfix":
        world = smtp_faults.World(scratch, PORT, table)
        mta = postrider.Instance(main=world.main(), master=world.master())
        try:
            ours = run(mta, world)
        finally:
            open("/tmp/faults-ours.log", "w").write(mta.log())
            mta.close()
    same = True
    for rcpt in sorted(set(theirs) | set(ours)):
        a, b = theirs.get(rcpt), ours.get(rcpt)
        for which, r in (("-", a), ("+", b)):
            if r and (args.show or not a or not b or a.lines[0] != b.lines[0]):
                print(which, rcpt, *r.lines[0], len(r.copies))
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
