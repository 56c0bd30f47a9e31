# SPDX-License-Identifier: MIT
"""A mixed day of mail under Debian's Postfix and under Postrider: the programs
that read logs find the same in both."""
import collections
import difflib
import os
import re
import shutil
import subprocess
import sys

import pytest

import oracle
from buildtree import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
FILTER = "/etc/fail2ban/filter.d/postfix.conf"
# What is said about the suite's own start and structure.
INTERNAL = re.compile(
    r"postfix/(master|postfix-script|anvil|scache|postlogd|resolver)\[|"
    r"postfix/cleanup\[.*(queue file size limit exceeded|close error)")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Paths of the two logs."""
    if os.geteuid() != 0:
        pytest.skip("needs root for namespaces")
    oracle.root()
    out = str(tmp_path_factory.mktemp("logs"))
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "logs_side_by_side.py"), out],
        capture_output=True, text=True, timeout=180 * PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [os.path.join(out, name)
            for name in ("postfix.log", "postrider.log")]


def lines(path):
    """Sorted, without times, ids, and what depends on them."""
    with open(path, encoding="utf-8") as log:
        kept = [line.rstrip("\n") for line in log
                if "postfix/" in line and not INTERNAL.search(line)]
    ids = set(re.findall(r"\[\d+\]: (\w+): (?:client=|uid=|from=|message-id)",
                         "\n".join(kept)))
    out = []
    for line in kept:
        text = re.sub(r"^.*?(postfix/[\w/-]+)\[\d+\]: ", r"\1: ", line)
        text = re.sub(r"\w+", lambda m: "QID" if m[0] in ids else m[0], text)
        text = re.sub(r" delay=[^,]*, delays=[^,]*,", "", text)
        text = re.sub(r"size=(\d+)", "size=N", text)
        text = re.sub(r"/Maildir/tmp/\S+:", "/Maildir/tmp/FILE:", text)
        out.append(text)
    return sorted(out)


def test_same_lines(logs):
    theirs, ours = (lines(path) for path in logs)
    diff = list(difflib.unified_diff(theirs, ours, "Postfix", "Postrider",
                                     lineterm="", n=0))
    assert not diff, "\n".join(diff)
    assert len(theirs) > 250


def sizes(path):
    """Of messages that came from outside, without the queue id in them."""
    with open(path, encoding="utf-8") as log:
        return sorted(
            (sender, int(size) - len(queue_id)) for queue_id, sender, size in
            re.findall(r": (\w+): from=<(.+)>, size=(\d+),", log.read()))


def test_same_sizes(logs):
    theirs, ours = (sizes(path) for path in logs)
    assert [sender for sender, _ in ours] == [sender for sender, _ in theirs]
    wrong = [pair for pair in zip(theirs, ours) if pair[0] != pair[1]]
    # What an alias forwards has the id of its first life in it, too.
    assert len(wrong) <= 1 and all(abs(a[1] - b[1]) < 6 for a, b in wrong)
    assert len(theirs) > 20


def summary(path, *options):
    """The sections of pflogsumm's report."""
    done = subprocess.run(["pflogsumm", *options, path], text=True,
                          capture_output=True, timeout=60, check=True)
    assert not done.stderr, done.stderr
    sections, name = {}, ""
    for line in done.stdout.split("\n"):
        if re.match(r"\w", line) and line != "messages":
            name = line
        elif line.strip() and not line.startswith("-"):
            sections.setdefault(name, []).append(line)
    return sections


@pytest.mark.skipif(not shutil.which("pflogsumm"),
                    reason="pflogsumm is not installed")
def test_pflogsumm(logs):
    theirs, ours = (summary(path, "--smtpd-stats") for path in logs)

    def counts(report):
        """Name: number, of the grand totals."""
        out = {}
        for line in report["Grand Totals"]:
            words = re.match(r" +(\d+[km]?) +([a-z ()]+?)(?: +\(|$)", line)
            if words:
                out[words[2]] = words[1]
        return out

    want, have = counts(theirs), counts(ours)
    # Queue ids differ in length, and notices are in other words.
    for key, slack in (("bytes received", 200), ("bytes delivered", 2000)):
        assert abs(int(have.pop(key)) - int(want.pop(key))) < slack
    assert have == want
    assert int(want["received"]) > 30 and int(want["rejected"]) > 10
    assert int(want["deferred"]) > 3 and int(want["bounced"]) > 5

    def same(section):
        return [sorted(re.sub(r"\d+\.\d s +\d+\.\d s|: *\d+:\d\d:\d\d", "", x)
                       for x in report.get(section, ()))
                for report in (theirs, ours)]

    for section in theirs:
        if re.match(r"message (deferral|bounce|reject|hold|discard)|"
                    r"Recipients by message count|"
                    r"Senders by message count", section):
            want, have = same(section)
            assert have == want, section
    assert any("message reject detail" in section for section in theirs)


def fail2ban(path, mode):
    """Lines and matches, and which hosts were found how often."""
    done = subprocess.run(
        ["fail2ban-regex", "-o", "ip", path, f"{FILTER}[mode={mode}]"],
        text=True, capture_output=True, timeout=60, check=False)
    assert not done.stderr, done.stderr
    return collections.Counter(done.stdout.split())


@pytest.mark.skipif(not shutil.which("fail2ban-regex"),
                    reason="fail2ban is not installed")
@pytest.mark.parametrize("mode", ["more", "normal", "auth", "rbl", "ddos",
                                  "extra", "errors", "aggressive"])
def test_fail2ban(logs, mode):
    theirs, ours = (fail2ban(path, mode) for path in logs)
    assert ours == theirs
    if mode not in ("auth", "rbl"):
        assert sum(theirs.values()) > 0
