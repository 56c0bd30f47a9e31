# SPDX-License-Identifier: MIT
"""Every test finds tests/lib on its path and the build in $B."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
os.environ.setdefault("B", os.path.join(os.path.dirname(HERE), "build/release"))
