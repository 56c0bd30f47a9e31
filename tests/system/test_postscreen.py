# SPDX-License-Identifier: MIT
"""postscreen: the dialogues of tests/postscreen with the answers and log lines
that Debian's Postfix gave, hand-over, limits, reload, cache, and clients that
mean no good."""
import glob
import os
import random
import re
import resource
import socket
import ssl
import subprocess
import tempfile
import time

import pytest

import buildtree
import dns_server
import postrider
import screen_script
import tls_ca

# Most of it waits for clients to do nothing, as postscreen does.
pytestmark = pytest.mark.slow

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = sorted(glob.glob(os.path.join(HERE, "../postscreen/*.txt")))
LINES = """\
127.0.0.1:{port} inet n - {chroot} - 1 postscreen {over}
smtpd pass - - n - {smtpd} smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"""
SETTINGS = {
    "myhostname": "mx.example.com",
    "mynetworks": "127.0.0.2",
    "postscreen_greet_wait": "2s",
    "defer_transports": "smtp",
    "local_recipient_maps": "",
    "mydestination": "example.com",
}


@pytest.fixture(scope="module")
def dns():
    server = dns_server.DnsServer().start()
    yield server
    server.stop()


class Screen(postrider.Instance):
    """An instance whose port is postscreen's."""

    def __init__(self, dns, zone="", over="", smtpd="-", lines="",
                 chroot="n", **main):
        dns.set(zone)
        port = postrider.free_port()
        settings = dict(SETTINGS,
                        postrider_resolver_servers=f"127.0.0.1@{dns.port}",
                        postrider_resolver_trust_anchor="")
        settings.update(main)
        text = LINES.format(port=port, over=over, smtpd=smtpd,
                            chroot=chroot) + lines
        super().__init__(port=port, main=settings,
                         master={"smtp inet": text})

    def client(self, source="127.9.0.1", timeout=12):
        c = screen_script.Client(source, ("127.0.0.1", self.port))
        c.sock.settimeout(timeout)
        return c

    def talk(self, source, *lines):
        """Send each and read a reply (first the greeting)."""
        c = self.client(source)
        out = [c.reply()]
        for line in lines:
            c.send(line.encode() + b"\r\n")
            out.append(c.reply())
        c.sock.close()
        return out

    def screens(self):
        return self.pids("postscreen")


def rss(pid):
    """Resident memory in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


# ---- as Postfix ----

@pytest.mark.parametrize("path", SCRIPTS, ids=os.path.basename)
def test_dialogues(path, dns, tmp_path):
    script = screen_script.Script(path)
    main = dict(script.settings(str(tmp_path)), smtpd_peername_lookup="no")
    os.chmod(tmp_path, 0o755)
    with Screen(dns, script.zone, " ".join(script.over), **main) as mta:
        results = script.play(("127.0.0.1", mta.port))
        log = None
        while log != mta.log():  # the last lines are on their way
            log = mta.log()
            time.sleep(0.5)
        got = script.record(results, log)
    with open(path, encoding="utf-8") as f:
        want = f.read()
    assert got.split("\n") == want.split("\n")


# ---- hand-over ----

def test_mail_passes(dns):
    """A client that is let through delivers, as if nobody had been there."""
    with Screen(dns) as mta:
        for source in ("127.0.0.2", "127.9.0.1"):
            c = mta.client(source)
            assert c.reply()[-1].startswith("S: 220 ")
            for line, code in (("EHLO x", "250"),
                               ("MAIL FROM:<a@remote.example>", "250"),
                               ("RCPT TO:<daemon@example.com>", "250"),
                               ("DATA", "354"),
                               ("Subject: x\r\n\r\nhi\r\n.", "250"),
                               ("QUIT", "221")):
                c.send(line.encode() + b"\r\n")
                assert c.reply()[-1].startswith("S: " + code), mta.log()
            mta.wait_log(rf"smtpd\[\d+\]: disconnect from unknown\[{source}")
        mta.wait_queue(0)
        assert len(mta.mailbox("daemon")) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_chroot(dns):
    """As Debian's master.cf has it: cache, lists and smtpd are in reach."""
    with Screen(dns, "1.0.9.127.bl.test A 127.0.0.2\n", chroot="y",
                postscreen_dnsbl_sites="bl.test",
                postscreen_dnsbl_action="drop") as mta:
        assert mta.talk("127.9.0.1")[0][-1].startswith("S: 521 5.7.1")
        for expected in ("NEW", "OLD"):
            assert mta.talk("127.9.0.2", "QUIT")[1] == ["S: 221 2.0.0 Bye"]
            mta.wait_log(rf"PASS {expected} \[127.9.0.2\]")
        mta.reload()
        mta.talk("127.9.0.2", "QUIT")
        mta.wait_log("PASS OLD", count=2)


