# SPDX-License-Identifier: MIT
"""The same command lines for posttls-finger of Debian's Postfix and of
Postrider: the same lines."""
import os
import subprocess
import sys

import pytest

import oracle
import signed_zone
from buildtree import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
def test_same_as_postfix():
    oracle.root()
    signed_zone.needs()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "finger_side_by_side.py")],
        capture_output=True, text=True, timeout=240 * PATIENCE)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
