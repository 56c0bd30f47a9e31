# SPDX-License-Identifier: MIT
"""Other people's mail programs: they submit to Postrider, by SMTP and by its
sendmail; Dovecot takes its mail by LMTP and shows it by IMAP."""
import email
import email.message
import imaplib
import os
import shutil
import signal
import smtplib
import subprocess
import time

import postrider
import pytest

USER = "backup"
ADDRESS = USER + "@test.example.com"
BODY = "first line\n.dot\n..\nFrom here\nGrüße\n"


def needs(program):
    return pytest.mark.skipif(not shutil.which(program),
                              reason=program + " is not installed")


@pytest.fixture(scope="module")
def mta():
    with postrider.Instance(main={"mailbox_command": "",
                                  "local_recipient_maps": ""}) as instance:
        yield instance


@pytest.fixture
def home(tmp_path, mta):
    """Environment of a user whose mail programs know nothing yet."""
    sendmail, env = mta.sendmail_command()
    return dict(env, HOME=str(tmp_path), LC_ALL="C.UTF-8", MAILRC="/dev/null",
                SENDMAIL=sendmail, PATH="/usr/sbin:/usr/bin:/sbin:/bin",
                TERM="vt100")


def run(argv, env, text=BODY, status=0):
    done = subprocess.run(argv, env=env, input=text.encode(), timeout=60,
                          capture_output=True, cwd=env["HOME"], check=False)
    assert done.returncode == status, (done.stdout + done.stderr).decode()
    return (done.stdout + done.stderr).decode()


