# SPDX-License-Identifier: MIT
"""The build under test: $B is its folder, $MODE what it was built with."""
import os
import shutil
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
MODE = os.environ.get("MODE", "release")
# How many times longer than a release build something may take. For limits
# on waiting, not for times that a test sets in main.cf.
PATIENCE = {"asan": 4, "ubsan": 2, "cov": 2}.get(MODE, 1)
# Does a program write a file below reports() when a sanitizer stops it?
SANITIZED = MODE in ("asan", "ubsan")


def directory():
    return os.path.abspath(os.environ.get(
        "B", os.path.join(TOP, "build/release")))


def helper(name):
    """Path of a program of the tests that is in C ("tests/system/mkqueue",
    "unit/test_rewrite"), built in the same way."""
    b = directory()
    path = os.path.join(b, name)
    subprocess.run(["make", "-s", f"B={b}", f"MODE={MODE}", path], cwd=TOP,
                   check=True, capture_output=True, timeout=600 * PATIENCE)
    return path


# ---- reports of the sanitizers (tests/lib/sanitizer.c) ----

def reports():
    return os.path.join(directory(), "reports")


def open_chroot(root):
    """Before something runs in that folder as its root: what it reports must
    have a place there."""
    if SANITIZED:
        inside = root + reports()
        os.makedirs(inside, exist_ok=True)
        os.chmod(inside, 0o1777)


def close_chroot(root):
    """Afterwards: its reports go to the others."""
    inside = root + reports()
    if not SANITIZED or not os.path.isdir(inside):
        return
    for name in os.listdir(inside):
        shutil.copy(os.path.join(inside, name),
                    os.path.join(reports(), name + ".chroot"))
        os.unlink(os.path.join(inside, name))
