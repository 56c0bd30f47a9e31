# SPDX-License-Identifier: MIT
"""Nothing acknowledged may be lost: strike the mail system at its Nth call
that changes state, under load, and look for every message afterwards.

    tests/crash/crash.py [--mode one,all,power] [--points N] [--workers N]
                         [--system postrider|postfix] [--no-sync] [--list]

  one    kill -9 of the process that makes the call; the rest goes on
  all    kill -9 of everything, start again
  power  spool and mailboxes lie on an ext4 of their own, which is shut down
         without flushing its journal; everything is killed, the file system
         mounted again, the system started again

The points of a sweep are spread evenly over the calls of one undisturbed run.
A message counts as acknowledged when the client saw 250 (or exit status 0).
For each point: lost (an acknowledged recipient never got it), corrupt (a copy
with a wrong checksum, also of a message that was not acknowledged), extra
(more than one copy). --no-sync preloads libeatmydata: then power must show
losses, or this program proves nothing. Needs root.
"""
import argparse
import ctypes
import fcntl
import glob
import hashlib
import json
import mmap
import os
import platform
import random
import shutil
import smtplib
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import cgroup  # noqa: E402
import oracle  # noqa: E402

CONTROL = "/run/postrider-crash"
EXEMPT = ("python3 python3.11 sh bash mount umount mkfs.ext4 ip losetup e2fsck "
          "postlogd")
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
SYS_SYNCFS = 267 if platform.machine() == "aarch64" else 306
EATMYDATA = "".join(glob.glob("/usr/lib/*/libeatmydata.so")[:1])
SINK_PORT = 2600
HOST = "crash.example.com"
PACE = 0.25  # seconds between two messages of a client, at most


class Control(ctypes.Structure):
    _fields_ = [("armed", ctypes.c_int), ("mode", ctypes.c_int),
                ("count", ctypes.c_longlong), ("strike_at", ctypes.c_longlong),
                ("fired", ctypes.c_int), ("no_sync", ctypes.c_int),
                ("what", ctypes.c_char * 64),
                ("exempt", ctypes.c_char * 256)]


class Sink(socketserver.ThreadingTCPServer):
    """The relay host: ok-* is taken, no-* refused, later-* refused once."""
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        self.lock = threading.Lock()
        self.got = {}      # recipient -> list of content
        self.refused = set()
        super().__init__(("127.0.0.1", SINK_PORT), Session)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Session(socketserver.StreamRequestHandler):
    def reply(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        try:
            self.talk()
        except OSError:
            pass

    def rcpt(self, address):
        local = address.split("@")[0]
        if local.startswith("no-"):
            return "550 5.1.1 no such user"
        with self.server.lock:
            if local.startswith("later-") and address not in self.server.refused:
                self.server.refused.add(address)
                return "451 4.7.1 come back later"
        self.rcpts.append(address)
        return "250 2.1.5 ok"

    def talk(self):
        self.rcpts = []
        self.reply("220 sink ESMTP")
        for line in self.rfile:
            word = line[:4].upper()
            if word in (b"EHLO", b"HELO"):
                self.reply("250-sink\r\n250-PIPELINING\r\n250 8BITMIME")
            elif word == b"MAIL" or word == b"RSET":
                self.rcpts = []
                self.reply("250 2.1.0 ok")
            elif word == b"RCPT":
                self.reply(self.rcpt(line.decode().split("<")[1].split(">")[0]))
            elif word == b"DATA":
                if not self.rcpts:
                    self.reply("554 5.5.1 no valid recipients")
                    continue
                self.reply("354 go")
                content = []
                for data in self.rfile:
                    if data == b".\r\n":
                        break
                    content.append(data[1:] if data[:1] == b"." else data)
                else:
                    return
                with self.server.lock:
                    for rcpt in self.rcpts:
                        self.server.got.setdefault(rcpt, []).append(
                            b"".join(content).replace(b"\r\n", b"\n"))
                self.rcpts = []
                self.reply("250 2.0.0 taken")
            elif word == b"QUIT":
                self.reply("221 bye")
                return
            else:
                self.reply("250 2.0.0 ok")


def make_message(token, rng):
    lines = rng.choice((3, 40, 70, 70, 70, 3000))
    body = "".join("%032x%032x\n" % (rng.getrandbits(128), rng.getrandbits(128))
                   for _ in range(lines))
    digest = hashlib.sha256(body.encode()).hexdigest()
    return (f"From: user2@{HOST}\nSubject: crash test\nX-Token: {token}\n"
            f"X-Digest: {digest}\n\n{body}")


def check_copy(content, token):
    """Is this a whole copy of the message?"""
    head, _, body = content.partition(b"\n\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\n")
                  if b": " in line and not line[:1].isspace())
    return (fields.get(b"X-Token", b"").decode() == token
            and hashlib.sha256(body).hexdigest()
            == fields.get(b"X-Digest", b"").decode())