def arrived(mta, subject, user=USER, timeout=20):
    """The one message with that subject."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = [m for m in map(email.message_from_bytes, mta.mailbox(user))
                 if m["Subject"] == subject]
        if found:
            assert len(found) == 1
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"{subject} did not arrive\n" + mta.log()[-2000:])


def body_of(message):
    charset = message.get_content_charset() or "utf-8"
    return message.get_payload(decode=True).decode(charset)


@needs("swaks")
def test_swaks(mta, home):
    run(["swaks", "--server", f"127.0.0.1:{mta.port}", "--to", ADDRESS,
         "--from", "s@example.com", "--helo", "client.example.com",
         "--header", "Subject: swaks", "--body", "first\n.dot\n"], home)
    message = arrived(mta, "swaks")
    assert message["Return-Path"] == "<s@example.com>"
    assert ".dot\n" in body_of(message)


@needs("swaks")
def test_swaks_pipelined_and_many_recipients(mta, home):
    run(["swaks", "--server", f"127.0.0.1:{mta.port}", "--pipeline",
         "--to", f"{ADDRESS},{USER}+x@test.example.com,root@example.com",
         "--helo", "client.example.com", "--header", "Subject: pipe"], home)
    assert arrived(mta, "pipe", "root")["Delivered-To"] == "root@example.com"


@needs("swaks")
def test_swaks_sees_a_refusal(mta, home):
    # 24: no recipient was accepted.
    out = run(["swaks", "--server", f"127.0.0.1:{mta.port}", "--to",
               "x@@example.com", "--helo", "c.example.com"], home, status=24)
    assert "501 5.1.3" in out


@needs("msmtp")
def test_msmtp(mta, home):
    run(["msmtp", "--host=127.0.0.1", f"--port={mta.port}", "--tls=off",
         "--auth=off", "--from=s@example.com", "-X-", ADDRESS], home,
        f"To: {ADDRESS}\nSubject: msmtp\nContent-Type: text/plain; "
        "charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + BODY)
    assert body_of(arrived(mta, "msmtp")) == BODY


@needs("msmtp")
def test_msmtp_asks_what_the_server_offers(mta, home):
    out = run(["msmtp", "--host=127.0.0.1", f"--port={mta.port}", "--tls=off",
               "--serverinfo"], home, "")
    assert "SIZE" in out and "PIPELINING" in out and "DSN" in out


@needs("s-nail")
@pytest.mark.parametrize("how", ["smtp", "sendmail"])
def test_s_nail(mta, home, how):
    target = (f"smtp://127.0.0.1:{mta.port}" if how == "smtp"
              else home["SENDMAIL"])
    run(["s-nail", "-:/", "-S", "v15-compat", "-S", f"mta={target}",
         "-S", "smtp-auth=none", "-S", "smtp-hostname=c.example.com",
         "-S", "from=s@example.com", "-S", "ttycharset=utf-8",
         "-s", "nail " + how, ADDRESS], home)
    assert body_of(arrived(mta, "nail " + how)) == BODY


@needs("bsd-mailx")
def test_bsd_mailx(mta, home):
    with open(home["HOME"] + "/rc", "w", encoding="ascii") as out:
        out.write(f"set sendmail={home['SENDMAIL']}\n")
    run(["bsd-mailx", "-s", "mailx", "-c", "root@example.com",
         "-b", USER + "+bcc@test.example.com", ADDRESS],
        dict(home, MAILRC=home["HOME"] + "/rc"), "one\n.\ntwo\n")
    message = arrived(mta, "mailx", "root")
    assert message["Bcc"] is None and message["Cc"] == "root@example.com"
    assert body_of(message) == "one\n.\ntwo\n"


@needs("mutt")
@pytest.mark.parametrize("how", ["smtp", "sendmail"])
def test_mutt(mta, home, how):
    setting = (f"set smtp_url=smtp://127.0.0.1:{mta.port}/ ssl_starttls=no "
               "ssl_force_tls=no"
               if how == "smtp" else
               f'set sendmail="{home["SENDMAIL"]} -oem -oi"')
    attached = os.path.join(home["HOME"], "data.bin")
    with open(attached, "wb") as out:
        out.write(bytes(range(256)) * 400)
    run(["mutt", "-n", "-F", "/dev/null", "-e", setting, "-e",
         "set from=s@example.com envelope_from_address=s@example.com "
         "use_envelope_from=yes copy=no hostname=c.example.com",
         "-s", "mutt " + how, "-a", attached, "--", ADDRESS], home)
    message = arrived(mta, "mutt " + how)
    assert message["Return-Path"] == "<s@example.com>"
    text, data = message.get_payload()
    assert body_of(text) == BODY
    assert data.get_payload(decode=True) == bytes(range(256)) * 400


def test_smtplib(mta):
    message = email.message.EmailMessage()
    message["Subject"] = "smtplib"
    message["From"] = "s@example.com"
    message["To"] = ADDRESS
    message.set_content(BODY)
    with mta.smtp() as client:
        assert client.send_message(message) == {}
        client.ehlo()
        assert {"size", "pipelining", "8bitmime", "dsn",
                "enhancedstatuscodes"} <= set(client.esmtp_features)
        assert client.verify(ADDRESS)[0] == 252
        assert client.noop()[0] == 250
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("s@example.com", ["x@@example.com"], "x")
        client.sendmail("s@example.com", [ADDRESS],
                        "Subject: smtplib 2\r\n\r\n" + "x" * 3000 + "\r\n",
                        mail_options=["body=8bitmime", "ret=hdrs"],
                        rcpt_options=["notify=never"])
    # smtplib itself quotes the From line.
    assert body_of(arrived(mta, "smtplib")) == BODY.replace("From", ">From")
    assert body_of(arrived(mta, "smtplib 2")) == "x" * 3000 + "\n"


# ---- Dovecot ----

DOVECOT = """\
protocols = lmtp imap
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
mail_location = maildir:{dir}/mail/%n
first_valid_uid = 1
first_valid_gid = 1
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home={dir}/home/%n allow_all_users=no
}}
recipient_delimiter = +
postmaster_address = postmaster@example.com
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  unix_listener {socket} {{
    mode = 0600
    user = {owner}
  }}
}}
service auth {{
  unix_listener auth-userdb {{
    user = {user}
  }}
}}
protocol lmtp {{
  mail_plugins =
}}
plugin {{
  quota = maildir
}}
"""


class Dovecot:
    """Run in the foreground, with its own configuration."""

    def __init__(self, directory, socket, owner):
        self.directory = str(directory)
        self.port = postrider.free_port()
        for name in ("run", "state", "mail", "home"):
            path = os.path.join(self.directory, name)
            os.makedirs(path)
            if name in ("mail", "home"):
                shutil.chown(path, USER, USER)
        conf = os.path.join(self.directory, "dovecot.conf")
        with open(conf, "w", encoding="ascii") as out:
            out.write(DOVECOT.format(dir=self.directory, port=self.port,
                                     socket=socket, owner=owner, user=USER))
        self.child = subprocess.Popen(
            ["dovecot", "-F", "-c", conf], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not os.path.exists(socket):
            assert self.child.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self):
        path = os.path.join(self.directory, "dovecot.log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def messages(self, user):
        with imaplib.IMAP4("127.0.0.1", self.port) as imap:
            imap.login(user, "secret")
            imap.select()
            count = imap.search(None, "ALL")[1][0].split()
            return [email.message_from_bytes(
                imap.fetch(n, "(RFC822)")[1][0][1]) for n in count]


@pytest.fixture(scope="module")
def dovecot(tmp_path_factory):
    """Dovecot, and a Postrider that gives it its mail."""
    if not os.path.exists("/usr/lib/dovecot/lmtp"):
        pytest.skip("dovecot-lmtpd is not installed")
    if not os.path.exists("/usr/lib/dovecot/imap"):
        pytest.skip("dovecot-imapd is not installed")
    if os.geteuid() != 0:
        pytest.skip("Dovecot's configuration here needs root")
    mta = postrider.Instance(main={
        "virtual_mailbox_domains": "v.example.com",
        "virtual_transport": "lmtp:unix:private/dovecot-lmtp",
        "mailbox_transport": "lmtp:unix:private/dovecot-lmtp",
        "local_recipient_maps": "", "minimal_backoff_time": "1s",
        "queue_run_delay": "1s", "maximal_backoff_time": "1s",
        "transport_retry_time": "1s"})
    server = None
    try:
        mta.start()
        # A folder that all may enter, with a short name for sockets.
        folder = os.path.join(mta.directory, "dovecot")
        server = Dovecot(
            folder, os.path.join(mta.queue_directory,
                                 "private/dovecot-lmtp"),
            postrider.mail_owner()[0])
        yield server, mta
    finally:
        if server:
            server.stop()
        mta.close()


def wait_messages(server, mta, user, count):
    deadline = time.monotonic() + 20
    while True:
        found = server.messages(user)
        if len(found) >= count or time.monotonic() > deadline:
            assert len(found) == count, server.log() + mta.log()[-2000:]
            return found
        time.sleep(0.1)


def test_dovecot_virtual(dovecot):
    server, mta = dovecot
    with mta.smtp() as client:
        client.sendmail("s@example.com",
                        ["anna@v.example.com", "bert+box@v.example.com"],
                        ("Subject: lmtp\n\n" + BODY).replace("\n", "\r\n")
                        .encode())
    for user in ("anna", "bert"):
        got = wait_messages(server, mta, user, 1)[0]
        assert got["Return-Path"] == "<s@example.com>"
        assert body_of(got).replace("\r\n", "\n") == BODY
    mta.wait_log(r"lmtp\[\d+\]: \w+: to=<anna@v\.example\.com>, relay="
                 r"\S+\[private/dovecot-lmtp\], delay=.*, dsn=2\.0\.0, "
                 r"status=sent \(250 2\.0\.0 <anna@v\.example\.com> \S+ "
                 r"Saved\)")
    mta.wait_queue(0)


def test_dovecot_as_mailbox_transport(dovecot):
    server, mta = dovecot
    mta.sendmail(ADDRESS, "Subject: local lmtp\n\n" + BODY,
                 "-f", "s@example.com")
    got = wait_messages(server, mta, USER, 1)[0]
    assert got["Subject"] == "local lmtp"
    mta.wait_log(r"lmtp\[\d+\]: \w+: to=<backup@test\.example\.com>, .*"
                 r"status=sent")
    mta.wait_queue(0)


def test_dovecot_down_and_back(dovecot):
    server, mta = dovecot
    path = os.path.join(mta.queue_directory, "private/dovecot-lmtp")
    server.stop()
    shutil.rmtree(server.directory)
    if os.path.exists(path):
        os.unlink(path)
    mta.sendmail("carl@v.example.com", "Subject: waits\n\nx\n")
    mta.wait_log(r"to=<carl@v\.example\.com>, relay=none, .*dsn=4\.4\.1, "
                 r"status=deferred \(connect to \S+\[private/dovecot-lmtp\]: "
                 r"No such file or directory\)")
    Dovecot.__init__(server, server.directory, path,
                     postrider.mail_owner()[0])
    wait_messages(server, mta, "carl", 1)
    mta.wait_queue(0)
