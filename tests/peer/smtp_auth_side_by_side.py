# SPDX-License-Identifier: MIT
"""Log in to scripted servers with Debian's Postfix and with Postrider, in
namespaces of their own; print where the status lines, the other lines of the
SMTP client, or what the servers were sent differ. Run by
test_smtp_auth_oracle.py."""
import base64
import difflib
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "../lib"))

import oracle  # noqa: E402
import postrider  # noqa: E402
from dns_server import DnsServer  # noqa: E402
from smtp_script import DROP, HANG, SmtpScript  # noqa: E402
from smtp_side_by_side import (MAIN, MESSAGE, client_lines,  # noqa: E402
                               server_lines, wait_statuses)

OK = "235 2.7.0 ok"
BAD = "535 5.7.8 Error: authentication failed"


def b64(text):
    return base64.b64encode(text.encode("latin-1")).decode()


def ehlo(*lines):
    return "\n".join(["250-{host}", *("250-" + x for x in lines),
                      "250 8BITMIME"])


def server(mechs, *auth, **more):
    """Announces mechs (text, or None) and gives these answers, one for each
    line of the dialogue; the last stays."""
    def answer(session, _line):
        n = getattr(session, "auth_lines", 0)
        session.auth_lines = n + 1
        return auth[min(n, len(auth) - 1)]
    stages = {"auth": answer} if auth else {}
    if mechs is not None:
        stages["ehlo"] = ehlo("AUTH " + mechs)
    stages.update(more)
    return stages


CRAM = "334 " + b64("<1896.697170952@postoffice.example.net>")
DIGEST = ('realm="elwood.example.net",nonce="OA6MG9tEQGm2hh",qop="auth",'
          'algorithm=md5-sess,charset=utf-8')
USER, PASS = "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"