def test_proxy_header_in_pieces(dns):
    with Screen(dns, postscreen_upstream_proxy_protocol="haproxy",
                postscreen_access_list="permit") as mta:
        c = mta.client()
        for piece in (b"PROXY TCP4 192.0.2", b".7 192.0.2.8 12", b"34 25\r\n"):
            c.send(piece)
            time.sleep(0.1)
        assert c.reply() == ["S: 220 mx.example.com ESMTP Postfix"]
        mta.wait_log(r"CONNECT from \[192.0.2.7\]:1234 to \[192.0.2.8\]:25")
        mta.wait_log(r"smtpd\[\d+\]: connect from unknown\[192.0.2.7\]")


def test_proxy_setting_of_smtpd_is_not_for_this_one(dns):
    with Screen(dns, smtpd_upstream_proxy_protocol="haproxy",
                postscreen_access_list="permit") as mta:
        assert mta.talk("127.9.0.1", "QUIT")[1] == ["S: 221 2.0.0 Bye"]
        mta.wait_log(r"smtpd\[\d+\]: warning: ignoring non-empty "
                     "smtpd_upstream_proxy_protocol setting behind postscreen")


def test_no_server(dns):
    """Without the smtpd line the client hears of it, and postscreen lives."""
    with Screen(dns, smtpd_service_name="nosuch",
                postscreen_access_list="permit") as mta:
        assert mta.talk("127.9.0.1")[0] == [
            "S: 421 4.3.2 No system resources"]
        mta.wait_log("warning: connect to private/nosuch: No such file")
        before = mta.screens()
        mta.talk("127.9.0.1")
        assert mta.screens() == before


def test_servers_that_die(dns):
    """Clients wait for an SMTP server; one that dies loses none of them."""
    with Screen(dns, smtpd="1", postscreen_access_list="permit") as mta:
        first = mta.client("127.9.0.1")
        assert first.reply()[0].startswith("S: 220")
        waiting = [mta.client("127.9.0.2") for _ in range(5)]
        mta.wait_log(r"ALLOWLISTED \[127.9.0.2\]", count=5)
        os.kill(max(mta.pids("smtpd")), 9)
        for c in waiting:
            assert c.reply()[0].startswith("S: 220"), mta.log()
            c.send(b"QUIT\r\n")
            assert c.reply() == ["S: 221 2.0.0 Bye"]


# ---- limits ----

def test_limits(dns):
    with Screen(dns, postscreen_client_connection_count_limit="3",
                postscreen_pre_queue_limit="10",
                postscreen_greet_wait="4s") as mta:
        same = [mta.client("127.9.0.1") for _ in range(4)]
        assert [c.line()[:3] for c in same] == ["220"] * 3 + ["421"]
        mta.wait_log(r"NOQUEUE: reject: CONNECT from \[127.9.0.1\]:\d+: "
                     "too many connections")
        others = [mta.client(f"127.9.1.{i}") for i in range(1, 9)]
        assert [c.line()[:3] for c in others] == ["220"] * 6 + ["421"] * 2
        mta.wait_log("entering STRESS mode with 9 connections")
        mta.wait_log(r" reject: connect from \[127.9.1.7\]:\d+: "
                     "all screening ports busy")
        for c in same + others:
            c.sock.close()
        mta.wait_log("leaving STRESS mode with 7 connections")
        assert mta.client("127.9.0.1").line().startswith("220-")


def test_servers_busy(dns):
    with Screen(dns, smtpd="1", postscreen_post_queue_limit="5") as mta:
        clients = [mta.client("127.0.0.2", 2) for _ in range(8)]
        time.sleep(0.5)
        mta.wait_log(r"NOQUEUE: reject: CONNECT from \[127.0.0.2\]:\d+: "
                     "all server ports busy", count=2)
        replies = [c.line()[:3] for c in clients]
        assert replies.count("220") == 1
        assert replies.count("421") in (2, 3)


