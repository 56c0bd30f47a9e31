# SPDX-License-Identifier: MIT
"""Client limits and address probes beside Postfix."""
import os
import subprocess
import sys

import pytest

import oracle

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
@pytest.mark.parametrize("what", ["limits", "verify"])
def test_same_as_postfix(what):
    oracle.root()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "limits_side_by_side.py"), what],
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
