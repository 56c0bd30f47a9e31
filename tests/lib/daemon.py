# SPDX-License-Identifier: MIT
"""One daemon started the way master(8) starts it, without master.

    box = Box(tmp_path, {"myhostname": "client.example.com"})
    box.start("resolver", "private/resolver")
    box.start("smtp", "private/smtp", over=["soft_bounce=yes"])
    ... box.connect("private/smtp"), box.log() ...
    box.stop()

The log lines of all of them are collected from the postlogd socket.
"""
import os
import re
import signal
import socket
import subprocess
import threading
import time

from buildtree import PATIENCE

MASTER_FD = 3
LISTEN_FD = 4


class Box:
    def __init__(self, path, main=None, build=None):
        self.path = str(path)
        self.build = build or os.environ["B"]
        self.config = os.path.join(self.path, "etc")
        self.queue = os.path.join(self.path, "queue")
        for name in ("etc", "queue", "queue/private", "queue/public",
                     "queue/pid", "data"):
            os.makedirs(os.path.join(self.path, name), exist_ok=True)
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": self.queue,
            "data_directory": os.path.join(self.path, "data"),
            "daemon_directory": os.path.join(self.build, "libexec"),
            "command_directory": os.path.join(self.build, "sbin"),
            "maillog_file": os.path.join(self.path, "log"),
            "maillog_file_prefixes": self.path,
            "myhostname": "client.example.com",
            "mail_owner": "root" if os.getuid() == 0 else os.environ["USER"],
            "inet_interfaces": "127.0.0.1",
        }
        settings.update(main or {})
        with open(os.path.join(self.config, "main.cf"), "w",
                  encoding="utf-8") as file:
            for key, value in settings.items():
                file.write(f"{key} = {value}\n")
        self.lines = []
        self.children = {}
        self.logsock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.logsock.bind(os.path.join(self.queue, "public/postlog"))
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        while True:
            try:
                line = self.logsock.recv(65536)
            except OSError:
                return
            if not line:
                return
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    def start(self, program, where, over=(), args=(), env=None):
        """Listen on where (relative to the queue directory) and run it."""
        path = os.path.join(self.queue, where)
        listener = socket.socket(socket.AF_UNIX)
        # sun_path is short, and pytest's folders are deep.
        here = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
        listener.bind(f"/proc/self/fd/{here}/{os.path.basename(path)}")
        os.close(here)
        listener.listen(100)
        ours, theirs = socket.socketpair()
        argv = [program, "-C", self.config, "-n", os.path.basename(where),
                "-t", "unix"]
        for one in over:
            argv += ["-o", one]
        argv += list(args)
        pair = (theirs.fileno(), listener.fileno())

        def place():
            high = [os.dup2(fd, 60 + i) for i, fd in enumerate(pair)]
            for i, fd in enumerate(high):
                os.dup2(fd, MASTER_FD + i, inheritable=True)
                os.close(fd)

        child = subprocess.Popen(
            argv, executable=os.path.join(self.build, "libexec", program),
            preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL,
            env=dict(os.environ, POSTLOG_HOSTNAME="client",
                     POSTLOG_SERVICE=os.path.join(self.queue,
                                                  "public/postlog"),
                     **(env or {})))
        theirs.close()
        listener.close()
        said = ours.recv(1)
        while said and said != b"R":
            said = ours.recv(1)
        assert said == b"R", self.log()
        self.children[where] = (child, ours)
        return child

    def connect(self, where):
        sock = socket.socket(socket.AF_UNIX)
        here = os.open(os.path.join(self.queue, os.path.dirname(where)),
                       os.O_RDONLY | os.O_DIRECTORY)
        try:
            sock.connect(f"/proc/self/fd/{here}/{os.path.basename(where)}")
        finally:
            os.close(here)
        sock.settimeout(60 * PATIENCE)
        return sock

    def end(self, where, sig=signal.SIGTERM):
        child, ours = self.children.pop(where)
        if child.poll() is None:
            child.send_signal(sig)
            try:
                child.wait(10 * PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        ours.close()
        path = os.path.join(self.queue, where)
        if os.path.exists(path):
            os.unlink(path)
        return child.returncode

    def stop(self):
        for where in list(self.children):
            self.end(where)
        try:
            self.logsock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.logsock.close()

    def log(self):
        """What was logged, without time, host and process id."""
        return "\n".join(re.sub(r"^.{15} \S+ (\S+)\[\d+\]: ", r"\1: ", line)
                         for line in list(self.lines))

    def wait_log(self, text, timeout=10, count=1):
        deadline = time.time() + timeout * PATIENCE
        while self.log().count(text) < count:
            if time.time() > deadline:
                raise AssertionError(f"not in the log: {text}\n{self.log()}")
            time.sleep(0.02)
