# SPDX-License-Identifier: MIT
"""AUTH through Cyrus SASL with a sasldb of its own: Debian's Postfix and
Postrider, the same words, replies and log lines. Run by test_sasl.py."""
import base64
import difflib
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../lib", "../replay"):
    sys.path.insert(0, os.path.join(HERE, folder))

import oracle  # noqa: E402
import postrider  # noqa: E402
import replay  # noqa: E402
from smtpd_side_by_side import SETTINGS, play, smtpd_lines  # noqa: E402


def b64(text):
    return base64.b64encode(text.encode()).decode()


def plain(user, password, authz=""):
    return b64(f"{authz}\0{user}\0{password}")


MAIL = ["C: MAIL FROM:<a@b.example>", "C: RCPT TO:<x@away.example>"]
QUIT = ["C: QUIT", "--"]
WORDS = [
    "C: EHLO a", "C: AUTH PLAIN " + plain("alice", "wonder"), *MAIL, *QUIT,
    "C: EHLO a", "C: AUTH PLAIN " + plain("alice", "bad"),
    "C: AUTH PLAIN " + plain("alice@mx.example.com", "wonder"), *MAIL, *QUIT,
    "C: AUTH PLAIN " + plain("carol@other.example", "pw"), *MAIL, *QUIT,
    "C: AUTH PLAIN " + plain("carol", "pw"),
    "C: AUTH PLAIN " + plain("alice", "wonder", "bob"),
    "C: AUTH PLAIN " + plain("alice", "wonder", "alice"), *MAIL, *QUIT,
    "C: EHLO a", "C: AUTH", "C: AUTH NOSUCH", "C: AUTH ANONYMOUS",
    "C: AUTH PL:AIN", "C: auth plain !!!!", "C: AUTH PLAIN", "C: *",
    "C: AUTH PLAIN", "C: !!!", "C: AUTH PLAIN abc", "C: AUTH PLAIN",
    "C: ", "C: AUTH PLAIN " + b64("a"), "C: AUTH PLAIN " + b64("a\0b"),
    "C: AUTH PLAIN " + plain("nosuch", "bad"),
    "C: AUTH PLAIN " + plain("alice", "wonder") + "x",
    "C: AUTH PLAIN " + plain("a" * 300, "wonder"),
    "C: AUTH PLAIN " + plain("ali\nce", "wonder"),
    "C: AUTH LOGIN", "C: " + b64("alice"), "C: " + b64("bad"),
    "C: AUTH LOGIN " + b64("alice"), "C: *", "C: AUTH LOGIN", "C: ", "C: ",
    "C: AUTH CRAM-MD5", "C: " + b64("alice 00"), "C: AUTH CRAM-MD5", "C: YQ==",
    "C: AUTH DIGEST-MD5", "C: " + b64("nothing"), "C: AUTH DIGEST-MD5", "C: *",
    "C: auth login", "C: " + b64("alice"), "C: " + b64("wonder"), *MAIL,
    "C: QUIT"]

CONFIGS = [
    ("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {db}\n"
     "mech_list: PLAIN LOGIN CRAM-MD5 DIGEST-MD5 ANONYMOUS EXTERNAL\n", {}),
    ("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {db}\n"
     "mech_list: PLAIN LOGIN CRAM-MD5 DIGEST-MD5 ANONYMOUS\n",
     {"smtpd_sasl_local_domain": "other.example",
      "smtpd_sasl_security_options": "noplaintext",
      "broken_sasl_auth_clients": "yes"}),
    ("pwcheck_method: saslauthd\nsaslauthd_path: /nonexistent/mux\n"
     "mech_list: PLAIN LOGIN\n", {}),
]
# Challenges are new each time.
CHALLENGE = re.compile(r"(334 )[A-Za-z0-9+/=]{30,}")


def put_conf(directory, text):
    folder = os.path.join(directory, "sasl")
    os.makedirs(folder)
    path = os.path.join(folder, "smtpd.conf")
    with open(path, "w", encoding="ascii") as out:
        out.write(text)
    for name in (folder, path):
        os.chmod(name, 0o755)


def make_db(path):
    for user, realm, password in (("alice", "mx.example.com", "wonder"),
                                  ("bob", "mx.example.com", "builder"),
                                  ("carol", "other.example", "pw")):
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", path, "-u", realm,
                        user], input=password.encode(), check=True)
    os.chmod(path, 0o644)


def compare(scratch, number, text, change):
    dialogue = type("Dialogue", (), {"lines": WORDS, "settings": [], "service": 0})
    main = dict(SETTINGS, smtpd_peername_lookup="no", in_flow_delay="0",
                defer_transports="local smtp", mynetworks="10.0.0.0/8",
                smtpd_sasl_auth_enable="yes",
                smtpd_discard_ehlo_keywords="chunking, smtputf8", **change)
    port = postrider.free_port()
    theirs = oracle.Postfix(scratch, port, main=main, name=f"o{number}")
    put_conf(theirs.config, text)
    theirs.start()
    try:
        want = play(dialogue, [port], theirs)
        time.sleep(0.3)
    finally:
        theirs.stop()
    mta = postrider.Instance(main=main)
    put_conf(mta.config, text)
    with mta:
        got = play(dialogue, [mta.port], mta)
        time.sleep(0.3)
        log = mta.log()
    same = True
    for what, a, b in (("replies", want, got),
                       ("log", smtpd_lines(theirs.log()), smtpd_lines(log))):
        a, b = ([CHALLENGE.sub(r"\1...", line) for line in x] for x in (a, b))
        for line in difflib.unified_diff(a, b, "Postfix " + what,
                                         "Postrider " + what, lineterm="",
                                         n=2):
            print(line)
            same = False
    return same


def main():
    scratch = oracle.enter()
    database = os.path.join(scratch, "sasldb")
    make_db(database)
    same = [compare(scratch, i, text.format(db=database), change)
            for i, (text, change) in enumerate(CONFIGS)]
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
