# SPDX-License-Identifier: MIT
"""local(8), virtual(8) and pipe(8), driven over their socket as the queue
manager does it. What they answer is what Debian's Postfix 3.7.11 answered.

The tests run in a mount namespace of their own with users of their own, so
they need root; outside of it there is one test, which enters it."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from buildtree import PATIENCE

INSIDE = "POSTRIDER_TEST_LOCAL"
HERE = os.path.dirname(os.path.abspath(__file__))
USERS = {"pru": 5201, "prv": 5202, "prw": 5203, "prmail": 5290}

inside = pytest.mark.skipif(INSIDE not in os.environ,
                            reason="runs within test_in_namespace")


@pytest.mark.skipif(INSIDE in os.environ, reason="this is the inside")
def test_in_namespace():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("needs mount namespaces")
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", sys.executable, "-m",
         "pytest", "-q", "-p", "no:cacheprovider", os.path.abspath(__file__)],
        env=dict(os.environ, **{INSIDE: "1"}), timeout=300 * PATIENCE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=os.path.dirname(HERE))
    assert done.returncode == 0, done.stdout[-8000:]
    assert re.search(r"\d+ passed", done.stdout), done.stdout


def mount(*args):
    subprocess.run(["mount", *args], check=True)


@pytest.fixture(scope="module")
def host():
    """Users, their homes, a mail spool; gone with the namespace."""
    for folder in ("/home", "/var/mail", "/mnt"):
        mount("-t", "tmpfs", "none", folder)
    os.chmod("/mnt", 0o755)
    for name in ("passwd", "group"):
        with open("/etc/" + name, encoding="utf-8") as file:
            text = file.read()
        for user, uid in USERS.items():
            text += (f"{user}:x:{uid}:{uid}::/home/{user}:/bin/sh\n"
                     if name == "passwd" else f"{user}:x:{uid}:\n")
        with open("/mnt/" + name, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod("/mnt/" + name, 0o644)
        mount("--bind", "/mnt/" + name, "/etc/" + name)
    yield


@pytest.fixture
def box(host):
    from daemon import Box
    boxes = []

    def make(where="private/local", program="local", args=(), **main):
        from smtp_agent import AgentTalk
        b = plain(where, program, args, **main)
        b.talk = AgentTalk(b, where)
        return b

    def plain(where, program, args=(), **main):
        path = f"/mnt/box{time.monotonic_ns()}"
        os.makedirs(path)
        settings = {
            "mail_owner": "prmail", "setgid_group": "prmail",
            "myhostname": "host.example.com", "myorigin": "example.com",
            "mydestination": "example.com, localhost",
            "recipient_delimiter": "+", "alias_maps": "", "biff": "no",
            "relayhost": "[127.0.0.1]:1",
        }
        settings.update(main)
        b = Box(path, settings)
        for at, folders, _ in os.walk(path):
            os.chmod(at, 0o777)
        os.chmod(os.path.join(path, "queue/public/postlog"), 0o666)
        b.start(program, where, args=args)
        os.chmod(os.path.join(path, "queue", where), 0o666)
        boxes.append(b)
        return b

    make.plain = plain
    for user, uid in USERS.items():
        home = f"/home/{user}"
        subprocess.run(["rm", "-rf", home], check=True)
        os.makedirs(home)
        os.chown(home, uid, uid)
    subprocess.run("rm -rf /var/mail/*", shell=True, check=True)
    os.chown("/var/mail", 0, 8)
    os.chmod("/var/mail", 0o2775)
    yield make
    for b in boxes:
        if hasattr(b, "talk"):
            b.talk.close()
        b.stop()


def put(path, text, owner=0, mode=0o644):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chown(path, owner, owner)
    os.chmod(path, mode)


def forward(user, text, mode=0o644, owner=None):
    put(f"/home/{user}/.forward", text,
        USERS[user] if owner is None else owner, mode)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def deliver(b, rcpt, **kw):
    """(dsn, text) of the answer, and what was logged: [(to, dsn, text)]."""
    before = len(b.lines)
    talk = b.talk
    kw.setdefault("A_TRANSPORT", "local")
    result = talk.deliver("example.com", [rcpt], **kw)
    address = rcpt if isinstance(rcpt, str) else rcpt["A_RECIPIENT"]
    time.sleep(0.05)
    logged = []
    for line in b.lines[before:]:
        m = re.search(r": to=<(.*?)>, .*relay=(\S+), .*dsn=(\S+), "
                      r"status=\w+ \((.*)\)$", line)
        if m:
            logged.append((m[1], m[3], m[4]))
    return (result.dsn(address), result.text(address)), logged


def one(b, rcpt, **kw):
    """The only thing logged, which is also the answer."""
    answer, logged = deliver(b, rcpt, **kw)
    assert logged == [(rcpt, *answer)], (answer, logged)
    return answer


BODY = b"Subject: t\n\nFrom a\n>From b\n"


@inside
def test_mailbox(box):
    b = box()
    assert one(b, "pru@example.com", content=BODY) == (
        "2.0.0", "delivered to mailbox")
    assert one(b, "pru+x@example.com", content=BODY, sender="") == (
        "2.0.0", "delivered to mailbox")
    text = re.sub(r"(?m)^(From \S+) .*", r"\1", read("/var/mail/pru"))
    assert text == """\
