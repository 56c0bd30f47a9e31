# SPDX-License-Identifier: MIT
"""TLS in smtpd: certificates of an own authority, what is on the wire, session
resumption, certificates that are replaced, clients that misbehave. Replies and
log lines are in tests/replay/tls_*.txt."""
import os
import pathlib
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest

import buildtree
import postrider
import tls_ca

SECRET = "correct horse battery staple"


def settings(folder, **more):
    main = {
        "myhostname": "mx.example.com",
        "local_recipient_maps": "inline:{alice=1, bob=1}",
        "defer_transports": "local smtp",
        "smtpd_error_sleep_time": "0",
        "smtpd_tls_cert_file": f"{folder}/rsa.pem",
        "smtpd_tls_key_file": f"{folder}/rsa.key",
        "smtpd_tls_CAfile": f"{folder}/ca.pem",
        "smtpd_tls_fingerprint_digest": "sha256",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_loglevel": "1",
        "smtpd_tls_received_header": "yes",
    }
    main.update(more)
    return main


def service(port, *options, limit="-"):
    line = f"127.0.0.1:{port} inet n - n - {limit} smtpd"
    return line + "".join(f" -o {o}" for o in options)


@pytest.fixture(scope="module")
def folder():
    return tls_ca.folder()


@pytest.fixture(scope="module")
def mta(folder):
    wrapper, certs = postrider.free_port(), postrider.free_port()
    with postrider.Instance(main=settings(folder), master={
            "smtps": service(wrapper, "smtpd_tls_wrappermode=yes"),
            "certs": service(certs, "smtpd_tls_ask_ccert=yes")}) as instance:
        instance.wrapper, instance.certs = wrapper, certs
        yield instance


def trusting(folder, **kw):
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    for name, value in kw.items():
        setattr(context, name, value)
    return context