# Domain: (transport, server or servers behind its MX, password entries by
# key; {d} is the domain, {h} its first host, {a} its address).
KEY = "{d} joe:secret"
CASES = {
    # mechanisms
    "plain": ("auth", server("PLAIN", OK), KEY),
    "login": ("auth", server("LOGIN", USER, PASS, OK), KEY),
    "digestrealms": ("auth", server("DIGEST-MD5", "334 " + b64(
        'realm="one.example",realm="two.example",' + DIGEST), BAD), KEY),
    "digestnone": ("auth", server("DIGEST-MD5", "334 " + b64(
        DIGEST.split(",", 1)[1]), BAD), KEY),
    "digestrealm": ("auth", server("DIGEST-MD5", "334 " + b64(DIGEST), BAD),
                    "{d} joe@two.example:secret"),
    "login2": ("auth", server("LOGIN", "334 User Name", PASS, OK), KEY),
    "login3": ("auth", server("LOGIN", "334 ", "334 ", OK), KEY),
    "cram": ("auth", server("CRAM-MD5", CRAM, OK), KEY),
    "cramlogin": ("auth", server("LOGIN CRAM-MD5 PLAIN", CRAM, OK), KEY),
    "digest": ("auth", server("DIGEST-MD5", "334 " + b64(DIGEST),
                              "334 " + b64("rspauth=00"), OK), KEY),
    "digestbad": ("auth", server("DIGEST-MD5", "334 " + b64("nonsense"), OK),
                  KEY),
    "scram": ("auth", server("SCRAM-SHA-256", "334 " + b64("r=x,s=y,i=1"),
                             OK), KEY),
    "scram1": ("auth", server("SCRAM-SHA-1", "334 " + b64("hello"), BAD), KEY),
    "scramearly": ("auth", server("SCRAM-SHA-1", OK), KEY),
    "anonymous": ("auth", server("ANONYMOUS", OK), KEY),
    "anonymous2": ("anyone", server("ANONYMOUS", OK), KEY),
    "external": ("auth", server("EXTERNAL", OK), KEY),
    "plainlogin": ("auth", server("LOGIN PLAIN", OK), KEY),
    "unknown": ("auth", server("FOO BAR", OK), KEY),
    "lower": ("auth", server("plain", OK), KEY),
    "oldform": ("auth", server(None, OK, ehlo=ehlo("AUTH=PLAIN")), KEY),
    "bothforms": ("auth", server(None, OK, ehlo=ehlo(
        "AUTH PLAIN", "AUTH=LOGIN PLAIN")), KEY),
    "twolines": ("auth", server(None, CRAM, OK, ehlo=ehlo(
        "AUTH LOGIN", "AUTH CRAM-MD5")), KEY),
    "twolinesplain": ("auth", server(None, OK, ehlo=ehlo(
        "AUTH LOGIN", "AUTH PLAIN")), KEY),
    "samelines": ("auth", server(None, OK, ehlo=ehlo(
        "AUTH PLAIN", "AUTH PLAIN")), KEY),
    "empty": ("auth", server("", OK), KEY),
    "bare": ("auth", server(None, OK, ehlo=ehlo("AUTH")), KEY),
    "tabs": ("auth", server(None, OK, ehlo=ehlo("AUTH\tPLAIN\tLOGIN")), KEY),
    "oddname": ("auth", server("PLA/IN PL:AIN PLAIN", OK), KEY),
    "longlist": ("auth", server(" ".join(f"MECH{i}" for i in range(150)) +
                                " PLAIN", OK), KEY),
    "noauth": ("auth", server(None, OK, ehlo=ehlo("SIZE")), KEY),
    "helo": ("auth", server(None, OK, ehlo="502 5.5.1 what"), KEY),
    # who logs in with what
    "nopassword": ("auth", server("PLAIN", OK), ""),
    "byhost": ("auth", server("PLAIN", OK), "{h} joe:host"),
    "byboth": ("auth", server("PLAIN", OK), "{h} joe:host\n{d} joe:domain"),
    "byaddress": ("auth", server("PLAIN", OK), "{a} joe:address"),
    "bybracket": ("auth", server("PLAIN", OK), "[{d}] joe:x"),
    "byport": ("auth", server("PLAIN", OK), "{d}:25 joe:x"),
    "bybare": ("auth", server("PLAIN", OK), ".example joe:x"),
    "nocolon": ("auth", server("PLAIN", OK), "{d} joe"),
    "nouser": ("auth", server("PLAIN", OK), "{d} :secret"),
    "nopass": ("auth", server("PLAIN", OK), "{d} joe:"),
    "colons": ("auth", server("PLAIN", OK), "{d} joe:se:cr:et"),
    "spaces": ("auth", server("PLAIN", OK), "{d} joe:se cr  et"),
    "utf8": ("auth", server("PLAIN", OK), "{d} j\xf6:s\xe9cret"),
    "realm": ("auth", server("CRAM-MD5", CRAM, OK), "{d} joe@realm:secret"),
    "longpass": ("auth", server("PLAIN", OK), "{d} joe:" + "p" * 600),
    **{f"length{n}": ("auth", server("PLAIN", OK), "{d} joe:" + "p" * n)
       for n in (364, 367, 368, 371)},
    "upper": ("auth", server("PLAIN", OK), "{d} joe:upper"),
    "failing": ("failing", server("PLAIN", OK), KEY),
    "disabled": ("smtp", server("PLAIN", OK), KEY),
    "sender": ("sender", server("PLAIN", OK), KEY),
    "sender2": ("sender", server("PLAIN", OK), ""),
    "nosender": ("auth", server("PLAIN", OK), ""),
    "senderelse": ("sender", server("PLAIN", OK), KEY),
    "sendernull": ("sender", server("PLAIN", OK), KEY),
    "senderext": ("sender", server("PLAIN", OK), KEY),
    "senderupper": ("sender", server("PLAIN", OK), KEY),
    "senderdomain": ("sender", server("PLAIN", OK),
                     "@domain.example joe:domain\ndomain.example joe:d2"),
    "port1": ("auth:[{h}]:2525", server("PLAIN", OK, port=2525),
              "[{h}]:2525 joe:1"),
    "port2": ("auth:[{h}]:2525", server("PLAIN", OK, port=2525),
              "[{h}] joe:2"),
    "port3": ("auth:[{h}]:2525", server("PLAIN", OK, port=2525),
              "{h} joe:3"),
    "port4": ("auth:[{h}]:2525", server("PLAIN", OK, port=2525),
              "{h}:2525 joe:4\n[{h}]:2525 joe:5"),
    "port5": ("auth:{d}:2525", server("PLAIN", OK, port=2525),
              "{d}:2525 joe:5"),
    "port6": ("auth:{d}:2525", server("PLAIN", OK, port=2525), KEY),
    "port7": ("auth:[{h}]:smtp", server("PLAIN", OK), "[{h}]:25 joe:7"),
    "port8": ("auth:[{h}]:smtp", server("PLAIN", OK), "[{h}]:smtp joe:8"),
    "literal1": ("auth:[{a}]", server("PLAIN", OK), "[{a}] joe:1"),
    "literal2": ("auth:[{a}]", server("PLAIN", OK), "{a} joe:2"),
    "upper1": ("auth:[M1.Upper1.Example]", server("PLAIN", OK),
               "[m1.upper1.example] joe:1"),
    "upper2": ("auth:[{h}]", server("PLAIN", OK),
               "[M1.UPPER2.EXAMPLE] joe:2"),
    "nexthops": ("auth:[{h}]:2599, [{h}]", server("PLAIN", OK),
                 "[{h}]:2599, joe:1\n[{h}] joe:2"),
    # security options and filters
    "default": ("default", server("PLAIN LOGIN", OK), KEY),
    "defaultcram": ("default", server("PLAIN CRAM-MD5", CRAM, OK), KEY),
    "nodictionary": ("nodict", server("PLAIN CRAM-MD5", CRAM, OK), KEY),
    "noactive": ("noactive", server("PLAIN CRAM-MD5", OK), KEY),
    "mutual": ("mutual", server("PLAIN CRAM-MD5", OK), KEY),
    "forward": ("forward", server("PLAIN SCRAM-SHA-1", OK), KEY),
    "options0": ("options0", server("PLAIN", OK), KEY),
    "filter": ("filter", server("CRAM-MD5 PLAIN LOGIN", OK), KEY),
    "filternone": ("filter", server("CRAM-MD5", OK), KEY),
    "filternot": ("filternot", server("CRAM-MD5 PLAIN", OK), KEY),
    "authzid": ("authzid", server("PLAIN", OK), KEY),
    "dummy": ("dummy", server("PLAIN", OK), KEY),
    "dummyfull": ("dummy", server(None, OK, ehlo=ehlo(
        "AUTH PLAIN", "SIZE", "DSN", "SMTPUTF8")), KEY),
    "dummynot": ("dummy", server("PLAIN", OK), ""),
    # replies
    "r535": ("auth", server("PLAIN", BAD), KEY),
    "r535hard": ("hard", server("PLAIN", BAD), KEY),
    "r535plainhard": ("hard", server("PLAIN", "535 no"), KEY),
    "r435hard": ("hard", server("PLAIN", "435 4.7.8 not now"), KEY),
    "r534": ("auth", server("PLAIN", "534 5.7.9 stronger"), KEY),
    "r534hard": ("hard", server("PLAIN", "534 5.7.9 stronger"), KEY),
    "r454": ("auth", server("PLAIN", "454 4.7.0 try later"), KEY),
    "r421": ("auth", server("PLAIN", "421 4.7.0 go away"), KEY),
    "r503": ("auth", server("PLAIN", "503 already"), KEY),
    "r500": ("hard", server("PLAIN", "500 5.5.2 what"), KEY),
    "r250": ("auth", server("PLAIN", "250 2.0.0 fine"), KEY),
    "r354": ("auth", server("PLAIN", "354 go on", OK), KEY),
    "r334": ("auth", server("PLAIN", "334 ", OK), KEY),
    "multiline": ("auth", server("PLAIN", "535-5.7.8 one\n535 5.7.8 two"),
                  KEY),
    "multichallenge": ("auth", server(
        "CRAM-MD5", "334-abc\n" + CRAM, OK), KEY),
    "drop": ("auth", server("PLAIN", DROP), KEY),
    "hang": ("auth", server("PLAIN", HANG), KEY),
    "drop2": ("auth", server("LOGIN", USER, DROP), KEY),
    "loginuser535": ("auth", server("LOGIN", USER, BAD), KEY),
    "loginpass535": ("auth", server("LOGIN", USER, PASS, BAD), KEY),
    "loginmore": ("auth", server("LOGIN", USER, PASS, "334 bW9yZQ==", OK),
                  KEY),
    "base64": ("auth", server("CRAM-MD5", "334 !!!not base64!!!", OK), KEY),
    "base64login": ("auth", server("LOGIN", "334 !!", OK), KEY),
    "base64short": ("auth", server("CRAM-MD5", "334 abc", OK), KEY),
    "nochallenge": ("auth", server("CRAM-MD5", "334", BAD), KEY),
    "emptychallenge": ("auth", server("CRAM-MD5", "334 ", BAD), KEY),
    "longchallenge": ("auth", server(
        "CRAM-MD5", "334 " + b64("<" + "x" * 900 + "@example.net>"), OK),
        KEY),
    "next": ("auth", [server("PLAIN", BAD), server("PLAIN", OK)],
             "{d} joe:secret"),
    "nextmech": ("auth", [server("FOO", OK), server("PLAIN", OK)],
                 "{d} joe:secret"),
    "nextsame": ("auth", [server("PLAIN", "454 4.7.0 x"),
                          server("PLAIN", BAD)], "{d} joe:secret"),
    "nexthard": ("hard", [server("PLAIN", BAD), server("PLAIN", OK)],
                 "{d} joe:secret"),
    "mail530": ("auth", server("PLAIN", OK, mail="530 5.7.0 required"), ""),
    "lmtp": ("lmtpauth", server(None, OK, lmtp=True, lhlo=ehlo("AUTH PLAIN")),
             KEY),
    "lmtpkey": ("lmtpauth:inet:{h}", server(
        None, OK, lmtp=True, lhlo=ehlo("AUTH PLAIN")), "inet:{h} joe:1"),
    "lmtpkey2": ("lmtpauth:inet:[{h}]:24", server(
        None, OK, lmtp=True, lhlo=ehlo("AUTH PLAIN")), "[{h}]:24 joe:2"),
    "lmtpunix": ("lmtpauth:unix:{u}", server(
        None, OK, lmtp=True, unix=True, lhlo=ehlo("AUTH PLAIN")),
                 "unix:{u} joe:1"),
    "lmtpunix2": ("lmtpauth:unix:{u}", server(
        None, OK, lmtp=True, unix=True, lhlo=ehlo("AUTH PLAIN")),
                  "{u} joe:1"),
    "lmtpbad": ("lmtpauth", server(None, BAD, lmtp=True,
                                   lhlo=ehlo("AUTH PLAIN")), KEY),
    "lmtpdefault": ("lmtpdef", server(None, OK, lmtp=True,
                                      lhlo=ehlo("AUTH PLAIN")), KEY),
    # the word that is no option, the types that there are not
    "dovecot": ("dovecot", server("PLAIN", OK), KEY),
    "nomaps": ("nomaps", server("PLAIN", OK), KEY),
}
# The client does not start: no status line.
DEAD = ["dovecot", "nomaps"]