From s@example.com
Return-Path: <s@example.com>
X-Original-To: pru@example.com
Delivered-To: pru@example.com
Subject: t

>From a
>From b

From MAILER-DAEMON
Return-Path: <>
X-Original-To: pru+x@example.com
Delivered-To: pru+x@example.com
Subject: t

>From a
>From b

"""
    st = os.stat("/var/mail/pru")
    assert (st.st_uid, st.st_mode & 0o777) == (USERS["pru"], 0o600)
    assert os.listdir("/var/mail") == ["pru"]


@inside
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_spool_directories(box, mode):
    os.chmod("/var/mail", mode)
    b = box()
    for _ in range(2):
        assert one(b, "prv@example.com")[0] == "2.0.0"
    assert read("/var/mail/prv").count("\nSubject:") == 2
    assert os.stat("/var/mail/prv").st_uid == USERS["prv"]


@inside
def test_maildir(box):
    b = box(home_mailbox="Maildir/")
    answer = one(b, "pru@example.com", content=BODY)
    assert answer == ("2.0.0", "delivered to maildir")
    new = os.listdir("/home/pru/Maildir/new")
    assert len(new) == 1
    assert re.fullmatch(r"\d+\.V[0-9a-f]+I[0-9a-f]+M\d+\.host\.example\.com",
                        new[0])
    assert read("/home/pru/Maildir/new/" + new[0]) == """\
Return-Path: <s@example.com>
X-Original-To: pru@example.com
Delivered-To: pru@example.com
Subject: t

