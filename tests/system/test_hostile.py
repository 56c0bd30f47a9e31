# SPDX-License-Identifier: MIT
"""What somebody who means harm tries: clients with odd bytes, local users with
forged submissions, set-gid commands started in a strange environment; and
that services in a chroot work."""
import ast
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import time

import pytest

import postrider
from test_queue_tools import mkqueue  # noqa: F401

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

MESSAGE = b"Subject: x\n\nhello\n"
NOBODY = 65534


@pytest.fixture(scope="module")
def mta():
    with postrider.Instance(main={"defer_transports": "local smtp",
                                  "local_recipient_maps": ""}) as instance:
        yield instance


@pytest.fixture
def empty(mta):
    mta.command("postsuper", "-d", "ALL")
    mta.wait_queue(0)
    return mta


# ---- clients ----

def talk(mta, *commands):
    """The last reply."""
    with socket.create_connection(("127.0.0.1", mta.port), timeout=10) as sock:
        file = sock.makefile("rb")
        reply = file.readline()
        for command in commands:
            sock.sendall(command + b"\r\n")
            reply = file.readline()
            while reply[3:4] == b"-":
                reply = file.readline()
    return reply


@pytest.mark.parametrize("rcpt", [b'"a\rRCPT TO:<b>"@example.com',
                                  b'"a\\\rb"@example.com',
                                  b"a\rb@example.com",
                                  b"a\0b@example.com",
                                  b'"a\0"@example.com'])
def test_no_line_ends_in_addresses(empty, rcpt):
    reply = talk(empty, b"EHLO c", b"MAIL FROM:<s@x.example>",
                 b"RCPT TO:<" + rcpt + b">")
    assert reply.startswith(b"501 5.1.3 ")


def test_no_line_end_in_helo(empty):
    assert talk(empty, b"HELO a\rb", b"MAIL FROM:<s@x.example>",
                b"RCPT TO:<r@example.com>", b"DATA",
                b"Subject: x\r\n\r\nx\r\n.").startswith(b"250 ")
    name = empty.wait_queue(1)[0]["queue_id"]
    text = empty.command("postcat", "-hq", name).stdout
    assert "Received: from a?b (" in text and "\r" not in text


# ---- forged submissions ----

def string(s):
    return struct.pack("<I", 0) if s is None else \
        struct.pack("<I", len(s) + 1) + s


def envelope(sender=b"me", rcpt=b"r@example.com", orcpt=None, flags=1,
             full_name=None, notify=0, transport=None, nexthop=None):
    """As lib/queue/envelope.c writes it."""
    strings = [sender, full_name, None, None, None, b"smtp:[192.0.2.1]",
               b"trusted.example", b"192.0.2.9"] + [b"forged"] * 6
    return (struct.pack("<BqqIII", 1, 2 ** 62, 5, flags, 0, 0)
            + b"".join(map(string, strings)) + struct.pack("<I", 1)
            + b"".join(map(string, [rcpt, b"forged@x", orcpt, transport,
                                    nexthop])) + bytes([notify, 0]))


def frame(data):
    return struct.pack("<I", len(data)) + data


def postdrop(mta, data):
    return mta.command("postdrop", "-r", input=frame(data) + frame(MESSAGE)
                       + frame(b""))


def test_forged_envelope_is_ignored(empty):
    done = postdrop(empty, envelope(
        flags=0xffffffff & ~2, notify=255, orcpt=b"rfc822;r@x",
        transport=b"smtp", nexthop=b"[192.0.2.1]"))
    assert done.returncode == 0 and done.stdout.endswith(b"ok\n")
    message = empty.wait_queue(1)[0]
    assert message["queue_name"] != "hold"
    assert abs(message["arrival_time"] - time.time()) < 60
    text = empty.command("postcat", "-eq", message["queue_id"]).stdout
    assert "forged" not in text and "192.0.2" not in text