def started(port, context, session=None, sni="mx.example.com"):
    """A socket with TLS by STARTTLS."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    assert sock.recv(1000).startswith(b"220")
    sock.sendall(b"STARTTLS\r\n")
    assert sock.recv(1000).startswith(b"220 2.0.0")
    return context.wrap_socket(sock, server_hostname=sni, session=session)


def say(sock, line):
    sock.sendall(line.encode() + b"\r\n")
    return sock.recv(4096).decode()


# ---- an own authority (tutorial 4) ----

@pytest.mark.parametrize("wrapper", [False, True])
def test_s_client_trusts(mta, folder, wrapper):
    port = mta.wrapper if wrapper else mta.port
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}",
            "-CAfile", f"{folder}/ca.pem", "-verify_return_error",
            "-verify_hostname", "mx.example.com", "-brief"]
    if not wrapper:
        argv += ["-starttls", "smtp"]
    done = subprocess.run(argv, input="QUIT\n", capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stderr
    assert "Verification: OK" in done.stderr
    # And it would have noticed.
    argv[argv.index("-CAfile") + 1] = f"{folder}/ca2.pem"
    done = subprocess.run(argv, input="QUIT\n", capture_output=True, text=True,
                          timeout=30)
    assert done.returncode != 0


class Recorder:
    """A TCP proxy that keeps what passes."""

    def __init__(self, port):
        self.target = port
        self.bytes = bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(a, b),
                                 daemon=True).start()

    def _copy(self, a, b):
        while True:
            try:
                data = a.recv(65536)
                self.bytes += data
                b.sendall(data)
            except OSError:
                data = b""
            if not data:
                try:
                    b.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                return

    def close(self):
        self.listener.close()


@pytest.mark.parametrize("wrapper", [False, True])
def test_nothing_in_the_clear(mta, folder, wrapper):
    wire = Recorder(mta.wrapper if wrapper else mta.port)
    kind = smtplib.SMTP_SSL if wrapper else smtplib.SMTP
    kw = {"context": trusting(folder)} if wrapper else {}
    client = kind("localhost", wire.port, local_hostname="c.example",
                  timeout=20, **kw)
    if not wrapper:
        client.starttls(context=trusting(folder))
    client.sendmail("me@remote.example", ["alice@example.com"],
                    f"Subject: hidden\r\n\r\n{SECRET}\r\n")
    client.quit()
    wire.close()
    seen = bytes(wire.bytes)
    assert len(seen) > 1500
    for text in (SECRET, "Subject", "alice@", "me@remote", "queued as",
                 "MAIL FROM", "AUTH"):
        assert text.encode() not in seen
    assert (b"STARTTLS" in seen) == (not wrapper)
    # The recorder would see it.
    wire = Recorder(mta.port)
    client = smtplib.SMTP("localhost", wire.port, local_hostname="c.example")
    client.sendmail("me@remote.example", ["alice@example.com"],
                    f"Subject: open\r\n\r\n{SECRET}\r\n")
    client.quit()
    wire.close()
    assert SECRET.encode() in bytes(wire.bytes)


def header_of_newest(mta):
    newest = max(mta.queue(), key=lambda m: m["arrival_time"])
    done = mta.command("postcat", "-qh", newest["queue_id"])
    return done.stdout


@pytest.fixture
def empty(mta):
    for _ in range(20):  # some may just be on their way to deferred/
        mta.command("postsuper", "-d", "ALL")
        if not mta.queue():
            return mta
        time.sleep(0.2)
    raise AssertionError(mta.queue())


def test_received_header(empty, folder):
    client = smtplib.SMTP("localhost", empty.port, local_hostname="c.example")
    client.starttls(context=trusting(folder))
    client.sendmail("me@remote.example", ["alice@example.com"], "\r\nx\r\n")
    client.quit()
    empty.wait_queue(1)
    text = header_of_newest(empty)
    assert re.search(r"Received: from c\.example \(unknown \[127\.0\.0\.1\]\)\n"
                     r"\t\(using TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)\n"
                     r"\t key-exchange \S+ server-signature RSA-PSS "
                     r"\(2048 bits\) server-digest SHA256\)\n"
                     r"\t\(No client certificate requested\)\n"
                     r"\tby mx\.example\.com \(Postfix\) with ESMTPS id ",
                     text), text


# ---- clients ----

@pytest.mark.parametrize("argv", [
    ["swaks", "--tls", "--tls-verify", "--tls-ca-path", "CA", "--tls-sni",
     "mx.example.com"],
    ["swaks", "--tls-on-connect", "--tls-verify", "--tls-ca-path", "CA"],
    ["swaks", "--tls", "--pipeline"],
], ids=["starttls", "wrapper", "pipeline"])
def test_swaks(empty, folder, argv):
    if not shutil.which("swaks"):
        pytest.skip("no swaks")
    port = empty.wrapper if "--tls-on-connect" in argv else empty.port
    argv = [f"{folder}/ca.pem" if a == "CA" else a for a in argv]
    done = subprocess.run(
        argv + ["--server", "127.0.0.1", "--port", str(port), "--to",
                "alice@example.com", "--from", "me@remote.example", "--helo",
                "c.example"], capture_output=True, text=True, timeout=60)
    if "TLS not available" in done.stdout + done.stderr:
        pytest.skip("swaks has no TLS here: " + done.stderr[-200:])
    assert done.returncode == 0, done.stdout + done.stderr
    empty.wait_queue(1)


@pytest.mark.parametrize("wrapper", [False, True])
def test_msmtp(empty, folder, wrapper):
    if not shutil.which("msmtp"):
        pytest.skip("no msmtp")
    port = empty.wrapper if wrapper else empty.port
    done = subprocess.run(
        ["msmtp", "--file=/dev/null", "--host=localhost", f"--port={port}",
         "--tls=on", f"--tls-starttls={'off' if wrapper else 'on'}",
         f"--tls-trust-file={folder}/ca.pem", "--domain=c.example",
         "--from=me@remote.example", "alice@example.com"],
        input="Subject: x\n\nbody\n", capture_output=True, text=True,
        timeout=60)
    assert done.returncode == 0, done.stderr
    empty.wait_queue(1)


def test_big_messages_and_pipelining(empty, folder):
    body = b"".join(b"%06d %s\r\n" % (i, b"x" * 70) for i in range(60000))
    sock = started(empty.port, trusting(folder))
    assert say(sock, "EHLO c.example").startswith("250")
    for _ in range(2):
        sock.sendall(b"MAIL FROM:<me@remote.example>\r\n"
                     b"RCPT TO:<alice@example.com>\r\n"
                     b"RCPT TO:<bob@example.com>\r\nDATA\r\n")
        got = b""
        while got.count(b"\r\n") < 4:
            got += sock.recv(4096)
        assert got.endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n"), got
        sock.sendall(b"Subject: big\r\n\r\n" + body + b".\r\n")
        assert sock.recv(1000).startswith(b"250 2.0.0 Ok: queued as")
    sock.sendall(b"RSET\r\nNOOP\r\nQUIT\r\n")
    got = b""
    while True:
        more = sock.recv(1000)
        if not more:
            break
        got += more
    assert got.count(b"250 ") == 2 and b"221 2.0.0 Bye" in got
    size = len(body.replace(b"\r\n", b"\n"))
    assert all(m["message_size"] > size for m in empty.wait_queue(2))


def test_one_byte_at_a_time(mta, folder):
    """Records of one byte, and TCP segments that cut records."""
    sock = socket.create_connection(("127.0.0.1", mta.port), timeout=20)
    sock.recv(1000)
    sock.sendall(b"STARTTLS\r\n")
    sock.recv(1000)
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(folder).wrap_bio(inside, outside,
                                    server_hostname="mx.example.com")

    def pump(call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                for byte in outside.read():
                    sock.sendall(bytes([byte]))
                inside.write(sock.recv(4096))

    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pump(tls.do_handshake)
    for byte in b"EHLO c.example\r\n":
        tls.write(bytes([byte]))
        for one in outside.read():
            sock.sendall(bytes([one]))
    assert pump(lambda: tls.read(1000)).startswith(b"250-mx.example.com")
    # Half a record behind a command that ends a group: it must be answered.
    tls.write(b"NOOP\r\n")
    first = outside.read()
    tls.write(b"QUIT\r\n")
    second = outside.read()
    sock.sendall(first + second[:7])
    assert pump(lambda: tls.read(1000)) == b"250 2.0.0 Ok\r\n"
    sock.sendall(second[7:])
    assert pump(lambda: tls.read(1000)) == b"221 2.0.0 Bye\r\n"
    sock.close()


def complaints(mta):
    """Warnings of smtpd, or about its parameters."""
    return [line for line in mta.log().splitlines()
            if re.search("warning|error|fatal", line) and "smtpd" in line]


# ---- resumption ----

def resumed(port, context, session):
    sock = started(port, context, session)
    say(sock, "EHLO c.example")
    again = sock.session_reused
    kept = sock.session
    say(sock, "QUIT")
    sock.close()
    return again, kept


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_resumption_in_any_worker(folder, version):
    main = settings(folder, max_use="1", smtpd_tls_session_cache_database=
                    "btree:${data_directory}/smtpd_scache")
    other = postrider.free_port()
    with postrider.Instance(main=main, master={
            "other": service(other)}) as mta:
        context = trusting(folder, maximum_version=ssl.TLSVersion[version])
        again, session = resumed(mta.port, context, None)
        assert not again
        for _ in range(3):  # max_use: each in a worker of its own
            again, _ = resumed(mta.port, context, session)
            assert again
        # Another service has other sessions, and serves the client all the
        # same.
        again, _ = resumed(other, context, session)
        assert not again
        again, session2 = resumed(other, context, None)
        assert resumed(other, context, session2)[0]
        assert not resumed(mta.port, context, session2)[0]
        # A reload, and a restart, keep the secrets.
        mta.reload()
        assert resumed(mta.port, context, session)[0]
        mta.stop()
        mta.start()
        assert resumed(mta.port, context, session)[0]
        path = os.path.join(mta.data, "smtpd_tls_tickets")
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert not complaints(mta)


def test_ticket_of_a_service_with_certificates(mta, folder):
    """What a client proved to one service counts nothing in another."""
    for version in ("TLSv1_2", "TLSv1_3"):
        context = trusting(folder, maximum_version=ssl.TLSVersion[version])
        context.load_cert_chain(f"{folder}/client.pem", f"{folder}/client.key")
        _, session = resumed(mta.certs, context, None)
        assert resumed(mta.certs, context, session)[0]
        assert not resumed(mta.port, context, session)[0]
        _, session = resumed(mta.port, context, None)
        assert resumed(mta.port, context, session)[0]
        assert not resumed(mta.certs, context, session)[0]
    assert "Trusted TLS connection established" in mta.log()


def test_no_resumption_when_switched_off(folder):
    main = settings(folder, smtpd_tls_session_cache_timeout="0")
    with postrider.Instance(main=main) as mta:
        for version in ("TLSv1_2", "TLSv1_3"):
            context = trusting(folder,
                               maximum_version=ssl.TLSVersion[version])
            _, session = resumed(mta.port, context, None)
            assert not (session and session.has_ticket)
            if session:
                assert not resumed(mta.port, context, session)[0]


def test_a_broken_ticket_file_is_replaced(folder):
    with postrider.Instance(main=settings(folder)) as mta:
        context = trusting(folder)
        _, session = resumed(mta.port, context, None)
        path = os.path.join(mta.data, "smtpd_tls_tickets")
        with open(path, "r+b") as f:
            f.write(os.urandom(os.path.getsize(path)))
        assert not resumed(mta.port, context, session)[0]
        _, session = resumed(mta.port, context, None)
        assert resumed(mta.port, context, session)[0]


# ---- certificates that are replaced ----

def serial(port, folder):
    context = trusting(folder)
    sock = started(port, context)
    text = sock.getpeercert()["serialNumber"]
    say(sock, "QUIT")
    sock.close()
    return text


def wait_serial(port, folder, old, timeout=15):
    """Clients come one after another; none may be refused."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        new = serial(port, folder)
        if new != old:
            return new
        time.sleep(0.05)
    raise AssertionError("the old certificate is still served")