class Point:
    """One run: start, load, strike, recover, count."""

    def __init__(self, args, mode, strike_at, scratch, control, seed):
        self.args, self.mode, self.strike_at = args, mode, strike_at
        self.control = control
        self.rng = random.Random(seed)
        self.dir = tempfile.mkdtemp(prefix="point-", dir=scratch)
        os.chmod(self.dir, 0o755)
        self.disk = os.path.join(scratch, "disk")
        self.image = os.path.join(self.dir, "image")
        self.group = cgroup.Group("crash")
        self.acked = []     # (token, kind, recipient)
        self.lock = threading.Lock()
        self.sink = Sink()

    # ---- the disk ----

    def make_disk(self):
        os.makedirs(self.disk, exist_ok=True)
        if self.mode == "power":
            with open(self.image, "wb") as out:
                out.truncate(96 << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
            self.mount()
        for user in ("user1", "user2"):
            home = os.path.join(self.disk, "home", user)
            shutil.rmtree(home, ignore_errors=True)
            os.makedirs(home)
            shutil.chown(home, user, user)
        self.sync()

    def sync(self):
        """What was there before the load is on the disk (past libeatmydata,
        which knows only the C library's calls)."""
        fd = os.open(self.disk, os.O_RDONLY)
        ctypes.CDLL(None).syscall(SYS_SYNCFS, fd)
        os.close(fd)

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image,
                        self.disk], check=True)

    def umount(self):
        for _ in range(100):
            if subprocess.run(["umount", self.disk],
                              stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.05)
        raise OSError("cannot unmount " + self.disk)

    # ---- the system ----

    def make_system(self):
        settings = {
            "myhostname": HOST, "mydestination": HOST, "mydomain": "example.com",
            "relayhost": f"[127.0.0.1]:{SINK_PORT}",
            "home_mailbox": "Maildir/", "local_recipient_maps": "",
            "minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
            "queue_run_delay": "1s", "transport_retry_time": "1s",
            "service_throttle_time": "1s", "smtp_host_lookup": "native",
            "alias_maps": "", "alias_database": "",
            "in_flow_delay": "0",
        }
        if self.args.system == "postfix":
            self.system = oracle.Postfix(
                self.dir, 2500, main=settings, group=self.group,
                queue=os.path.join(self.disk, "queue"))
        else:
            import postrider
            self.system = postrider.Instance(
                directory=os.path.join(self.dir, "instance"), port=2500,
                main=settings, group=self.group,
                queue=os.path.join(self.disk, "queue"))

    # ---- the load ----

    def ack(self, token, targets):
        with self.lock:
            self.acked += [(token, kind, rcpt) for kind, rcpt in targets]

    def targets(self, token, what):
        remote = f"{token}@sink.example.net"
        return {"local": ("local", f"user1@{HOST}"),
                "ok": ("remote", "ok-" + remote),
                "later": ("remote", "later-" + remote),
                "no": ("bounce", "no-" + remote)}[what]

    def by_smtp(self, jobs):
        for token, kinds in jobs:
            targets = [self.targets(token, k) for k in kinds]
            try:
                client = smtplib.SMTP("127.0.0.1", 2500, timeout=20)
                refused = client.sendmail(
                    f"user2@{HOST}", [rcpt for _, rcpt in targets],
                    make_message(token, random.Random(token)))
                self.ack(token, [t for t in targets if t[1] not in refused])
                client.close()
            except (OSError, smtplib.SMTPException):
                if self.control.fired and self.mode != "one":
                    return
            time.sleep(self.rng.uniform(0, PACE))

    def by_sendmail(self, jobs):
        path, env = self.system.sendmail_command()
        for token, kinds in jobs:
            targets = [self.targets(token, k) for k in kinds]
            run = subprocess.Popen(
                [path, "-i", "-f", f"user2@{HOST}", "--"]
                + [rcpt for _, rcpt in targets], env=env,
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, preexec_fn=self.group.join)
            try:
                run.communicate(make_message(
                    token, random.Random(token)).encode(), timeout=30)
                if run.returncode == 0:
                    self.ack(token, targets)
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
            if self.control.fired and self.mode != "one":
                return
            time.sleep(self.rng.uniform(0, PACE))

    def load(self):
        kinds = [["local"], ["ok"], ["later"], ["no"],
                 ["local", "ok", "later", "no"], ["ok"]]
        runs = []
        for lane, (how, count) in enumerate(((self.by_smtp, 12),
                                             (self.by_smtp, 12),
                                             (self.by_sendmail, 6))):
            jobs = [(f"{lane}x{i}x{self.rng.getrandbits(40):010x}",
                     kinds[(i + lane) % len(kinds)]) for i in range(count)]
            runs.append(threading.Thread(target=how, args=(jobs,)))
        self.control.armed = 1
        for run in runs:
            run.start()
        return runs

    # ---- the strike ----

    def recover(self):
        if self.mode == "power":
            fd = os.open(self.disk, os.O_RDONLY)
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
            os.close(fd)
        self.control.armed = 0
        self.group.kill()
        self.system.stop()
        if self.mode == "power":
            self.umount()
            self.mount()
        self.system.start()

    # ---- the count ----

    def mailbox(self, user):
        copies = []
        for sub in ("new", "cur"):
            path = os.path.join(self.disk, "home", user, "Maildir", sub)
            if not os.path.isdir(path):
                continue
            for name in os.listdir(path):
                with open(os.path.join(path, name), "rb") as mail:
                    copies.append(mail.read())
        return copies

    def token_of(self, content):
        at = content.find(b"X-Token: ")
        return content[at + 9:].split(b"\n")[0].decode() if at >= 0 else ""

    def outcome(self):
        local = [(self.token_of(c), c) for c in self.mailbox("user1")]
        notices = [self.token_of(c) for c in self.mailbox("user2")]
        with self.sink.lock:
            remote = {k: list(v) for k, v in self.sink.got.items()}
        result = {"lost": [], "extra": [], "corrupt": []}
        for token, kind, rcpt in self.acked:
            if kind == "local":
                copies = sum(t == token for t, _ in local)
            elif kind == "remote":
                copies = len(remote.get(rcpt, []))
            else:
                copies = notices.count(token)
            if copies == 0:
                result["lost"].append(f"{kind} {rcpt} {token}")
            elif copies > 1:
                result["extra"].append(f"{kind} {rcpt} x{copies}")
        for token, content in local:
            if not check_copy(content, token):
                result["corrupt"].append(f"local {token}")
        for rcpt, copies in remote.items():
            token = rcpt.split("@")[0].split("-", 1)[1]
            for content in copies:
                if not check_copy(content, token):
                    result["corrupt"].append(f"remote {rcpt}")
        return result

    def run(self):
        c = self.control
        c.armed = c.fired = c.count = 0
        c.strike_at = self.strike_at
        c.mode = 1 if self.mode == "one" else 2
        c.what = b""
        self.make_disk()
        try:
            self.make_system()
            self.system.start()
            self.sync()
            runs = self.load()
            deadline = time.time() + 60
            while time.time() < deadline and not c.fired and (
                    any(r.is_alive() for r in runs) or self.outcome()["lost"]):
                time.sleep(0.005 if self.mode == "power" else 0.02)
            if c.fired and (self.mode != "one"
                            or c.what.startswith(b"master")):
                self.recover()
            for run in runs:
                run.join(60)
            deadline = time.time() + self.args.patience
            while self.outcome()["lost"] and time.time() < deadline:
                time.sleep(0.1)
            time.sleep(0.3)  # an extra copy may still come
            result = self.outcome()
            result.update(steps=c.count, fired=bool(c.fired),
                          what=c.what.decode(), acked=len(self.acked),
                          mode=self.mode, at=self.strike_at)
            if result["lost"] or result["corrupt"]:
                result["log"] = self.system.log()[-20000:]
            return result
        finally:
            self.close()

    def close(self):
        self.control.armed = 0
        self.group.kill()
        self.system.stop()
        self.group.remove()
        self.sink.shutdown()
        self.sink.server_close()
        if self.mode == "power":
            self.umount()
        else:
            shutil.rmtree(self.disk, ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)


