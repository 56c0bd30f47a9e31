# SPDX-License-Identifier: MIT
"""A throw-away copy of this host: /usr /etc /var /home /root are overlays in a
mount namespace of its own, with its own network (loopback only), host name and
processes. What a script does there, it does to nobody; everything is gone when
it ends. Needs root and overlayfs."""
import os
import subprocess
import tempfile

import pytest

import buildtree

PROLOGUE = r"""
set -e
mount -t tmpfs none /mnt
# What a sanitizer reports in here must be there afterwards.
if [ -d "$REPORTS" ]; then
	mkdir /mnt/reports
	mount --bind "$REPORTS" /mnt/reports
fi
for d in usr etc var home root; do
	mkdir -p /mnt/$d/u /mnt/$d/w
	mount -t overlay -o lowerdir=/$d,upperdir=/mnt/$d/u,workdir=/mnt/$d/w \
		none /$d
done
[ ! -d "$REPORTS" ] || mount --bind /mnt/reports "$REPORTS"
mount -t tmpfs none /run
chmod 755 /run
ip link set lo up
hostname mail.example.com
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root LOGNAME=root
unset MAIL MAIL_CONFIG
cd /root
rm -f /var/log/mail.log # of the real host
fail() { tail -50 /var/log/mail.log 2>/dev/null; echo "FAILED: $*"; exit 1; }
# wait_for SECONDS COMMAND...
wait_for() {
	n=$(($1 * 10)); shift
	until "$@" >/dev/null 2>&1; do
		n=$((n - 1)); [ $n -gt 0 ] || fail "waited for: $*"
		sleep 0.1
	done
}
install_postrider() {
	make -s -C "$TOP" B="$B" install >/tmp/install.log 2>&1 ||
		{ cat /tmp/install.log; fail "make install"; }
	postconf -e maillog_file=/var/log/mail.log
}
"""


def available():
    if os.geteuid() != 0:
        return False
    probe = subprocess.run(
        ["unshare", "-mnupf", "--propagation", "private", "sh", "-c",
         "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w && mount -t overlay "
         "-o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w none /etc"],
        capture_output=True)
    return probe.returncode == 0


def run(script, timeout=120):
    """Run a sh script there; returns its output, fails the test when the
    script does."""
    if not available():
        pytest.skip("needs root, namespaces and overlayfs")
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as out:
        out.write(PROLOGUE + script)
        out.flush()
        env = dict(os.environ, TOP=buildtree.TOP, B=buildtree.directory(),
                   MODE=buildtree.MODE, REPORTS=buildtree.reports())
        done = subprocess.run(
            ["unshare", "-mnupf", "--kill-child", "--propagation", "private",
             "--mount-proc", "bash", out.name], env=env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=timeout * buildtree.PATIENCE,
            errors="replace")
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout
