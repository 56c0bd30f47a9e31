# SPDX-License-Identifier: MIT
"""The dialogues of tests/peer/rules (restrictions, most of which ask the DNS)
with the replies that Debian's Postfix gave when they were recorded;
tests/peer/test_rules_oracle.py checks that it still does."""
import glob
import os
import re
import subprocess
import sys
import time

import pytest

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peer")
DIALOGUES = sorted(glob.glob(os.path.join(PEER, "rules/*.txt")))


def play(*files):
    return subprocess.run(
        [sys.executable, os.path.join(PEER, "rules_side_by_side.py"),
         "--ours", *files], capture_output=True, text=True, timeout=180)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
def test_recorded_replies():
    done = play(*DIALOGUES)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{len(DIALOGUES)} dialogues" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
def test_name_servers_that_misbehave():
    """Garbage, no answer at all: the list has no say, and soon."""
    before = time.monotonic()
    done = play(*glob.glob(os.path.join(PEER, "rules/slow/*.txt")))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert time.monotonic() - before < 60


@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
def test_another_reply_is_noticed(tmp_path):
    with open(os.path.join(PEER, "rules/rbl.txt")) as file:
        text = file.read()
    path = tmp_path / "wrong.txt"
    path.write_text(text.replace("blocked using bare.test", "blocked using x"))
    done = play(str(path))
    assert done.returncode == 1
    assert "differ: wrong" in done.stdout


def test_every_restriction_has_a_function():
    """lib/smtp/restriction.c has the facts, smtpd_rules.c what each does."""
    top = os.path.join(PEER, "../..")
    names = []
    for path in ("lib/smtp/restriction.c", "smtpd/smtpd_rules.c"):
        with open(os.path.join(top, path)) as file:
            names.append(sorted(re.findall(r'^    \{"(\w+)"', file.read(),
                                           re.M)))
    assert names[0] == names[1]
    assert len(names[0]) > 70