@pytest.fixture
def renewed(folder):
    """A copy of the certificate, and a new one. Not below pytest's own folder,
    which is root's."""
    with tempfile.TemporaryDirectory(prefix="postrider-tls-") as name:
        yield fill(pathlib.Path(name), folder)


def fill(tmp_path, folder):
    os.chmod(tmp_path, 0o755)
    for name in ("rsa", "ec"):
        for ext in ("pem", "key"):
            shutil.copy(f"{folder}/{name}.{ext}", tmp_path / f"{name}.{ext}")
    for name in ("ca.pem", "ca.key"):
        shutil.copy(f"{folder}/{name}", tmp_path / name)
    tls_ca.issue(str(tmp_path), "new", "mx.example.com", kind="rsa",
                 names=["mx.example.com", "localhost"])
    return tmp_path


def paths(at, **more):
    return settings(at, smtpd_tls_cert_file=f"{at}/rsa.pem",
                    smtpd_tls_key_file=f"{at}/rsa.key", **more)


def test_replaced_certificate(renewed, folder):
    held = postrider.free_port()
    with postrider.Instance(main=paths(renewed), master={
            "held": service(held, limit="1")}) as mta:
        old = serial(mta.port, folder)
        assert serial(held, folder) == old
        stays = started(mta.port, trusting(folder))
        assert say(stays, "EHLO c.example").startswith("250")
        # New certificate, old key: nobody notices but the log.
        os.replace(renewed / "new.pem", renewed / "rsa.pem")
        mta.wait_log("the new certificates cannot be used", count=2)
        for _ in range(5):
            assert serial(mta.port, folder) == old
            assert serial(held, folder) == old
        # The key follows.
        shutil.copyfile(renewed / "new.key", renewed / "rsa.key")
        new = wait_serial(mta.port, folder, old)
        assert wait_serial(held, folder, old) == new
        # Who was there before is not disturbed.
        assert say(stays, "NOOP") == "250 2.0.0 Ok\r\n"
        assert say(stays, "QUIT") == "221 2.0.0 Bye\r\n"
        assert "RSA private key" in mta.log()