def test_wrong_settings(dns):
    for name, value in (("postscreen_dnsbl_sites", "bl.test*x"),
                        ("postscreen_greet_action", "refuse"),
                        ("postscreen_access_list", "permitt"),
                        ("postscreen_upstream_proxy_protocol", "other")):
        with Screen(dns, **{name: value}) as mta:
            c = mta.client()
            mta.wait_log("fatal: .*" + value.split("*")[0])
            c.sock.close()


# ---- reload and cache ----

def test_reload_loses_nobody(dns):
    with Screen(dns, postscreen_greet_wait="3s",
                postscreen_pipelining_enable="yes") as mta:
        talking = mta.client("127.9.0.1")
        assert talking.reply()[-1].startswith("S: 220 ")
        known = mta.talk("127.9.0.2", "RCPT TO:<x>", "QUIT")
        assert known[-1] == ["S: 221 2.0.0 Bye"]
        waiting = mta.client("127.9.0.3")
        old = mta.screens()
        mta.reload()
        mta.wait_log(r"reload -- version")
        deadline = time.time() + 10
        while set(mta.screens()) == set(old) and time.time() < deadline:
            time.sleep(0.05)
        talking.send(b"HELO x\r\n")
        assert talking.reply() == ["S: 250 mx.example.com"]
        # The new process has what the old one knew.
        again = mta.talk("127.9.0.2", "QUIT")
        assert again == [["S: 220 mx.example.com ESMTP Postfix"],
                         ["S: 221 2.0.0 Bye"]]
        mta.wait_log(r"PASS OLD \[127.9.0.2\]")
        assert waiting.reply()[-1].startswith("S: 220 ")
        for c in (talking, waiting):
            c.send(b"QUIT\r\n")
            assert c.reply() == ["S: 221 2.0.0 Bye"]
        deadline = time.time() + 10
        while len(mta.screens()) > 1 and time.time() < deadline:
            time.sleep(0.05)
        assert len(mta.screens()) == 1 and mta.screens() != old
        assert "fatal" not in mta.log()


@pytest.mark.parametrize("kind", ["btree", "lmdb", "proxy:btree"])
def test_cache_lives(dns, kind, tmp_path):
    """Across a restart, and a cleanup."""
    with Screen(dns, postscreen_cache_cleanup_interval="5s",
                postscreen_cache_map=kind
                + ":$data_directory/postscreen_cache") as mta:
        mta.talk("127.9.0.1", "QUIT")
        mta.wait_log(r"PASS NEW \[127.9.0.1\]")
        mta.stop()
        name = kind.split(":")[-1] + ":" + mta.data + "/postscreen_cache"
        listing = mta.command("postmap", "-s", name).stdout
        assert re.search(r"^127.9.0.1\t\d{10};1;1;1;1$", listing, re.M)
        stale = f"127.9.0.2\t{int(time.time()) - 8 * 86400};1;1;1;1\n"
        mta.command("postmap", "-i", name, input=stale)
        subprocess.run(["chown", "-R", "--reference", mta.data, mta.data],
                       check=True)
        mta.start()
        mta.talk("127.9.0.1", "QUIT")
        mta.wait_log(r"PASS OLD \[127.9.0.1\]")
        mta.wait_log(r"cache \S+ full cleanup: retained=1 dropped=1 entries")


def test_two_services_share_a_cache(dns):
    port = postrider.free_port()
    with Screen(dns, lines=f"127.0.0.1:{port} inet n - n - 1 postscreen\n",
                postscreen_cache_map="proxy:btree:"
                "$data_directory/postscreen_cache") as mta:
        for i in range(3):
            mta.talk(f"127.9.0.{i + 1}", "QUIT")
            c = screen_script.Client(f"127.9.0.{i + 1}", ("127.0.0.1", port))
            assert c.reply() == ["S: 220 mx.example.com ESMTP Postfix"]
        assert len(mta.screens()) == 2
        assert mta.log().count("PASS OLD") == 3


def test_damaged_cache(dns):
    with Screen(dns) as mta:
        mta.talk("127.9.0.1", "QUIT")
        mta.stop()
        path = os.path.join(mta.data, "postscreen_cache.db")
        with open(path, "r+b") as f:
            f.write(os.urandom(4096))
        mta.start()
        assert mta.talk("127.9.0.1", "QUIT")[1] == ["S: 221 2.0.0 Bye"]
        mta.wait_log("postscreen_cache.db is damaged: moved to")


