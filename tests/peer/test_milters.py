# SPDX-License-Identifier: MIT
"""Real milters: opendkim signs and verifies, opendmarc reads what it found,
rspamd refuses."""
import os
import re
import shutil
import subprocess
import time

import pytest

import postrider

MESSAGE = b"From: Alice <alice@example.com>\r\nTo: bob@example.com\r\n" \
          b"Subject:  a  subject\r\n folded\r\nDate: Mon, 1 Jan 2024 " \
          b"00:00:00 +0000\r\nMessage-Id: <1@example.com>\r\n\r\nbody\r\n" \
          b"..\r\nlast line  \r\n\r\n\r\n"


def program(name):
    path = shutil.which(name, path="/usr/sbin:/usr/bin")
    if not path:
        pytest.skip(f"no {name} here")
    return path


class Daemon:
    """A milter in the foreground, which ends with the test."""

    def __init__(self, argv, port, log):
        self.log = open(log, "wb")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 20
        table = "%04X" % port
        while True:
            with open("/proc/net/tcp") as tcp:
                if any(f":{table} 00000000:0000 0A" in line for line in tcp):
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                with open(log, errors="replace") as text:
                    raise RuntimeError(f"{argv[0]}: {text.read()[-1000:]}")
            time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


@pytest.fixture(scope="module", name="key")
def make_key(tmp_path_factory):
    """A private key, and the file that publishes the other half."""
    program("opendkim")
    folder = tmp_path_factory.mktemp("dkim")
    key = folder / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True,
                   capture_output=True)
    key.chmod(0o600)
    done = subprocess.run(["openssl", "rsa", "-in", key, "-pubout"],
                          check=True, capture_output=True, text=True)
    public = "".join(done.stdout.split("\n")[1:-2])
    (folder / "public").write_text(
        f"sel._domainkey.example.com v=DKIM1; k=rsa; p={public}\n")
    return folder


def opendkim(folder, mode, more=""):
    port = postrider.free_port()
    conf = folder / f"opendkim-{mode}.conf"
    conf.write_text(
        f"Socket inet:{port}@127.0.0.1\nMode {mode}\nDomain example.com\n"
        f"Selector sel\nKeyFile {folder}/key.pem\n"
        f"TestPublicKeys {folder}/public\nSyslog no\nLogWhy yes\n"
        "Canonicalization relaxed/simple\nAlwaysAddARHeader yes\n"
        "RequireSafeKeys no\nInternalHosts 127.0.0.1\n" + more)
    return port, Daemon([program("opendkim"), "-f", "-x", str(conf)], port,
                        folder / f"opendkim-{mode}.log")


def delivered(mta, user, count=1):
    folder = os.path.join(mta.mail, user, "new")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        names = os.listdir(folder) if os.path.isdir(folder) else []
        if len(names) >= count:
            name = max(names, key=lambda n: os.stat(f"{folder}/{n}").st_mtime)
            with open(os.path.join(folder, name), "rb") as file:
                return file.read()
        time.sleep(0.05)
    raise AssertionError("nothing delivered\n" + mta.log()[-3000:])


def smtp(mta, message=MESSAGE, rcpt="<bob@example.com>"):
    with mta.smtp() as client:
        client.ehlo("client.example.com")
        assert client.docmd("MAIL", "FROM:<alice@example.com>")[0] == 250
        assert client.docmd("RCPT", f"TO:{rcpt}")[0] == 250
        assert client.docmd("DATA")[0] == 354
        client.send(message + b".\r\n")
        return client.getreply()


@pytest.fixture(name="sink")
def make_sink(tmp_path):
    """Mail for example.com goes into Maildirs of one virtual account."""
    owner = os.geteuid()
    mail = tmp_path / "vmail"
    mail.mkdir()
    mail.chmod(0o777)
    owner = owner or 12345
    return mail, {
        "virtual_mailbox_domains": "example.com", "mydestination": "",
        "virtual_mailbox_base": str(mail), "virtual_minimum_uid": "1",
        "virtual_mailbox_maps": "inline:{bob@example.com=bob/}",
        "virtual_uid_maps": f"static:{owner}",
        "virtual_gid_maps": f"static:{os.getegid() or 12345}"}