NOANON = "smtp_sasl_security_options=noanonymous"
MAPS = "smtp_sasl_password_maps=texthash:{pw}"
TRANSPORTS = {
    "auth": [NOANON],
    "anyone": ["smtp_sasl_security_options="],
    "options0": ["smtp_sasl_security_options=noanonymous,,"],
    "default": [],
    "nodict": ["smtp_sasl_security_options=nodictionary"],
    "noactive": ["smtp_sasl_security_options=noactive"],
    "mutual": ["smtp_sasl_security_options=mutual_auth"],
    "forward": ["smtp_sasl_security_options=forward_secrecy"],
    "filter": [NOANON, "smtp_sasl_mechanism_filter=plain,login"],
    "filternot": [NOANON, "smtp_sasl_mechanism_filter=!cram-md5,static:all"],
    "authzid": [NOANON, "send_cyrus_sasl_authzid=yes"],
    "dummy": [NOANON, "smtp_send_dummy_mail_auth=yes"],
    "hard": [NOANON, "smtp_sasl_auth_soft_bounce=no"],
    "sender": [NOANON, "smtp_sender_dependent_authentication=yes"],
    "failing": [NOANON, "smtp_sasl_password_maps=fail:4.7.0"],
    "dovecot": [NOANON, "smtp_sasl_type=dovecot"],
    "nomaps": [NOANON, "smtp_sasl_password_maps="],
    "lmtpauth": [NOANON],
    "lmtpdef": [],
}


