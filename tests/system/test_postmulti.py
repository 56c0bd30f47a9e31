# SPDX-License-Identifier: MIT
"""A second instance is made, started, stopped and removed by postmulti."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
RUNNER = os.path.join(HERE, "../peer/postmulti_side_by_side.py")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
def test_life_of_an_instance():
    done = subprocess.run(
        [sys.executable, RUNNER, os.path.join(HERE, "postmulti.txt"), "ours"],
        capture_output=True, text=True, timeout=600)
    with open(os.path.join(HERE, "postmulti.out")) as expected:
        assert done.stdout == expected.read(), done.stderr[-2000:]
