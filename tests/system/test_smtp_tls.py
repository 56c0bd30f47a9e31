# SPDX-License-Identifier: MIT
"""The TLS client within an instance: kept and resumed sessions, LMTP,
REQUIRETLS from door to door, and mail that may not go out in the clear."""
import ssl

import pytest

import postrider
import relay
import tls_ca
from smtp_script import DROP

PLAIN = "250-{host}\n250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250 8BITMIME"
OFFER = PLAIN.replace("250 8BITMIME", "250-8BITMIME\n250 STARTTLS")
WITH = PLAIN.replace("250 8BITMIME", "250-8BITMIME\n250 REQUIRETLS")

start = relay.start_fixture({
    "smtp_tls_security_level": "encrypt", "smtp_tls_loglevel": "2",
    "initial_destination_concurrency": "1",
    "default_destination_concurrency_limit": "1",
    "default_process_limit": "1"})


def server(cert="rsa", version="TLSv1_3"):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = tls_ca.folder()
    c.load_cert_chain(f"{folder}/{cert}.pem", f"{folder}/{cert}.key")
    c.maximum_version = ssl.TLSVersion[version]
    return c


def sink(cert="rsa", version="TLSv1_3", **stages):
    return dict({"tls": server(cert, version), "ehlo": (OFFER, PLAIN)},
                **stages)


@pytest.mark.parametrize("reuse,sessions", [("yes", 1), ("no", 3)])
def test_kept_session(start, reuse, sessions):
    mta, peer = start(sink(), {"smtp_tls_connection_reuse": reuse})
    for _ in range(3):
        relay.send(mta)
        mta.wait_queue(0)
    assert len(peer.sessions) == sessions
    assert all(s.tls for s in peer.sessions)
    assert len(peer.messages) == 3


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("database", ["", "btree:${data_directory}/scache"])
def test_resumed_session(start, version, database):
    mta, peer = start(sink(version=version),
                      {"smtp_tls_session_cache_database": database})
    for _ in range(3):
        relay.send(mta)
        mta.wait_queue(0)
    # tls.session_reused is gone with the socket: the handshake's length says
    # it, as no certificate is sent again.
    certs = mta.log().count("read server certificate\n")
    assert certs == (1 if database else 3)
    assert len(peer.messages) == 3


@pytest.mark.parametrize("level", ["encrypt", "fingerprint", "verify",
                                   "secure"])
@pytest.mark.parametrize("stages", [
    {"ehlo": PLAIN}, {"starttls": "454 4.7.0 no"}, {"starttls": DROP},
    {"handshake": DROP}, {"handshake": b"no TLS\r\n"}, {"cert": "selfsigned"},
    {"helo": "250 x", "ehlo": "502 5.5.1 no"}])
def test_never_in_the_clear(start, level, stages):
    if level == "encrypt" and "cert" in stages:
        pytest.skip("no certificate is asked for")
    main = {"smtp_tls_security_level": level, "minimal_backoff_time": "1s",
            "maximal_backoff_time": "1s", "queue_run_delay": "1s",
            "smtp_tls_fingerprint_digest": "sha256",
            "smtp_tls_fingerprint_cert_match":
                tls_ca.fingerprint(f"{tls_ca.folder()}/rsa.pem")}
    mta, peer = start(sink(**stages), main)
    relay.send(mta)
    mta.wait_log(r"status=deferred", count=2)
    mta.stop()
    assert not peer.messages
    assert not [c for c in peer.commands if c.startswith(("MAIL", "RCPT"))]


def door(**main):
    folder = tls_ca.folder()
    return dict({"smtpd_tls_security_level": "may",
                 "smtpd_tls_cert_file": f"{folder}/rsa.pem",
                 "smtpd_tls_key_file": f"{folder}/rsa.key",
                 "requiretls_enable": "yes",
                 "smtp_tls_security_level": "may",
                 "smtp_tls_CAfile": f"{folder}/ca.pem"}, **main)


def send_requiring(mta):
    with mta.smtp() as client:
        client.ehlo()
        assert not client.has_extn("requiretls")
        assert client.docmd("MAIL FROM:<a@example.com> REQUIRETLS")[0] == 555
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
        assert client.has_extn("requiretls")
        client.sendmail("a@example.com", relay.TO, relay.message(),
                        mail_options=["REQUIRETLS"])


def test_requiretls_passed_on(start):
    folder = tls_ca.folder()
    policy = f"{folder}/policy"
    mta, peer = start(sink(ehlo=(OFFER, WITH)), door(
        smtp_tls_policy_maps=f"texthash:{policy}"))
    with open(policy, "w", encoding="ascii") as out:
        out.write(f"[127.0.0.1]:{peer.port} secure match=mx.example.com\n")
    send_requiring(mta)
    mta.wait_log("status=sent")
    assert " REQUIRETLS" in peer.messages[0].mail
    assert peer.sessions[0].tls


@pytest.mark.parametrize("stages", [
    {"ehlo": (OFFER, PLAIN)}, {"ehlo": PLAIN}, {"cert": "selfsigned"}])
def test_requiretls_goes_back(start, stages):
    mta, peer = start(sink(**dict({"ehlo": (OFFER, WITH)}, **stages)), door(
        smtp_tls_security_level="may", notify_classes=""))
    send_requiring(mta)
    mta.wait_log(rf"to=<{relay.TO}>.*dsn=5\.7\.30, status=bounced")
    assert not [m for m in peer.messages if relay.TO in "".join(m.rcpts)]


def test_plain_mail_after_requiretls_is_not_bound(start):
    mta, peer = start(sink(), door())
    with mta.smtp() as client:
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
        client.docmd("MAIL FROM:<a@example.com> REQUIRETLS")
        client.rset()
        client.sendmail("a@example.com", relay.TO, relay.message())
    mta.wait_log("status=sent")
    assert len(peer.messages) == 1


def test_lmtp_parameters(start):
    mta, peer = start({}, {})
    peer.stop()
    lmtp = postrider.smtp_sink(lmtp=True, tls=server(),
                               lhlo=(OFFER, PLAIN))
    try:
        mta.write_main(default_transport=f"lmtp:[127.0.0.1]:{lmtp.port}",
                       lmtp_tls_security_level="encrypt",
                       lmtp_tls_loglevel="1")
        mta.reload()
        relay.send(mta, "a@elsewhere.example")
        mta.wait_log(r"lmtp\[\d+\]: Untrusted TLS connection established to")
        mta.wait_log("status=sent")
        assert lmtp.sessions[-1].tls
    finally:
        lmtp.stop()


def test_unknown_level(start):
    mta, _ = start({}, {"smtp_tls_security_level": "nonsense"})
    relay.send(mta)
    mta.wait_log("fatal: .*nonsense")
