# SPDX-License-Identifier: MIT
"""TLS in the SMTP clients of Debian's Postfix and of Postrider: same log lines
and status lines, and the same said to the servers, in the clear and under
TLS."""
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
        [sys.executable, os.path.join(HERE, "clienttls_side_by_side.py")],
        capture_output=True, text=True, errors="replace",
        timeout=400 * PATIENCE)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
