# SPDX-License-Identifier: MIT
"""The same messages through the SMTP clients of Debian's Postfix and of Postrider,
with settings of each transport: the same bytes on the wire."""
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
        [sys.executable, os.path.join(HERE, "content_side_by_side.py")],
        capture_output=True, text=True, timeout=180 * PATIENCE)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