# ---- STARTTLS ----

DEEP = {"postscreen_greet_banner": "", "postscreen_pipelining_enable": "yes"}


@pytest.fixture
def keys():
    """cert.pem and cert.key, and other.pem with other.key."""
    with tempfile.TemporaryDirectory(prefix="postrider-tls-") as name:
        os.chmod(name, 0o755)
        for cert in ("cert", "other"):
            tls_ca.issue(name, cert, "mx.example.com", ca=None)
        yield name


def tls_settings(keys, **more):
    return dict(DEEP, smtpd_tls_security_level="may",
                smtpd_tls_cert_file=f"{keys}/cert.pem",
                smtpd_tls_key_file=f"{keys}/cert.key",
                postscreen_client_connection_count_limit="5000",
                postscreen_pre_queue_limit="5000", **more)


def secure(mta, source="127.9.0.1", version=None):
    """A client under TLS."""
    c = mta.client(source)
    assert c.reply()[-1].startswith("S: 220 ")
    c.send(b"STARTTLS\r\n")
    assert c.reply() == ["S: 220 2.0.0 Ready to start TLS"]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    c.sock = context.wrap_socket(c.sock)
    c.data = b""
    return c


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_records_of_any_size(dns, keys, version):
    """Many commands in a record, and a command in many records."""
    with Screen(dns, **tls_settings(
            keys, postscreen_pipelining_action="ignore",
            postscreen_command_count_limit="1000")) as mta:
        c = secure(mta, version=getattr(ssl.TLSVersion, version))
        c.send(b"NOOP\r\n" * 700)
        for _ in range(700):
            assert c.reply() == ["S: 250 2.0.0 Ok"]
        for byte in b"EHLO x\r\n":
            c.send(bytes([byte]))
        assert "S: 250-SIZE 10240000" in c.reply()
        c.send(b"NOOP\r\n" + b"VRFY " + b"x" * 1500 + b"\r\nRSET\r\n")
        assert [c.reply()[0][:6] for _ in range(3)] == ["S: 250", "S: 450",
                                                        "S: 250"]
        c.send(b"QUIT\r\n")
        assert c.reply() == ["S: 221 2.0.0 Bye"]
        assert c.line() == "<EOF>"


def test_tls_line_without_end(dns, keys):
    with Screen(dns, **tls_settings(keys)) as mta:
        c = secure(mta)
        c.send(b"x" * 5000)
        assert c.line().startswith("421 mx.example.com Service unavailable")
        mta.wait_log(r"COMMAND LENGTH LIMIT from \[127.9.0.1\]")


def certificate(mta):
    c = secure(mta)
    cert = c.sock.getpeercert(True)
    c.send(b"QUIT\r\n")
    c.sock.close()
    return cert