def prepare(args):
    """Inside the namespaces: the control page and the preloaded shim."""
    scratch = oracle.setup(users=("user1", "user2"),
                           with_oracle=args.system == "postfix")
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    with open(CONTROL, "wb") as page:
        page.truncate(mmap.PAGESIZE)
    os.chmod(CONTROL, 0o666)
    with open(CONTROL, "r+b") as page:
        memory = mmap.mmap(page.fileno(), mmap.PAGESIZE)
    control = Control.from_buffer(memory)
    control.exempt = EXEMPT.encode()
    control.no_sync = args.no_sync  # what libeatmydata does not know of
    shim = os.path.join(scratch, "shim.so")
    subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-O2",
                    "-shared", "-fPIC", "-o", shim,
                    os.path.join(HERE, "shim.c"), "-ldl"], check=True)
    os.chmod(shim, 0o755)
    preload = os.path.join(scratch, "ld.so.preload")
    with open(preload, "w") as out:
        out.write(shim + "\n" + (EATMYDATA + "\n" if args.no_sync else ""))
    if not os.path.exists("/etc/ld.so.preload"):
        # The mount needs something to cover.
        cover_etc(scratch)
    subprocess.run(["mount", "--bind", preload, "/etc/ld.so.preload"],
                   check=True)
    return scratch, control


