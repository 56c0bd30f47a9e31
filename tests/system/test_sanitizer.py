# SPDX-License-Identifier: MIT
"""On a build with sanitizers: a report of any program becomes a file, or a run
of `make check-asan` without one would say nothing.

A daemon that gets SIGSEGV reports as it does at a mistake of its own."""
import os
import shutil
import signal
import subprocess
import time

import pytest

import buildtree
import host
import postrider

pytestmark = pytest.mark.skipif(buildtree.MODE != "asan",
                                reason="a build without ASan")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = "65534"


def take_report(name, pid, end=""):
    """The text of that process's report, which was meant to come."""
    path = os.path.join(buildtree.reports(), f"report.{name}.{pid}{end}")
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{pid}") or not os.path.exists(path):
        assert time.monotonic() < deadline, os.listdir(buildtree.reports())
        time.sleep(0.05)
    with open(path) as report:
        text = report.read()
    os.unlink(path)
    return text


@pytest.mark.parametrize("what,text", [
    ("heap", "AddressSanitizer: heap-buffer-overflow"),
    ("undefined", "signed integer overflow"),
    ("leak", "LeakSanitizer: detected memory leaks")])
def test_mistakes(what, text):
    path = buildtree.helper("tests/system/broken")
    child = subprocess.Popen([path, what], stderr=subprocess.DEVNULL)
    assert child.wait(60) != 0
    assert text in take_report("broken", child.pid)


def serve_somebody(mta):
    with mta.smtp() as smtp:
        smtp.noop()
    mta.command("postqueue", "-p")


@as_root
@pytest.mark.parametrize("chroot", ["n", "y"])
def test_daemons(chroot):
    port = postrider.free_port()
    lines = {"smtp inet": f"127.0.0.1:{port} inet n - {chroot} - - smtpd",
             "qmgr unix": f"qmgr unix n - {chroot} 300 1 qmgr"}
    with postrider.Instance(port=port, master=lines) as mta:
        serve_somebody(mta)
        pids = {name: mta.pids(name)[-1]
                for name in ("smtpd", "qmgr", "pickup", "master")}
        for pid in pids.values():
            os.kill(pid, signal.SIGSEGV)
        mta.master.wait(20)
    for name, pid in pids.items():
        inside = chroot == "y" and name in ("smtpd", "qmgr")
        report = take_report(name, pid, ".chroot" if inside else "")
        assert "AddressSanitizer: SEGV" in report


@as_root
def test_set_gid_program(tmp_path):
    for path in [tmp_path, *tmp_path.parents][:3]:
        os.chmod(path, 0o755)
    program = tmp_path / "broken"
    shutil.copy(buildtree.helper("tests/system/broken"), program)
    shutil.chown(program, "root", postrider.mail_owner()[1])
    os.chmod(program, 0o2755)
    child = subprocess.Popen(
        ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups",
         program, "heap"], stderr=subprocess.DEVNULL, env={})
    assert child.wait(60) != 0
    assert "heap-buffer-overflow" in take_report("broken", child.pid)


def test_copy_of_the_host():
    before = set(os.listdir(buildtree.reports()))
    host.run("""
install_postrider
postfix start
wait_for 20 postqueue -p
kill -SEGV $(pgrep -x qmgr)
sleep 1
postfix abort
""")
    new = set(os.listdir(buildtree.reports())) - before
    assert any(name.startswith("report.qmgr.") for name in new), new
    for name in new:
        take_report(*name.split(".")[1:])