@pytest.mark.parametrize("chroot", ["n", pytest.param(
    "y", marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root"))])
def test_replaced_certificate(dns, keys, chroot):
    """Served without a reload; who is connected stays; a pair that does not
    fit is not used."""
    os.chmod(keys, 0o711)
    with Screen(dns, chroot=chroot, **tls_settings(keys)) as mta:
        stays = secure(mta, "127.9.0.2")
        old = certificate(mta)
        os.replace(f"{keys}/other.pem", f"{keys}/cert.pem")
        mta.wait_log("the new certificates cannot be used")
        assert certificate(mta) == old
        os.replace(f"{keys}/other.key", f"{keys}/cert.key")
        deadline = time.time() + 15
        while certificate(mta) == old and time.time() < deadline:
            time.sleep(0.05)
        assert certificate(mta) != old
        stays.send(b"QUIT\r\n")
        assert stays.reply() == ["S: 221 2.0.0 Bye"]


def test_handshakes_that_do_not_end(dns, keys):
    """Each has its time, all together little memory, and nobody waits."""
    with Screen(dns, **tls_settings(
            keys, smtpd_starttls_timeout="3s")) as mta:
        certificate(mta)
        pid = mta.screens()[0]
        before = rss(pid)
        slow = []
        for _ in range(150):
            c = mta.client("127.9.0.2")
            assert c.reply()[-1].startswith("S: 220 ")
            c.send(b"STARTTLS\r\n")
            assert c.reply()[-1].startswith("S: 220 ")
            c.send(b"\x16\x03\x01\x02")
            slow.append(c)
        assert certificate(mta)
        grown = rss(pid) - before
        print(f"150 handshakes: {grown} KiB")
        assert buildtree.SANITIZED or grown < 150 * 100
        for _ in range(3):  # bytes that arrive give no more time
            time.sleep(0.7)
            for c in slow:
                c.send(b"\0")
        mta.wait_log(r"COMMAND TIME LIMIT from \[127.9.0.2\]:\d+ after "
                     "STARTTLS", count=150)
        assert all(c.line() == "<EOF>" for c in slow)
        assert mta.screens() == [pid]


def test_tls_garbage(dns, keys):
    """Before, during and after the handshake."""
    rng = random.Random(7)
    with Screen(dns, **tls_settings(keys)) as mta:
        certificate(mta)
        pid = mta.screens()
        for i in range(60):
            c = mta.client("127.9.0.2")
            c.reply()
            c.send(b"STARTTLS\r\n")
            c.reply()
            if i % 3 == 0:
                c.send(rng.randbytes(rng.randrange(1, 3000)))
            elif i % 3 == 1:
                c.send(b"\x16\x03\x01" + rng.randbytes(2000))
            else:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                bare = c.sock.dup()
                c.sock = context.wrap_socket(c.sock)
                c.send(b"NOOP\r\n")
                c.sock.recv(100)
                bare.sendall(b"\x17\x03\x03\x00\x20" + rng.randbytes(32))
                bare.close()
            c.sock.close()
        mta.wait_log(r"tlsproxy\[\d+\]: DISCONNECT \[127.9.0.2\]", count=60)
        assert certificate(mta) and mta.screens() == pid


def test_tls_client_that_does_not_read(dns, keys):
    with Screen(dns, **tls_settings(
            keys, postscreen_command_time_limit="3s",
            postscreen_pipelining_action="ignore",
            postscreen_command_count_limit="1000000")) as mta:
        c = secure(mta)
        pid = mta.screens()[0]
        before = rss(pid)
        c.sock.settimeout(1)
        try:
            for _ in range(2000):
                c.sock.sendall(b"EHLO x\r\n" * 500)
        except (TimeoutError, OSError):
            pass
        assert certificate(mta)
        assert buildtree.SANITIZED or rss(pid) - before < 3000
        mta.wait_log(r"(TIME LIMIT|HANGUP after \S+) from \[127.9.0.1\]")
        assert mta.screens() == [pid]


def test_idle_under_tls(dns, keys):
    with Screen(dns, **tls_settings(keys)) as mta:
        certificate(mta)
        pid = mta.screens()[0]
        before = rss(pid)
        clients = [secure(mta) for _ in range(200)]
        grown = rss(pid) - before
        print(f"200 idle clients under TLS: {grown} KiB")
        assert buildtree.SANITIZED or grown < 200 * 60
        for c in clients:
            c.send(b"QUIT\r\n")
            assert c.reply() == ["S: 221 2.0.0 Bye"]


# ---- clients that mean no good ----

def test_many_idle_clients(dns):
    """Each costs little, and nobody is kept waiting by them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = 2000 if hard >= 5000 else 400
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, want + 500), hard))
    with Screen(dns, postscreen_pre_queue_limit="5000",
                postscreen_client_connection_count_limit="5000",
                postscreen_greet_wait="1s",
                postscreen_pipelining_enable="yes") as mta:
        mta.talk("127.9.0.1")
        pid = mta.screens()[0]
        before = rss(pid)
        clients = [mta.client("127.9.0.2") for _ in range(want)]
        for c in clients:
            assert c.reply()[-1].startswith("S: 220 ")
        assert mta.talk("127.9.0.3", "QUIT")[1] == ["S: 221 2.0.0 Bye"]
        grown = rss(pid) - before
        print(f"{want} idle clients: {grown} KiB")
        assert buildtree.SANITIZED or grown < want * 4
        for c in clients:
            c.sock.close()
        mta.wait_log("DISCONNECT", count=want)
        assert mta.screens() == [pid]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


ENGINE = {"postscreen_greet_action": "enforce",
          "postscreen_client_connection_count_limit": "500",
          "postscreen_command_time_limit": "3s"}


def test_floods(dns):
    """Lines without end, replies that nobody reads, noise: bounded."""
    rng = random.Random(4711)
    with Screen(dns, postscreen_command_count_limit="100000",
                postscreen_reject_footer="x" * 400, **ENGINE) as mta:
        mta.talk("127.9.0.1")
        pid = mta.screens()[0]
        before = rss(pid)
        pieces = [b"NOOP " + b"a" * 1000000, b"FOO\r\n" * 20000,
                  b"\r\n" * 100000, b"\n" * 100000, b"\0" * 50000,
                  b"EHLO x\r\n" * 20000, b"RCPT TO:<" + b"\"" * 100000,
                  b"MAIL FROM:<a@b>\r\nRCPT TO:<b@c>\r\nRSET\r\n" * 3000]
        pieces += [rng.randbytes(20000) for _ in range(20)]
        clients = []
        for i, data in enumerate(pieces):
            c = mta.client(f"127.9.2.{i + 1}")
            c.sock.setblocking(False)
            try:
                while data:
                    data = data[c.sock.send(data):]
            except OSError:
                pass
            clients.append(c)
        time.sleep(1)
        assert mta.talk("127.0.0.2", "QUIT")[1] == ["S: 221 2.0.0 Bye"]
        assert mta.screens() == [pid]
        grown = rss(pid) - before
        print(f"floods: {grown} KiB")
        assert buildtree.SANITIZED or grown < 16 * 1024
        for c in clients:
            c.sock.close()
        mta.wait_log("DISCONNECT", count=len(pieces))


def test_slow_drip(dns):
    """A byte a second does not move the deadline of a command."""
    with Screen(dns, **ENGINE) as mta:
        c = mta.client()
        c.send(b"X")
        begin = time.time()
        c.reply()
        try:
            for _ in range(30):
                time.sleep(0.4)
                c.sock.sendall(b"X")
        except OSError:
            pass
        mta.wait_log("COMMAND TIME LIMIT from .* after CONNECT")
        mta.wait_log("DISCONNECT")
        assert time.time() - begin < 30


def test_many_come_and_go(dns):
    """With answers of block lists on their way."""
    zone = "*.bl.test DELAY 0.2\n*.bl.test A 127.0.0.2\n"
    with Screen(dns, zone, postscreen_dnsbl_sites="bl.test b2.test",
                postscreen_dnsbl_action="drop",
                postscreen_client_connection_count_limit="500") as mta:
        mta.talk("127.9.0.1")
        pid = mta.screens()[0]
        for i in range(300):
            c = mta.client(f"127.9.{i % 3}.{i % 50 + 1}")
            if i % 2:
                c.sock.close()
            elif i % 3:
                c.send(b"EHLO x\r\n")
                c.sock.close()
        time.sleep(3)
        assert mta.talk("127.0.0.2", "QUIT")[1] == ["S: 221 2.0.0 Bye"]
        assert mta.screens() == [pid]


def test_resolver_dies(dns):
    with Screen(dns, "*.bl.test DROP\n", postscreen_dnsbl_sites="bl.test",
                postscreen_dnsbl_action="enforce") as mta:
        c = mta.client("127.9.0.1")
        mta.wait_log("CONNECT from")
        for pid in mta.pids("resolver"):
            os.kill(pid, 9)
        assert c.reply()[-1].startswith("S: 220 ")
        pid = mta.screens()
        assert mta.talk("127.9.0.2", "QUIT")[1] == ["S: 221 2.0.0 Bye"]
        assert mta.screens() == pid


# ---- as the containers have it ----

MAILCOW = {
    "compatibility_level": "3.6",
    "postscreen_bare_newline_enable": "no",
    "postscreen_denylist_action": "drop",
    "postscreen_cache_cleanup_interval": "24h",
    "postscreen_cache_map": "proxy:btree:$data_directory/postscreen_cache",
    "postscreen_dnsbl_action": "enforce",
    "postscreen_dnsbl_threshold": "6",
    "postscreen_dnsbl_ttl": "5m",
    "postscreen_greet_action": "enforce",
    "postscreen_greet_banner": "$smtpd_banner",
    "postscreen_greet_ttl": "2d",
    "postscreen_greet_wait": "3s",
    "postscreen_non_smtp_command_enable": "no",
    "postscreen_pipelining_enable": "no",
    "postscreen_discard_ehlo_keywords": "chunking, silent-discard, smtputf8,"
                                        " dsn",
    "postscreen_dnsbl_sites": "wl.test=127.0.[0..255].0*-2 "
                              "wl.test=127.0.[0..255].[2..3]*-4 "
                              "ix.test*2 bl.test*2 b2.test=127.0.0.[10;11]*8",
}
MAILSERVER = {
    "postscreen_dnsbl_action": "enforce",
    "postscreen_dnsbl_sites":
        "zen.test=127.0.0.[2..11]*3 "
        "bl.test=127.0.0.[2;14;13;12;11;10] b.test*2 "
        "list.test=127.0.[0..255].0*-2 list.test=127.0.[0..255].1*-3 "
        "list.test=127.0.[0..255].[2..3]*-4",
    "postscreen_dnsbl_threshold": "3",
    "postscreen_dnsbl_allowlist_threshold": "-1",
    "postscreen_greet_action": "enforce",
    "postscreen_bare_newline_action": "enforce",
    "smtpd_discard_ehlo_keywords": "silent-discard, dsn",
    "smtputf8_enable": "no",
    "disable_vrfy_command": "yes",
}


def deliver(mta, source):
    replies = mta.talk(source, "EHLO x", "MAIL FROM:<a@remote.example>",
                       "RCPT TO:<daemon@example.com>", "DATA",
                       "Subject: x\r\n\r\nhi\r\n.", "QUIT")
    return [r[-1][3:6] for r in replies]


GOOD = ["220", "250", "250", "250", "354", "250", "221"]


def test_mailcow(dns, tmp_path):
    (tmp_path / "access.cidr").write_text("127.9.7.0/24 reject\n")
    os.chmod(tmp_path, 0o755)
    port = postrider.free_port()
    lines = (f"127.0.0.1:{port} inet n - n - 1 postscreen\n"
             "  -o postscreen_upstream_proxy_protocol=haproxy\n"
             "  -o syslog_name=haproxy\n")
    zone = ("2.0.9.127.b2.test A 127.0.0.10\n3.0.9.127.bl.test A 127.0.0.2\n"
            "4.0.9.127.wl.test A 127.0.5.3\n4.0.9.127.b2.test A 127.0.0.11\n")
    main = dict(MAILCOW, postscreen_access_list="permit_mynetworks, "
                f"cidr:{tmp_path}/access.cidr")
    with Screen(dns, zone, lines=lines, **main) as mta:
        assert deliver(mta, "127.9.0.1") == GOOD
        assert deliver(mta, "127.9.0.2")[3] == "550"
        assert deliver(mta, "127.9.0.3") == GOOD
        assert deliver(mta, "127.9.0.4") == GOOD  # 8 - 4 < 6
        assert mta.talk("127.9.7.1")[0][0].startswith("S: 521 5.3.2")
        c = screen_script.Client("127.0.0.2", ("127.0.0.1", port))
        c.send(b"PROXY TCP4 127.9.0.1 127.0.0.1 1234 25\r\n")
        assert c.reply() == ["S: 220 mx.example.com ESMTP Postfix"]
        mta.wait_log(r"haproxy/postscreen\[\d+\]: PASS OLD \[127.9.0.1\]:1234")
        mta.wait_queue(0)
        assert len(mta.mailbox("daemon")) == 3


def test_docker_mailserver(dns):
    zone = ("2.0.9.127.zen.test A 127.0.0.4\n"
            "3.0.9.127.list.test A 127.0.9.3\n3.0.9.127.b.test A 127.0.0.2\n")
    with Screen(dns, zone, **MAILSERVER) as mta:
        assert deliver(mta, "127.9.0.1") == GOOD
        refused = deliver(mta, "127.9.0.2")
        assert refused[3] == "550"
        mta.wait_log(r"NOQUEUE: reject: RCPT from \[127.9.0.2\]:\d+: 550 5.7.1"
                     r" Service unavailable; client \[127.9.0.2\] blocked "
                     "using zen.test; from=<a@remote.example>, "
                     "to=<daemon@example.com>, proto=ESMTP, helo=<x>")
        begin = time.time()
        assert deliver(mta, "127.9.0.3") == GOOD
        assert time.time() - begin < 2
        early = mta.client("127.9.0.5")
        early.send(b"EHLO ylmf-pc\r\n")
        early.reply()
        mta.wait_log(r"PREGREET 14 after [\d.]+ from \[127.9.0.5\]:\d+: "
                     r"EHLO ylmf-pc\\r\\n$")
