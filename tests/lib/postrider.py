# SPDX-License-Identifier: MIT
"""A private instance of the mail system for a test, from a build tree ($B).

    with postrider.Instance(main={"soft_bounce": "yes"}) as mta:
        mta.sendmail("user@example.com", b"Subject: x\\n\\nhello\\n")
        mta.wait_log(r"status=sent")

Everything it writes lies in one folder, it listens on a free port of 127.0.0.1,
asks no DNS, and works for root and for an ordinary user. stop() ends only the
processes that start() began.

main    main.cf settings, over the ones here
master  lines of master.cf by "name type", over the ones here; None removes one
user    root only: run everything as this ordinary user
"""
import grp
import json
import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time

import buildtree
from buildtree import PATIENCE
from smtp_script import SmtpScript

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
lmtp unix - - n - - lmtp
postlog unix-dgram n - n - 1 postlogd
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _known(getter, *names):
    for name in names:
        try:
            getter(name)
            return name
        except KeyError:
            pass
    raise RuntimeError(f"none of {names} exists on this host")


def mail_owner():
    """The account and the group of the queue. A host on which no mail system
    was installed has other ones that nobody needs."""
    return (_known(pwd.getpwnam, "postfix", "daemon"),
            _known(grp.getgrnam, "postdrop", "games"))


