# SPDX-License-Identifier: MIT
"""The same commands with Postfix and with us, as root in namespaces of its
own: what they print, how they end, which files they leave. Exit status 1 when
something differs; the differences are printed.

    postmulti_side_by_side.py CASES [oracle|ours]

CASES: a file with one shell command per line ("#": a comment); it runs in a
scratch folder with /etc/postfix as the primary instance. "lines N" prints
what postfix(1) logged when that are N lines. With a second argument the
transcript of that side is printed.
"""
import difflib
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))

import buildtree  # noqa: E402
import oracle  # noqa: E402

MAIN_CF = """\
compatibility_level = 3.6
command_directory = {top}/sbin
daemon_directory = {top}/libexec
queue_directory = {top}/spool/postfix
data_directory = {top}/lib/postfix
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
sendmail_path = {top}/sbin/sendmail
maillog_file = {top}/log
maillog_file_prefixes = {top}
myhostname = mx.example.com
mydomain = example.com
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
"""
PROTO = """\
# The stock file.
compatibility_level = 3.6
command_directory = /nowhere/sbin
daemon_directory = /nowhere/libexec
queue_directory = /nowhere/spool
data_directory = /nowhere/lib
inet_protocols = ipv4
setgid_group =
sendmail_path =
maillog_file = {top}/log
maillog_file_prefixes = {top}
myhostname = mx.example.com
"""
MASTER_CF = """\
smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
local unix - n n - - local
smtp unix - - n - - smtp
postlog unix-dgram n - n - 1 postlogd
"""

# A running postlogd writes the lines later than the command ends.
LINES = """\
lines() {
	i=0
	while [ $(grep -c script log) -lt $1 ] && [ $i -lt %d ]; do
		sleep .1
		i=$((i + 1))
	done
	grep script log | cut -c 17- | sort
	: >log
}
""" % (200 * buildtree.PATIENCE)


def write(path, text):
    with open(path, "w") as out:
        out.write(text)


class Side:
    def __init__(self, name, scratch):
        self.name = name
        self.top = os.path.join(scratch, "top")
        if name == "oracle":
            root = oracle.root()
            self.commands = os.path.join(root, "usr/sbin")
            self.daemons = os.path.join(root, "usr/lib/postfix/sbin")
        else:
            b = buildtree.directory()
            self.commands = os.path.join(b, "sbin")
            self.daemons = os.path.join(b, "libexec")

    def set_up(self):
        shutil.rmtree(self.top, ignore_errors=True)
        os.makedirs(self.top)
        shutil.copytree(self.commands, self.top + "/sbin", symlinks=True)
        shutil.copytree(self.daemons, self.top + "/libexec", symlinks=True)
        for path in (self.top + "/sbin", self.top + "/libexec"):
            subprocess.run(["chown", "-R", "0:0", path], check=True)
        for name in ("postdrop", "postqueue"):
            path = f"{self.top}/sbin/{name}"
            shutil.chown(path, "root", "postdrop")
            os.chmod(path, 0o2555)
        os.makedirs(self.top + "/spool/postfix")
        os.makedirs(self.top + "/lib/postfix")
        shutil.chown(self.top + "/lib/postfix", "postfix", "postfix")
        for entry in os.scandir("/etc"):
            if entry.name.startswith("postfix-"):
                shutil.rmtree(entry.path)
        for entry in os.scandir("/etc/postfix"):
            if entry.is_dir():
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        write("/etc/postfix/main.cf", MAIN_CF.format(top=self.top))
        write("/etc/postfix/main.cf.proto", PROTO.format(top=self.top))
        for name in ("master.cf", "master.cf.proto"):
            write("/etc/postfix/" + name, MASTER_CF)
        write("/etc/postfix/dynamicmaps.cf", "")
        if self.name == "oracle":
            shutil.copy(os.path.join(oracle.root(),
                                     "etc/postfix/postfix-files"),
                        "/etc/postfix")
        files = os.path.join(self.top, "f")
        os.makedirs(files)

    def clean(self, text):
        text = text.replace(self.top, "TOP")
        text = re.sub(r"PID: \d+", "PID: N", text)
        return re.sub(r"\[\d+\]", "[N]", text)

    def run(self, commands):
        """A list of texts, one per command."""
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("MAIL", "POST", "LD_"))}
        env.update(PATH=f"{self.top}/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
                   TOP=self.top, LC_ALL="C",
                   DEB=os.path.join(oracle.CACHE, "root"))
        self.set_up()
        transcript = []
        for command in commands:
            done = subprocess.run(
                ["sh", "-c", LINES + command], cwd=self.top, env=env, text=True,
                stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                errors="replace")
            transcript.append(self.clean(
                f"$ {command}\n{done.stdout}"
                + "".join(f"! {x}\n" for x in done.stderr.splitlines())
                + f"= {done.returncode}\n"))
        return transcript


def cover_etc(scratch):
    """New folders in /etc must not be made on the real host."""
    kept = os.path.join(scratch, "etc-postfix")
    accounts = {n: open("/etc/" + n).read() for n in ("passwd", "group")}
    cover = scratch + "/etc-cover"
    os.makedirs(cover)
    subprocess.run(["mount", "-t", "tmpfs", "none", cover], check=True)
    for name in ("upper", "work"):
        os.makedirs(f"{cover}/{name}")
    subprocess.run(["mount", "-t", "overlay", "-o",
                    f"lowerdir=/etc,upperdir={cover}/upper,"
                    f"workdir={cover}/work", "none", "/etc"], check=True)
    for name, text in accounts.items():
        write("/etc/" + name, text)
    os.makedirs("/etc/postfix", exist_ok=True)
    subprocess.run(["mount", "--bind", kept, "/etc/postfix"], check=True)


def main():
    scratch = oracle.enter(with_oracle=sys.argv[2:] != ["ours"])
    cover_etc(scratch)
    with open(sys.argv[1]) as cases:
        commands = [line.strip() for line in cases
                    if line.strip() and not line.startswith("#")]
    if len(sys.argv) > 2:
        sys.stdout.writelines(Side(sys.argv[2], scratch).run(commands))
        return 0
    theirs, ours = (Side(n, scratch).run(commands) for n in ("oracle", "ours"))
    bad = 0
    for a, b in zip(theirs, ours):
        if a != b:
            bad += 1
            sys.stdout.writelines(difflib.unified_diff(
                a.splitlines(True), b.splitlines(True), "postfix", "postrider"))
    print(f"{len(commands)} commands, {bad} differ")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