From a
>From b
"""
    for name in ("", "/tmp", "/new", "/cur"):
        st = os.stat("/home/pru/Maildir" + name)
        assert (st.st_uid, st.st_mode & 0o777) == (USERS["pru"], 0o700)
    assert os.listdir("/home/pru/Maildir/tmp") == []


@inside
def test_second_attempt_is_no_second_copy(box):
    b = box(home_mailbox="Maildir/")
    old = int((time.time() - 3600) * 1e6)
    same = {"A_QUEUE_ID": "SAME1", "A_ARRIVAL": old}
    for _ in range(2):
        assert one(b, "pru@example.com", **same)[0] == "2.0.0"
    folder = "/home/pru/Maildir/"
    name, = os.listdir(folder + "new")
    os.rename(folder + "new/" + name, folder + "cur/" + name + ":2,S")
    assert one(b, "pru@example.com", **same)[0] == "2.0.0"
    assert os.listdir(folder + "new") == []
    # Anything else about it makes it another message.
    for change in ({"A_QUEUE_ID": "OTHER"}, {"A_ARRIVAL": old + 1},
                   {"content": b"Subject: other\n\nlonger than that\n"}):
        before = len(os.listdir(folder + "new"))
        assert one(b, "pru@example.com", **{**same, **change})[0] == "2.0.0"
        assert len(os.listdir(folder + "new")) == before + 1


@inside
def test_mailbox_trouble(box):
    b = box(home_mailbox="Mailbox", deliver_lock_attempts="1",
            stale_lock_time="2s")
    path = "/home/pru/Mailbox"

    def fails(dsn, text):
        assert one(b, "pru@example.com") == (
            dsn, f"cannot update mailbox {path} for user pru. {text}")

    put(path, "", 0, 0o600)
    fails("5.2.0", "cannot open file: Permission denied")
    os.chmod(path, 0o666)
    fails("4.2.0", f"destination {path} is not owned by recipient")
    os.remove(path)
    os.mkdir(path)
    fails("5.2.0", "cannot open file: Is a directory")
    os.rmdir(path)
    put("/home/pru/other", "", USERS["pru"])
    os.symlink("other", path)
    os.lchown(path, USERS["pru"], USERS["pru"])
    fails("5.2.0", "file is a symbolic link")
    os.remove(path)
    os.link("/home/pru/other", path)
    fails("5.2.0", "file has 2 hard links")
    os.remove(path)
    put(path + ".lock", "")
    fails("4.2.0", f"unable to create lock file {path}.lock: File exists")
    os.utime(path + ".lock", (0, 0))
    fails("4.2.0", f"unable to create lock file {path}.lock: File exists")
    time.sleep(2.5)
    assert one(b, "pru@example.com")[0] == "2.0.0"
    assert "Mailbox.lock" not in os.listdir("/home/pru")


@inside
def test_mailbox_of_somebody_else(box):
    """Where all may make files, a stranger was faster."""
    os.chmod("/var/mail", 0o1777)
    b = box()
    path = "/var/mail/pru"
    os.mkfifo(path)
    os.chmod(path, 0o666)
    os.chown(path, USERS["prv"], USERS["prv"])
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        dsn, text = one(b, "pru@example.com")
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)
    # Linux itself may refuse it (fs.protected_fifos).
    assert dsn[0] in "45" and "cannot update mailbox" in text
    os.remove(path)
    b = box(mail_spool_directory="/var/mail/")
    for kind in (os.mkdir, lambda path: os.symlink("/home/prv", path)):
        kind("/var/mail/root")
        os.lchown("/var/mail/root", USERS["prv"], USERS["prv"])
        for name in ("tmp", "new", "cur"):
            if not os.path.lexists("/var/mail/root/" + name):
                os.symlink("/mnt", "/var/mail/root/" + name)
        before = set(os.listdir("/mnt"))
        assert one(b, "root@example.com") == (
            "4.2.0", "maildir delivery failed: /var/mail/root/ is not a "
            "directory of root's own")
        assert set(os.listdir("/mnt")) <= before
        subprocess.run(["rm", "-rf", "/var/mail/root"], check=True)
    assert one(b, "root@example.com")[0] == "2.0.0"
    assert os.stat("/var/mail/root/new").st_uid == 0


@inside
def test_size_limit(box):
    b = box(home_mailbox="Mailbox", mailbox_size_limit="100000",
            message_size_limit="100000")
    assert one(b, "pru@example.com", content=b"S: x\n\n" + b"y\n" * 30000)[0] \
        == "2.0.0"
    size = os.path.getsize("/home/pru/Mailbox")
    answer = one(b, "pru@example.com", content=b"S: x\n\n" + b"y\n" * 30000)
    assert answer == ("5.2.2", "cannot update mailbox /home/pru/Mailbox for "
                      "user pru. error writing message: File too large")
    assert os.path.getsize("/home/pru/Mailbox") == size


@inside
def test_unknown(box):
    b = box()
    assert one(b, "nosuch@example.com") == (
        "5.1.1", 'unknown user: "nosuch"')
    assert one(b, "x/pru@example.com") == (
        "5.1.1", 'unknown user: "x/pru"')
    assert one(b, "postmaster@example.com") == ("2.0.0", "discarded")
    assert one(b, "pru@example.com",
               content=b"Delivered-To: PRU@Example.com\n\nx\n") == (
        "5.4.6", "mail forwarding loop for pru@example.com")


@inside
def test_root(box):
    b = box(mailbox_command="id -u; exit 69")
    assert one(b, "root@example.com") == (
        "5.3.0", "service unavailable. Command output: 65534 ")
    b = box()
    assert one(b, "root@example.com")[0] == "2.0.0"
    assert os.stat("/var/mail/root").st_uid == 0


ALIASES = r"""
al: pru, prv
self: pru, self
prw: \prw, pru
cmd: "|id -un; exit 77"
file: /mnt/filebox
md: /mnt/filedir/
loop: loop2
loop2: loop
dup: pru, pru, "|true", "|true"
none: <>
inc: :include:/mnt/cmdlist
incbad: :include:/mnt/nosuch
null: /dev/null
"""


@inside
def test_aliases(box):
    put("/mnt/aliases", ALIASES.replace(": ", " ", 0))
    put("/mnt/cmdlist", "|id\n")
    for name in ("filebox", "filedir"):
        subprocess.run(["rm", "-rf", "/mnt/" + name], check=True)
    put("/mnt/filebox", "", 65534)
    os.mkdir("/mnt/filedir")
    os.chown("/mnt/filedir", 65534, 65534)
    maps = ",".join("{%s}" % line.replace(": ", " = ", 1).replace("\\", "")
                    for line in ALIASES.strip().splitlines())
    b = box(alias_maps="inline:{%s}" % maps)
    sent = ("2.0.0", "delivered to mailbox")

    def logged(rcpt):
        return deliver(b, rcpt + "@example.com")[1]

    assert logged("al") == [("pru@example.com", *sent),
                            ("prv@example.com", *sent)]
    assert logged("AL+x") == [("pru@example.com", *sent),
                              ("prv@example.com", *sent)]
    assert logged("self") == [
        ("pru@example.com", *sent),
        ("self@example.com", "5.1.1", 'unknown user: "self"')]
    assert logged("prw") == [("prw@example.com", *sent),
                             ("pru@example.com", *sent)]
    assert logged("cmd") == [
        ("cmd@example.com", "5.7.0",
         "permission denied. Command output: nobody ")]
    assert logged("file") == [
        ("file@example.com", "2.0.0", "delivered to file: /mnt/filebox")]
    assert logged("md") == [("md@example.com", "2.0.0",
                             "delivered to maildir")]
    assert logged("null") == [("null@example.com", "2.0.0",
                               "delivered to file: /dev/null")]
    assert logged("loop") == [("loop2@example.com", "5.4.6",
                               "alias database loop for loop2")]
    assert logged("dup") == [
        ("pru@example.com", *sent),
        ("dup@example.com", "2.0.0", "delivered to command: true")]
    assert logged("none") == [("none@example.com", "4.3.0",
                               "alias database unavailable")]
    assert logged("inc") == [("inc@example.com", "5.7.1",
                              "mail to command is restricted")]
    assert logged("incbad") == [("incbad@example.com", "5.3.5",
                                 "mail system configuration error")]
    assert "X-Original-To: al@example.com\nDelivered-To: al@example.com\n" in \
        read("/var/mail/prv")


@inside
def test_alias_table_that_changes(box):
    put("/mnt/changing", "al pru\n")
    b = box(alias_maps="texthash:/mnt/changing")
    assert deliver(b, "al@example.com")[1] == [
        ("pru@example.com", "2.0.0", "delivered to mailbox")]
    put("/mnt/changing", "al prv, pru\n")
    time.sleep(1.1)
    # The worker goes away without having read the request.
    with pytest.raises((EOFError, OSError)):
        deliver(b, "al@example.com")
    b.connect("private/local").close()
    assert b.children["private/local"][0].wait(10) == 0


@inside
def test_alias_table_that_fails(box):
    b = box(alias_maps="hash:/mnt/nosuch")
    assert one(b, "pru@example.com") == ("4.3.0",
                                         "alias database unavailable")
    assert not os.path.exists("/var/mail/pru")


@inside
def test_forward_file(box):
    b = box()
    sent = ("2.0.0", "delivered to mailbox")
    forward("pru", "\\pru, pru@example.com\n")
    assert one(b, "pru@example.com") == sent
    forward("pru", "# nothing\n\n")
    assert one(b, "pru@example.com") == sent
    forward("pru", '"|cat >/dev/null; echo $USER $HOME $EXTENSION $(id -u) '
            '$(id -G); exit 67", ~/box, /home/pru/box2\n')
    assert deliver(b, "pru+ext@example.com")[1] == [
        ("pru+ext@example.com", "5.1.1", "user unknown. Command output: pru "
         "/home/pru ext 5201 5201 "),
        ("pru+ext@example.com", "2.0.0", "delivered to file: /home/pru/box"),
        ("pru+ext@example.com", "2.0.0",
         "delivered to file: /home/pru/box2")]
    put("/home/pru/.forward+e", "/home/pru/box3", USERS["pru"])
    assert one(b, "pru+e@example.com") == (
        "2.0.0", "delivered to file: /home/pru/box3")


@inside
@pytest.mark.parametrize("what, why", [
    ("world", "is world writable"),
    ("owner", "has bad owner uid 5202"),
    ("unreadable", "cannot open file"),
    ("folder", "is not a regular file"),
    ("link", "is not a regular file"),
])
def test_forward_file_that_is_not_trusted(box, what, why):
    b = box()
    path = "/home/pru/.forward"
    forward("pru", "|exit 67\n", {"world": 0o666, "unreadable": 0}.get(
        what, 0o644), USERS["prv"] if what == "owner" else None)
    if what in ("folder", "link"):
        os.remove(path)
    if what == "folder":
        os.mkdir(path)
    elif what == "link":
        put("/home/pru/f", "|exit 67\n", USERS["pru"])
        os.symlink("f", path)
    assert one(b, "pru@example.com") == ("2.0.0", "delivered to mailbox")
    assert why in "\n".join(b.lines)


@inside
@pytest.mark.parametrize("command, dsn, text", [
    ("exit 64", "5.3.0", "command line usage error"),
    ("exit 75", "4.3.0", "temporary failure"),
    ("exit 3", "5.3.0", 'Command died with status 3: "exit 3"'),
    ("kill -9 $$", "4.3.0", 'Command died with signal 9: "kill -9 $$"'),
    ("echo 5.7.9 blah; exit 75", "5.7.9", "blah "),
    ("echo 2.2.9 t; exit 1", "5.0.0", "t "),
    ("printf 'a\\nb\\r\\001'; exit 77", "5.7.0",
     "permission denied. Command output: a b__"),
    ("head -1 | cut -c1-18; exit 69", "5.3.0",
     "service unavailable. Command output: From s@example.com "),
    ("umask; ulimit -f; pwd | sed 's,.*/,,'; exit 69", "5.3.0",
     "service unavailable. Command output: 0077 100000 queue "),
])
def test_mailbox_command(box, command, dsn, text):
    b = box(mailbox_command=command)
    assert one(b, "pru@example.com") == (dsn, text)


@inside
def test_command_environment(box):
    b = box(mailbox_command="env; exit 69", export_environment="TZ A=b")
    answer = one(b, "pru+x`y@example.com", sender="a`b@example.com",
                 A_CLIENT_ADDR="192.0.2.1", A_CLIENT_HELO="he`lo")
    output = answer[1].split("Command output: ")[1]
    assert set(output.split()) - {"TZ=UTC"} == {
        "A=b", "PATH=/usr/bin:/bin", "HOME=/home/pru", "SHELL=/bin/sh",
        "LOGNAME=pru", "USER=pru", "EXTENSION=x_y", "LOCAL=pru+x_y",
        "DOMAIN=example.com", "RECIPIENT=pru+x_y@example.com",
        "ORIGINAL_RECIPIENT=pru+x_y@example.com", "SENDER=a_b@example.com",
        "CLIENT_ADDRESS=192.0.2.1", "CLIENT_HELO=he_lo"} | {
        w for w in output.split() if w.startswith("PWD=")}


@inside
def test_command_time_limit(box):
    b = box(mailbox_command="sleep 20", command_time_limit="1s")
    start = time.monotonic()
    assert one(b, "pru@example.com") == (
        "5.3.0", 'Command time limit exceeded: "sleep 20"')
    assert time.monotonic() - start < 10


@inside
def test_transports(box):
    b = box(mailbox_transport="error:5.2.1 no more", fallback_transport="x")
    assert one(b, "pru@example.com") == ("5.2.1", "no more")
    b = box(fallback_transport="nosuch")
    assert one(b, "pru@example.com")[0] == "2.0.0"
    assert one(b, "nobodyhere@example.com") == (
        "4.3.0", "mail transport unavailable")


@inside
def test_handed_over_to_another_agent(box):
    b = box(fallback_transport="other:hop", virtual_mailbox_base="/home/prv",
            virtual_mailbox_maps="static:box", virtual_uid_maps="static:5202",
            virtual_gid_maps="static:5202")
    b.start("virtual", "private/other")
    os.chmod(os.path.join(b.queue, "private/other"), 0o666)
    answer, logged = deliver(b, "stranger@example.com")
    assert answer == ("2.0.0", "delivered to mailbox")
    assert logged == [("stranger@example.com", *answer)]
    assert "Delivered-To: stranger@example.com" in read("/home/prv/box")


@inside
def test_luser_relay(box):
    b = box(luser_relay="prv")
    assert deliver(b, "nosuch@example.com")[1] == [
        ("prv@example.com", "2.0.0", "delivered to mailbox")]
    b = box(luser_relay="|id")
    assert deliver(b, "nosuch@example.com")[1] == [
        ("|id@example.com", "5.1.1", 'unknown user: "|id"')]


def processes(b):
    """The service, its workers, the helper, and who the helper made."""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = read(f"/proc/{pid}/stat")
        except OSError:
            continue
        parents[int(pid)] = int(text.rsplit(")", 1)[1].split()[1])
    found = [b.children["private/local"][0].pid]
    for pid in found:
        found += [p for p, parent in parents.items() if parent == pid]
    return found


def killed_in_the_middle(box, main, content, delays):
    """Deliver, kill the recipient's process (and the rest) meanwhile; what
    was not answered is delivered again. Yields how many were answered."""
    for i, delay in enumerate(delays):
        b = box(**main)
        b.talk.send("example.com", ["pru@example.com"], content=content,
                    A_QUEUE_ID=f"KILL{i}", A_ARRIVAL=1000000 * (i + 1),
                    A_TRANSPORT="local")
        time.sleep(delay)
        for pid in processes(b):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        try:
            b.talk.result()
            answered = True
        except (EOFError, OSError, KeyError):
            answered = False
        if not answered:
            b = box(**main)
            answer, _ = deliver(b, "pru@example.com", content=content,
                                A_QUEUE_ID=f"KILL{i}",
                                A_ARRIVAL=1000000 * (i + 1))
            assert answer[0] == "2.0.0", answer


DELAYS = [0.0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02]


@inside
def test_kill_leaves_no_torso_in_a_mailbox(box):
    content = b"Subject: big\n\n" + b"y" * 78 + b"\n"
    content += (b"y" * 78 + b"\n") * 200000
    killed_in_the_middle(box, {"mailbox_size_limit": "0",
                               "message_size_limit": "0"}, content, DELAYS)
    text = read("/var/mail/pru")
    # More than once where the answer itself was lost.
    assert text.count("Subject: big") >= len(DELAYS)
    assert len(set(map(len, re.split(r"(?m)^From s@.*\n", text)[1:]))) == 1
    assert os.listdir("/var/mail") == ["pru"]


@inside
def test_kill_leaves_no_torso_in_a_maildir(box):
    content = b"Subject: big\n\n" + (b"y" * 78 + b"\n") * 200000
    killed_in_the_middle(box, {"home_mailbox": "Maildir/",
                               "mailbox_size_limit": "0",
                               "message_size_limit": "0"}, content, DELAYS)
    folder = "/home/pru/Maildir/new/"
    sizes = {os.path.getsize(folder + f) for f in os.listdir(folder)}
    assert len(sizes) == 1
    assert len(os.listdir(folder)) == len(DELAYS)


@inside
def test_who_holds_root(box):
    """Only the helper is root; a recipient's process is the recipient."""
    b = box(mailbox_command="sleep 3")
    b.talk.send("example.com", ["pru@example.com"], A_TRANSPORT="local")
    deadline = time.monotonic() + 20
    uids = []
    while (str(USERS["pru"]),) * 4 not in uids:
        assert time.monotonic() < deadline, uids
        time.sleep(0.05)
        uids = []
        for pid in processes(b):
            with contextlib.suppress(OSError):  # it has just ended
                status = read(f"/proc/{pid}/status")
                uids.append(tuple(re.search(r"Uid:\s+(.*)",
                                            status)[1].split()))
    assert sorted(set(uids)) == sorted({
        ("0",) * 4, (str(USERS["prmail"]),) * 4, (str(USERS["pru"]),) * 4})
    assert uids.count(("0",) * 4) == 1
    b.talk.result()


