# SPDX-License-Identifier: MIT
"""posttls-finger: the conversation, the options, and the plan (-n), against
scripted servers and a scripted name server."""
import os
import shutil
import ssl
import subprocess
import tempfile

import pytest

import tls_ca
from buildtree import PATIENCE, directory
from dns_server import DnsServer
from smtp_script import DROP, SmtpScript
from sts_host import policy
from sts_world import World

EHLO = ("250-{host}\n250-STARTTLS\n250 SIZE", "250-{host}\n250 SIZE 5")
ZONE = """
x.example MX 10 mx1.x.example
x.example MX 20 mx2.x.example
mx1.x.example A 127.2.0.1
mx2.x.example A 127.2.0.2
null.example MX 0 .
"""


def finger(config, *argv, user=None, program=None):
    done = subprocess.run(
        [program or directory() + "/sbin/posttls-finger", *argv], user=user,
        env=dict(os.environ, MAIL_CONFIG=str(config)), capture_output=True,
        text=True, timeout=60 * PATIENCE)
    done.lines = [line.removeprefix("posttls-finger: ")
                  for line in done.stdout.splitlines()]
    return done


@pytest.fixture
def config(tmp_path):
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "main.cf").write_text(
        "compatibility_level = 3.6\nmyhostname = us.example.com\n"
        f"queue_directory = {tmp_path}/queue\n"
        "inet_protocols = ipv4\n"
        "smtp_tls_policy_maps = inline:{pol.example=encrypt}\n"
        "postrider_resolver_insecure_zones = example\n"
        "dnssec_probe =\n")
    return etc


@pytest.fixture
def names(config):
    server = DnsServer(ZONE).start()
    with open(config / "main.cf", "a") as out:
        out.write(f"postrider_resolver_servers = 127.0.0.1@{server.port}\n")
    yield server
    server.stop()


def context():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(tls_ca.folder() + "/rsa.pem",
                      tls_ca.folder() + "/rsa.key")
    return c


@pytest.fixture
def server():
    one = SmtpScript(tls=context(), ehlo=EHLO).start()
    one.dest = f"[127.0.0.1]:{one.port}"
    yield one
    one.stop()


def test_conversation(config, server):
    done = finger(config, "-l", "secure", "-F", tls_ca.folder() + "/ca.pem",
                  server.dest, "mx.example.com")
    assert done.returncode == 0
    peer = f"127.0.0.1[127.0.0.1]:{server.port}"
    print_ = tls_ca.fingerprint(tls_ca.folder() + "/rsa.pem")
    key = tls_ca.fingerprint(tls_ca.folder() + "/rsa.pem", public_key=True)
    assert done.lines[:8] == [
        f"Connected to {peer}", "< 220 server.example.net ESMTP",
        "> EHLO us.example.com", "< 250-server.example.net",
        "< 250-STARTTLS", "< 250 SIZE", "> STARTTLS",
        "< 220 2.0.0 Ready to start TLS"]
    assert done.lines[8:10] == [
        f"{peer}: matched peername: mx.example.com",
        f"{peer}: subject_CN=mx.example.com, issuer_CN=Test Authority, "
        f"fingerprint={print_}, pkey_fingerprint={key}"]
    assert done.lines[10].startswith(
        f"Verified TLS connection established to {peer}: TLSv1.3 with")
    assert done.lines[11:] == [
        "> EHLO us.example.com", "< 250-server.example.net", "< 250 SIZE 5",
        "> QUIT", "< 221 2.0.0 Bye"]


def test_certificates(config, server):
    done = finger(config, "-C", "-c", "-L", "none", "-l", "may", server.dest)
    assert done.lines[:4] == [
        "", "---", "Certificate chain",
        " 0 subject: /O=Test/CN=mx.example.com"]
    with open(tls_ca.folder() + "/rsa.pem") as pem:
        assert pem.read() in done.stdout


def test_relative_files(config, server, tmp_path):
    """Though the program works in queue_directory."""
    (tmp_path / "queue").mkdir()
    shutil.copy(tls_ca.folder() + "/ca.pem", tmp_path / "ca.pem")
    done = subprocess.run(
        [directory() + "/sbin/posttls-finger", "-c", "-l", "verify", "-F",
         "ca.pem", server.dest, "mx.example.com"], cwd=tmp_path,
        env=dict(os.environ, MAIL_CONFIG=str(config)), capture_output=True,
        text=True, timeout=60 * PATIENCE)
    assert "Verified TLS connection" in done.stdout


def test_lmtp(config, tmp_path):
    path = str(tmp_path / "l")
    one = SmtpScript(unix=path, lmtp=True, tls=context(), lhlo=EHLO).start()
    try:
        done = finger(config, "-S", "-l", "may", f"unix:{path}")
    finally:
        one.stop()
    assert "> LHLO us.example.com" in done.lines
    assert any("TLS connection established" in x for x in done.lines)


def test_resumption(config, server):
    """Whatever the certificate is worth."""
    done = finger(config, "-c", "-r", "1", server.dest)
    peer = f"127.0.0.1[127.0.0.1]:{server.port}"
    assert "Reconnecting after 1 seconds" in done.lines
    assert f"{peer}: Reusing old session" in done.lines
    assert done.lines[-1] == ("Found a previously used server.  Done "
                              "reconnecting.")