def master_lines(mta):
    for name, options in TRANSPORTS.items():
        prefix, program = "smtp_", "smtp"
        if name.startswith("lmtp"):
            prefix, program = "lmtp_", "lmtp"
        words = ["smtp_sasl_auth_enable=yes", MAPS] + options
        text = " ".join("-o " + w.replace("smtp_", prefix, 1)
                        for w in words if w.strip())
        text = text.format(pw=mta.scratch + "/pw")
        yield f"{name} unix - - n - - {program} {text}"


def setup(scratch, only):
    servers, zone, transport, passwords = {}, "", "", ""
    n = 0
    for name, (via, scripts, keys) in CASES.items():
        if only and name not in only:
            continue
        if not isinstance(scripts, list):
            scripts = [scripts]
        first = n + 1
        for i, script in enumerate(scripts):
            n += 1
            host = f"m{i + 1}.{name}.example"
            zone += f"{name}.example MX {10 * (i + 1)} {host}\n"
            zone += f"{host} A 127.2.0.{n}\n"
            if script.get("unix"):
                where = {"unix": f"{scratch}/{name}.sock"}
                if os.path.exists(where["unix"]):
                    os.unlink(where["unix"])
            else:
                where = {"host": f"127.2.0.{n}",
                         "port": 24 if "lmtp" in script else 25}
            servers[host] = SmtpScript(**dict(where, **{
                k: v for k, v in script.items() if k != "unix"})).start()
        names = {"d": f"{name}.example", "h": f"m1.{name}.example",
                 "a": f"127.2.0.{first}", "u": f"{scratch}/{name}.sock"}
        if name in ("lmtp", "lmtpbad", "lmtpdefault"):
            via += ":inet:{h}"
            keys = keys.replace("{d}", "{h}")
        elif ":" not in via:
            via += ":"
        transport += f"{name}.example {via}\n".format(**names)
        passwords += keys.format(**names) + "\n" if keys else ""
    passwords += "s@example.com sam:sender\n"
    for name, text in (("transport", transport), ("pw", passwords)):
        with open(os.path.join(scratch, name), "w", encoding="utf-8") as out:
            out.write(text)
    return servers, zone