def run(tmp_path, sink, milters, **more):
    mail, main = sink
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if str(parent) != "/" and "pytest" in str(parent):
            os.chmod(parent, 0o755)
    main = dict(main, smtpd_milters=milters, non_smtpd_milters=milters, **more)
    mta = postrider.Instance(
        main=main, master={"virtual unix": "virtual unix - n n - - virtual"})
    mta.mail = str(mail)
    return mta


def test_sign_and_verify(tmp_path, key, sink):
    """Signed by one instance, found good by the next; a changed body is not."""
    signer, sign = opendkim(key, "s")
    checker, verify = opendkim(key, "v", "InternalHosts 192.0.2.1\n")
    try:
        with run(tmp_path, sink, f"inet:127.0.0.1:{signer}") as mta:
            assert smtp(mta)[0] == 250
            signed = delivered(mta, "bob")
            assert b"DKIM-Signature: v=1;" in signed
            # Local mail is signed, too: a session is made up for it.
            mta.sendmail("bob@example.com", b"From: alice@example.com\n"
                         b"Subject: local\n\nhello\n", "-f",
                         "alice@example.com")
            local = delivered(mta, "bob", 2)
            assert b"DKIM-Signature: v=1;" in local
        with run(tmp_path, sink, f"inet:localhost:{checker}") as mta:
            for n, (message, good) in enumerate((
                    (signed, True), (local, True),
                    (signed.replace(b"last line", b"lost line"), False))):
                head, body = message.split(b"\n\n", 1)
                lines = head.split(b"\n")
                while lines[0].startswith((b"Return-Path", b"X-Original-To",
                                           b"Delivered-To")):
                    lines.pop(0)
                text = b"\r\n".join(lines) + b"\r\n\r\n" + \
                    body.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
                assert smtp(mta, text)[0] == 250
                got = delivered(mta, "bob", 3 + n)
                result = re.search(rb"Authentication-Results:[^;]*;\s+"
                                   rb"dkim=(\w+)", got)
                assert result, got
                assert (result[1] == b"pass") is good, got
    finally:
        sign.stop()
        verify.stop()


def test_daemon_name_tells_who_signs(tmp_path, key, sink):
    """As sites have it: what comes in on the line for users is signed, what
    comes from the world is verified, by one milter."""
    port, daemon = opendkim(key, "sv", "InternalHosts 192.0.2.1\n"
                            "MTA ORIGINATING\n")
    users = postrider.free_port()
    try:
        with run(tmp_path, sink, f"inet:localhost:{port}") as mta:
            with open(os.path.join(mta.config, "master.cf"), "a") as lines:
                lines.write(f"127.0.0.1:{users} inet n - n - - smtpd\n"
                            "  -o syslog_name=postfix/submission\n"
                            "  -o milter_macro_daemon_name=ORIGINATING\n")
            mta.reload()
            world = mta.port
            for n, (mta.port, signed) in enumerate(((world, False),
                                                    (users, True))):
                postrider.connect(mta.port).close()
                assert smtp(mta)[0] == 250
                got = delivered(mta, "bob", n + 1)
                assert (b"DKIM-Signature: v=1;" in got) is signed, got
                assert (b"dkim=none" in got) is not signed, got
    finally:
        daemon.stop()


def test_opendmarc(tmp_path, key, sink):
    """Two milters in a row: opendmarc sees what opendkim put in."""
    checker, verify = opendkim(key, "v", "InternalHosts 192.0.2.1\n"
                               "AuthservID mx.example.com\n")
    port = postrider.free_port()
    conf = tmp_path / "opendmarc.conf"
    (tmp_path / "ignored").write_text("192.0.2.1\n")  # not 127.0.0.1
    conf.write_text(f"Socket inet:{port}@127.0.0.1\nSyslog false\n"
                    "AuthservID mx.example.com\nDNSTimeout 1\n"
                    "SoftwareHeader true\nIgnoreAuthenticatedClients false\n"
                    f"IgnoreHosts {tmp_path}/ignored\n")
    dmarc = None
    try:
        dmarc = Daemon([program("opendmarc"), "-f", "-c", str(conf)], port,
                       tmp_path / "opendmarc.log")
        milters = f"inet:127.0.0.1:{checker}, " \
            f"{{ inet:127.0.0.1:{port}, content_timeout=20s, " \
            "default_action=accept }"
        with run(tmp_path, sink, milters, myhostname="mx.example.com") as mta:
            assert smtp(mta)[0] == 250
            got = delivered(mta, "bob")
            assert b"DMARC-Filter: OpenDMARC" in got
            assert b"dkim=none" in got
            assert "unexpected filter response" not in mta.log()
            assert "can't read" not in mta.log()
    finally:
        verify.stop()
        if dmarc:
            dmarc.stop()


