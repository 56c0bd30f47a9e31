# SPDX-License-Identifier: MIT
"""What a process holds: memory in KiB that it alone pays for, and open
descriptors. Under a sanitizer memory is 0: its shadow is private, too."""
import os

import buildtree


def _rollup(pid, *names):
    if buildtree.SANITIZED:
        return 0
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f
                   if line.startswith(names))


def private_kib(pid):
    return _rollup(pid, "Private_Clean:", "Private_Dirty:")


def pss_kib(pid):
    return _rollup(pid, "Pss:")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def workers(mta, program="smtpd"):
    """Processes that serve clients: all but the first one, their parent."""
    return mta.pids(program)[1:]


def most_private_kib(mta, program="smtpd"):
    """Of the largest; one that just ended does not count."""
    most = 0
    for pid in mta.pids(program):
        try:
            most = max(most, private_kib(pid))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return most
