# SPDX-License-Identifier: MIT
"""Postrider against Debian's Postfix, same machine, same run, same load.

    tests/bench/bench.py [--messages N] [--rounds N] [--only NAME[,NAME]]

Each measurement runs both systems in turn, --rounds times, and prints the
medians: messages per second (from the first message offered to the last one
delivered), CPU milliseconds per message of all processes of the mail system,
and the ratio. Needs root (namespaces); nothing outside them is touched.
"""
import argparse
import os
import re
import shutil
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import cgroup  # noqa: E402
import oracle  # noqa: E402
import postrider  # noqa: E402
import tls_ca  # noqa: E402

SINK_PORT = 2600
MESSAGE_SIZE = 4096


class Counter:
    """Counts a text in a growing log."""

    def __init__(self, path, text):
        self.path, self.text = path, text.encode()
        self.offset, self.count, self.rest = 0, 0, b""
        try:
            self.offset = os.path.getsize(path)
        except FileNotFoundError:
            pass

    def poll(self):
        try:
            with open(self.path, "rb") as log:
                log.seek(self.offset)
                data = log.read()
        except FileNotFoundError:
            return self.count
        self.offset += len(data)
        data = self.rest + data
        end = data.rfind(b"\n") + 1
        self.rest = data[end:]
        self.count += data[:end].count(self.text)
        return self.count

    def wait(self, wanted, timeout):
        deadline = time.time() + timeout
        while self.poll() < wanted:
            if time.time() > deadline:
                raise TimeoutError(
                    f"{self.count} of {wanted} '{self.text.decode()}'")
            time.sleep(0.02)


def tls_settings():
    folder = tls_ca.folder()
    return {"smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": f"{folder}/ec.pem",
            "smtpd_tls_key_file": f"{folder}/ec.key"}


def common_settings(reuse):
    settings = {
        "myhostname": "bench.example.com",
        "mydestination": "bench.example.com",
        "relayhost": f"[127.0.0.1]:{SINK_PORT}",
        "home_mailbox": "Maildir/",
        "local_recipient_maps": "",
        "smtp_connection_cache_on_demand": "yes" if reuse else "no",
        "smtp_connection_cache_destinations": "",
        "default_process_limit": "100",
        "smtpd_client_connection_count_limit": "0",
        "smtpd_client_connection_rate_limit": "0",
    }
    if reuse:
        settings["smtp_connection_cache_destinations"] = "127.0.0.1"
    return settings


