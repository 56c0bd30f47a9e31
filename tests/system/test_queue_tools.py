# SPDX-License-Identifier: MIT
"""postqueue, postsuper, postcat and showq: formats, verbs, exit codes.

The queue is filled by mkqueue.c. Most cases need no daemon; showq runs alone,
with a queue manager that is played."""
import json
import os
import pwd
import re
import socket
import subprocess
import threading

import pytest

import buildtree
import postrider
from daemon import Box
from ipc_frames import Ipc

ID = r"[0-9A-F]{10,16}"
HEAD = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
WIDE = "----Queue ID----- --Size-- ---Arrival Time---- " \
    "--Sender/Recipient------\n"
DOWN = "Mail system is down -- accessing queue directly (Connect to the " \
    "Postfix showq service: No such file or directory)"


@pytest.fixture(scope="session")
def mkqueue():
    """The program that fills a queue."""
    return buildtree.helper("tests/system/mkqueue")


class Queue:
    """An instance that is not started."""

    def __init__(self, mkqueue, **main):
        self.mkqueue = mkqueue
        self.mta = postrider.Instance(main=main)
        done = self.mta.command("postsuper", "-s")
        assert done.returncode == 0, done.stderr

    def add(self, line):
        done = subprocess.run([self.mkqueue, self.mta.config], input=line,
                              capture_output=True, text=True, timeout=60,
                              check=True)
        return done.stdout.split()[0]

    def files(self, name):
        top = os.path.join(self.mta.queue_directory, name)
        return [f for _, _, files in os.walk(top) for f in files]

    def run(self, *argv, **kw):
        return self.mta.command(*argv, **kw)

    def super(self, *argv, **kw):
        """What postsuper says, without its name."""
        done = self.run("postsuper", *argv, **kw)
        return re.sub("(?m)^postsuper: ", "", done.stderr), done.returncode

    def where(self):
        """id -> queue name"""
        out = self.run("postqueue", "-j").stdout
        return {m["queue_id"]: m["queue_name"]
                for m in map(json.loads, out.splitlines())}


@pytest.fixture(name="queue")
def queue_fixture(mkqueue):
    q = Queue(mkqueue)
    yield q
    q.mta.close()


# ---- postqueue ----

def test_empty(queue):
    done = queue.run("postqueue", "-p")
    assert done.returncode == 0
    assert done.stdout == "Mail queue is empty\n"
    assert DOWN in done.stderr
    assert queue.run("postqueue", "-j").stdout == ""


def test_mailq_text(queue):
    queue.add("incoming a@example.com - 3 b@example.net")
    queue.add("deferred c@example.com no_route_to_host 100 d@example.net "
              "+done@example.net e@example.net")
    queue.add("hold - - 3 f@example.net")
    text = queue.run("postqueue", "-p").stdout
    assert text.startswith(HEAD)
    text = re.sub(ID, "ID", text)
    text = re.sub(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d",
                  "DATE", text)
    reason = "(no route to host)".rjust(78)
    indent = " " * 41
    assert text == (
        HEAD + f"ID      67 DATE  a@example.com\n{indent}b@example.net\n\n"
        f"ID    1134 DATE  c@example.com\n{reason}\n"
        f"{indent}d@example.net\n{indent}e@example.net\n\n"
        f"ID!      67 DATE  MAILER-DAEMON\n{indent}f@example.net\n\n"
        "-- 1 Kbytes in 3 Requests.\n")


def test_mailq_one_and_columns(mkqueue):
    q = Queue(mkqueue, enable_long_queue_ids="yes")
    q.add("incoming a@example.com - 3 b@example.net")
    text = q.run("postqueue", "-p").stdout
    assert text.startswith(WIDE)
    line = text.splitlines()[1]
    assert re.match(r"[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z\w+ +67 ",
                    line)
    assert line.index("67 ") == 24
    assert line.index("a@example.com") == 47
    assert text.splitlines()[2] == " " * 47 + "b@example.net"
    assert text.endswith("-- 0 Kbytes in 1 Request.\n")
    q.mta.close()


def test_json(queue):
    i = queue.add("deferred c@example.com no_\"way\" 1 d@example.net "
                  "+done@example.net e@example.net")
    queue.super("-e", i)
    line = queue.run("postqueue", "-j").stdout
    when = json.loads(line)["arrival_time"]
    assert line == (
        '{"queue_name": "deferred", "queue_id": "%s", "arrival_time": %d, '
        '"message_size": 45, "forced_expire": true, "sender": '
        '"c@example.com", "recipients": [{"address": "d@example.net", '
        '"delay_reason": "no \\"way\\""}, {"address": "e@example.net", '
        '"delay_reason": "no \\"way\\""}]}\n' % (i, when))
    assert f"{i}#" in queue.run("postqueue", "-p").stdout