VIRTUAL = {
    "virtual_mailbox_domains": "v.example",
    "virtual_mailbox_base": "/home/prv",
    "virtual_mailbox_maps": "inline:{{a@v.example = a/}, {b@v.example = b}, "
                            "{@v2.example = any/}, {up@v.example = ../x}, "
                            "{low@v.example = low}}",
    "virtual_uid_maps": "inline:{{low@v.example = 5}, {a@v.example = 5202},"
                        "{b@v.example = 5202},{@v2.example = 5202},"
                        "{up@v.example = 5202}}",
    "virtual_gid_maps": "static:5202",
}


@inside
def test_virtual(box):
    b = box("private/virtual", "virtual", **VIRTUAL)
    assert one(b, "A+x@v.example") == ("2.0.0", "delivered to maildir")
    assert one(b, "b@v.example", content=BODY) == ("2.0.0",
                                                   "delivered to mailbox")
    assert one(b, "any@v2.example")[0] == "2.0.0"
    assert one(b, "none@v.example") == ("5.1.1",
                                        'unknown user: "none@v.example"')
    for rcpt in ("up", "low"):
        assert one(b, rcpt + "@v.example") == (
            "4.3.5", "mail system configuration error")
    assert "recipient low@v.example: bad uid 5 in virtual_uid_maps" in \
        "\n".join(b.lines)
    assert "X-Original-To: b@v.example\nDelivered-To: b@v.example\n" in \
        read("/home/prv/b")
    os.chmod("/home/prv/b", 0)
    assert one(b, "b@v.example") == (
        "4.2.0", "delivery failed to mailbox /home/prv/b: cannot open file: "
        "Permission denied")


