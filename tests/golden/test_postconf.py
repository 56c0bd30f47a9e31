# SPDX-License-Identifier: MIT
"""postconf on small configurations, to the byte.

postconf/NAME.main.cf (and .master.cf) is the configuration, postconf/NAME.out
the commands with what they must print: "$ postconf ARGS", standard output,
"! " and each line of standard error (sorted), "? " and the exit status, and
after an edit "@ FILE" and its new text. The expected output was made with
Debian's Postfix 3.7.11 and then read: where it differs from that, it is meant.
"""
import glob
import os
import shlex
import subprocess

import pytest

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "postconf")
CASES = sorted(os.path.basename(f)[:-4] for f in glob.glob(HERE + "/*.out"))
POSTCONF = os.path.join(os.environ["B"], "sbin", "postconf")


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as f:
        return f.read()


def run(folder, files, command):
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if k != "MAIL_CONFIG"}
    env["LC_ALL"] = "C"
    p = subprocess.run([POSTCONF, "-c", str(folder)] + shlex.split(command),
                       env=env, capture_output=True, text=True, timeout=30)
    where = {str(folder): "DIR", POSTCONF: "postconf"}
    out, err = p.stdout, p.stderr
    for old, new in where.items():
        out, err = out.replace(old, new), err.replace(old, new)
    text = f"$ postconf {command}\n{out}"
    text += "".join(f"! {line}\n" for line in sorted(set(err.splitlines())))
    text += f"? {p.returncode}\n"
    for name, old in files.items():
        new = (folder / name).read_text(encoding="utf-8")
        if new != old:
            text += f"@ {name}\n" + new.rstrip("\n") + "\n"
    return text


@pytest.mark.parametrize("case", CASES)
def test_postconf(case, tmp_path):
    files = {name: read(os.path.join(HERE, f"{case}.{name}"))
             for name in ("main.cf", "master.cf")}
    want = read(os.path.join(HERE, case + ".out"))
    commands = [line[len("$ postconf "):] for line in want.splitlines()
                if line.startswith("$ postconf ")]
    got = "".join(run(tmp_path, files, c) for c in commands)
    assert commands
    assert got == want


def test_there_are_cases():
    assert len(CASES) > 40


def test_edit_keeps_mode_and_link(tmp_path):
    real = tmp_path / "real.cf"
    real.write_text("foo = 1\n")
    real.chmod(0o640)
    (tmp_path / "main.cf").symlink_to(real)
    subprocess.run([POSTCONF, "-c", str(tmp_path), "-e", "foo=2"], check=True)
    assert real.read_text() == "foo = 2\n"
    assert real.stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "main.cf").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["main.cf", "real.cf"]


def test_edit_ends_the_last_line_first(tmp_path):
    (tmp_path / "main.cf").write_text("foo = 1")
    subprocess.run([POSTCONF, "-c", str(tmp_path), "bar=2"], check=True)
    assert (tmp_path / "main.cf").read_text() == "foo = 1\nbar = 2\n"


def test_defaults_need_no_main_cf(tmp_path):
    p = subprocess.run([POSTCONF, "-c", str(tmp_path), "-dh", "mail_version"],
                       capture_output=True, text=True)
    assert (p.returncode, p.stdout) == (0, "3.7.11\n")
    p = subprocess.run([POSTCONF, "-c", str(tmp_path), "-n"],
                       capture_output=True, text=True)
    assert p.returncode == 1
    assert "fatal: open" in p.stderr


def test_lists():
    def words(option):
        return subprocess.run([POSTCONF, option], capture_output=True,
                              text=True, check=True).stdout.split()
    assert words("-l") == ["flock", "fcntl", "dotlock"]
    assert words("-a") == ["cyrus", "dovecot"]
    assert words("-A") == ["cyrus"]
    assert {"hash", "btree", "regexp", "static"} <= set(words("-m"))