SENDERS = {"senderelse": "else@example.com", "sendernull": "",
           "senderext": "s+ext@example.com", "senderupper": "S@Example.com",
           "senderdomain": "x@domain.example"}


def send(mta, rcpt):
    name = rcpt.split("@")[1].split(".")[0]
    more = ["-R", "hdrs"] if name == "dummyfull" else []
    done = mta.run("sendmail", "-f", SENDERS.get(name, "s@example.com"),
                   *more, rcpt,
                   input=MESSAGE.decode())
    assert done.returncode == 0, done.stderr


def run(mta, scratch, only):
    servers, zone = setup(scratch, only)
    mta.scratch = scratch
    with open(mta.config + "/master.cf", "a", encoding="ascii") as out:
        for line in master_lines(mta):
            out.write(line + "\n")
    dns = DnsServer(zone, port=53).start()
    try:
        mta.start()
        names = [n for n in CASES if not only or n in only]
        for name in names:
            send(mta, f"u@{name}.example")
        wait_statuses(mta, {f"u@{n}.example" for n in names if n not in DEAD},
                      60)
        if set(names) & set(DEAD):
            mta.wait_log("fatal", 20)
        mta.stop()
        log = client_lines(mta.log())
        if "-v" in sys.argv:
            print(mta.log(), "\n".join(server_lines(servers)), sep="\n")
        return log, server_lines(servers)
    finally:
        mta.stop()
        dns.stop()
        for one in servers.values():
            one.stop()


# What has a nonce in it.
NONCE = re.compile(r"(?<=: )(?=[A-Za-z0-9+/]{40,}=*$)(?:cmVhbG|dXNlcm|Yz1|biws)"
                   r"[A-Za-z0-9+/=]*|(?<=AUTH SCRAM-SHA-1 )\S+|"
                   r"(?<=AUTH SCRAM-SHA-256 )\S+")


def tidy(lines):
    return sorted(NONCE.sub("NONCE", line) for line in lines)


def main():
    only = [a for a in sys.argv[1:] if a[0] != "-"]
    scratch = oracle.enter()
    with open(scratch + "/resolv.conf", "w", encoding="ascii") as out:
        out.write("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", scratch + "/resolv.conf",
                    "/etc/resolv.conf"], check=True)
    settings = dict(MAIN, transport_maps=f"texthash:{scratch}/transport",
                    recipient_delimiter="+", **{
        "default_destination_concurrency_failed_cohort_limit": "100"}, smtp_sasl_auth_soft_bounce="yes",
                    minimal_backoff_time="1000s", queue_run_delay="1000s")
    results = []
    for number in (1, 2):
        if number == 1:
            data = scratch + "/oracle-data"
        else:
            mta = postrider.Instance(main=settings)
            data = mta.data
        change = {"proxy_write_maps": f"proxy:btree:{data}/authcache"}
        if number == 1:
            mta = oracle.Postfix(scratch, postrider.free_port(),
                                 main=dict(settings, **change))
        else:
            mta.write_main(**change)
        if number == 2 and "-o" in sys.argv:
            sys.exit(0)
        try:
            results.append(run(mta, scratch, only))
        finally:
            if number == 2:
                mta.close()
    same = True
    for i, what in enumerate(("log", "dialogue")):
        a, b = tidy(results[0][i]), tidy(results[1][i])
        for line in difflib.unified_diff(a, b, "Postfix " + what,
                                         "Postrider " + what, lineterm="",
                                         n=0):
            print(line)
            same = False
    print(len(CASES), "cases,", len(results[0][0]), "log lines,",
          len(results[0][1]), "lines of dialogue")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