@pytest.mark.parametrize("argv,text", [
    ([], "usage: postqueue -f | postqueue -i queueid | postqueue -j | "
     "postqueue -p | postqueue -s site"),
    (["-p", "-f"], "usage: "),
    (["-p", "x"], "usage: "),
    (["-x"], "usage: "),
    (["-f"], "Cannot flush mail queue - mail system is down"),
    (["-i", "ABC"], "Cannot flush mail queue - mail system is down"),
    (["-i", "a/b"], 'Cannot flush queue ID - invalid name: "a/b"'),
    (["-s", "example.org"],
     'Flush service is not configured for destination "example.org"'),
    (["-s", "1.2.3.4"],
     'Cannot flush mail queue - invalid destination: "1.2.3.4"'),
    (["-s", "a..b!"],
     'Cannot flush mail queue - invalid destination: "a..b!"'),
])
def test_postqueue_refuses(queue, argv, text):
    done = queue.run("postqueue", *argv)
    assert done.returncode == 69
    assert "postqueue: fatal: " + text in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_authorized_users(mkqueue):
    q = Queue(mkqueue, authorized_mailq_users="!nobody, static:anyone",
              authorized_flush_users="root")
    uid = pwd.getpwnam("nobody").pw_uid

    def as_nobody(*argv):
        path = os.path.join(q.mta.b, "sbin/postqueue")
        return subprocess.run([path, *argv], env=q.mta.env, text=True,
                              capture_output=True, timeout=60,
                              preexec_fn=lambda: os.setresuid(uid, uid, uid))

    done = as_nobody("-p")
    assert done.returncode == 69
    assert f"User nobody({uid}) is not allowed to view the mail queue" \
        in done.stderr
    for argv in (["-f"], ["-i", "ABC"], ["-s", "example.com"]):
        done = as_nobody(*argv)
        assert done.returncode == 69
        assert f"User nobody({uid}) is not allowed to flush the mail queue" \
            in done.stderr
    q.mta.write_main(authorized_mailq_users="static:anyone")
    done = as_nobody("-p")
    assert done.returncode == 69
    assert "Queue report unavailable - mail system is down (Connect to the " \
        "Postfix showq service: " in done.stderr
    q.mta.close()


# ---- postsuper ----

def test_super_verbs(queue):
    a = queue.add("incoming a@example.com - 1 b@example.net")
    b = queue.add("deferred a@example.com why 1 b@example.net")
    assert queue.super("-h", a) == (
        f"{a}: placed on hold\nPlaced on hold: 1 message\n", 0)
    assert queue.where() == {a: "hold", b: "deferred"}
    assert queue.super("-h", a)[0] == "Placed on hold: 0 messages\n"
    assert queue.super("-H", a) == (
        f"{a}: released from hold\nReleased from hold: 1 message\n", 0)
    assert queue.where() == {a: "deferred", b: "deferred"}
    assert queue.super("-h", b)[1] == 0
    assert queue.super("-f", b) == (
        f"{b}: expired\n{b}: released from hold\n"
        "Force-expired: 1 message\nReleased from hold: 1 message\n", 0)
    assert queue.super("-e", a) == (
        f"{a}: expired\nForce-expired: 1 message\n", 0)
    assert queue.super("-r", a) == (
        f"{a}: requeued\nRequeued: 1 message\n", 0)
    assert queue.where() == {a: "maildrop", b: "deferred"}
    assert queue.super("-d", b, "hold")[0] == "Deleted: 0 messages\n"
    assert queue.super("-d", b, "-d", a) == (
        f"{b}: removed\n{a}: removed\nDeleted: 2 messages\n", 0)
    assert queue.where() == {}


def test_super_all(queue):
    for _ in range(3):
        queue.add("incoming a@example.com - 1 b@example.net")
    queue.add("deferred a@example.com why 1 b@example.net")
    queue.add("maildrop a@example.com - 1 b@example.net")
    assert queue.super("-h", "ALL", "deferred")[0] == \
        "Placed on hold: 1 message\n"
    assert queue.super("-d", "ALL", "incoming")[0] == \
        "Deleted: 3 messages\n"
    assert sorted(queue.where().values()) == ["hold", "maildrop"]
    assert queue.super("-H", "ALL")[0] == "Released from hold: 1 message\n"
    assert queue.super("-d", "all")[0] == "Deleted: 0 messages\n"
    assert queue.super("-d", "ALL")[0] == "Deleted: 2 messages\n"
    assert queue.files("incoming") + queue.files("deferred") == []


