# SPDX-License-Identifier: MIT
"""The dialogues of tests/replay against Debian's Postfix and Postrider side
by side: same replies, same log lines (apart from ids)."""
import glob
import os
import subprocess
import sys

import pytest

import oracle
from buildtree import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
DIALOGUES = sorted(glob.glob(os.path.join(HERE, "../replay/*.txt")))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
@pytest.mark.parametrize("path", DIALOGUES, ids=os.path.basename)
def test_same_as_postfix(path):
    oracle.root()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "smtpd_side_by_side.py"), path],
        capture_output=True, text=True, timeout=120 * PATIENCE)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