class Bench:
    def __init__(self, args, scratch):
        self.args = args
        self.scratch = scratch
        self.tools = os.path.join(oracle.root(), "usr/sbin")
        self.env = dict(os.environ, LD_LIBRARY_PATH="/usr/lib/postfix")
        self.serial = 0

    def tool(self, *argv):
        return [os.path.join(self.tools, argv[0]), *map(str, argv[1:])]

    def system(self, kind, settings):
        self.serial += 1
        group = cgroup.Group(f"bench-{kind}")
        name = f"{kind}{self.serial}"
        port = 2500 + self.serial % 90
        if kind == "postfix":
            system = oracle.Postfix(self.scratch, port, main=settings,
                                    name=name, group=group)
        else:
            system = postrider.Instance(
                directory=os.path.join(self.scratch, name), port=port,
                main=settings, group=group)
        system.start()
        system.group = group
        return system

    def close(self, system):
        system.stop()
        system.group.remove()

    def sink(self):
        return subprocess.Popen(
            self.tool("smtp-sink", "-u", "postfix", f"127.0.0.1:{SINK_PORT}",
                      1000), env=self.env, stderr=subprocess.DEVNULL)

    def source(self, system, recipient, count, sessions=20, keep=False):
        argv = ["smtp-source", "-s", sessions, "-m", count, "-l", MESSAGE_SIZE,
                "-f", "sender@client.example.com", "-t", recipient]
        if keep:
            argv.append("-d")
        argv.append(f"127.0.0.1:{system.port}")
        subprocess.run(self.tool(*argv), env=self.env, check=True,
                       stdout=subprocess.DEVNULL)

    def measure(self, system, count, load):
        """(messages per second, CPU ms per message) until all are sent."""
        sent = Counter(system.logfile, "status=sent")
        before, start = system.group.cpu(), time.time()
        load()
        sent.wait(count, 300)
        elapsed = time.time() - start
        # What follows the last delivery (removal, notices to qmgr) counts.
        time.sleep(0.5)
        return count / elapsed, (system.group.cpu() - before) * 1000 / count

    # One method per measurement: runs a system once.

    def relay(self, kind, reuse):
        system = self.system(kind, common_settings(reuse))
        sink = self.sink()
        try:
            self.source(system, "to@sink.example.net", 100)  # warm up
            Counter(system.logfile, "status=sent")
            time.sleep(1)
            n = self.args.messages
            return self.measure(system, n, lambda: self.source(
                system, "to@sink.example.net", n, keep=reuse))
        finally:
            sink.kill()
            sink.wait()
            self.close(system)

    def maildir(self, kind):
        system = self.system(kind, common_settings(False))
        try:
            self.source(system, "user1@bench.example.com", 20)
            time.sleep(1)
            n = self.args.messages
            return self.measure(system, n, lambda: self.source(
                system, "user1@bench.example.com", n))
        finally:
            self.close(system)

    def sendmail(self, kind):
        settings = common_settings(False)
        settings["default_transport"] = "discard:bench"
        settings["relayhost"] = ""
        system = self.system(kind, settings)
        n = max(self.args.messages // 4, 100)
        message = os.path.join(self.scratch, "message")
        with open(message, "w") as out:
            out.write("Subject: bench\n\n" + ("x" * 63 + "\n") * 60)
        path, env = system.sendmail_command()
        script = (f'i=0; while [ $i -lt {n // 4} ]; do "$0" -f a@example.com '
                  f'to@sink.example.net <{message} || exit 1; i=$((i+1)); '
                  f'done')

        def load():
            runs = [subprocess.Popen(["/bin/sh", "-c", script, path], env=env,
                                     preexec_fn=system.group.join)
                    for _ in range(4)]
            for run in runs:
                if run.wait():
                    raise RuntimeError("sendmail failed")
            self.submitted = time.time()
        try:
            load()
            time.sleep(2)
            start = time.time()
            _, cpu = self.measure(system, n // 4 * 4, load)
            return n // 4 * 4 / (self.submitted - start), cpu
        finally:
            self.close(system)

    def tls(self, kind, size):
        """A full handshake a connection; with size, and a message."""
        system = self.system(kind, dict(
            common_settings(False), default_transport="discard:bench",
            relayhost="", **tls_settings()))
        n = max(self.args.messages // 4, 100)

        def load(count):
            subprocess.run([sys.executable, os.path.join(HERE, "tls_source.py"),
                            str(system.port), "8", str(count), str(size),
                            "to@sink.example.net"], check=True)
        try:
            load(40)
            time.sleep(1)
            if size:
                return self.measure(system, n, lambda: load(n))
            before, start = system.group.cpu(), time.time()
            load(n)
            elapsed = time.time() - start
            return n / elapsed, (system.group.cpu() - before) * 1000 / n
        finally:
            self.close(system)

    def signed(self, kind):
        """Relay through opendkim, which signs."""
        folder = tempfile.mkdtemp(dir=self.scratch)
        key = os.path.join(folder, "key")
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True,
                       stderr=subprocess.DEVNULL)
        port = postrider.free_port()
        conf = os.path.join(folder, "conf")
        with open(conf, "w") as out:
            out.write(f"Socket inet:{port}@127.0.0.1\nMode s\nSyslog no\n"
                      f"Domain client.example.com\nSelector s\n"
                      f"KeyFile {key}\nRequireSafeKeys no\n"
                      "InternalHosts 127.0.0.1\n")
        filter_ = subprocess.Popen(["opendkim", "-f", "-x", conf],
                                   stderr=subprocess.DEVNULL)
        system = self.system(kind, dict(
            common_settings(False), default_transport="discard:bench",
            relayhost="", smtpd_milters=f"inet:127.0.0.1:{port}"))
        n = max(self.args.messages // 4, 100)
        try:
            time.sleep(1)
            self.source(system, "to@sink.example.net", 20)
            time.sleep(1)
            return self.measure(system, n, lambda: self.source(
                system, "to@sink.example.net", n))
        finally:
            filter_.kill()
            filter_.wait()
            self.close(system)

    def idle_memory(self, kind, tls=False):
        """KiB of private memory per idle SMTP session."""
        system = self.system(kind, dict(common_settings(False),
                                        **(tls_settings() if tls else {})))
        clients = []
        try:
            for _ in range(50):
                client = smtplib.SMTP("127.0.0.1", system.port, timeout=60)
                client.ehlo("client.example.com")
                if tls:
                    client.starttls()
                    client.ehlo("client.example.com")
                clients.append(client)
            time.sleep(1)
            total = serving = 0
            for pid in system.group.pids():
                try:
                    name = open(f"/proc/{pid}/comm").read().strip()
                    rollup = open(f"/proc/{pid}/smaps_rollup").read()
                    command = open(f"/proc/{pid}/cmdline").read()
                except OSError:
                    continue
                if name != "smtpd" and "smtpd" not in command.split("\0")[0]:
                    continue
                total += sum(int(v) for v in re.findall(
                    r"^Private_\w+:\s+(\d+)", rollup, re.M))
                serving += 1
            if serving < 50:
                raise RuntimeError(f"{serving} processes for 50 sessions")
            return total / 50, 0
        finally:
            for client in clients:
                client.close()
            self.close(system)


MEASUREMENTS = {
    "relay": ("relay, a connection a message", lambda b, k: b.relay(k, False)),
    "relay-reuse": ("relay, connections reused", lambda b, k: b.relay(k, True)),
    "maildir": ("Maildir delivery", lambda b, k: b.maildir(k)),
    "sendmail": ("sendmail submission", lambda b, k: b.sendmail(k)),
    "tls-handshake": ("TLS handshakes (EC)", lambda b, k: b.tls(k, 0)),
    "tls-message": ("messages over TLS", lambda b, k: b.tls(k, MESSAGE_SIZE)),
    "milter": ("messages signed by opendkim", lambda b, k: b.signed(k)),
    "idle": ("private KiB an idle session", lambda b, k: b.idle_memory(k)),
    "idle-tls": ("the same over TLS", lambda b, k: b.idle_memory(k, True)),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(MEASUREMENTS))
    args = parser.parse_args()
    scratch = oracle.enter(users=["user1"])
    bench = Bench(args, scratch)
    try:
        print(f"{'':30} {'Postfix':>18} {'Postrider':>18} {'ratio':>14}")
        print(f"{'':30} {'msg/s':>9}{'CPU ms':>9} {'msg/s':>9}{'CPU ms':>9} "
              f"{'msg/s':>7}{'CPU':>7}")
        for name in args.only.split(","):
            title, run = MEASUREMENTS[name]
            if name == "milter" and not shutil.which("opendkim"):
                print(f"{title:30} opendkim is not installed")
                continue
            figures = {"postfix": [], "postrider": []}
            for _ in range(args.rounds):
                for kind in figures:
                    figures[kind].append(run(bench, kind))
            (pf, pf_cpu), (pr, pr_cpu) = (
                tuple(statistics.median(v) for v in zip(*figures[kind]))
                for kind in ("postfix", "postrider"))
            if name.startswith("idle"):
                print(f"{title:30} {pf:>9.0f}{'':9} {pr:>9.0f}{'':9} "
                      f"{pr / pf:>7.2f}", flush=True)
            else:
                print(f"{title:30} {pf:>9.0f}{pf_cpu:>9.2f} {pr:>9.0f}"
                      f"{pr_cpu:>9.2f} {pr / pf:>7.2f}{pr_cpu / pf_cpu:>7.2f}",
                      flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