def test_super_stdin(queue):
    a = queue.add("deferred a@example.com why 1 b@example.net")
    b = queue.add("incoming a@example.com - 1 b@example.net")
    text, status = queue.super("-d", "-", input=f"{a}\nBAD!\n{b} \nNONE1\n")
    assert status == 0
    assert text == (f"warning: invalid mail queue id: BAD!\n{a}: removed\n"
                    f"{b}: removed\nDeleted: 2 messages\n")


@pytest.mark.parametrize("argv,text,status", [
    (["-d", "A", "corrupt"], "fatal: invalid directory name: corrupt\n", 1),
    (["-Q"], "fatal: usage: postsuper [-c config_dir] [-d queue_id (delete)]",
     1),
    (["-d", "x/y"], "warning: invalid mail queue id: x/y\n"
     "Deleted: 0 messages\n", 0),
    (["-p"], "", 0),
    ([], "", 0),
])
def test_super_arguments(queue, argv, text, status):
    out, got = queue.super(*argv)
    assert text in out
    assert got == status


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_super_is_for_root(queue):
    uid = pwd.getpwnam("nobody").pw_uid
    path = os.path.join(queue.mta.b, "sbin/postsuper")
    done = subprocess.run([path, "-d", "ALL"], env=queue.mta.env, text=True,
                          capture_output=True, timeout=60,
                          preexec_fn=lambda: os.setresuid(uid, uid, uid))
    assert done.returncode == 1
    assert "use of this command is reserved for the superuser" in done.stderr


def test_structure(queue):
    ids = {queue.add("deferred a@example.com why 1 b@example.net")
           for _ in range(3)}
    top = queue.mta.queue_directory
    os.rmdir(os.path.join(top, "corrupt"))
    queue.mta.write_main(hash_queue_depth="2")
    assert queue.super("-s") == ("", 0)
    assert os.path.isdir(os.path.join(top, "corrupt"))
    for i in ids:
        assert os.path.exists(os.path.join(top, "deferred", i[0], i[1], i))
    assert set(queue.where()) == ids


# ---- postcat ----

def test_postcat(queue):
    i = queue.add("deferred a@example.com why 2 b@example.net "
                  "+c@example.net")
    name = f"deferred/{i[0]}/{i}"
    text = queue.run("postcat", "-q", i).stdout
    date = re.search("create_time: (.*)", text).group(1)
    envelope = (
        f"*** ENVELOPE RECORDS {name} ***\n"
        "message_size:              56             128               2"
        "               0              50               0\n"
        f"message_arrival_time: {date}\ncreate_time: {date}\n"
        "named_attribute: rewrite_context=local\nsender: a@example.com\n"
        "named_attribute: transport=smtp:example.net\n"
        "original_recipient: b@example.net\nrecipient: b@example.net\n"
        "named_attribute: transport=smtp:example.net\n"
        "original_recipient: c@example.net\ndone_recipient: c@example.net\n"
        f"*** MESSAGE CONTENTS {name} ***\n")
    header = "Subject: test\nX-Folded: a\n b\n"
    body = "\nbody line\nbody line\n"
    end = (f"*** HEADER EXTRACTED {name} ***\n"
           f"*** MESSAGE FILE END {name} ***\n")
    assert text == envelope + header + body + end
    for option, want in (("-b", body), ("-h", header), ("-bh", header + body),
                         ("-e", envelope + end),
                         ("-eh", envelope + header + end)):
        assert queue.run("postcat", option, "-q", i).stdout == want
    path = os.path.join(queue.mta.queue_directory, name)
    by_name = queue.run("postcat", path).stdout
    assert by_name == text.replace(f"{name} ***", f"{path} ***")
    with open(path, "rb") as file:
        data = file.read()
    piped = queue.run("postcat", input=data).stdout.decode()
    assert piped == text.replace(f"{name} ***", "stdin ***")


def test_postcat_offsets_and_types(queue):
    i = queue.add("hold a@example.com - 1 b@example.net")
    lines = queue.run("postcat", "-bo", "-q", i).stdout.splitlines()
    assert lines == ["      157 ", "      158 body line"]
    lines = queue.run("postcat", "-ed", "-q", i).stdout.splitlines()
    assert " 82 recipient: b@example.net" in lines
    assert " 83 sender: a@example.com" in lines


def test_postcat_in_segment(queue):
    i = queue.add("incoming a@example.com - 1 b@example.net")
    text = queue.run("postcat", "-q", i).stdout
    assert text.startswith(f"*** ENVELOPE RECORDS incoming/{i} ***\n")
    assert text.endswith(f"*** MESSAGE FILE END incoming/{i} ***\n")