@inside
def test_pipe(box):
    out = "/home/pru/out"
    script = ("echo \"$$@\" >>%s; cat -A >>%s" % (out, out))
    b = box("private/tp", "pipe", args=[
        "flags=DRhuO", "user=pru", "argv=/bin/sh", "-c", script, "x",
        "${sender}", "${recipient}", "${user}/${extension}/${domain}",
        "$nexthop", "$$", "${original_recipient}"])
    assert one(b, "A+Ext@P.example", content=BODY) == (
        "2.0.0", "delivered via tp service")
    assert read(out) == """\
s@example.com a+ext@p.example a/ext/p.example example.com $ a+ext@p.example
Return-Path: <s@example.com>$
X-Original-To: A+Ext@P.example$
Delivered-To: A+Ext@P.example$
Subject: t$
$
From a$
>From b$
"""
    assert one(b, "x@p.example",
               content=b"Delivered-To: X@P.example\n\nx\n")[0] == "5.4.6"
    # An address is no macro and no shell text.
    assert one(b, "a${user}`id`@p.example")[0] == "2.0.0"
    assert "a${user}`id`@p.example" in read(out)


@inside
def test_pipe_flags(box):
    out = "/home/pru/out"
    b = box("private/tq", "pipe", args=[
        "flags=F.>B", "user=pru:prv", "directory=/home/pru", "eol=\\r\\n",
        "argv=/bin/sh", "-c", "id -u; id -g; pwd; cat -A >out"])
    assert one(b, "x@p.example", content=b"S: x\n\n.a\nFrom b\n") == (
        "2.0.0", "delivered via tq service (5201 5202 /home/pru)")
    assert re.sub(r"(From s@example.com) .*\^M", r"\1^M", read(out)) == (
        "From s@example.com^M$\nS: x^M$\n^M$\n..a^M$\n>From b^M$\n^M$\n")