@pytest.mark.parametrize("stages, text", [
    ({"banner": "554 no"}, "SMTP service not available: 554 no"),
    ({"banner": DROP}, "lost connection while reading server greeting"),
    ({"ehlo": "502 no"}, "EHLO rejected: 502 no"),
    ({"ehlo": "what?"}, "EHLO rejected: 0 what?"),
    ({"ehlo": EHLO, "starttls": "454 no"}, "STARTTLS rejected: 454 no"),
    ({"ehlo": EHLO, "starttls": DROP},
     "fatal: lost connection while sending STARTTLS"),
])
def test_refusals(config, stages, text):
    one = SmtpScript(tls=context(), **stages).start()
    try:
        done = finger(config, f"[127.0.0.1]:{one.port}")
    finally:
        one.stop()
    assert done.lines[-1] == text


@pytest.mark.parametrize("argv, text", [
    (["-l", "x", "a.example"], 'Invalid TLS level "x"'),
    (["-a", "x", "a.example"], "bad '-a' option value: x"),
    (["-T", "0", "a.example"], "bad '-T' option value: 0"),
    (["-H", "a", "-k", "b", "a.example"], "When the '-H' option is used"),
    (["-l", "none", "-w", "a.example"], "SSL wrapper mode requires"),
    (["[127.0.0.1]:nosuch"], "unknown service: nosuch/tcp"),
    (["a.example b.example"], "one destination is wanted"),
])
def test_bad_command_lines(config, argv, text):
    done = finger(config, *argv)
    assert done.returncode == 1
    assert done.lines[-1].startswith("fatal: " + text)


def test_usage(config):
    done = finger(config)
    assert done.returncode == 1 and done.stderr.startswith("usage: ")


def test_next_host(config, names, server):
    """A resolver of its own, and the second mail exchanger."""
    names.set(ZONE.replace("127.2.0.2", "127.0.0.1"))
    done = finger(config, "-c", "-l", "may", f"x.example:{server.port}")
    assert done.lines[0] == (
        f"Failed to establish session to x.example:{server.port} via "
        f"mx1.x.example: connect to mx1.x.example[127.2.0.1]:{server.port}: "
        "Connection refused")
    assert "TLS connection established to mx2.x.example[" in done.stdout


def test_no_address(config, names):
    done = finger(config, "null.example")
    assert done.lines == ["Destination address lookup failed: Domain "
                          "null.example does not accept mail (nullMX)"]


def test_plan(config, names):
    names.set(ZONE + "pol.example MX 10 mx1.x.example\n")
    done = finger(config, "-n", "-l", "may", "x.example")
    assert "destination x.example: MX records of x.example, not signed" \
        in done.lines
    assert "1. mx1.x.example[127.2.0.1]:25, preference 10, address not " \
        "signed" in done.lines
    assert "2. mx2.x.example[127.2.0.2]:25, preference 20, address not " \
        "signed" in done.lines
    assert "   TLS level may, because of main.cf: smtp_tls_security_level" \
        in done.lines
    done = finger(config, "-n", "pol.example")
    assert "   TLS level encrypt, because of smtp_tls_policy_maps: " \
        "smtp_tls_policy_maps: pol.example" in done.lines
    done = finger(config, "-n", "null.example")
    assert "  no address: Domain null.example does not accept mail " \
        "(nullMX) (5.1.0)" in done.lines
    done = finger(config, "-n", "-l", "dane-only", "x.example")
    assert "   no connection: non DNSSEC destination" in done.lines


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_any_user(config, names):
    """Who may read main.cf and no more: MTA-STS is left out, and said so."""
    # Its own folder and the program's may be closed to others.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        shutil.copy(config / "main.cf", folder)
        program = shutil.copy(directory() + "/sbin/posttls-finger", folder)
        done = finger(folder, "-n", "-l", "may", "-o",
                      "postrider_mta_sts=yes", "x.example", user="nobody",
                      program=program)
    assert done.returncode == 0
    assert done.lines[0].startswith("warning: MTA-STS policies are left out")
    assert any(line.startswith("2. mx2.x.example[") for line in done.lines)


def test_running_services(tmp_path):
    """The resolver of the mail system is asked, and its MTA-STS service."""
    world = World(tmp_path, {"smtp_tls_security_level": "may",
                             "postrider_mta_sts": "yes"})
    try:
        world.announce("a.example")
        world.publish("mx", "a.example MX 10 mx1.a.example\n"
                      "mx1.a.example A 127.2.0.1\n"
                      "a.example MX 20 mx9.b.example\n"
                      "mx9.b.example A 127.2.0.2\n")
        world.host.set("a.example", policy("enforce", ["mx1.a.example"]))
        done = finger(world.box.config, "-n", "-o",
                      "postrider_resolver_servers=127.0.0.1@1", "a.example")
    finally:
        world.stop()
    assert "   TLS level secure, because of MTA-STS: MTA-STS policy of " \
        "a.example (enforce, id 1)" in done.lines, done.stdout
    assert "   MTA-STS policy: version: STSv1, mode: enforce, mx: " \
        "mx1.a.example, max_age: 604800" in done.lines
    assert "   no connection: the MTA-STS policy of a.example does not " \
        "allow mail exchanger mx9.b.example" in done.lines
