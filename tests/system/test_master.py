# SPDX-License-Identifier: MIT
"""The supervisor: processes on demand, throttling, reload, stop."""
import glob
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import postrider
import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
ROOT = os.geteuid() == 0
USERS = [None, "nobody"] if ROOT else [None]


@pytest.fixture(params=USERS, ids=lambda user: user or "self")
def mta(request):
    with postrider.Instance(user=request.param) as instance:
        yield instance


def wait_until(condition, timeout=10):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def greeting(port, timeout=10):
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        return s.recv(200)


def alive(pid):
    """Does it run? (What waits for its parent's wait() does not.)"""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    except ConnectionRefusedError:
        return False


def touch(mta, path):
    """Connect to a service's UNIX socket and leave."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.path.join(mta.queue_directory, path))


def test_starts_on_demand(mta):
    assert mta.pids("smtpd") == []
    assert greeting(mta.port).startswith(b"220 ")
    parent, *workers = mta.pids("smtpd")
    assert workers
    argv = mta.processes()[parent].split()
    assert argv[1:4] == ["-n", f"127.0.0.1:{mta.port}", "-t"]


def test_queue_manager_runs_from_the_start(mta):
    wait_until(lambda: mta.pids("qmgr") and mta.pids("pickup"))


def test_children_have_no_descriptors_of_master(mta):
    assert greeting(mta.port).startswith(b"220 ")
    own = {os.readlink(f) for f in glob.glob(f"/proc/{mta.pid}/fd/*")
           if "master." in os.readlink(f)}
    assert len(own) == 2  # the two lock files
    sockets = {os.readlink(f) for f in glob.glob(f"/proc/{mta.pid}/fd/*")
               if os.readlink(f).startswith("socket:")}
    for pid in mta.pids("smtpd") + mta.pids("qmgr"):
        theirs = {int(os.path.basename(f)): os.readlink(f)
                  for f in glob.glob(f"/proc/{pid}/fd/*")}
        assert not own & set(theirs.values())
        # Of master's sockets only the one that it listens on, as number 4.
        shared = {n for n, name in theirs.items() if name in sockets}
        assert shared == {4}, theirs


def test_processes_have_the_uid_of_the_queue(mta):
    assert greeting(mta.port).startswith(b"220 ")
    owner = os.stat(os.path.join(mta.queue_directory, "active")).st_uid
    for pid in mta.pids("smtpd") + mta.pids("qmgr"):
        with open(f"/proc/{pid}/status") as f:
            status = f.read()
        uids = re.search(r"^Uid:(.*)$", status, re.M).group(1).split()
        assert uids == [str(owner)] * 4
        assert re.search(r"^NoNewPrivs:\s*1$", status, re.M)


def test_pid_file(mta):
    path = os.path.join(mta.queue_directory, "pid/master.pid")
    with open(path) as f:
        assert f.read() == "%32d\n" % mta.pid
    again = subprocess.run([os.path.join(mta.b, "libexec/master"), "-d",
                            "-c", mta.config], env=mta.env,
                           preexec_fn=mta._become, timeout=20)
    assert again.returncode == 1
    mta.wait_log("fatal: open lock file pid/master.pid: "
                 "unable to set exclusive lock")
    test = [os.path.join(mta.b, "libexec/master"), "-t", "-c", mta.config]
    assert subprocess.run(test, preexec_fn=mta._become).returncode == 1
    mta.stop()
    assert subprocess.run(test, preexec_fn=mta._become).returncode == 0


def test_unknown_program_is_throttled():
    line = "broken unix - - n - - no-such-program"
    with postrider.Instance(master={"broken unix": line}) as mta:
        for _ in range(3):
            touch(mta, "private/broken")
            time.sleep(0.1)
        mta.wait_log("no-such-program: bad command startup -- throttling")
        attempts = r"fatal: master_spawn: exec .*/no-such-program: No such"
        assert len(re.findall(attempts, mta.log())) == 1
        # service_throttle_time later it is tried again: clients wait still.
        mta.wait_log(attempts, 10, count=2)


def test_lines_without_process():
    lines = {"tlsmgr unix": "tlsmgr unix - - n 1000? 1 tlsmgr",
             "spam unix": "spam unix - n n - - qmqpd"}
    with postrider.Instance(master=lines) as mta:
        assert not os.path.exists(
            os.path.join(mta.queue_directory, "private/tlsmgr"))
        assert "tlsmgr" not in mta.log()
        assert len(re.findall("warning: .*spam.*qmqpd", mta.log())) == 1


def test_old_fifo_lines():
    lines = {"qmgr unix": None, "pickup unix": None,
             "qmgr fifo": "qmgr fifo n - n 300 1 qmgr",
             "pickup fifo": "pickup fifo n - n 60 1 pickup"}
    with postrider.Instance(master=lines) as mta:
        wait_until(lambda: mta.pids("qmgr") and mta.pids("pickup"))
        mode = os.stat(os.path.join(mta.queue_directory, "public/qmgr"))
        assert stat.S_ISSOCK(mode.st_mode)


def test_queue_manager_of_another_name():
    lines = {"qmgr unix": "boss unix n - n 300 1 qmgr",
             "other fifo": "other fifo n - n 300 1 qmgr"}
    main = {"queue_service_name": "boss", "maximal_backoff_time": "4000s",
            "default_transport": "retry:not now"}
    with postrider.Instance(main=main, master=lines) as mta:
        assert len(re.findall("warning: .*other fifo: .* boss ",
                              mta.log())) == 1
        # Well before the scan that finds what qmgr was not told.
        mta.sendmail("someone@example.net", "Subject: x\n\nx\n")
        mta.wait_log("status=deferred", 30)
        assert len(mta.pids("qmgr")) == 1
        assert mta.run("postqueue", "-f").returncode == 0
        mta.wait_log("status=deferred", 30, count=2)
        assert mta.run("postsuper", "-d", "ALL").returncode == 0
        mta.wait_queue(0)


class Hammer(threading.Thread):
    """Connects again and again; every client must be greeted."""

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.failed = []
        self.served = 0
        self.done = threading.Event()
        self.start()

    def run(self):
        while not self.done.is_set():
            try:
                if greeting(self.port).startswith(b"220 "):
                    self.served += 1
                else:
                    self.failed.append("no greeting")
            except OSError as err:
                self.failed.append(repr(err))

    def finish(self):
        self.done.set()
        self.join()


def test_reload_refuses_nobody(mta):
    greeting(mta.port)
    before = mta.pids("smtpd")
    clients = [Hammer(mta.port) for _ in range(4)]
    for _ in range(5):
        mta.reload()
        time.sleep(0.3)
    for client in clients:
        client.finish()
    assert [c.failed for c in clients] == [[]] * 4
    assert sum(c.served for c in clients) > 20
    wait_until(lambda: not set(before) & set(mta.pids("smtpd")))


def test_reloads_in_a_row(mta):
    """A process that is told to end right after it was forked must not be
    taken for master."""
    greeting(mta.port)
    before = len(os.listdir(f"/proc/{mta.pid}/fd"))
    for _ in range(30):
        mta.reload()
    assert greeting(mta.port).startswith(b"220 ")
    wait_until(lambda: len(mta.pids("smtpd")) <= 3)
    assert len(os.listdir(f"/proc/{mta.pid}/fd")) <= before + 2
    for bad in ("terminating", "throttling", "killed by", "exit status"):
        assert bad not in mta.log()


def test_reload_lets_a_client_finish(mta):
    with socket.create_connection(("127.0.0.1", mta.port)) as s:
        s.recv(200)
        old = mta.pids("smtpd")[0]
        mta.reload()
        greeting(mta.port)
        wait_until(lambda: mta.pids("smtpd") and
                   any(p not in (old,) for p in mta.pids("smtpd")))
        assert mta.pids("qmgr")
    wait_until(lambda: old not in mta.pids("smtpd"))


def test_reload_adds_and_removes_services(mta):
    other = postrider.free_port()
    old = mta.port
    assert is_open(old) and not is_open(other)
    client = socket.create_connection(("127.0.0.1", old))
    client.recv(200)  # its process still has the socket afterwards
    key = f"127.0.0.1:{old} inet"
    mta.lines[key] = f"127.0.0.1:{other} inet n - n - - smtpd"
    mta.write_master()
    mta.reload()
    wait_until(lambda: is_open(other))
    assert not is_open(old)
    client.sendall(b"NOOP\r\n")
    assert client.recv(200).startswith(b"250 ")
    client.close()
    assert greeting(other).startswith(b"220 ")


def test_reload_with_errors_keeps_what_is_there(mta):
    assert greeting(mta.port)
    mta.write_main(max_idle="nonsense")
    mta.reload()
    mta.wait_log("the old configuration stays in effect")
    assert greeting(mta.port).startswith(b"220 ")
    mta.write_main(max_idle="100s")
    mta.lines["bad"] = "bad unix x - n - - smtp"
    mta.write_master()
    mta.reload()
    mta.wait_log("error: .*master.cf")
    assert greeting(mta.port).startswith(b"220 ")
    refused = mta.postfix("reload")
    assert refused.returncode == 1


@pytest.mark.parametrize("which", ["parent", "worker"])
def test_killed_service_comes_back(mta, which):
    greeting(mta.port)
    pids = mta.pids("smtpd")
    victim = pids[0] if which == "parent" else pids[-1]
    os.kill(victim, signal.SIGKILL)
    mta.wait_log(f"smtpd pid {victim} killed by signal 9")
    assert greeting(mta.port).startswith(b"220 ")
    assert "throttling" not in mta.log()
    queue_manager = mta.pids("qmgr")[0]
    os.kill(queue_manager, signal.SIGKILL)
    wait_until(lambda: mta.pids("qmgr") not in ([], [queue_manager]))


def test_idle_processes_end():
    with postrider.Instance(main={"max_idle": "1s"}) as mta:
        greeting(mta.port)
        assert mta.pids("smtpd")
        wait_until(lambda: not mta.pids("smtpd"))
        assert greeting(mta.port).startswith(b"220 ")


def test_process_limit():
    line = "127.0.0.1:{} inet n - n - 2 smtpd"
    port = postrider.free_port()
    with postrider.Instance(port=port, master={
            "smtp inet": line.format(port)}) as mta:
        clients = [socket.create_connection(("127.0.0.1", port))
                   for _ in range(3)]
        assert clients[0].recv(200) and clients[1].recv(200)
        clients[2].settimeout(0.5)
        with pytest.raises(TimeoutError):
            clients[2].recv(200)
        mta.wait_log('warning: service .* has reached its process limit "2": '
                     "new clients may experience noticeable delays")
        assert len(mta.pids("smtpd")) == 3
        clients[0].close()
        clients[2].settimeout(10)
        assert clients[2].recv(200).startswith(b"220 ")
        for client in clients:
            client.close()


def test_stop_ends_everything(mta):
    greeting(mta.port)
    session = mta.processes()
    started = time.monotonic()
    done = mta.postfix("stop")
    mta.master.wait(20)
    assert done.returncode == 0
    assert time.monotonic() - started < 4
    assert mta.master.returncode == 0
    assert not is_open(mta.port)
    wait_until(lambda: not any(alive(p) for p in session))
    assert "terminating on signal 15" in mta.log()
    for verb in ("stop", "reload", "status", "abort"):
        assert mta.postfix(verb).returncode == 1


def test_death_of_master_ends_everything(mta):
    greeting(mta.port)
    session = mta.processes()
    os.kill(mta.pid, signal.SIGKILL)
    mta.master.wait()
    wait_until(lambda: not any(alive(p) for p in session))


def test_postfix_start_and_stop(mta):
    mta.stop()
    mta.command("postfix", "-c", mta.config, "start", check=True)
    try:
        with open(os.path.join(mta.queue_directory, "pid/master.pid")) as f:
            pid = int(f.read())
        assert os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "master"
        assert os.getpgid(pid) == pid
        assert mta.postfix("status").returncode == 0
        assert mta.postfix("start").returncode == 1
        assert greeting(mta.port).startswith(b"220 ")
        mta.wait_log(r"postfix/postfix-script\[\d+\]: the Postfix mail "
                     f"system is running: PID: {pid}$")
    finally:
        assert mta.postfix("abort").returncode == 0
    wait_until(lambda: not alive(pid))
    wait_until(lambda: not is_open(mta.port))


def test_log_rotation(mta):
    mta.write_main(maillog_file_compressor="")
    greeting(mta.port)
    wait_until(lambda: mta.pids("postlogd"))
    assert mta.postfix("logrotate").returncode == 0
    rotated = glob.glob(mta.logfile + ".*")
    assert len(rotated) == 1
    mta.command("postlog", "-t", "mytag", "-p", "warn", "after", "rotation")
    found = mta.wait_log(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d test "
                         r"mytag\[\d+\]: warning: after rotation$")
    assert found
    with open(rotated[0]) as f:
        assert "daemon started" in f.read()
    assert "daemon started" not in mta.log()


def test_nobody_waits_for_a_slow_postlogd(mta):
    greeting(mta.port)
    wait_until(lambda: mta.pids("postlogd"))
    logger = mta.pids("postlogd")[0]
    before = mta.log().count("disconnect from")
    os.kill(logger, signal.SIGSTOP)
    try:
        started = time.monotonic()
        for _ in range(100):
            greeting(mta.port)
        # A full socket would cost each line a second.
        assert time.monotonic() - started < 20
    finally:
        os.kill(logger, signal.SIGCONT)
    wait_until(lambda: mta.log().count("disconnect from") == before + 100)
    assert "were lost" not in mta.log()
    assert all(re.match(r"\w{3} [ \d]\d \d\d:\d\d:\d\d test \S+\[\d+\]: ", line)
               for line in mta.log().splitlines())


def test_lines_outlive_postlogd(mta):
    greeting(mta.port)
    wait_until(lambda: mta.pids("postlogd"))
    logger = mta.pids("postlogd")[0]
    before = mta.log().count("disconnect from")
    os.kill(logger, signal.SIGSTOP)
    for _ in range(10):
        greeting(mta.port)
    os.kill(logger, signal.SIGKILL)
    wait_until(lambda: mta.log().count("disconnect from") >= before + 10)


def stock_lines():
    """conf/master.cf without what needs port 25 of this host."""
    with open(os.path.join(TOP, "conf/master.cf")) as f:
        text = f.read()
    assert re.search(r"^smtp\s+inet", text, re.M)
    port = postrider.free_port()
    return port, re.sub(r"^smtp(\s+)inet", f"127.0.0.1:{port}\\1inet", text,
                        flags=re.M)


def test_stock_master_cf():
    port, text = stock_lines()
    mta = postrider.Instance(port=port)
    with open(os.path.join(mta.config, "master.cf"), "w") as f:
        f.write(text)
    with mta:
        assert greeting(port).startswith(b"220 ")
        for bad in ("error:", "fatal:", "panic:", "throttling"):
            assert bad not in mta.log()




@pytest.mark.skipif(not ROOT, reason="needs root for a pid namespace")
def test_start_fg_as_process_1():
    mta = postrider.Instance(main={"maillog_file": "/dev/stdout",
                                   "maillog_file_prefixes": "/dev/stdout"})
    outer = subprocess.Popen(
        ["unshare", "-p", "-m", "--fork", "--mount-proc", "--kill-child",
         os.path.join(mta.b, "sbin/postfix"), "-c", mta.config, "start-fg"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = []
    reader = threading.Thread(
        target=lambda: out.extend(outer.stdout.readlines()))
    reader.start()
    try:
        wait_until(lambda: is_open(mta.port))
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children") as f:
            first = int(f.read())
        assert greeting(mta.port).startswith(b"220 ")
        assert os.path.basename(os.readlink(f"/proc/{first}/exe")) == "master"
        enter = ["nsenter", "-t", str(first), "-p", "-m"]
        # Orphans become children of process 1, which must collect them.
        subprocess.run(enter + ["sh", "-c", "(sleep 0.2 &) ; (sleep 0.2 &)"],
                       check=True)
        time.sleep(0.6)
        ps = subprocess.run(enter + ["ps", "-eo", "stat,comm"], text=True,
                            capture_output=True, check=True).stdout
        assert "master" in ps and "postlogd" in ps
        assert not re.search(r"^Z", ps, re.M), ps
        os.kill(first, signal.SIGTERM)
        assert outer.wait(20) == 0
    finally:
        outer.kill()
        outer.wait()
        reader.join()
        mta.close()
    text = b"".join(out).decode()
    assert "starting the Postfix mail system" in text
    assert re.search(r"postfix/master\[1\]: daemon started -- version", text)
    assert "terminating on signal 15" in text


@pytest.mark.skipif(not ROOT, reason="needs root to become another user")
def test_ordinary_user_needs_a_queue_of_his_own():
    mta = postrider.Instance()  # belongs to root
    mta.user = "nobody"
    try:
        done = mta.postfix("start")
        assert done.returncode == 1
        assert done.stderr == (
            "postfix: error: to submit mail, use the Postfix sendmail "
            "command\n"
            "postfix: fatal: the postfix command is reserved for the "
            "superuser\n")
    finally:
        mta.user = None
        mta.close()


def test_syslog_name_of_a_service():
    port = postrider.free_port()
    with postrider.Instance(port=port, master={
            "smtp inet": f"127.0.0.1:{port} inet n - n - - smtpd\n"
                         "  -o syslog_name=postfix/$service_name/x"}) as mta:
        with mta.smtp() as client:
            client.sendmail("a@example.com", ["nobody@example.com"],
                            "Subject: x\r\n\r\nx\r\n")
        mta.wait_log(rf" postfix/127\.0\.0\.1:{port}/x/smtpd\[\d+\]: connect ")
        # The work of another program is logged by its plain name.
        mta.wait_log(r" postfix/cleanup\[\d+\]: \w+: message-id=<")


def test_reload_with_mail_on_its_way():
    sink = postrider.smtp_sink()
    count, senders = 300, 6
    with postrider.Instance(main={
            "relayhost": f"[127.0.0.1]:{sink.port}",
            "default_process_limit": "10"}) as mta:

        def send(first):
            for n in range(first, count, senders):
                with mta.smtp() as client:
                    client.sendmail("a@example.com", [f"to{n}@example.net"],
                                    f"Subject: {n}\r\n\r\nx\r\n")

        threads = [threading.Thread(target=send, args=(n,))
                   for n in range(senders)]
        for thread in threads:
            thread.start()
        for _ in range(8):
            time.sleep(0.1)
            mta.reload()
        for thread in threads:
            thread.join()
        mta.wait_queue(0, 60)
        mta.stop()
    sink.stop()
    got = sorted(rcpt for m in sink.messages for rcpt in m.rcpts)
    assert len(got) == count
    assert len(set(got)) == count


def test_changed_table_is_read_without_reload(tmp_path):
    os.chmod(tmp_path, 0o755)
    table = tmp_path / "access"
    table.write_text("bad@example.com REJECT one\n")
    table.chmod(0o644)

    def answer(mta):
        with mta.smtp() as client:
            client.ehlo()
            client.mail("bad@example.com")
            return client.rcpt("nobody@example.com")[1].decode()

    with postrider.Instance(main={
            "smtpd_sender_restrictions":
            f"check_sender_access texthash:{table}"}) as mta:
        assert answer(mta).endswith("one")
        time.sleep(1.1)  # tables are looked at once a second
        table.write_text("bad@example.com REJECT two\n")
        wait_until(lambda: answer(mta).endswith("two"))
        mta.wait_log("a lookup table has changed -- restarting")


def test_check_finds_what_daemons_refuse():
    mta = postrider.Instance(
        main={"local_login_sender_maps": "inline:{root=root}"})
    try:
        done = mta.postfix("check")
        assert done.returncode != 0
        said = done.stderr + mta.log()
        assert "local_login_sender_maps" in said
        assert "main.cf, line" in said
    finally:
        mta.close()


def test_check_names_tables_of_unknown_types():
    mta = postrider.Instance(main={
        "transport_maps": "inline:{{a = smtp:b}} hsah:/etc/no proxy:dbm:/x",
        "mynetworks": "127.0.0.0/8, nis:net",
        "smtpd_sasl_path": "inet:localhost:25",
        "virtual_alias_maps": "static:x@example.com"})
    try:
        done = mta.postfix("check")
        assert done.returncode == 0
        found = re.findall(r"main\.cf, line \d+: (\w+): (\S+): this mail "
                           r"system has no tables of type (\w+) --",
                           done.stderr + mta.log())
        assert sorted(found) == [
            ("mynetworks", "nis:net", "nis"),
            ("transport_maps", "hsah:/etc/no", "hsah"),
            ("transport_maps", "proxy:dbm:/x", "dbm")]
    finally:
        mta.close()
