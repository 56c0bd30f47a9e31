# SPDX-License-Identifier: MIT
"""Postrider relays to Debian's Postfix and Postfix to Postrider: what arrives
is the same in both directions, notices find their way back."""
import json
import os
import re
import shutil
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../lib"))

import oracle  # noqa: E402
import postrider  # noqa: E402
from buildtree import PATIENCE  # noqa: E402

USERS = ("alice", "bob")
HEAD = (b"From: alice@%s\r\nTo: alice@%s\r\nMessage-Id: <%s@x>\r\n"
        b"Date: Sun, 22 Nov 2026 11:00:00 +0000\r\nSubject: %s\r\n")
BODIES = {
    "plain": b"\r\nhello\r\n",
    "dots": b"\r\n.\r\n..\r\n.x\r\n.\r\n",
    "eight": "\r\nGrüße\r\n".encode() + b"\xff\xfe\r\n",
    "long": b"\r\n" + b"w" * 5000 + b"\r\n" + b"ab " * 900 + b"\r\n",
    "edge": b"\r\n" + b"\r\n".join(b"e" * n for n in range(985, 1003))
            + b"\r\n." + b"d" * 997 + b"\r\n" + b"x" * 998 + b".\r\n",
    "empty": b"\r\n",
    "header only": b"",
    "nul": b"\r\na\0b\r\n\0\r\n",
    "cr": b"\r\na\rb\r c\r\n",
    "big": b"\r\n" + b"0123456789abcdef" * 4 * 16000 + b"\r\n",
    "many lines": b"\r\n" + b"line\r\n" * 100000,
    "folded": b"X-Fold: a\r\n b\r\n\tc\r\nX-Empty:\r\n\r\nx\r\n",
    "mime": b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b"
            b"\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4"
            b"\r\n--b--\r\n",
    "from": b"\r\nFrom here\r\n>From there\r\n",
}


def settings(here, port, box):
    return {
        "myhostname": here, "mydomain": here, "mydestination": here,
        "myorigin": here, "relayhost": f"[127.0.0.1]:{port}",
        "home_mailbox": box, "mailbox_command": "", "alias_maps": "",
        "minimal_backoff_time": "1000s", "smtp_host_lookup": "native",
        "smtp_dns_support_level": "disabled", "message_size_limit": "3000000",
        "delay_warning_time": "0", "strict_7bit_headers": "no",
    }


def submit(mta, here, there):
    """Every case, from alice here to alice there."""
    def connect():
        return smtplib.SMTP("127.0.0.1", mta.port, timeout=30 * PATIENCE,
                            local_hostname="client.example")

    sender, to = "alice@" + here, ["alice@" + there]
    with connect() as client:
        for name, body in BODIES.items():
            raw = HEAD % (here.encode(), there.encode(),
                          name.replace(" ", "-").encode(), name.encode())
            client.mail(sender, ["BODY=8BITMIME"])
            client.rcpt(to[0])
            client.putcmd("data")
            assert client.getreply()[0] == 354
            client.send(re.sub(rb"(?m)^\.", b"..", raw + body) + b".\r\n")
            code, text = client.getreply()
            assert code == 250, (name, text)
        text = f"Subject: %s\r\nFrom: {sender}\r\n\r\nx\r\n"
        client.sendmail("", to, text % "null")
        client.sendmail(sender, to + ["bob@" + there], text % "two")
        client.sendmail(sender, ["nobody-here@" + there, "bob@" + there],
                        text % "one is wrong")
        client.sendmail(sender, to, text % "asked",
                        ["RET=HDRS", "ENVID=env+2Bid"],
                        ["NOTIFY=SUCCESS", "ORCPT=rfc822;Orig+2B@x.example"])
        client.sendmail(sender, to, text % "never", [], ["NOTIFY=NEVER"])
        client.sendmail(sender, ["nobody-here@" + there], text % "silent", [],
                        ["NOTIFY=NEVER"])
        client.ehlo_or_helo_if_needed()
        client.sendmail(sender, to, (text % "utf8").replace(
            "x\r\n", "ü\r\n").replace("\r\n\r\n", "\r\nX-U: ü\r\n\r\n")
            .encode(), ["BODY=8BITMIME"])
    for i in range(20):
        with connect() as client:
            client.sendmail(sender, to, text % f"number {i}")


