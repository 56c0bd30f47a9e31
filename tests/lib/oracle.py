# SPDX-License-Identifier: MIT
"""Debian's Postfix, unpacked beside the project, as a peer for tests.

root() gives the folder it was unpacked into (downloaded once into
build/oracle). Postfix() is a running instance; it needs the namespaces that
enter() makes: nothing outside them is touched.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time

from buildtree import PATIENCE, TOP

CACHE = os.path.join(TOP, "build", "oracle")
INSIDE = "POSTRIDER_TEST_NAMESPACE"


class Unavailable(Exception):
    """The peer cannot be had here; the reason is the text."""


def _unpack():
    work = CACHE + ".new"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    for update in (False, True):
        if update and os.geteuid() == 0:  # no package lists yet
            subprocess.run(["apt-get", "update", "-qq"], capture_output=True)
        got = subprocess.run(["apt-get", "download", "postfix", "postfix-doc"],
                             cwd=work, capture_output=True, text=True)
        if got.returncode == 0:
            break
    debs = glob.glob(os.path.join(work, "postfix*.deb"))
    if got.returncode or not debs:
        raise Unavailable("apt-get download postfix: " + got.stderr.strip()[-200:])
    for deb in debs:
        subprocess.run(["dpkg", "-x", deb, os.path.join(work, "root")], check=True)
    shutil.rmtree(CACHE, ignore_errors=True)
    os.rename(work, CACHE)


def root():
    """Folder with the unpacked package; raises Unavailable, or skips the test
    when pytest runs it."""
    try:
        if not os.path.isdir(os.path.join(CACHE, "root")):
            _unpack()
        return os.path.join(CACHE, "root")
    except (Unavailable, OSError) as err:
        if "pytest" in sys.modules:
            import pytest
            pytest.skip(f"no Debian postfix: {err}")
        raise


def command(name):
    """Path of a command and the environment that it needs."""
    top = root()
    path = os.path.join(top, "usr/sbin", name)
    env = dict(os.environ, LD_LIBRARY_PATH=os.path.join(top, "usr/lib/postfix"))
    return path, env


def _add_accounts(directory, users):
    """passwd and group with what a mail system needs, bind-mounted."""
    passwd = open("/etc/passwd").read().rstrip("\n").split("\n")
    group = open("/etc/group").read().rstrip("\n").split("\n")
    names = {line.split(":")[0] for line in passwd}
    groups = {line.split(":")[0] for line in group}
    for name, gid in (("postfix", 5901), ("postdrop", 5902)):
        if name not in groups:
            group.append(f"{name}:x:{gid}:")
    if "postfix" not in names:
        gid = next(line.split(":")[2] for line in group
                   if line.startswith("postfix:"))
        passwd.append(f"postfix:x:5901:{gid}::/nonexistent:/usr/sbin/nologin")
    for i, (user, home) in enumerate(users.items()):
        if user in names:
            continue
        uid = 5910 + i
        passwd.append(f"{user}:x:{uid}:{uid}:{user}:{home}:/bin/sh")
        group.append(f"{user}:x:{uid}:")
        os.makedirs(home, exist_ok=True)
        os.chown(home, uid, uid)
    for name, lines in (("passwd", passwd), ("group", group)):
        path = os.path.join(directory, name)
        with open(path, "w") as out:
            out.write("\n".join(lines) + "\n")
        subprocess.run(["mount", "--bind", path, "/etc/" + name], check=True)


def enter(users=(), with_oracle=True):
    """Run this program again inside mount and network namespaces of its own
    (once), then set them up: loopback, the accounts postfix and postdrop and
    those of users, Postfix's programs in /usr/lib/postfix. Returns a scratch
    folder that goes away with the caller's cleanup."""
    if os.environ.get(INSIDE) != "1":
        os.environ[INSIDE] = "1"
        if with_oracle:
            root()  # there is no network inside
        os.execvp("unshare", ["unshare", "-mn", "--propagation", "private",
                              "--fork", "--kill-child",
                              sys.executable] + sys.argv)
    return setup(users, with_oracle)