def cover_etc(scratch):
    """A tmpfs copy of /etc in this mount namespace, as it looks now."""
    copy = os.path.join(scratch, "etc-copy")
    os.makedirs(copy)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", copy],
                   check=True)
    subprocess.run(["cp", "-a", "/etc/.", copy], check=True)
    open(os.path.join(copy, "ld.so.preload"), "w").close()
    subprocess.run(["mount", "--bind", copy, "/etc"], check=True)


def set_homes(scratch):
    """The accounts' homes lie on the disk under test."""
    disk = os.path.join(scratch, "disk", "home")
    text = open("/etc/passwd").read().replace(
        os.path.join(scratch, "home") + "/", disk + "/")
    with open("/etc/passwd", "w") as out:
        out.write(text)


def worker(args):
    """Runs the points that come on standard input, a line each."""
    scratch, control = prepare(args)
    set_homes(scratch)
    try:
        for line in sys.stdin:
            mode, at, seed = line.split()
            try:
                result = Point(args, mode, int(at), scratch, control,
                               seed).run()
            except Exception as err:  # the sweep goes on and reports it
                result = {"error": repr(err), "mode": mode, "at": int(at)}
            print(json.dumps(result), flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class Worker:
    def __init__(self, args):
        argv = ["unshare", "-mn", "--propagation", "private", "--fork",
                "--kill-child", sys.executable, os.path.abspath(__file__),
                "--worker", "--system", args.system,
                "--patience", str(args.patience)]
        if args.no_sync:
            argv.append("--no-sync")
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=dict(os.environ, **{oracle.INSIDE: "1"}))

    def run(self, mode, at, seed):
        self.process.stdin.write(f"{mode} {at} {seed}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("worker ended")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


def sweep(args, mode, workers):
    total = 0
    for seed in range(2):
        calm = workers[0].run("power" if mode == "power" else "all", 0,
                              f"calm{seed}")
        if calm.get("error") or calm["lost"] or calm["corrupt"]:
            raise SystemExit("undisturbed run failed: "
                             + json.dumps(calm, indent=1)[:6000])
        total = max(total, calm["steps"])
    todo = [1 + (total - 1) * i // max(args.points - 1, 1)
            for i in range(args.points)]
    results, lock = [], threading.Lock()

    def drain(one):
        while True:
            with lock:
                if not todo:
                    return
                at = todo.pop(0)
            result = one.run(mode, at, f"{mode}{at}")
            with lock:
                results.append(result)
                bad = (result.get("error") or result.get("lost")
                       or result.get("corrupt"))
                if bad or args.list:
                    print(json.dumps({k: v for k, v in result.items()
                                      if k != "log" or bad}), flush=True)

    threads = [threading.Thread(target=drain, args=(w,)) for w in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return total, results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", default="one,all,power")
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--system", default="postrider",
                        choices=("postrider", "postfix"))
    parser.add_argument("--patience", type=float, default=45)
    parser.add_argument("--no-sync", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--worker", action="store_true",
                        help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args)
    if args.system == "postfix":
        oracle.root()
    workers = [Worker(args) for _ in range(args.workers)]
    failed = False
    for mode in args.mode.split(","):
        total, results = sweep(args, mode, workers)
        fired = [r for r in results if r.get("fired")]
        figures = {key: sum(bool(r.get(key)) for r in results)
                   for key in ("lost", "corrupt", "extra", "error")}
        print(f"{args.system} {mode}: {len(results)} points over {total} "
              f"calls, {len(fired)} struck, points with lost "
              f"{figures['lost']}, corrupt {figures['corrupt']}, extra copies "
              f"{figures['extra']} "
              f"({100 * figures['extra'] / max(len(fired), 1):.1f}%), "
              f"errors {figures['error']}", flush=True)
        causes = {}
        for r in results:
            for extra in r.get("extra", []):
                key = f"{extra.split()[0]}: {r['what']}"
                causes[key] = causes.get(key, 0) + 1
        for key, n in sorted(causes.items(), key=lambda kv: -kv[1]):
            print(f"    {n:4} extra {key}")
        bad = figures["lost"] or figures["corrupt"] or figures["error"]
        if args.no_sync:
            bad = mode == "power" and not figures["lost"]
        failed = failed or bad or not fired
    for one in workers:
        one.close()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