@pytest.mark.parametrize("forged", [
    {"orcpt": b"rfc822 BODY=BINARYMIME;x"},
    {"orcpt": b"rfc822"},
    {"orcpt": b"rfc822;a\nb"},
    {"rcpt": b"a\nDATA"},
    {"rcpt": b"a\r@example.com"},
    {"rcpt": b"v@example.com" + b"x" * 3000},
    {"sender": b"v@example.com" + b"x" * 3000},
    {"sender": b"a\nb"},
    {"full_name": b"x\nBcc: y"},
], ids=str)
def test_forged_envelope_is_refused(empty, forged):
    done = postdrop(empty, envelope(**forged))
    assert done.returncode == 65
    assert re.match(rb"id \w+\nerror 5\.[61]\.[03] ", done.stdout)
    assert empty.queue() == []


def test_file_that_postdrop_did_not_write(empty, mkqueue):  # noqa: F811
    """A well-formed one with bytes that postdrop lets nobody write."""
    empty.stop()
    made = subprocess.run(
        [mkqueue, empty.config], capture_output=True, text=True, check=True,
        input="maildrop me - 1 a\x01b@example.com\n"
              "maildrop me - 1 good@example.com\n").stdout.split()
    empty.start()
    message = empty.wait_queue(1)[0]
    assert message["recipients"][0]["address"] == "good@example.com"
    assert made[0] in os.listdir(os.path.join(empty.queue_directory,
                                              "corrupt"))


def test_long_address_from_header_is_refused(empty):
    """In a delivery request it would be cut, and be another one's."""
    header = b"To: v@example.com" + b".x" * 2000 + b"\nSubject: x\n\nhello\n"
    done = empty.command("sendmail", "-t", "-f", "root", input=header)
    assert done.returncode and empty.queue() == []


def test_long_address_from_map_is_refused():
    main = {"defer_transports": "local smtp", "recipient_canonical_maps":
            "inline:{long@example.com=v@example.com" + ".x" * 2000 + "}"}
    with postrider.Instance(main=main) as mta:
        mta.sendmail("long@example.com", MESSAGE, "-f", "root")
        mta.wait_log(r"status=bounced \(recipient address is too long\)")


# ---- set-gid commands ----

@pytest.fixture(scope="module")
def setgid(tmp_path_factory):
    """An instance, and a folder with set-gid postdrop and postqueue and an etc
    that as_nobody() shows them as /etc."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    where = tmp_path_factory.mktemp("setgid")
    for path in [where, *where.parents][:3]:
        os.chmod(path, 0o755)
    mta = postrider.Instance(main={"defer_transports": "local smtp"})
    _, group = postrider.mail_owner()
    for name in ("postdrop", "postqueue"):
        path = where / name
        shutil.copy(os.path.join(mta.b, "sbin", name), path)
        shutil.chown(path, "root", group)
        os.chmod(path, 0o2755)
    etc = where / "etc"
    etc.mkdir(mode=0o755)
    for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "hosts"):
        if os.path.exists("/etc/" + name):
            shutil.copy("/etc/" + name, etc / name)
    with mta:
        os.symlink(mta.config, etc / "postfix")
        yield mta, where


def as_nobody(setgid, name, *argv, env=None, data=b"", fds=(0, 1, 2),
              limits=()):
    """Run a set-gid command for an ordinary user. In a mount name space of its
    own the default main.cf is the instance's."""
    mta, where = setgid

    def prepare():
        for what, value in limits:
            resource.setrlimit(what, (value, value))
        for fd in {0, 1, 2} - set(fds):
            os.close(fd)

    script = ('mount --bind "$1" /etc && shift && '
              f"exec setpriv --reuid {NOBODY} --regid {NOBODY} "
              '--clear-groups "$@"')
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", where / "etc",
         where / name, *argv],
        input=data, capture_output=True, timeout=30, preexec_fn=prepare,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})})


@pytest.mark.parametrize("how", ["-c", "MAIL_CONFIG"])
@pytest.mark.parametrize("name", ["postdrop", "postqueue"])
def test_setgid_wants_a_known_configuration(setgid, tmp_path, name, how):
    (tmp_path / "main.cf").write_text("queue_directory = /tmp\n")
    argv = ["-c", str(tmp_path)] if how == "-c" else []
    env = {} if how == "-c" else {"MAIL_CONFIG": str(tmp_path)}
    done = as_nobody(setgid, name, *argv, *(["-p"] * (name == "postqueue")),
                     env=env)
    assert done.returncode
    assert b"untrusted configuration directory name" in done.stderr