def collect(scratch, box):
    """User and subject: messages, without what the way wrote."""
    out = {}
    for user in USERS:
        new = os.path.join(scratch, "home", user, box, "new")
        for name in os.listdir(new) if os.path.isdir(new) else ():
            with open(os.path.join(new, name), "rb") as file:
                raw = file.read().decode("latin-1")
            raw = re.sub(r"\b[ab]\.example\b", "HOST", raw)
            head, _, body = raw.partition("\n\n")
            head = re.sub(r"(?m)^(Received|Message-Id|Date): .*\n(?:\s.*\n)*",
                          "", head + "\n")
            subject = re.search(r"(?m)^Subject: (.*)$", head)[1]
            if "multipart/report" in head:
                # The report itself, without times and ids.
                head = "report\n"
                body = re.search(r"(?s)Content-Type: message/delivery-status"
                                 r".*?\n\n(.*?)\n--", body)[1]
                body = re.sub(r"(?m)^(X-Postfix-Queue-ID|Arrival-Date): .*$",
                              r"\1", body)
                body = re.sub(r"queued as \w+", "queued", body)
            out.setdefault(f"{user} {subject}", []).append(head + "\n" + body)
    return {key: sorted(value) for key, value in out.items()}


def settle(mtas):
    """Until both have nothing left, or it takes too long."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        before = [mta.log() for mta in mtas]
        time.sleep(1)
        if before == [mta.log() for mta in mtas]:
            return


def main():
    scratch = oracle.enter(USERS)
    ports = postrider.free_port(), postrider.free_port()
    ours = postrider.Instance(
        port=ports[0], main=settings("a.example", ports[1], "Ours/"))
    theirs = oracle.Postfix(
        scratch, ports[1], main=settings("b.example", ports[0], "Theirs/"))
    try:
        ours.start()
        theirs.start()
        submit(ours, "a.example", "b.example")
        submit(theirs, "b.example", "a.example")
        settle([ours, theirs])
        left = ours.command("postqueue", "-p").stdout
    finally:
        ours.stop()
        theirs.stop()
    print(json.dumps({"by_postrider": collect(scratch, "Theirs"),
                      "by_postfix": collect(scratch, "Ours"),
                      "left": left, "log": ours.log()[-4000:]}))
    ours.close()
    shutil.rmtree(scratch, ignore_errors=True)


def test_both_ways():
    import pytest
    if os.geteuid() != 0:
        pytest.skip("needs root for namespaces")
    oracle.root()
    done = subprocess.run([sys.executable, os.path.abspath(__file__)],
                          capture_output=True, text=True,
                          timeout=180 * PATIENCE,
                          check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    got = json.loads(done.stdout.strip().split("\n")[-1])
    want, have = got["by_postfix"], got["by_postrider"]
    assert got["left"].strip() == "Mail queue is empty", got["log"]
    assert sorted(have) == sorted(want)
    wrong = [(key, want[key], have[key]) for key in want
             if want[key] != have[key]]
    assert not wrong, "\n".join(str(x)[:3000] for x in wrong)
    for name in BODIES:
        assert len(have["alice " + name]) == 1
    for name in ("null", "two", "asked", "never", "utf8", "number 19"):
        assert len(have["alice " + name]) == 1
    assert len(have["bob one is wrong"]) == 1
    assert len(have["alice Undelivered Mail Returned to Sender"]) == 1
    assert len(have["alice Successful Mail Delivery Report"]) == 1
    assert "alice silent" not in have


if __name__ == "__main__":
    main()