def free_ports(count):
    """So many different ones."""
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def connect(port, seconds=10):
    """A connection to a server that may be about to listen."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Instance:
    def __init__(self, directory=None, port=None, main=None, master=None,
                 group=None, queue=None, user=None, b=None):
        self.b = b or buildtree.directory()
        self.temporary = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="postrider-")
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o755)
        self.port = port or free_port()
        self.config = os.path.join(self.directory, "etc")
        self.queue_directory = queue or os.path.join(self.directory, "queue")
        self.data = os.path.join(self.directory, "data")
        self.mail = os.path.join(self.directory, "mail")
        self.logfile = os.path.join(self.directory, "log", "mail.log")
        self.group = group
        self.user = user
        self.master = None
        self.settings = self._settings()
        self.settings.update(main or {})
        self.lines = self._lines(master or {})
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ("MAIL_CONFIG", "MAIL_LOGTAG")}
        self.env["MAIL_CONFIG"] = self.config
        self._write()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.close()

    # ---- configuration ----

    def _settings(self):
        settings = {
            "compatibility_level": "3.6",
            "config_directory": self.config,
            "queue_directory": self.queue_directory,
            "data_directory": self.data,
            "daemon_directory": os.path.join(self.b, "libexec"),
            "command_directory": os.path.join(self.b, "sbin"),
            "sendmail_path": os.path.join(self.b, "sbin/sendmail"),
            "maillog_file": self.logfile,
            "maillog_file_prefixes": self.directory,
            "myhostname": "test.example.com",
            "mydomain": "example.com",
            "mydestination": "$myhostname, localhost, example.com",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "smtpd_peername_lookup": "no",
            "alias_maps": "",
            "alias_database": "",
            "mail_spool_directory": self.mail + "/",
            "service_throttle_time": "2s",
        }
        if os.geteuid() == 0 and not self.user:
            owner, setgid = mail_owner()
            settings.update(mail_owner=owner, setgid_group=setgid)
        return settings

    def _lines(self, override):
        lines = {}
        for line in MASTER_CF.format(port=self.port).splitlines():
            lines[" ".join(line.split()[:2])] = line
        smtpd = f"127.0.0.1:{self.port} inet"
        for key, line in override.items():
            lines[smtpd if key == "smtp inet" else key] = line
        return lines

    def _write(self):
        os.makedirs(self.config, exist_ok=True)
        os.makedirs(os.path.dirname(self.logfile), exist_ok=True)
        os.makedirs(self.mail, exist_ok=True)
        os.chmod(self.mail, 0o1777)
        os.makedirs(self.queue_directory, exist_ok=True)
        self.write_main()
        self.write_master()
        if self.user:
            who = pwd.getpwnam(self.user)
            for path in (self.directory, self.queue_directory):
                subprocess.run(["chown", "-R", f"{who.pw_uid}:{who.pw_gid}",
                                path], check=True)

    def write_main(self, **settings):
        """Rewrite main.cf, with these settings changed; no reload."""
        self.settings.update(settings)
        with open(os.path.join(self.config, "main.cf"), "w") as out:
            for name, value in self.settings.items():
                out.write(f"{name} = {value}\n")

    def write_master(self, **_):
        with open(os.path.join(self.config, "master.cf"), "w") as out:
            for line in self.lines.values():
                if line:
                    out.write(line.rstrip("\n") + "\n")

    # ---- life ----

    def _become(self):
        """In the child, before exec."""
        if self.group:
            self.group.join()
        if self.user:
            who = pwd.getpwnam(self.user)
            os.setgroups([])
            os.setresgid(who.pw_gid, who.pw_gid, who.pw_gid)
            os.setresuid(who.pw_uid, who.pw_uid, who.pw_uid)

    def command(self, *argv, **kw):
        """Run one of the commands; the result has stdout and stderr."""
        kw["timeout"] = kw.get("timeout", 60) * PATIENCE
        path = os.path.join(self.b, "sbin", argv[0])
        return subprocess.run(
            [path, *map(str, argv[1:])], env=self.env, capture_output=True,
            preexec_fn=self._become, text=not isinstance(kw.get("input"),
                                                         bytes), **kw)

    run = command

    def postfix(self, *argv):
        return self.command("postfix", "-c", self.config, *argv)

    def start(self, wait=True):
        check = self.postfix("check")
        if check.returncode:
            raise RuntimeError("postfix check: " + check.stderr + self.log())
        before = len(self.log())
        if any((line or "").split()[4:5] == ["y"]
               for line in self.lines.values()):
            buildtree.open_chroot(self.queue_directory)
        self.master = subprocess.Popen(
            [os.path.join(self.b, "libexec/master"), "-d", "-c", self.config],
            env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=self._become)
        deadline = time.monotonic() + 20 * PATIENCE
        while wait and "daemon started" not in self.log()[before:]:
            if self.master.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError("does not start: " + self.log()[-2000:])
            time.sleep(0.02)
        return self

    @property
    def pid(self):
        return self.master.pid

    def stop(self, timeout=20):
        """SIGTERM to master; whatever is left of its session is killed."""
        if not self.master:
            return
        if self.master.poll() is None:
            self.master.terminate()
            try:
                self.master.wait(timeout * PATIENCE)
            except subprocess.TimeoutExpired:
                pass
        # Whether a daemon leaked memory is found out when it ends.
        deadline = time.monotonic() + 10
        while (buildtree.SANITIZED and self.processes() and
               time.monotonic() < deadline):
            time.sleep(0.02)
        self.kill()

    def kill(self):
        if not self.master:
            return
        try:
            os.killpg(self.master.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.master.wait()
        self.master = None
        buildtree.close_chroot(self.queue_directory)

    def close(self):
        self.stop()
        if self.temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def reload(self, timeout=20):
        count = self.log().count(": reload -- version")
        self.master.send_signal(signal.SIGHUP)
        self.wait_log(": reload -- version", timeout, count + 1)

    # ---- the log ----

    def log(self):
        try:
            with open(self.logfile, errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, regex, timeout=20, count=1):
        """The count-th match in the log; an error when it does not appear."""
        pattern = re.compile(regex, re.M)
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            log = self.log()
            found = list(pattern.finditer(log))
            if len(found) >= count:
                return found[count - 1]
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not in the log within {timeout} s: {regex}\n"
                    + log[-3000:])
            time.sleep(0.05)

    # ---- mail ----

    def sendmail_command(self):
        """Path and environment of its sendmail(1)."""
        return os.path.join(self.b, "sbin/sendmail"), self.env

    def sendmail(self, rcpt, message, *options, check=True):
        if isinstance(message, str):
            message = message.encode()
        rcpts = [rcpt] if isinstance(rcpt, str) else list(rcpt)
        done = self.command("sendmail", *options, "--", *rcpts,
                            input=message)
        if check and done.returncode:
            raise AssertionError(f"sendmail: {done.returncode} "
                                 f"{done.stderr!r}\n" + self.log()[-2000:])
        return done

    def smtp(self, timeout=20):
        # With a name of its own, or smtplib would ask DNS for one.
        return smtplib.SMTP("127.0.0.1", self.port, timeout=timeout * PATIENCE,
                            local_hostname="client.example.com")

    def queue(self):
        """The messages of postqueue -j."""
        done = self.command("postqueue", "-j")
        if done.returncode:
            raise AssertionError("postqueue -j: " + done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_queue(self, count=0, timeout=20):
        """Wait until there are that many messages; returns them."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            messages = self.queue()
            if len(messages) == count:
                return messages
            if time.monotonic() > deadline:
                raise AssertionError(f"not {count} messages in the queue: "
                                     f"{messages}\n" + self.log()[-2000:])
            time.sleep(0.05)

    def mailbox(self, user):
        """Messages in the user's Maildir below mail_spool_directory."""
        new = os.path.join(self.mail, user, "new")
        if not os.path.isdir(new):
            return []
        out = []
        for name in sorted(os.listdir(new)):
            with open(os.path.join(new, name), "rb") as f:
                out.append(f.read())
        return out

    # ---- processes ----

    def processes(self):
        """pid: command line, of everything in master's session."""
        out = {}
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat") as f:
                    session = int(f.read().rsplit(")", 1)[1].split()[3])
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    argv = f.read().rstrip(b"\0").replace(b"\0", b" ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if self.master and session == self.master.pid:
                out[int(name)] = argv.decode(errors="replace")
        return out

    def pids(self, program):
        return sorted(pid for pid, argv in self.processes().items()
                      if os.path.basename(argv.split()[0] if argv else "")
                      == program)


def smtp_sink(**stages):
    """A running SmtpScript (tests/lib/smtp_script.py)."""
    return SmtpScript(**stages).start()


def run_in_netns(argv, **kw):
    """Run a command where there is no network but the loopback interface."""
    kw["timeout"] = kw.get("timeout", 120) * PATIENCE
    script = 'ip link set lo up && exec "$@"'
    return subprocess.run(["unshare", "-n", "sh", "-c", script, "sh", *argv],
                          capture_output=True, text=True, **kw)