def test_layout_of_certbot(renewed, folder):
    """live/NAME.pem is a link into archive/."""
    live, archive = renewed / "live", renewed / "archive"
    live.mkdir()
    archive.mkdir()
    os.chmod(live, 0o700)
    os.chmod(archive, 0o700)
    for ext, name in (("pem", "fullchain"), ("key", "privkey")):
        shutil.move(renewed / f"rsa.{ext}", archive / f"{name}1.pem")
        os.symlink(f"../archive/{name}1.pem", live / f"{name}.pem")
    with postrider.Instance(main=settings(
            folder, smtpd_tls_cert_file=f"{live}/fullchain.pem",
            smtpd_tls_key_file=f"{live}/privkey.pem")) as mta:
        old = serial(mta.port, folder)
        for ext, name in (("key", "privkey"), ("pem", "fullchain")):
            shutil.move(renewed / f"new.{ext}", archive / f"{name}2.pem")
            os.symlink(f"../archive/{name}2.pem", live / "temporary")
            os.replace(live / "temporary", live / f"{name}.pem")
        new = wait_serial(mta.port, folder, old)
        # The successor watches, too.
        for name in ("privkey", "fullchain"):
            shutil.copyfile(archive / f"{name}1.pem", archive / "x")
            os.replace(archive / "x", archive / f"{name}2.pem")
        assert wait_serial(mta.port, folder, new) == old


