# SPDX-License-Identifier: MIT
"""The LMTP client and a real server: Dovecot with quotas, by unix: and inet:,
one recipient over quota while the others pass."""
import glob
import os
import re
import signal
import shutil
import subprocess
import time

import pytest

import postrider
from buildtree import PATIENCE

USER = "backup"
CONFIG = """\
base_dir = {dir}/run
state_dir = {dir}/state
protocols = lmtp
log_path = {dir}/dovecot.log
ssl = no
listen = 127.0.0.1
mail_location = maildir:{dir}/mail/%n
mail_plugins = quota
first_valid_uid = 1
first_valid_gid = 1
recipient_delimiter = +
postmaster_address = postmaster@example.com
quota_full_tempfail = {tempfail}
passdb {{
  driver = passwd-file
  args = username_format=%n {dir}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {dir}/users
}}
service lmtp {{
  unix_listener {socket} {{
    mode = 0600
    user = {owner}
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service auth {{
  unix_listener auth-userdb {{
    user = {user}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
protocol lmtp {{
  mail_plugins = quota
}}
plugin {{
  quota = maildir:User quota
}}
"""
PEOPLE = {"anna": "", "bert": "", "carl": "",
          "full": " userdb_quota_rule=*:storage=1K"}


class Dovecot:
    def __init__(self, directory, socket, tempfail):
        self.directory = directory
        self.port = postrider.free_port()
        os.makedirs(directory)
        for name in ("run", "state", "mail", "home"):
            os.makedirs(os.path.join(directory, name))
            if name in ("mail", "home"):
                shutil.chown(os.path.join(directory, name), USER, USER)
        with open(os.path.join(directory, "users"), "w") as out:
            for name, extra in PEOPLE.items():
                out.write(f"{name}:{{PLAIN}}x:{USER}:{USER}::{directory}/home/"
                          f"{name}::{extra}\n")
        conf = os.path.join(directory, "dovecot.conf")
        with open(conf, "w", encoding="ascii") as out:
            out.write(CONFIG.format(
                dir=directory, socket=socket, port=self.port, user=USER,
                owner=postrider.mail_owner()[0],
                tempfail="yes" if tempfail else "no"))
        self.child = subprocess.Popen(
            ["dovecot", "-F", "-c", conf], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20 * PATIENCE
        while not os.path.exists(socket):
            assert self.child.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self):
        path = os.path.join(self.directory, "dovecot.log")
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as log:
            return log.read()

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def messages(self, user):
        out = []
        for path in sorted(glob.glob(f"{self.directory}/mail/{user}/new/*")):
            with open(path, "rb") as file:
                out.append(file.read())
        return out


@pytest.fixture
def start():
    if not os.path.exists("/usr/lib/dovecot/lmtp"):
        pytest.skip("dovecot-lmtpd is not installed")
    if os.geteuid() != 0:
        pytest.skip("Dovecot's configuration here needs root")
    ends = []

    def make(tempfail=False, inet=False, flags="", main=None):
        mta = postrider.Instance(master={
            "lmtp unix": "lmtp unix - - n - - lmtp" + flags})
        ends.append(mta.close)
        folder = os.path.join(mta.directory, "dovecot")
        server = Dovecot(folder, os.path.join(mta.directory, "lmtp.sock"),
                         tempfail)
        ends.append(server.stop)
        transport = (f"lmtp:inet:127.0.0.1:{server.port}" if inet else
                     f"lmtp:unix:{mta.directory}/lmtp.sock")
        mta.write_main(**dict({
            "virtual_mailbox_domains": "v.example.com",
            "virtual_transport": transport, "mailbox_transport": transport,
            "local_recipient_maps": "", "minimal_backoff_time": "600s"},
            **(main or {})))
        mta.start()
        return mta, server

    yield make
    for end in reversed(ends):
        end()


def send(mta, *users, domain="v.example.com", sender="anna@v.example.com",
         subject="x"):
    with mta.smtp() as client:
        client.sendmail(sender, [f"{u}@{domain}" for u in users],
                        f"Subject: {subject}\r\n\r\n" + ("y" * 70 + "\r\n") * 40)