@inside
def test_pipe_recipients(box):
    b = box("private/tr", "pipe", args=[
        "user=pru", "argv=/bin/sh", "-c", "echo $$# $$*", "x", "-r${recipient}",
        "end"])
    result = b.talk.deliver("hop", ["a@x.example", "b@y.example"])
    for rcpt in ("a@x.example", "b@y.example"):
        assert result.text(rcpt) == (
            "delivered via tr service (3 -ra@x.example -rb@y.example end)")
    b = box("private/ts", "pipe", args=["size=10", "user=pru", "argv=cat"])
    assert one(b, "x@p.example") == ("5.2.3", "message too large")
    b = box("private/tt", "pipe", args=["user=pru", "argv=cat", "${foo}"])
    assert one(b, "x@p.example") == ("4.3.5",
                                     "mail system configuration error")


@pytest.fixture
def mta(host):
    """The whole suite, with homes for the users."""
    from postrider import Instance
    running = []

    def make(**main):
        settings = {"mail_owner": "prmail", "setgid_group": "prmail",
                    "mydestination": "example.com, localhost",
                    "mydomain": "example.com", "myorigin": "example.com",
                    "recipient_delimiter": "+", "relayhost": "[127.0.0.1]:1",
                    "mail_spool_directory": "/var/mail"}
        settings.update(main)
        directory = f"/mnt/mta{time.monotonic_ns()}"
        m = Instance(directory=directory, main=settings)
        for folder in (m.queue_directory, m.data):
            os.makedirs(folder, exist_ok=True)
        os.chown(m.data, USERS["prmail"], USERS["prmail"])
        running.append(m.start())
        return m

    for user, uid in USERS.items():
        subprocess.run(["rm", "-rf", f"/home/{user}"], check=True)
        os.makedirs(f"/home/{user}")
        os.chown(f"/home/{user}", uid, uid)
    subprocess.run("rm -rf /var/mail/*", shell=True, check=True)
    os.chown("/var/mail", 0, 8)
    os.chmod("/var/mail", 0o2775)
    yield make
    for m in running:
        m.close()