def test_directory_that_is_switched(renewed, folder):
    """..data -> ..1 -> ..2, as in a container."""
    for number, name in (("1", "rsa"), ("2", "new")):
        (renewed / f"..{number}").mkdir()
        for ext in ("pem", "key"):
            shutil.move(renewed / f"{name}.{ext}",
                        renewed / f"..{number}" / f"tls.{ext}")
    os.symlink("..1", renewed / "..data")
    for ext in ("pem", "key"):
        os.symlink(f"..data/tls.{ext}", renewed / f"tls.{ext}")
    with postrider.Instance(main=settings(
            folder, smtpd_tls_cert_file=f"{renewed}/tls.pem",
            smtpd_tls_key_file=f"{renewed}/tls.key")) as mta:
        old = serial(mta.port, folder)
        os.symlink("..2", renewed / "..new")
        os.replace(renewed / "..new", renewed / "..data")
        wait_serial(mta.port, folder, old)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_key_that_only_root_may_read(renewed, folder):
    os.chmod(renewed / "rsa.key", 0o400)
    os.chmod(renewed, 0o700)
    with postrider.Instance(main=paths(renewed)) as mta:
        old = serial(mta.port, folder)
        os.replace(renewed / "new.key", renewed / "rsa.key")
        os.replace(renewed / "new.pem", renewed / "rsa.pem")
        wait_serial(mta.port, folder, old)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_chroot(renewed, folder):
    port = postrider.free_port()
    os.chmod(renewed, 0o700)
    with postrider.Instance(main=paths(renewed), port=port, master={
            "smtp inet": f"127.0.0.1:{port} inet n - y - - smtpd"}) as mta:
        context = trusting(folder)
        _, session = resumed(port, context, None)
        assert resumed(port, context, session)[0]
        old = serial(port, folder)
        os.replace(renewed / "new.key", renewed / "rsa.key")
        os.replace(renewed / "new.pem", renewed / "rsa.pem")
        wait_serial(port, folder, old)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_an_ordinary_user(renewed, folder):
    user = "nobody"
    for path in renewed.iterdir():
        shutil.chown(path, user)
    shutil.chown(renewed, user)
    with postrider.Instance(main=paths(renewed), user=user) as mta:
        context = trusting(folder)
        old = serial(mta.port, folder)
        _, session = resumed(mta.port, context, None)
        assert resumed(mta.port, context, session)[0]
        os.replace(renewed / "new.key", renewed / "rsa.key")
        os.replace(renewed / "new.pem", renewed / "rsa.pem")
        wait_serial(mta.port, folder, old)


# ---- start ----

SNAKEOIL = "/etc/ssl/certs/ssl-cert-snakeoil.pem"


def test_stock_debian_main_cf(folder, tmp_path):
    """The TLS lines of Debian's main.cf as it installs it."""
    cert, key = SNAKEOIL, SNAKEOIL.replace("certs", "private").replace(
        ".pem", ".key")
    if not os.access(key, os.R_OK):
        cert, key = f"{folder}/rsa.pem", f"{folder}/rsa.key"
    main = {
        "smtpd_tls_cert_file": cert,
        "smtpd_tls_key_file": key,
        "smtpd_tls_security_level": "may",
        "smtp_tls_CApath": "/etc/ssl/certs",
        "smtpd_tls_session_cache_database":
            "btree:${data_directory}/smtpd_scache",
    }
    with postrider.Instance(main=main) as mta:
        client = mta.smtp()
        client.starttls(context=ssl._create_unverified_context())
        client.quit()
        assert not complaints(mta)


def test_a_missing_key_is_named(folder):
    with postrider.Instance(main=settings(
            folder, smtpd_tls_key_file="/nonexistent/my.key")) as mta:
        client = mta.smtp()
        client.ehlo()
        assert client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 454
        client.sendmail("me@remote.example", ["alice@example.com"], "\r\nx")
        client.quit()
        assert 'private key from file "/nonexistent/my.key"' in mta.log()