def submission(rcpt=b"r@example.com"):
    return frame(envelope(rcpt=rcpt)) + frame(MESSAGE) + frame(b"")


@pytest.mark.parametrize("closed", [{0}, {1}, {2}, {0, 1, 2}], ids=str)
def test_setgid_with_closed_descriptors(setgid, closed):
    """No file of ours takes the place of standard output."""
    mta, _ = setgid
    mta.command("postsuper", "-d", "ALL")
    mta.wait_queue(0)
    done = as_nobody(setgid, "postdrop", data=submission(),
                     fds={0, 1, 2} - closed)
    assert bool(done.returncode) == (0 in closed)
    for message in mta.wait_queue(0 if 0 in closed else 1):
        text = mta.command("postcat", "-q", message["queue_id"]).stdout
        assert "hello" in text and "\nok\n" not in text
    for message in os.listdir(os.path.join(mta.queue_directory, "maildrop")):
        raise AssertionError(message + " was left")


def test_setgid_environment_and_uid(setgid):
    mta, _ = setgid
    mta.command("postsuper", "-d", "ALL")
    mta.wait_queue(0)
    done = as_nobody(setgid, "postdrop", data=submission(), env={
        "MAIL_DEBUG": "1", "MAIL_LOGTAG": "forged\nline", "TZ": "/etc/shadow",
        "POSTLOG_SERVICE": "/tmp/x", "LD_PRELOAD": "/nonexistent.so",
        "MALLOC_TRACE": "/tmp/mtrace", "LANG": "../../tmp"})
    assert done.returncode == 0
    assert b"untrusted" not in done.stderr
    mta.wait_log(rf"pickup\[\d+\]: \w+: uid={NOBODY} from=<me>")
    assert "forged" not in mta.log()


@pytest.mark.parametrize("name", ["postdrop", "postqueue"])
def test_setgid_cannot_forge_log_lines(setgid, name):
    mta, _ = setgid
    forged = "postfix/smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.1]"
    for argv in (["-c", "/nonexistent"], ["-X"]):
        done = as_nobody(setgid, name, *argv, env={
            "MAIL_LOGTAG": forged, "POSTLOG_HOSTNAME": forged,
            "POSTLOG_SERVICE":
                os.path.join(mta.queue_directory, "public/postlog")})
        assert done.returncode
    mta.command("postlog", "the end")
    mta.wait_log("the end")
    assert "192.0.2.1" not in mta.log()


@pytest.mark.parametrize("closed", [{0}, {1}, {2}, {1, 2}], ids=str)
def test_setgid_postqueue_with_closed_descriptors(setgid, closed):
    """What it prints goes into no socket of ours."""
    mta, _ = setgid
    before = len(mta.log())
    as_nobody(setgid, "postqueue", "-p", fds={0, 1, 2} - closed)
    as_nobody(setgid, "postqueue", "-f", fds={0, 1, 2} - closed)
    assert as_nobody(setgid, "postqueue", "-j").returncode == 0
    assert "warning" not in mta.log()[before:]


@pytest.mark.parametrize("limit", [
    (resource.RLIMIT_FSIZE, 100), (resource.RLIMIT_NOFILE, 4),
    (resource.RLIMIT_FSIZE, 0)], ids=str)
def test_setgid_with_low_limits(setgid, limit):
    """A failure, never half a message."""
    mta, _ = setgid
    mta.command("postsuper", "-d", "ALL")
    mta.wait_queue(0)
    done = as_nobody(setgid, "postdrop", data=submission(), limits=[limit])
    assert done.returncode
    assert mta.queue() == []


def test_setgid_postqueue_lists_and_flushes_only(setgid):
    mta, _ = setgid
    mta.sendmail("r@example.com", MESSAGE)
    mta.wait_queue(1)
    done = as_nobody(setgid, "postqueue", "-j")
    assert done.returncode == 0 and b"r@example.com" in done.stdout
    for bad in (["-i", "../../etc/passwd"], ["-s", "a\nb"], ["-i", "*"]):
        assert as_nobody(setgid, "postqueue", *bad).returncode
    assert len(mta.queue()) == 1