def test_postcat_errors(queue, tmp_path):
    for argv, text, status in (
            (["-q", "NOSUCH"], "postcat: fatal: open queue file NOSUCH: "
             "No such file or directory\n", 1),
            (["-q", "../x"], "postcat: fatal: bad mail queue ID: ../x\n", 1),
            (["/etc/passwd"], "postcat: warning: /etc/passwd: input is not "
             "a valid queue file\n", 0),
            (["/nonexistent"], "postcat: fatal: open /nonexistent: "
             "No such file or directory\n", 1)):
        done = queue.run("postcat", *argv)
        assert (done.stderr, done.returncode) == (text, status)
    i = queue.add("deferred a@example.com why 2 b@example.net")
    path = os.path.join(queue.mta.queue_directory, "deferred", i[0], i)
    with open(path, "rb") as file:
        data = bytearray(file.read())
    data[140] ^= 1
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    done = queue.run("postcat", str(damaged))
    assert done.returncode == 1
    assert "checksum" in done.stderr


# ---- showq ----

def play_qmgr(path, active):
    """Answer MSG_LIST_ACTIVE with the ids in active."""
    listener = socket.socket(socket.AF_UNIX)
    here = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    listener.bind(f"/proc/self/fd/{here}/qmgr")
    os.close(here)
    listener.listen(10)

    def serve():
        while True:
            try:
                c = Ipc(listener.accept()[0])
            except OSError:
                return
            assert c.recv()[0] == "MSG_LIST_ACTIVE"
            c.send("MSG_ACTIVE", [("A_QUEUE_ID", i) for i in active])
            c.send("MSG_STATUS", {"A_STATUS": 0})
            c.close()

    threading.Thread(target=serve, daemon=True).start()
    return listener


def test_showq_protocol(mkqueue, tmp_path):
    q = Queue.__new__(Queue)
    q.mkqueue = mkqueue
    box = Box(tmp_path, {"setgid_group": "root", "mail_owner": "root"}
              if os.geteuid() == 0 else {})

    class Mta:
        b, config, queue_directory = box.build, box.config, box.queue
        env = dict(os.environ, MAIL_CONFIG=box.config)

        def command(self, *argv, **kw):
            path = os.path.join(self.b, "sbin", argv[0])
            return subprocess.run([path, *argv[1:]], env=self.env, text=True,
                                  capture_output=True, timeout=60, **kw)
    q.mta = Mta()
    assert q.run("postsuper", "-s").returncode == 0
    a = q.add("incoming a@example.com - 1 b@example.net")
    b = q.add("deferred - slow 1 c@example.net +x@y d@example.net")
    ids = [a]
    listener = play_qmgr(os.path.join(box.queue, "public/qmgr"), ids)
    box.start("showq", "public/showq")
    try:
        data = b""
        with box.connect("public/showq") as sock:
            while True:
                piece = sock.recv(4096)
                if not piece:
                    break
                data += piece
        times = re.findall(rb"time\0(\d+)\0", data)
        want = (
            "protocol\0mail_queue_list_protocol\0\0"
            f"queue_name\0active\0queue_id\0{a}\0time\0T\0size\x0045\0"
            "forced_expire\x000\0sender\0a@example.com\0"
            "recipient\0b@example.net\0reason\0\0\0"
            f"queue_name\0deferred\0queue_id\0{b}\0time\0T\0size\x0045\0"
            "forced_expire\x000\0sender\0MAILER-DAEMON\0"
            "recipient\0c@example.net\0reason\0slow\0"
            "recipient\0d@example.net\0reason\0slow\0\0\0")
        for t in times:
            want = want.replace("time\0T\0", f"time\0{t.decode()}\0", 1)
        assert data.decode() == want
        done = q.run("postqueue", "-p")
        assert done.stderr == ""
        assert f"{a}* " in done.stdout
        assert done.stdout.endswith("-- 0 Kbytes in 2 Requests.\n")
    finally:
        box.stop()
        listener.close()


# ---- with the mail system up ----

def test_super_while_running(mkqueue):
    q = Queue(mkqueue, defer_transports="smtp")
    a = q.add("deferred a@example.com why 1 b@example.net")
    b = q.add("hold a@example.com - 1 b@example.net")
    with q.mta:
        assert q.where() == {a: "deferred", b: "hold"}
        assert q.super("-h", a) == (
            f"{a}: placed on hold\nPlaced on hold: 1 message\n", 0)
        assert q.super("-d", b, "-H", a)[0] == (
            f"{b}: removed\n{a}: released from hold\n"
            "Deleted: 1 message\nReleased from hold: 1 message\n")
        assert q.super("-d", "ALL")[0] == "Deleted: 1 message\n"
        assert q.where() == {}
        q.mta.wait_log(rf"postfix/postsuper\[\d+\]: {b}: removed$")
        q.mta.wait_log(r"postfix/postsuper\[\d+\]: Deleted: 1 message$")
        assert q.run("postqueue", "-f").returncode == 0
        assert q.run("postqueue", "-i", "ABCDEF").returncode == 0