def status(mta, rcpt, count=1):
    return mta.wait_log(rf"lmtp\[\d+\]: \w+: to=<{re.escape(rcpt)}>,.* "
                        r"relay=(\S+),.* dsn=(\S+), status=(\w+) \((.*)\)$",
                        count=count)


@pytest.mark.slow
@pytest.mark.parametrize("inet", [False, True])
def test_one_over_quota(start, inet):
    mta, server = start(inet=inet)
    send(mta, "anna", "full", "bert", "nobody", subject="quota")
    for user in ("anna", "bert"):
        found = status(mta, f"{user}@v.example.com")
        assert found[3] == "sent"
        assert found[2] == "2.0.0" and "Saved" in found[4]
    full = status(mta, "full@v.example.com")
    assert (
        full[2], full[3]) == ("5.2.2", "bounced")
    assert "said: 552 5.2.2" in full[4] and "Quota exceeded" in full[4]
    nobody = status(mta, "nobody@v.example.com")
    assert (nobody[2], nobody[3]) == ("5.1.1", "bounced")
    assert "in reply to RCPT TO command" in nobody[4]
    if inet:
        assert full[1] == f"127.0.0.1[127.0.0.1]:{server.port}"
    # The notice about both goes to anna, by LMTP as well.
    status(mta, "anna@v.example.com", 2)
    mta.wait_queue(0)
    assert len(server.messages("anna")) == 2
    assert len(server.messages("bert")) == 1
    assert not server.messages("full")
    notice = [m for m in server.messages("anna")
              if b"Undelivered" in m or b"5.2.2" in m][0]
    assert b"full@v.example.com" in notice and b"nobody@v.example.com" in notice


@pytest.mark.slow
def test_full_for_now(start):
    mta, server = start(tempfail=True)
    send(mta, "full", "carl")
    full = status(mta, "full@v.example.com")
    assert (full[2], full[3]) == ("4.2.2", "deferred")
    assert status(mta, "carl@v.example.com")[3] == "sent"
    waiting = mta.wait_queue(1)[0]["recipients"]
    assert [r["address"] for r in waiting] == ["full@v.example.com"]
    assert waiting[0]["delay_reason"] == full[4]
    assert not server.messages("full")
    assert len(server.messages("carl")) == 1


@pytest.mark.slow
def test_local_users_and_flags(start):
    # D, O and R belong to one recipient.
    mta, server = start(flags=" flags=DOR", main={
        "lmtp_destination_recipient_limit": "1"})
    for i in range(5):
        send(mta, "anna", "bert", domain="example.com",
             sender="s@elsewhere.example", subject=f"n{i}")
        status(mta, "anna@example.com", i + 1)
        status(mta, "bert@example.com", i + 1)
    mta.wait_queue(0)
    for user in ("anna", "bert"):
        got = server.messages(user)
        assert len(got) == 5
        for message in got:
            head = message.split(b"\n\n")[0]
            # Dovecot puts its own on top.
            assert f"\nDelivered-To: {user}@example.com".encode() in head
            assert f"\nX-Original-To: {user}@example.com".encode() in head
            assert b"Return-Path: <s@elsewhere.example>" in head
    # The loop is seen.
    with mta.smtp() as client:
        client.sendmail("", ["carl@example.com"],
                        "Delivered-To: carl@example.com\r\n\r\nagain\r\n")
    loop = mta.wait_log(r"to=<carl@example.com>.* status=bounced \((.*)\)")
    assert loop[1] == "mail forwarding loop for carl@example.com"


@pytest.mark.slow
def test_kept_session_and_server_away(start):
    mta, server = start()
    for i in range(2):
        send(mta, "carl")
        status(mta, "carl@v.example.com", i + 1)
    assert " conn_use=2" in mta.log()
    server.stop()
    send(mta, "anna")
    found = status(mta, "anna@v.example.com")
    assert (found[1], found[2], found[3]) == ("none", "4.4.1", "deferred")
