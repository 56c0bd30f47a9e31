# SPDX-License-Identifier: MIT
"""Scripted milters, every answer at every stage, every change: Debian's
Postfix and Postrider send the same packets, give the same replies, log the
same lines and queue the same message."""
import os
import subprocess
import sys

import pytest

import oracle

HERE = os.path.dirname(os.path.abspath(__file__))
GROUPS = ["^at [CHM] ", "^at [RT] ", "^at [LN] ", "^at [BEU] ", "^change ",
          "^local ", "^(?!at |change |local )"]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
@pytest.mark.parametrize("group", GROUPS)
def test_same_as_postfix(group):
    oracle.root()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "milter_side_by_side.py"), group],
        capture_output=True, text=True, timeout=300)
    wrong = [line for line in done.stdout.split("\n")
             if not line.startswith("same: ")]
    assert done.returncode == 0, "\n".join(wrong)[-6000:] + done.stderr[-2000:]
