# SPDX-License-Identifier: MIT
"""The dialogues of tests/peer/rules, whose restrictions ask the DNS, against
Debian's Postfix and Postrider side by side: same replies, same log lines."""
import glob
import os
import subprocess
import sys

import pytest

import oracle

HERE = os.path.dirname(os.path.abspath(__file__))
DIALOGUES = sorted(glob.glob(os.path.join(HERE, "rules/*.txt")))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
def test_same_as_postfix():
    oracle.root()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "rules_side_by_side.py"),
         *DIALOGUES], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{len(DIALOGUES)} dialogues" in done.stdout