def _mount_point(scratch, path):
    """A folder to mount on, without making it on the real host: what it lies
    in is covered by an overlay first."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    cover = os.path.join(scratch, "cover" + parent.replace("/", "-"))
    os.makedirs(cover)
    subprocess.run(["mount", "-t", "tmpfs", "none", cover], check=True)
    for sub in ("upper", "work"):
        os.mkdir(os.path.join(cover, sub))
    subprocess.run(["mount", "-t", "overlay", "-o",
                    f"lowerdir={parent},upperdir={cover}/upper,"
                    f"workdir={cover}/work", "none", parent], check=True)
    os.makedirs(path)


def setup(users=(), with_oracle=True):
    """The second half of enter(), for a process that is already inside."""
    scratch = tempfile.mkdtemp(prefix="postrider-test-")
    os.chmod(scratch, 0o755)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    _mount_point(scratch, "/usr/lib/postfix")
    _mount_point(scratch, "/etc/postfix")
    _add_accounts(scratch, {u: os.path.join(scratch, "home", u) for u in users})
    if with_oracle:
        top = root()
        subprocess.run(["mount", "--bind", os.path.join(top, "usr/lib/postfix"),
                        "/usr/lib/postfix"], check=True)
        for name in ("postdrop", "postqueue"):
            path = os.path.join(top, "usr/sbin", name)
            shutil.chown(path, "root", "postdrop")
            os.chmod(path, 0o2555)
    etc = os.path.join(scratch, "etc-postfix")
    os.makedirs(etc)
    subprocess.run(["mount", "--bind", etc, "/etc/postfix"], check=True)
    with open("/etc/postfix/main.cf", "w") as out:
        out.write(f"alternate_config_directories = {scratch}/oracle\n")
    with open("/etc/postfix/dynamicmaps.cf", "w"):
        pass
    return scratch


class Postfix:
    """An instance of Debian's Postfix below scratch; main and master change
    what is set here (a service's line by its "name type")."""

    def __init__(self, scratch, port, main=None, master=None, name="oracle",
                 group=None, queue=None, lib="/usr/lib/postfix"):
        self.top = root()
        self.config = os.path.join(scratch, name)
        self.queue = queue or os.path.join(scratch, name + "-queue")
        self.data = os.path.join(scratch, name + "-data")
        self.logfile = os.path.join(scratch, name + ".log")
        self.port = port
        self.lib = lib  # where its programs are seen
        self.group = group
        for path in (self.config, self.queue, self.data):
            os.makedirs(path)
        shutil.chown(self.data, "postfix", "postfix")
        settings = {
            "compatibility_level": "3.6",
            "config_directory": self.config,
            "queue_directory": self.queue,
            "data_directory": self.data,
            "command_directory": os.path.join(self.top, "usr/sbin"),
            "daemon_directory": lib + "/sbin",
            "shlib_directory": lib,
            "import_environment": "MAIL_CONFIG TZ LD_LIBRARY_PATH",
            "meta_directory": self.config,
            "sendmail_path": os.path.join(self.top, "usr/sbin/sendmail"),
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": self.logfile,
            "maillog_file_prefixes": scratch,
            "myhostname": "oracle.example.com",
            "mydomain": "example.com",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "alias_maps": "",
            "alias_database": "",
            "smtp_tls_security_level": "none",
            "smtpd_tls_security_level": "none",
        }
        settings.update(main or {})
        with open(os.path.join(self.config, "main.cf"), "w") as out:
            for key, value in settings.items():
                out.write(f"{key} = {value}\n")
        lines = []
        dist = os.path.join(self.top, "usr/share/postfix/master.cf.dist")
        for line in open(dist):
            if line.startswith("#") or not line.strip():
                continue
            if line.startswith("smtp      inet"):
                line = f"127.0.0.1:{port} inet n - n - - smtpd\n"
            fields = line.split()
            if not line[0].isspace() and len(fields) >= 8:
                fields[4] = "n"
                line = " ".join(fields) + "\n"
                line = (master or {}).get(f"{fields[0]} {fields[1]}", line)
            if line.strip():
                lines.append(line if line.endswith("\n") else line + "\n")
        with open(os.path.join(self.config, "master.cf"), "w") as out:
            out.writelines(lines)
        for name in ("dynamicmaps.cf", "postfix-files"):
            src = os.path.join(self.top, "etc/postfix", name)
            dst = os.path.join(self.config, name)
            if os.path.exists(src):
                shutil.copy(src, dst)
            else:
                open(dst, "w").close()
        self.env = dict(os.environ, MAIL_CONFIG=self.config,
                        LD_LIBRARY_PATH=lib)
        self.master = None

    def run(self, *argv, **kw):
        path = os.path.join(self.top, "usr/sbin", argv[0])
        return subprocess.run([path] + list(argv[1:]), env=self.env,
                              capture_output=True, text=True, **kw)

    def sendmail_command(self):
        """Path and environment of its sendmail(1)."""
        return os.path.join(self.top, "usr/sbin/sendmail"), self.env

    def start(self):
        for directory, mode, owner in (
                ("active", 0o700, "postfix"), ("bounce", 0o700, "postfix"),
                ("corrupt", 0o700, "postfix"), ("defer", 0o700, "postfix"),
                ("deferred", 0o700, "postfix"), ("flush", 0o700, "postfix"),
                ("hold", 0o700, "postfix"), ("incoming", 0o700, "postfix"),
                ("saved", 0o700, "postfix"), ("trace", 0o700, "postfix"),
                ("private", 0o700, "postfix"), ("pid", 0o755, "root"),
                ("maildrop", 0o730, "postfix"), ("public", 0o710, "postfix")):
            path = os.path.join(self.queue, directory)
            os.makedirs(path, exist_ok=True)
            group = ("postdrop" if directory in ("maildrop", "public")
                     else "root")
            shutil.chown(path, owner, group)
            os.chmod(path, mode)
        self.master = subprocess.Popen(
            [self.lib + "/sbin/master", "-c", self.config, "-d"],
            env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=self.group.join if self.group else None)
        pid = os.path.join(self.queue, "public/qmgr")
        deadline = time.time() + 20 * PATIENCE
        while not os.path.exists(pid):
            if self.master.poll() is not None or time.time() > deadline:
                raise RuntimeError("Postfix does not start: " + self.log()[-500:])
            time.sleep(0.05)
        return self

    def stop(self):
        if self.master and self.master.poll() is None:
            self.master.terminate()
            try:
                self.master.wait(20)
            except subprocess.TimeoutExpired:
                self.master.kill()
                self.master.wait()
        self.master = None

    def log(self):
        try:
            with open(self.logfile, errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, text, timeout=20, count=1):
        deadline = time.time() + timeout * PATIENCE
        while time.time() < deadline:
            if self.log().count(text) >= count:
                return True
            time.sleep(0.1)
        raise AssertionError(f"not in the log within {timeout} s: {text}\n"
                             + self.log()[-3000:])
