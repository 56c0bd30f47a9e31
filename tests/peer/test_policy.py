# SPDX-License-Identifier: MIT
"""Policy servers: a scripted one beside Postfix, postgrey, policyd-spf."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import pytest

import oracle
import postrider
from policy_server import HANG, PolicyServer

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")
def test_same_as_postfix():
    oracle.root()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "policy_side_by_side.py")],
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def ask(mta, sender="a@remote.example", rcpt="bob@example.com"):
    with mta.smtp() as s:
        s.ehlo()
        s.mail(sender)
        code, text = s.rcpt(rcpt)
        return code, text.decode()


def settings(rule, **more):
    return dict(more, local_recipient_maps="",
                smtpd_recipient_restrictions="check_policy_service " + rule)


def test_what_follows_a_reply_is_no_answer():
    two = b"action=DUNNO\n\naction=REJECT\n\n"
    with PolicyServer(lambda request, n: two) as server, \
            postrider.Instance(main=settings(f"unix:{server.path}")) as mta:
        with mta.smtp() as s:
            s.ehlo()
            s.mail("a@remote.example")
            for _ in range(3):
                assert s.rcpt("bob@example.com")[0] == 250
        assert server.connections == 3


def test_kept_and_made_again():
    with PolicyServer() as server, postrider.Instance(
            main=settings(f"inet:localhost:{server.port}",
                          smtpd_policy_service_retry_delay="10s")) as mta:
        with mta.smtp() as s:
            s.ehlo()
            s.mail("a@remote.example")
            assert s.rcpt("bob@example.com")[0] == 250
            assert s.rcpt("bob@example.com")[0] == 250
            assert server.connections == 1
            server.drop()
            time.sleep(0.2)
            start = time.monotonic()
            assert s.rcpt("bob@example.com")[0] == 250
            assert time.monotonic() - start < 5
        assert server.connections == 2


def test_endless_and_slow_replies_are_bounded():
    """A reply without end; and one byte at a time, which a limit per read
    would not end."""
    with PolicyServer(lambda request, n: b"x=" + b"y" * 2000000) as endless, \
            socket.create_server(("127.0.0.1", 0)) as slow:
        pid = os.fork()
        if pid == 0:
            while True:
                peer = slow.accept()[0]
                try:
                    while True:
                        peer.sendall(b"x")
                        time.sleep(0.1)
                except OSError:
                    pass
        try:
            rule = ("{{ inet:127.0.0.1:{}, timeout=1s, try_limit=1, "
                    "default_action=DUNNO }}")
            rules = rule.format(endless.port) + ", check_policy_service " + \
                rule.format(slow.getsockname()[1])
            with postrider.Instance(main=settings(rules)) as mta:
                start = time.monotonic()
                assert ask(mta)[0] == 250
                assert time.monotonic() - start < 8
                log = mta.log()
                assert log.count("problem talking to server") == 2
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def test_hanging_server_leaves_others_alone():
    with PolicyServer(lambda request, n: HANG) as server, \
            postrider.Instance(main=settings(
                f"unix:{server.path}",
                smtpd_policy_service_timeout="3s",
                smtpd_policy_service_try_limit="1")) as mta:
        assert ask(mta)[0] == 451
        assert "451 4.3.5 <bob@example.com>: Recipient address rejected: " \
            "Server configuration problem" in mta.log()


def wait_port(port, process):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, "the policy server ended"
            time.sleep(0.1)
    raise AssertionError("the policy server does not listen")


@pytest.mark.slow
def test_postgrey():
    program = shutil.which("postgrey", path="/usr/sbin:/usr/bin")
    if not program:
        pytest.skip("no postgrey")
    port = postrider.free_port()
    folder = tempfile.mkdtemp(prefix="postgrey-")
    log = open(os.path.join(folder, "log"), "w")
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        os.chmod(folder, 0o755)
        shutil.chown(folder, user, "nogroup")
    open(os.path.join(folder, "none"), "w").close()
    command = [program, f"--inet=127.0.0.1:{port}", f"--dbdir={folder}",
               "--delay=2", f"--whitelist-clients={folder}/none",
               f"--whitelist-recipients={folder}/none",
               f"--pidfile={folder}/pid"]
    if user:
        command += [f"--user={user}", "--group=nogroup"]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_port(port, process)
        with postrider.Instance(
                main=settings(f"inet:127.0.0.1:{port}")) as mta:
            code, text = ask(mta)
            assert code == 450 and "Greylisted" in text, text
            time.sleep(2.5)
            assert ask(mta)[0] == 250
    finally:
        process.terminate()
        process.wait()
        log.close()
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="spawn(8) changes uid")
def test_policyd_spf():
    """The package with its command wants Debian's Postfix: a line of ours
    does what that command does."""
    module = "/usr/lib/python3/dist-packages/spf_engine/policyd_spf.py"
    if not os.path.exists(module):
        pytest.skip("no python3-spf-engine")
    folder = tempfile.mkdtemp(prefix="postrider-spf-")
    os.chmod(folder, 0o755)
    program, conf = f"{folder}/policyd-spf", f"{folder}/policyd-spf.conf"
    with open(conf, "w") as out:
        out.write("debugLevel = 1\nHELO_reject = Fail\nMail_From_reject = Fail\n"
                  "skip_addresses = 127.0.0.0/8\n")
    with open(program, "w") as out:
        out.write("#!/usr/bin/python3\nimport sys\n"
                  "from spf_engine.policyd_spf import main\n"
                  f"sys.argv = ['policyd-spf', '{conf}']\nsys.exit(main())\n")
    os.chmod(program, 0o755)
    try:
        ask_policyd_spf(program)
    finally:
        shutil.rmtree(folder)


def ask_policyd_spf(program):
    main = settings("unix:private/policyd-spf",
                    **{"policyd-spf_time_limit": "3600"})
    line = ("policyd-spf unix - n n - 0 spawn user=nobody "
            f"argv={program}")
    with postrider.Instance(main=main,
                            master={"policyd-spf unix": line}) as mta:
        code, text = ask(mta, sender="")
        assert code == 250, text
        with mta.smtp() as s:
            s.ehlo()
            s.mail("a@remote.example")
            s.rcpt("bob@example.com")
            s.data(b"Subject: x\n\nx\n")
        assert "problem talking" not in mta.log()
