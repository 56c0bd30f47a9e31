# SPDX-License-Identifier: MIT
"""Debian's postmap: the golden answers are its, and files are exchanged."""
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "golden"))

import buildtree  # noqa: E402
import oracle  # noqa: E402
import postmap_cases  # noqa: E402

GOLDEN = os.path.join(os.path.dirname(HERE), "golden", "postmap.json")


def ours(name):
    return os.path.join(os.environ["B"], "sbin", name)


def needs_a_module(argv):
    """Types that Debian has in packages of their own."""
    return any(a.startswith(("pcre:", "lmdb:")) for a in argv)


# Its commands wait a second before they end with a fatal error.
@pytest.mark.slow
@pytest.mark.skipif(buildtree.SANITIZED, reason="nothing of ours runs")
def test_golden_is_right(tmp_path):
    oracle.root()
    config = postmap_cases.prepare(str(tmp_path))
    with open(os.path.join(config, "dynamicmaps.cf"), "w"):
        pass
    with open(GOLDEN, encoding="utf-8") as file:
        golden = json.load(file)

    def differs(case):
        (argv, stdin, unordered), (_, want) = case
        path, env = oracle.command(argv[0])
        got = postmap_cases.run(path, config, argv[1:], stdin, unordered, env)
        return got != want and (argv, stdin, "golden", want, "oracle", got)

    cases = [c for c in zip(postmap_cases.cases(), golden)
             if not needs_a_module(c[0][0])]
    # Tables that are no files know no before and after.
    free = [c for c in cases if c[0][0][-1] in postmap_cases.SPECS]
    with ThreadPoolExecutor(8) as pool:
        differ = list(filter(None, pool.map(differs, free)))
    differ += filter(None, map(differs, [c for c in cases if c not in free]))
    assert not differ


def keys(n):
    return {f"user{i}@host{i % 97}.example.com": f"value {i} " + "x" * (i % 50)
            for i in range(n)}


@pytest.mark.parametrize("kind", ["hash", "btree"])
@pytest.mark.parametrize("flags", [[], ["-n"], ["-N"]])
def test_files_are_exchanged(tmp_path, kind, flags):
    oracle.root()
    config = postmap_cases.prepare(str(tmp_path))
    work = os.path.join(str(tmp_path), "work")
    entries = keys(1000)
    with open(os.path.join(work, "t"), "w") as file:
        for key, value in entries.items():
            file.write(f"{key} {value}\n")
    path, env = oracle.command("postmap")
    for maker, maker_env, reader, reader_env in (
            (path, env, ours("postmap"), None),
            (ours("postmap"), None, path, env)):
        made = subprocess.run([maker, "-c", config, *flags, f"{kind}:t"],
                              cwd=work, env=maker_env, capture_output=True)
        assert (made.returncode, made.stderr) == (0, b"")
        got = subprocess.run([reader, "-c", config, "-q", "-", f"{kind}:t"],
                             cwd=work, env=reader_env, capture_output=True,
                             text=True, input="\n".join(entries) + "\nno\n")
        want = "".join(f"{k}\t{v.rstrip()}\n" for k, v in entries.items())
        assert got.stdout == want
        assert got.returncode == 0
        # And both may change it.
        for changer, changer_env in ((path, env), (ours("postmap"), None)):
            subprocess.run([changer, "-c", config, "-i", *flags, f"{kind}:t"],
                           cwd=work, env=changer_env, check=True,
                           input=b"added yes\n", capture_output=True)
            gone = subprocess.run([reader, "-c", config, "-d", "added",
                                   f"{kind}:t"], cwd=work, env=reader_env,
                                  capture_output=True, text=True)
            assert (gone.returncode, gone.stderr) == (0, "")


def test_alias_databases(tmp_path):
    oracle.root()
    config = postmap_cases.prepare(str(tmp_path))
    work = os.path.join(str(tmp_path), "work")
    path, env = oracle.command("postalias")
    answers = []
    for program, program_env in ((path, env), (ours("postalias"), None)):
        subprocess.run([program, "-c", config, "al"], cwd=work,
                       env=program_env, check=True, capture_output=True)
        lines = subprocess.run([path, "-c", config, "-s", "al"], cwd=work,
                               env=env, check=True, capture_output=True,
                               text=True).stdout.split("\n")
        answers.append([line for line in lines if "YP_LAST" not in line])
    assert answers[0] == answers[1]
    assert "YP_MASTER_NAME:\tmx.example.org" in answers[0]
