# SPDX-License-Identifier: MIT
"""postmulti, postkick and postlock beside Postfix's."""
import os
import subprocess
import sys

import pytest

import oracle

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
@pytest.mark.parametrize("cases", ["debian", "edit", "run", "lock"])
def test_same_as_postfix(cases):
    oracle.root()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "postmulti_side_by_side.py"),
         os.path.join(HERE, "multi", cases + ".txt")],
        capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
