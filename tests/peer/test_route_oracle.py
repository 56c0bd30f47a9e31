# SPDX-License-Identifier: MIT
"""Where mail goes: more than 500 recipients under Debian's Postfix and under
Postrider, with the same tables, zone and receivers; same relay=, dsn=,
status= and text."""
import os
import subprocess
import sys

import pytest

import oracle
from buildtree import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
def test_same_as_postfix():
    oracle.root()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "route_side_by_side.py")],
        capture_output=True, text=True, timeout=400 * PATIENCE)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