def statuses(m, *ignore):
    """{(to, dsn, text without queue ids)} of all that local logged."""
    out = set()
    for line in m.log().splitlines():
        found = re.search(r"/local\[\d+\]: \w+: to=<(.*?)>, .*dsn=(\S+), "
                          r"status=\w+ \((.*)\)$", line)
        if found:
            out.add((found[1], found[2],
                     re.sub(r"forwarded as \w+", "forwarded", found[3])))
    return out


SENT = ("2.0.0", "delivered to mailbox")


@inside
def test_forward_file_to_another_user(mta):
    m = mta()
    forward("pru", "prv, pru\n")
    m.sendmail("pru@example.com", "Subject: t\n\nx\n", "-f",
               "s@remote.example")
    m.wait_queue(0)
    assert statuses(m) == {("pru@example.com", *SENT),
                           ("pru@example.com", "2.0.0", "forwarded"),
                           ("prv@example.com", *SENT)}
    head = read("/var/mail/prv").splitlines()
    assert [line.split()[0] for line in head[:7]] == [
        "From", "Return-Path:", "X-Original-To:", "Delivered-To:",
        "Received:", "id", "Delivered-To:"]
    assert head[1:4] == ["Return-Path: <s@remote.example>",
                         "X-Original-To: pru@example.com",
                         "Delivered-To: prv@example.com"]
    assert re.fullmatch(r"Received: by test\.example\.com \(Postfix\)",
                        head[4])
    assert re.fullmatch(r"\tid \w+; \w{3}, [ \d]\d \w{3} \d{4} [\d:]{8} "
                        r"[+-]\d{4} \(\w+\)", head[5])
    assert head[6] == "Delivered-To: pru@example.com"
    # Two who forward to each other end in a bounce, not in a loop.
    forward("prv", "pru\n")
    forward("pru", "prv\n")
    m.sendmail("pru@example.com", "Subject: t\n\nx\n", "-f",
               "prw@example.com")
    m.wait_log("mail forwarding loop for pru@example.com")
    m.wait_queue(0)
    assert "mail forwarding loop" in read("/var/mail/prw")