# ---- what a user's command gets ----

@as_root
def test_command_has_nothing_of_ours(tmp_path):
    """Its three descriptors, its own rights, no environment but ours."""
    for path in [tmp_path, *tmp_path.parents][:3]:
        os.chmod(path, 0o755)
    out = tmp_path / "out"
    out.mkdir()
    os.chmod(out, 0o777)
    script = tmp_path / "command"
    script.write_text(f"""#!{sys.executable}
import os
def is_open(fd):
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False
fds = [fd for fd in range(1000) if is_open(fd)]
for name, text in (("fds", str(fds)), ("env", str(dict(os.environ))),
                   ("status", open("/proc/self/status").read())):
    open("{out}/" + name, "w").write(text)
""")
    os.chmod(script, 0o755)
    main = {"alias_maps": f'inline:{{cmd="|{script}"}}',
            "local_recipient_maps": ""}
    with postrider.Instance(main=main) as mta:
        mta.env["SECRET"] = "of the administrator"
        mta.sendmail("cmd@example.com", MESSAGE, "-f", "x$(id)`id`;y@x.example")
        mta.wait_log("status=sent .delivered to command")
    assert (out / "fds").read_text() == "[0, 1, 2]"
    status = dict(line.split(":", 1) for line in
                  (out / "status").read_text().splitlines())
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {
        str(NOBODY)}
    assert set(status["Groups"].split()) <= {str(NOBODY)}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert int(status["SigBlk"], 16) == 0
    env = ast.literal_eval((out / "env").read_text())
    assert "SECRET" not in env
    assert re.fullmatch(r"[^$`;()]+", env["SENDER"])


# ---- chroot ----

CHROOT = ("pickup unix n - {} 60 1 pickup", "qmgr unix n - {} 300 1 qmgr",
          "bounce unix - - {} - 0 bounce", "smtp unix - - {} - - smtp",
          "relay unix - - {} - - smtp", "showq unix n - {} - - showq")


@as_root
def test_chroot():
    port = postrider.free_port()
    server = postrider.smtp_sink(rcpt={"bad@": "550 5.1.1 no",
                                       None: "250 2.1.5 Ok"})
    lines = {" ".join(line.split()[:2]): line.format("y") for line in CHROOT}
    lines["smtp inet"] = f"127.0.0.1:{port} inet n - y - - smtpd"
    main = {"transport_maps":
            f"inline:{{remote.example=smtp:[127.0.0.1]:{server.port}}}",
            "relay_domains": "remote.example",
            "header_checks": "regexp:{{/^X-No:/ REJECT}}"}
    with postrider.Instance(port=port, master=lines, main=main) as mta:
        def round_trip():
            with mta.smtp() as smtp:
                smtp.sendmail("root@example.com", ["u@remote.example"],
                              b"Subject: x\r\n\r\nx\r\n")
            mta.sendmail("bad@remote.example", MESSAGE, "-f",
                         "root@example.com")
            mta.wait_queue(0)

        round_trip()
        mta.wait_log("status=bounced")
        assert "Mail queue is empty" in mta.command("postqueue", "-p").stdout
        jailed = {os.path.basename(argv.split()[0]): pid
                  for pid, argv in mta.processes().items()
                  if os.readlink(f"/proc/{pid}/root")
                  == os.path.realpath(mta.queue_directory)}
        assert set(jailed) >= {"pickup", "qmgr", "bounce", "smtp", "showq",
                               "smtpd"}
        # A reload reads main.cf, which is outside.
        mta.write_main(header_checks="regexp:{{/^X-Other:/ REJECT}}",
                       soft_bounce="yes", defer_transports="smtp")
        mta.reload()
        mta.sendmail("u@remote.example", MESSAGE)
        mta.wait_log(r"\(deferred transport\)")
        assert "reload ignored" not in mta.log()
    server.stop()