def test_a_level_that_does_not_exist(folder):
    with postrider.Instance(main=settings(
            folder, smtpd_tls_security_level="sometimes")) as mta:
        with pytest.raises((OSError, smtplib.SMTPException)):
            smtplib.SMTP("127.0.0.1", mta.port, timeout=2)
        mta.wait_log('fatal: Invalid TLS level "sometimes"')


def test_sni_table(folder):
    """As postmap -F makes it: the keys are in the table."""
    with tempfile.TemporaryDirectory(prefix="postrider-tls-") as name:
        source = f"{name}/sni"
        tls_ca.issue(folder, "third", "third.example.com")
        with open(source, "w") as out:
            for host in ("other", "third"):
                out.write(f"{host}.example.com {folder}/{host}.key, "
                          f"{folder}/{host}.pem\n")
        os.chmod(name, 0o755)
        with postrider.Instance(main=settings(
                folder, tls_server_sni_maps=f"hash:{source}")) as mta:
            done = mta.command("postmap", "-F", f"hash:{source}")
            assert done.returncode == 0, done.stderr
            for host in ("other", "third", "mx"):
                context = trusting(folder)  # and it checks the name
                sock = started(mta.port, context, sni=f"{host}.example.com")
                say(sock, "QUIT")
                sock.close()
            # A broken entry refuses that name only.
            with open(source, "w") as out:
                out.write(f"other.example.com {folder}/other.pem\n"
                          f"third.example.com {folder}/third.key, "
                          f"{folder}/third.pem\n")
            mta.command("postmap", "-F", f"hash:{source}")
            time.sleep(1.1)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                started(mta.port, trusting(folder), sni="other.example.com")
            sock = started(mta.port, trusting(folder),
                           sni="third.example.com")
            say(sock, "QUIT")


def test_no_leak(folder):
    main = settings(folder, max_use="100000", smtpd_tls_ask_ccert="yes")
    port = postrider.free_port()
    with postrider.Instance(main=main, port=port, master={
            "smtp inet": f"127.0.0.1:{port} inet n - n - 1 smtpd"}) as mta:
        context = trusting(folder)
        context.load_cert_chain(f"{folder}/client.pem", f"{folder}/client.key")
        sizes = []
        for count in (400, 300):
            for i in range(count):
                sock = started(port, context)
                if i % 3:
                    say(sock, "EHLO c.example")
                    say(sock, "QUIT")
                sock.close()
            parent = min(mta.pids("smtpd"))
            sizes.append(max(private_kib(pid) for pid in mta.pids("smtpd")
                             if pid != parent))
        assert buildtree.SANITIZED or sizes[1] < sizes[0] + 60, sizes


@pytest.mark.parametrize("level", ["3", "4"])
def test_dumps(folder, level):
    with postrider.Instance(main=settings(
            folder, smtpd_tls_loglevel=level)) as mta:
        sock = started(mta.port, trusting(folder))
        say(sock, "EHLO a-rather-peculiar-name.example")
        say(sock, "QUIT")
        mta.wait_log("disconnect from")
        log = mta.log()
        assert re.search(r"smtpd\[\d+\]: read \(\d+ bytes => \d+ \(0x", log)
        assert re.search(r"smtpd\[\d+\]: 0000 16 03 01 .. ..", log)
        text = "Read 37 chars: EHLO a-rather-peculiar-name.example??"
        assert (text in log) == (level == "4")


# ---- clients that misbehave ----

def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f
                   if line.startswith("Private_"))


