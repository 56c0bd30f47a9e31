# SPDX-License-Identifier: MIT
"""A real haproxy in front of smtpd and of postscreen: both versions of the
PROXY header, clients that it tells of by their address, and its own health
checks."""
import re
import shutil
import smtplib
import ssl
import subprocess

import pytest

import dns_server
import postrider
import tls_ca

pytestmark = pytest.mark.skipif(
    not shutil.which("haproxy", path="/usr/sbin:/usr/bin"),
    reason="haproxy is not installed")

CONFIG = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""
FRONT = """\
listen {name}
    bind 127.0.0.1:{front}
    option smtpchk EHLO check.example.com
    server mx 127.0.0.1:{back} {option} {check}
"""


class Haproxy:
    """In the foreground; one listener for each (name, port behind, option,
    check). front[name] is the port to connect to."""

    def __init__(self, folder, listeners):
        ports = postrider.free_ports(len(listeners))
        self.front = {}
        text = CONFIG
        for (name, back, option, check), port in zip(listeners, ports):
            self.front[name] = port
            text += FRONT.format(name=name, front=port, back=back,
                                 option=option, check=check)
        self.conf = folder / "haproxy.cfg"
        self.conf.write_text(text)

    def __enter__(self):
        self.process = subprocess.Popen(
            ["/usr/sbin/haproxy", "-db", "-f", str(self.conf)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for port in self.front.values():
            postrider.connect(port).close()
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def deliver(port, source, rcpt="daemon@example.com", subject="x"):
    """Through the proxy, from this address of the loopback network; returns
    the address and port that the proxy saw."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30, source_address=(
            source, 0), local_hostname="client.example.com") as client:
        seen = client.sock.getsockname()
        client.sendmail("a@remote.example", [rcpt],
                        f"Subject: {subject}\r\n\r\nhi\r\n")
    return seen


MAIN = {"mynetworks": "127.7.7.0/24", "local_recipient_maps": "",
        "mydestination": "example.com", "defer_transports": "smtp",
        "smtpd_client_connection_count_limit": "10"}


def test_in_front_of_smtpd(tmp_path):
    """Rights, limits, log and Received: go by the client, not by the proxy."""
    main = dict(MAIN, smtpd_upstream_proxy_protocol="haproxy",
                smtpd_upstream_proxy_timeout="5s")
    with postrider.Instance(main=main) as mta, Haproxy(tmp_path, [
            ("one", mta.port, "send-proxy", ""),
            ("two", mta.port, "send-proxy-v2", "")]) as proxy:
        for name, source in (("one", "127.9.0.1"), ("two", "127.9.0.2")):
            port = proxy.front[name]
            deliver(port, source, subject=name)
            mta.wait_log(rf"smtpd\[\d+\]: \w+: client=unknown\[{source}\]")
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                deliver(port, source, "x@elsewhere.example")
            assert refused.value.recipients["x@elsewhere.example"] == (
                454, b"4.7.1 <x@elsewhere.example>: Relay access denied")
            deliver(port, "127.7.7.7", "x@elsewhere.example")
        mta.wait_queue(2)
        texts = [text.decode() for text in mta.mailbox("daemon")]
        assert sorted("127.9.0.1" in text for text in texts) == [False, True]
        assert sorted("127.9.0.2" in text for text in texts) == [False, True]
        # One client's sessions are counted as that client's.
        held = [smtplib.SMTP("127.0.0.1", proxy.front[("one", "two")[i % 2]],
                             source_address=("127.9.0.3", 0), timeout=30,
                             local_hostname="c.example") for i in range(10)]
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            deliver(proxy.front["two"], "127.9.0.3")
        assert refused.value.smtp_code == 421
        deliver(proxy.front["two"], "127.9.0.4")
        for client in held:
            client.close()


def test_in_front_of_tls(tmp_path):
    """The header comes before the handshake of a wrapper-mode service."""
    folder = tls_ca.folder()
    port = postrider.free_port()
    main = dict(MAIN, smtpd_tls_cert_file=f"{folder}/rsa.pem",
                smtpd_tls_key_file=f"{folder}/rsa.key")
    line = (f"127.0.0.1:{port} inet n - n - - smtpd "
            "-o smtpd_tls_wrappermode=yes "
            "-o smtpd_upstream_proxy_protocol=haproxy")
    with postrider.Instance(main=main, master={"smtps": line}) as mta, \
            Haproxy(tmp_path, [("one", port, "send-proxy", ""),
                               ("two", port, "send-proxy-v2", "")]) as proxy:
        context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
        for name, source in (("one", "127.9.0.1"), ("two", "127.9.0.2")):
            with smtplib.SMTP_SSL(
                    "localhost", proxy.front[name], timeout=30,
                    context=context, source_address=(source, 0),
                    local_hostname="c.example") as client:
                client.sendmail("a@remote.example", ["daemon@example.com"],
                                "Subject: x\r\n\r\nhi\r\n")
            mta.wait_log(rf": client=unknown\[{source}\]")


def test_in_front_of_postscreen(tmp_path):
    """Lists, tests and cache go by the client; the smtpd behind gets it by
    hand-over and must not wait for a header of its own."""
    server = dns_server.DnsServer().start()
    server.set("2.0.9.127.bl.test A 127.0.0.2\n")
    port = postrider.free_port()
    main = dict(MAIN, postscreen_upstream_proxy_protocol="haproxy",
                postscreen_greet_wait="1s",
                postscreen_dnsbl_sites="bl.test",
                postscreen_dnsbl_action="enforce",
                postrider_resolver_servers=f"127.0.0.1@{server.port}",
                postrider_resolver_trust_anchor="")
    lines = (f"127.0.0.1:{port} inet n - n - 1 postscreen\n"
             "smtpd pass - - n - - smtpd\ndnsblog unix - - n - 0 dnsblog\n"
             "tlsproxy unix - - n - 0 tlsproxy\n")
    try:
        with postrider.Instance(port=port, main=main, master={
                "smtp inet": lines}) as mta, Haproxy(tmp_path, [
                    ("one", port, "send-proxy", ""),
                    ("two", port, "send-proxy-v2", "")]) as proxy:
            for name, result in (("one", "NEW"), ("two", "OLD")):
                seen = deliver(proxy.front[name], "127.9.0.1")
                mta.wait_log(rf"postscreen\[\d+\]: CONNECT from \[127\.9\.0"
                             rf"\.1\]:{seen[1]} to \[127\.0\.0\.1\]:"
                             rf"{proxy.front[name]}$")
                mta.wait_log(rf"PASS {result} \[127\.9\.0\.1\]:{seen[1]}")
                mta.wait_log(r"smtpd\[\d+\]: \w+: client=unknown"
                             r"\[127\.9\.0\.1\]")
                with pytest.raises(smtplib.SMTPRecipientsRefused):
                    deliver(proxy.front[name], "127.9.0.2")
                mta.wait_log(r"NOQUEUE: reject: RCPT from \[127\.9\.0\.2\]:"
                             r"\d+: 550 5\.7\.1 Service unavailable; client "
                             r"\[127\.9\.0\.2\] blocked using bl\.test")
            mta.wait_queue(0)
            assert len(mta.mailbox("daemon")) == 2
    finally:
        server.stop()


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("who", ["smtpd", "postscreen"])
def test_health_checks(tmp_path, option, who):
    """A check of haproxy is a session of its own (LOCAL in version 2). It is
    answered, so that the server counts as up and clients get through."""
    main = dict(MAIN, mynetworks="127.0.0.0/24", postscreen_greet_wait="1s",
                smtpd_upstream_proxy_timeout="5s")
    main[who + "_upstream_proxy_protocol"] = "haproxy"
    port = postrider.free_port()
    lines = f"127.0.0.1:{port} inet n - n - 1 {who}\n"
    if who == "postscreen":
        lines += "smtpd pass - - n - - smtpd\n"
    with postrider.Instance(port=port, main=main, master={
            "smtp inet": lines}) as mta, Haproxy(tmp_path, [
                ("all", port, option, "check inter 200ms fall 1 rise 1 "
                 "check-send-proxy")]) as proxy:
        mta.wait_log(r"smtpd\[\d+\]: disconnect from unknown\[127\.0\.0\.1\]"
                     r" ehlo=1 quit=1", count=3)
        deliver(proxy.front["all"], "127.9.0.1")
        mta.wait_log(r": client=unknown\[127\.9\.0\.1\]")
        mta.wait_queue(0)
        assert not re.search(r"(smtpd|postscreen)\[\d+\]: warning:",
                             mta.log())
