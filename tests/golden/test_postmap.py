# SPDX-License-Identifier: MIT
"""postmap and postalias against what Postfix is known to answer."""
import json
import os
import stat
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import postmap_cases  # noqa: E402


def program(name):
    return os.path.join(os.environ["B"], "sbin", name)


def test_same_answers(tmp_path):
    with open(os.path.join(HERE, "postmap.json"), encoding="utf-8") as file:
        golden = json.load(file)
    config = postmap_cases.prepare(str(tmp_path))
    cases = postmap_cases.cases()
    assert len(cases) == len(golden)
    differ = []
    for (argv, stdin, unordered), (known_argv, want) in zip(cases, golden):
        assert argv == known_argv, "postmap.json is not of these cases"
        got = postmap_cases.run(program(argv[0]), config, argv[1:], stdin,
                                unordered)
        if got != want:
            differ.append((argv, stdin, "want", want, "got", got))
    assert not differ


@pytest.fixture
def config(tmp_path):
    return postmap_cases.prepare(str(tmp_path))


def make(config, *argv, **kw):
    return subprocess.run([program("postmap"), "-c", config, *argv],
                          cwd=os.path.join(os.path.dirname(config), "work"),
                          capture_output=True, text=True, **kw)


@pytest.mark.parametrize("source,want", [
    (0o664, 0o644), (0o666, 0o644), (0o444, 0o644), (0o640, 0o640),
    (0o604, 0o604), (0o600, 0o600)])
def test_mode_follows_the_source(config, source, want):
    work = os.path.join(os.path.dirname(config), "work")
    os.chmod(f"{work}/a", source)
    assert make(config, "a", umask=0o077).returncode == 0
    assert stat.S_IMODE(os.stat(f"{work}/a.db").st_mode) == want
    os.unlink(f"{work}/a.db")
    assert make(config, "-p", "a", umask=0o077).returncode == 0
    assert stat.S_IMODE(os.stat(f"{work}/a.db").st_mode) == 0o644
    # An existing table keeps its own.
    os.chmod(f"{work}/a.db", 0o660)
    assert make(config, "a").returncode == 0
    assert stat.S_IMODE(os.stat(f"{work}/a.db").st_mode) == 0o660
    assert sorted(n for n in os.listdir(work) if n.startswith("a.")) == ["a.db"]


@pytest.mark.skipif(os.getuid() != 0, reason="changes owners")
def test_owner_of_the_source(config):
    work = os.path.join(os.path.dirname(config), "work")
    os.chmod(os.path.dirname(config), 0o755)
    os.chown(f"{work}/a", 1, 8)
    got = make(config, "a")
    assert got.returncode == 1
    assert "open database a.db: Permission denied" in got.stderr
    assert make(config, "-o", "a").returncode == 0
    assert os.stat(f"{work}/a.db").st_uid == 0
    # In a folder that is not his he writes his own file in place.
    os.chown(f"{work}/a.db", 1, 8)
    before = os.stat(f"{work}/a.db").st_ino
    assert make(config, "a").returncode == 0
    assert os.stat(f"{work}/a.db").st_ino == before
    os.unlink(f"{work}/a.db")
    os.chown(work, 1, 8)
    assert make(config, "a").returncode == 0
    got = os.stat(f"{work}/a.db")
    assert (got.st_uid, got.st_gid) == (1, 8)


def test_symbolic_link_stays(config):
    work = os.path.join(os.path.dirname(config), "work")
    os.mkdir(f"{work}/real")
    with open(f"{work}/real/t", "wb"):
        pass
    os.symlink("real/t", f"{work}/a.db")
    got = make(config, "a")
    assert got.stderr == (
        "postmap: warning: removing zero-length database file: a.db\n")
    assert os.path.islink(f"{work}/a.db")
    assert make(config, "-q", "foo", "a").stdout == "bar\n"


def test_parallel_updates_all_count(config):
    assert make(config, "a").returncode == 0
    work = os.path.join(os.path.dirname(config), "work")
    running = []
    for i in range(8):
        # From a file: who has the lock must not wait for us.
        with open(f"{work}/in{i}", "w+") as entries:
            entries.write(f"par{i} v\n")
            entries.seek(0)
            running.append(subprocess.Popen(
                [program("postmap"), "-c", config, "-i", "a"], cwd=work,
                stdin=entries))
    for child in running:
        assert child.wait(60) == 0
    listed = make(config, "-s", "a").stdout
    assert [i for i in range(8) if f"par{i}\tv\n" not in listed] == []


def test_failed_build_leaves_the_old_table(config):
    work = os.path.join(os.path.dirname(config), "work")
    assert make(config, "a").returncode == 0
    with open(f"{work}/a", "w") as source:
        for i in range(20000):
            source.write(f"key{i} value\n")
    got = subprocess.run(
        ["sh", "-c", 'ulimit -f 100; trap "" XFSZ; exec "$@"', "sh",
         program("postmap"), "-c", config, "a"], cwd=work,
        capture_output=True, text=True)
    assert got.returncode == 1
    assert "fatal: " in got.stderr
    assert make(config, "-q", "foo", "a").stdout == "bar\n"
