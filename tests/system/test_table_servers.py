# SPDX-License-Identifier: MIT
"""Look-up servers: tcp: and socketmap: tables, in postmap and in smtpd, and
beside Debian's postmap."""
import os
import re
import smtplib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import oracle
import postrider
import table_server

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "golden"))
import postmap_cases  # noqa: E402

POSTMAP = [os.path.join(os.environ["B"], "sbin/postmap"), None]


def spec_of(server):
    if server.kind == "tcp":
        return f"tcp:127.0.0.1:{server.port}"
    return f"socketmap:inet:127.0.0.1:{server.port}:name"


def query(command, config, key, spec):
    path, env = command
    done = subprocess.run([path, "-c", config, "-q", key, spec], env=env,
                          capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def plain(stderr):
    """Without ports, the errno of something else, and how often it tried."""
    text = re.sub(rb"127\.0\.0\.1:\d+", b"HOST", stderr)
    text = re.sub(rb"(?:: Operation now in progress| \(Operation .*?\))\n",
                  b"\n", text)
    lines = []
    for line in text.splitlines():
        if line not in lines:
            lines.append(line)
    return lines


@pytest.fixture(params=["tcp", "socketmap"])
def server(request):
    out = table_server.Server(request.param)
    yield out
    out.close()


@pytest.fixture
def config(tmp_path):
    return postmap_cases.prepare(str(tmp_path))


def keys(server):
    own = [k.replace(b"%25", b"%") for k in table_server.KEYS[server.kind]]
    return own + table_server.OTHERS


def test_found_or_not(server, config):
    spec = spec_of(server)
    value = b"val ue%x\n" if server.kind == "tcp" else b"value x\n"
    assert query(POSTMAP, config, b"ok", spec) == (0, value, b"")
    assert query(POSTMAP, config, b"none", spec) == (1, b"", b"")
    status, out, err = query(POSTMAP, config, b"temp", spec)
    assert (status, out) == (1, b"") and b"query error" in err


# Debian's postmap waits a second before it ends with an error.
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for postdrop")
def test_same_as_postfix(server, config):
    oracle.root()
    spec = spec_of(server)
    theirs = oracle.command("postmap")
    with open(os.path.join(config, "dynamicmaps.cf"), "w", encoding="ascii"):
        pass
    asked = [k for k in keys(server) if k != b"binary"]
    with ThreadPoolExecutor(8) as pool:
        want = list(pool.map(
            lambda key: query(theirs, config, key, spec), asked))
    got = [query(POSTMAP, config, key, spec) for key in asked]
    differ = [(k, w, g) for k, w, g in zip(asked, want, got)
              if (w[:2], plain(w[2])) != (g[:2], plain(g[2]))]
    assert not differ


def test_a_unix_socket(config, tmp_path):
    path = str(tmp_path / "socket")
    server = table_server.Server("socketmap", path)
    assert query(POSTMAP, config, b"ok", f"socketmap:unix:{path}:x")[1] == \
        b"value x\n"
    server.close()


@pytest.mark.parametrize("spec", [
    "tcp:127.0.0.1", "tcp:127.0.0.1:no-such-service", "socketmap:unix:/x",
    "socketmap:127.0.0.1:1:x", "socketmap:foo:bar:x",
    "socketmap:inet:127.0.0.1:x"])
def test_what_is_no_server(config, spec):
    status, out, err = query(POSTMAP, config, b"ok", spec)
    assert status == 1 and out == b""
    assert f"open {spec}: ".encode() in err


def test_in_smtpd(server):
    spec = spec_of(server)
    with postrider.Instance(main={
            "myhostname": "mx.example.com", "mydestination": "example.com",
            "local_recipient_maps": "", "smtpd_peername_lookup": "no",
            "smtpd_recipient_restrictions":
                f"check_recipient_access {spec}, permit_auth_destination"
            }) as mta:
        def rcpt(local):
            with smtplib.SMTP("127.0.0.1", mta.port, timeout=60) as client:
                client.ehlo("x")
                client.mail("a@client.example")
                return client.rcpt(f"{local}@example.com")

        assert rcpt("eve") == (554, b"5.7.1 <eve@example.com>: Recipient "
                                    b"address rejected: go away")
        assert rcpt("bob")[0] == 250
        # Only the full key is asked for.
        assert server.asked == [b"eve@example.com", b"bob@example.com"]
        server.close()
        assert rcpt("bob")[0] == 451
        mta.wait_log("warning: connect to ")