@inside
def test_owner_alias(mta):
    put("/mnt/members", "pru\nnosuchuser\n# x\n")
    m = mta(alias_maps="inline:{{list=pru, prv}, {owner-list=prw}, "
            "{inc=:include:/mnt/members}}")
    m.sendmail("list@example.com", "Subject: t\n\nx\n", "-f",
               "s@remote.example")
    m.wait_queue(0)
    assert statuses(m) == {("list@example.com", "2.0.0", "forwarded"),
                           ("pru@example.com", *SENT),
                           ("prv@example.com", *SENT)}
    assert read("/var/mail/pru").splitlines()[1:4] == [
        "Return-Path: <owner-list@example.com>",
        "X-Original-To: pru@example.com", "Delivered-To: pru@example.com"]
    # One bad member of an :include: file fails alone.
    m.sendmail("inc@example.com", "Subject: t\n\nx\n", "-f",
               "prw@example.com")
    m.wait_queue(0)
    assert read("/var/mail/pru").count("Subject: t") == 2
    assert 'unknown user: "nosuchuser"' in read("/var/mail/prw")


@inside
def test_failure_of_one_of_several(mta):
    """The sender hears of the one that failed, under its own address."""
    m = mta(alias_maps="inline:{{two=pru, nosuchuser}}")
    m.sendmail("two@example.com", "Subject: t\n\nx\n", "-f",
               "prw@example.com")
    m.wait_queue(0)
    assert statuses(m) == {
        ("pru@example.com", *SENT),
        ("nosuchuser@example.com", "5.1.1", 'unknown user: "nosuchuser"'),
        ("prw@example.com", *SENT)}
    notice = read("/var/mail/prw")
    assert "Final-Recipient: rfc822; nosuchuser@example.com" in notice
    assert "Original-Recipient: rfc822;two@example.com" in notice
    assert "Final-Recipient: rfc822; two@example.com" not in notice


@inside
def test_forward_waits_for_the_others(mta):
    """Or each attempt for the one that is deferred would forward again."""
    put("/mnt/team", 'team "|exit 75", far@remote.example\n')
    m = mta(alias_maps="texthash:/mnt/team", default_transport="discard")
    m.sendmail("team@example.com", "Subject: t\n\nx\n", "-f",
               "prw@example.com")
    m.wait_log("status=deferred")
    for _ in range(200):
        if [q["queue_name"] for q in m.queue()] == ["deferred"]:
            break
        time.sleep(0.05)
    assert [q["queue_name"] for q in m.queue()] == ["deferred"]
    assert "far@remote.example" not in m.log()


@inside
def test_kill_all_of_it(mta):
    """Every message arrives, whole, and none twice in a Maildir."""
    m = mta(home_mailbox="Maildir/")
    n = 30
    for i in range(n):
        m.sendmail("pru@example.com", f"Subject: m{i}\n\n" + "x\n" * 500)
        if i % 10 == 5:
            m.kill()
            m.start()
    m.wait_queue(0, 60)
    folder = "/home/pru/Maildir/new/"
    texts = [read(folder + f) for f in os.listdir(folder)]
    subjects = {re.search(r"^Subject: (.*)$", text, re.M)[1]
                for text in texts}
    assert subjects == {f"m{i}" for i in range(n)}
    # (What pickup had taken in but not removed yet may come twice.)
    ids = [re.search(r"^\tid (\w+);", text, re.M)[1] for text in texts]
    assert len(ids) == len(set(ids))
    assert len({len(t.split("\n\n", 1)[1]) for t in texts}) == 1


@inside
def test_what_is_too_long_is_not_cut(box):
    b = box(mailbox_command="exit 0; " + "x" * 9000)
    dsn, text = one(b, "pru@example.com")
    assert (dsn, text[-8:]) == ("5.3.5", "too long")


@inside
def test_spawn(box):
    b = box.plain("private/sp", "spawn", [
        "user=pru:prv", "argv=/bin/sh", "-c",
        "read line; echo got $line; id -u; id -g; env | grep -c HOME; exit 3"])
    with b.connect("private/sp") as sock:
        sock.sendall(b"hello\n")
        text = sock.makefile().read()
    assert text == "got hello\n5201\n5202\n0\n"
    b.wait_log("command /bin/sh exit status 3")
    # A second one, and one that stays too long.
    with b.connect("private/sp") as sock:
        sock.sendall(b"again\n")
        assert sock.makefile().readline() == "got again\n"
    b = box.plain("private/sq", "spawn", ["user=pru", "argv=/bin/cat"],
                  command_time_limit="1s")
    with b.connect("private/sq") as sock:
        sock.sendall(b"echo\n")
        assert sock.makefile().read() == "echo\n"
    b.wait_log("command /bin/cat: time limit exceeded")
