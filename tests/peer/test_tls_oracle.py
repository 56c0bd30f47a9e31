# SPDX-License-Identifier: MIT
"""TLS in smtpd beside Debian's Postfix: headers and log lines are equal. The
replies are in test_smtpd_oracle.py."""
import os
import subprocess
import sys

import pytest

import oracle

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
def test_same_as_postfix():
    oracle.root()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "tls_side_by_side.py")],
        capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