def test_hostile_handshakes(folder):
    """Garbage, halves, silence, and hang-ups: each costs one worker for a
    bounded time, and the others work on."""
    main = settings(folder, smtpd_starttls_timeout="2s", smtpd_timeout="5s",
                    smtpd_tls_loglevel="0")
    port = postrider.free_port()
    with postrider.Instance(main=main, port=port) as mta:
        hello = recorded_hello(folder)
        silent = []
        for sent in (b"", hello[:5], hello[:100], b"\x16\x03\x01\x40\x00"):
            sock = socket.create_connection(("127.0.0.1", port), timeout=20)
            sock.recv(100)
            sock.sendall(b"STARTTLS\r\n")
            sock.recv(100)
            sock.sendall(sent)
            silent.append(sock)
        for i in range(60):
            sock = socket.create_connection(("127.0.0.1", port), timeout=20)
            sock.recv(100)
            sock.sendall(b"STARTTLS\r\n")
            sock.recv(100)
            junk = [os.urandom(4000), hello[:i * 7], hello + os.urandom(200),
                    hello + hello, b"\x15\x03\x03\x00\x02\x02\x28",
                    b"\x16\x03\x01\xff\xff" + os.urandom(70000)][i % 6]
            try:
                sock.sendall(junk)
            except OSError:
                pass
            sock.close()
        assert serial(port, folder)
        began = time.monotonic()
        for sock in silent:
            while True:
                try:
                    if not sock.recv(1000):
                        break
                except ConnectionError:
                    break
        assert time.monotonic() - began < 10
        assert serial(port, folder)
        log = mta.log()
        assert "killed" not in log and "panic" not in log, log
        if "asan" not in mta.b:  # whose shadow is private
            assert all(private_kib(pid) < 4000
                       for pid in mta.pids("smtpd"))


def recorded_hello(folder):
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(folder).wrap_bio(inside, outside,
                                    server_hostname="mx.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outside.read()


def test_injection_before_the_handshake(empty, folder):
    """Commands that travel with STARTTLS are gone (CVE-2011-0411)."""
    for tail in (b"MAIL FROM:<evil@evil.example>\r\n",
                 b"EHLO evil\r\nRSET\r\n" * 100, b"X" * 3000, b"\0\n"):
        sock = socket.create_connection(("127.0.0.1", empty.port), timeout=20)
        sock.recv(1000)
        sock.sendall(b"EHLO c.example\r\n")
        sock.recv(1000)
        sock.sendall(b"STARTTLS\r\n" + tail)
        assert sock.recv(1000).startswith(b"220 2.0.0")
        time.sleep(0.05)
        tls = trusting(folder).wrap_socket(sock,
                                           server_hostname="mx.example.com")
        assert say(tls, "RCPT TO:<alice@example.com>").startswith("503 5.5.1")
        assert say(tls, "QUIT").startswith("221")
        tls.close()


def test_goodbye(mta, folder):
    """The server ends TLS in order: a cut connection can be told from it."""
    sock = started(mta.port, trusting(folder))
    sock.sendall(b"QUIT\r\n")
    got = b""
    while True:  # an end without close_notify raises SSLEOFError
        more = sock.recv(1000)
        if not more:
            break
        got += more
    assert got == b"221 2.0.0 Bye\r\n"


def test_renegotiation_is_refused(mta, folder):
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{mta.port}",
         "-starttls", "smtp", "-tls1_2"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    client.stdin.write("R\n")
    client.stdin.flush()
    # A QUIT that came with the R would be one input with it.
    out = ""
    while "RENEGOTIATING" not in out and (line := client.stdout.readline()):
        out += line
    out += client.communicate("QUIT\n", timeout=30)[0]
    assert "RENEGOTIATING" in out and "no renegotiation" in out, out[-500:]
    assert "killed" not in mta.log()


# ---- memory ----

def test_memory(folder, capsys):
    """What an idle session costs; a plain one pays nothing for TLS."""
    cost = {}
    for kind in ("none", "may", "tls"):
        level = "none" if kind == "none" else "may"
        with postrider.Instance(main=settings(
                folder, smtpd_tls_security_level=level)) as mta:
            socks = []
            for _ in range(20):
                if kind == "tls":
                    sock = started(mta.port, trusting(folder))
                else:
                    sock = socket.create_connection(("127.0.0.1", mta.port))
                    sock.recv(1000)
                sock.sendall(b"EHLO c.example\r\n")
                sock.recv(1000)
                socks.append(sock)
            parent = min(mta.pids("smtpd"))
            sizes = sorted(private_kib(pid) for pid in mta.pids("smtpd")
                           if pid != parent)
            cost[kind] = sizes[len(sizes) // 2]
            for sock in socks:
                sock.close()
    with capsys.disabled():
        print(f"\nprivate KiB of an idle session: {cost}")
    assert cost["may"] < cost["none"] + 60
    assert buildtree.SANITIZED or cost["tls"] < 1100  # Postfix takes that for a plain one
