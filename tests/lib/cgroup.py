# SPDX-License-Identifier: MIT
"""A control group for one mail system: CPU time of all its processes, also of
those that ended, and the list of those that live."""
import os
import signal
import time


class Group:
    def __init__(self, name):
        self.path = None
        for base in ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/unified",
                     "/sys/fs/cgroup"):
            path = os.path.join(base, f"{name}-{os.getpid()}")
            try:
                os.mkdir(path)
            except OSError:
                continue
            if (os.path.exists(os.path.join(path, "cpuacct.usage"))
                    or os.path.exists(os.path.join(path, "cpu.stat"))):
                self.path = path
                return
            os.rmdir(path)
        raise OSError("no control group for CPU accounting")

    def join(self):
        """Move the calling process in (for preexec_fn)."""
        with open(os.path.join(self.path, "cgroup.procs"), "w") as procs:
            procs.write(str(os.getpid()))

    def cpu(self):
        """Seconds of CPU used so far."""
        usage = os.path.join(self.path, "cpuacct.usage")
        if os.path.exists(usage):
            return int(open(usage).read()) / 1e9
        for line in open(os.path.join(self.path, "cpu.stat")):
            key, value = line.split()
            if key == "usage_usec":
                return int(value) / 1e6
        raise OSError("no usage_usec in cpu.stat")

    def pids(self):
        try:
            with open(os.path.join(self.path, "cgroup.procs")) as procs:
                return [int(line) for line in procs]
        except FileNotFoundError:
            return []

    def kill(self):
        """SIGKILL everything in it until nothing is left."""
        for _ in range(200):
            pids = self.pids()
            if not pids:
                return
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
        raise OSError("processes survive in " + self.path)

    def remove(self):
        self.kill()
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.02)