def test_milter_goes_away(tmp_path, key, sink):
    """Killed in the midst of a session, and started again: later sessions
    use it."""
    port, daemon = opendkim(key, "s")
    with run(tmp_path, sink, f"inet:127.0.0.1:{port}") as mta:
        with mta.smtp() as client:
            client.ehlo("client.example.com")
            daemon.process.kill()
            daemon.process.wait()
            assert client.docmd("MAIL", "FROM:<a@example.com>") == (
                451, b"4.7.1 Service unavailable - try again later")
        assert smtp_refused(mta)
        conf = key / "opendkim-s.conf"
        again = Daemon([program("opendkim"), "-f", "-x", str(conf)], port,
                       key / "again.log")
        try:
            assert smtp(mta)[0] == 250
            assert b"DKIM-Signature" in delivered(mta, "bob")
        finally:
            again.stop()
            daemon.stop()


def smtp_refused(mta):
    with mta.smtp() as client:
        client.ehlo("client.example.com")
        return client.docmd("MAIL", "FROM:<a@example.com>")[0] == 451


RSPAMD = """\
options {{
  pidfile = "{dir}/pid"; rundir = "{dir}"; dbdir = "{dir}";
  tempdir = "{dir}"; cores_dir = "{dir}"; hs_cache_dir = "{dir}";
  control_socket = "{dir}/control mode=0600"; url_tld = "{dir}/tld";
  disable_hyperscan = true; filters = ""; enable_test_patterns = true;
  dns {{ nameserver = "127.0.0.1:1"; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "info"; }}
actions {{ reject = 15; add_header = 6; }}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{port}"; count = 1; timeout = 20s; milter = yes;
  upstream "local" {{ self_scan = yes; default = yes; }}
}}
"""
TEST_PATTERN = (b"%sJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-"
                b"EMAIL*C.34X")


def test_rspamd(tmp_path, sink):
    """The patterns that are spam to every scanner: one is refused, one gets a
    header; all else gets through as it came, local mail too."""
    folder = tmp_path / "rspamd"
    folder.mkdir()
    (folder / "tld").write_text("com\n")
    port = postrider.free_port()
    conf = folder / "rspamd.conf"
    conf.write_text(RSPAMD.format(dir=folder, port=port))
    daemon = Daemon([program("rspamd"), "-f", "-i", "-c", str(conf)], port,
                    tmp_path / "rspamd.log")
    try:
        with run(tmp_path, sink, f"inet:127.0.0.1:{port}",
                 milter_mail_macros="i {mail_addr} {client_addr} "
                 "{client_name} {auth_authen}") as mta:
            assert smtp(mta)[0] == 250
            got = delivered(mta, "bob")
            assert b"\nX-Spam" not in got
            assert got.endswith(b"body\n.\nlast line  \n\n\n"), got
            spam = MESSAGE.replace(b"last line", TEST_PATTERN % b"X")
            assert smtp(mta, spam) == (554, b"5.7.1 Gtube pattern")
            mta.wait_log(
                r"cleanup\[\d+\]: \w+: milter-reject: END-OF-MESSAGE from "
                r"unknown\[127\.0\.0\.1\]: 5\.7\.1 Gtube pattern; "
                r"from=<alice@example\.com> to=<bob@example\.com> "
                r"proto=ESMTP helo=<client\.example\.com>")
            mark = MESSAGE.replace(b"last line", TEST_PATTERN % b"Y")
            assert smtp(mta, mark)[0] == 250
            assert b"\nX-Spam: Yes\n" in delivered(mta, "bob", 2)
            mta.sendmail("bob@example.com", b"From: alice@example.com\n"
                         b"Subject: local\n\nhello\n")
            delivered(mta, "bob", 3)
            mta.wait_queue(0)
            assert not re.search(r"(smtpd|pickup|cleanup)\[\d+\]: warning:",
                                 mta.log())
    finally:
        daemon.stop()
