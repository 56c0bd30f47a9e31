# SPDX-License-Identifier: MIT
"""Cases for milter_side_by_side.py: SMTP dialogues and milter scripts."""
import struct

from milter_script import (add, address, body, change, insert, quarantine,
                           reply)

ALL = ("j _ v {daemon_name} {daemon_addr} {daemon_port} {client_addr} "
       "{client_connections} {client_name} {client_port} {client_ptr} "
       "{client_resolve} {if_name} {if_addr} {tls_version} {cipher} "
       "{cipher_bits} {cert_subject} {cert_issuer} i {auth_type} {auth_authen} "
       "{auth_author} {mail_addr} {mail_host} {mail_mailer} {rcpt_addr} "
       "{rcpt_host} {rcpt_mailer} {nrcpts} {msg_size} {foo} {bar}")
STAGES = ("connect", "helo", "mail", "rcpt", "data", "end_of_header",
          "end_of_data", "unknown_command")
EVERY = " ".join(f"-o {{milter_{s}_macros={ALL}}}" for s in STAGES)
STAGE = " ".join(f"-o {{milter_{s}_macros={{m_{s}}} j}}" for s in STAGES)

MAIN = {
    "myhostname": "mx.example.com",
    "mydomain": "example.com",
    "mydestination": "mx.example.com, example.com",
    "local_recipient_maps": "inline:{alice=1, bob=1, carol=1}",
    "virtual_alias_maps": "inline:{team@example.com=alice@example.com, "
                          "{pair@example.com=alice@example.com "
                          "bob@example.com}}",
    "transport_maps": "inline:{routed.example=smtp:[192.0.2.1]}",
    "smtpd_peername_lookup": "no",
    "in_flow_delay": "0",
    "defer_transports": "local smtp virtual relay",
    "smtpd_error_sleep_time": "0",
    "smtpd_discard_ehlo_keywords": "chunking smtputf8",
    "smtpd_milters": "unix:SCRATCH/m1",
    "non_smtpd_milters": "unix:SCRATCH/m1",
    "milter_connect_timeout": "2s",
    "milter_command_timeout": "2s",
    "milter_content_timeout": "2s",
    "milter_macro_defaults": "{foo}=defaultfoo, { bar = a, b }, "
                             "auth_type=notthis "
                             + " ".join(f"m_{s}={s}" for s in STAGES),
    "milter_header_checks": "regexp:SCRATCH/checks",
    "enable_long_queue_ids": "yes",
}
TABLES = {
    "checks": "/^X-Rej:/ REJECT mhc text\n/^X-Warn:/ WARN careful\n"
              "/^X-Hold:/ HOLD held\n/^X-Disc:/ DISCARD gone\n"
              "/^X-Filt:/ FILTER smtp:[192.0.2.9]\n/^X-Ign:/ IGNORE\n"
              "/^X-Repl: (.*)/ REPLACE X-Repl: was $1\n"
              "/^X-Pre:/ PREPEND X-Pre2: y\n"
              "/^X-Redir:/ REDIRECT carol@example.com\n"
              "/^X-Bcc:/ BCC bob@example.com\n/^X-Info:/ INFO note\n"
              "/^X-Rej4:/ REJECT 4.7.9 later\n/^X-Strip:/ STRIP s\n"
              "/^X-Pass:/ PASS p\n/^X-Replbad:/ REPLACE nothing\n"
              "/^X-Unknown:/ FOO bar\n/^X-Redbad:/ REDIRECT foo\n",
}
LISTENERS = {
    "one": "",
    "two": "-o {smtpd_milters=unix:SCRATCH/m1, unix:SCRATCH/m2}",
    "macros": EVERY,
    "accept": "-o milter_default_action=accept",
    "reject": "-o milter_default_action=reject",
    "quarantine": "-o milter_default_action=quarantine",
    "nosuch": "-o smtpd_milters=unix:SCRATCH/nosuch",
    "nosuch-accept": "-o {smtpd_milters={unix:SCRATCH/nosuch, "
                     "default_action=accept, connect_timeout=2s} "
                     "unix:SCRATCH/m1}",
    "p2": "-o milter_protocol=2",
    "p3": "-o milter_protocol=3",
    "p4": "-o milter_protocol=4",
    "braces": "-o {smtpd_milters={ unix:SCRATCH/m1, protocol=3 }}",
    "none": "-o receive_override_options=no_milters",
    "disable": "-o smtpd_milter_maps=inline:{127.0.0.1=DISABLE}",
    "map": "-o {smtpd_milter_maps=inline:{{127.0.0.1=unix:SCRATCH/m2}}}",
    "no-reply": "-o {milter_protocol=6 no_header_reply}",
    "inet": "-o smtpd_milters=inet:127.0.0.1:1",
    "nodelay": "-o smtpd_delay_reject=no",
    "stages": STAGE,
    "prepend": "-o {smtpd_client_restrictions=check_client_access "
               "inline:{{127.0.0.1=PREPEND X-Pre: yes}}} "
               "-o smtpd_delay_reject=yes",
    "nomap": "-o receive_override_options=no_address_mappings",
}

HEAD = ["EHLO client.example.org", "MAIL FROM:<sender@example.org>",
        "RCPT TO:<alice@example.com>"]
MESSAGE = (b"From: sender@example.org\r\nTo: alice@example.com\r\n"
           b"Subject: hello\r\nX-One:  two  spaces\r\nX-Fold: a\r\n b\r\n\tc\r\n"
           b"X-Dup: 1\r\nX-Dup: 2\r\nX-Dup: 3\r\nX-Tight:none\r\nX-Empty:\r\n"
           b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-Id: <a@b>\r\n"
           b"\r\nline one\r\n..dot\r\nline three\r\n.\r\n")
SEND = ["DATA", MESSAGE]
MAIL = HEAD + SEND + ["QUIT"]

CASES = {
    "plain": {"smtp": MAIL},
    "macros": {"smtp": MAIL, "listener": "macros"},
    "macros routed": {"listener": "macros", "smtp": [
        "HELO client", "MAIL FROM:<>", "RCPT TO:<x@routed.example>",
        "RCPT TO:<team@example.com>", "RCPT TO:<pair@example.com>", *SEND,
        "QUIT"]},
    "macros rejected rcpt": {
        "listener": "macros", "milter": {"protocol": 0x800},
        "smtp": ["EHLO c", "MAIL FROM:<a@routed.example> SIZE=100 BODY=8BITMIME",
                 "RCPT TO:<nobody@example.com>",
                 "RCPT TO:<alice@example.com> NOTIFY=NEVER "
                 "ORCPT=rfc822;x@y.example", "RCPT TO:<bad>",
                 "RCPT TO:<a b>", "foo bar", "RSET", "vrfy alice",
                 "noop", "QUIT"]},
    "macros by stage": {"listener": "stages", "smtp": [
        *HEAD, "FOO", *SEND, "QUIT"]},
    "prepend": {"listener": "prepend", "smtp": MAIL,
                "milter": {"E": [[insert(0, "X-Zero", "0"),
                                  insert(1, "X-One", "1"),
                                  insert(2, "X-Two", "2"), "c"]]}},
    "two milters": {"smtp": MAIL, "listener": "two"},
    "rset": {"smtp": HEAD + ["RSET"] + HEAD[1:] + ["RSET", "RSET"] + ["QUIT"]},
    "two messages": {"smtp": HEAD + SEND + HEAD[1:] + SEND + ["QUIT"]},
    "helo twice": {"smtp": HEAD + ["HELO again", "EHLO third"] + HEAD[1:]
                   + SEND + ["QUIT"]},
    "eof": {"smtp": HEAD + ["EOF"]},
    "unknown": {"smtp": ["EHLO c", "FOO bar", "XYZZY", "QUIT"]},
    "symlist": {"smtp": MAIL, "milter": {
        "symlist": {"C": "j {daemon_port}", "H": "{client_name}",
                    "M": "i {mail_addr}", "R": "{rcpt_addr} {client_addr}",
                    "T": "i j", "E": "i _", "N": "v"}}},
    "leadspc": {"smtp": MAIL, "milter": {"protocol": 0x100000}},
    "no replies": {"smtp": MAIL, "milter": {"protocol": 0xff080}},
    "no events": {"smtp": MAIL, "milter": {"protocol": 0x37f}},
    "odd addresses": {"smtp": [
        "EHLO c", "MAIL FROM:<\"a b\"@example.org>", "RCPT TO:<ALICE@Example.COM>",
        "RCPT TO:<\"bob\"@example.com>", "RCPT TO:bob@example.com", "RCPT TO:<bob>",
        "DATA", b"\r\nonly body\r\n.\r\n", "QUIT"]},
    "no helo": {"smtp": HEAD[1:] + SEND + ["QUIT"]},
    "no header": {"smtp": HEAD + ["DATA", b"no header\r\nhere\r\n.\r\n",
                                  "QUIT"]},
    "empty": {"smtp": HEAD + ["DATA", b".\r\n", "QUIT"]},
    "headers only": {"smtp": HEAD + ["DATA", b"Subject: x\r\n.\r\n", "QUIT"]},
    "incomplete": {"smtp": HEAD + ["DATA", b"To: x\r\nBcc: y\r\n\r\nb\r\n.\r\n",
                                   "QUIT"]},
    "big body": {"smtp": HEAD + ["DATA", b"Subject: x\r\n\r\n"
                                 + b"0123456789abcdef\r\n" * 20000 + b".\r\n",
                                 "QUIT"]},
    "long line": {"smtp": HEAD + ["DATA", b"Subject: x\r\n\r\n"
                                  + b"0123456789" * 8000 + b"\r\nend\r\n.\r\n",
                                  "QUIT"]},
    "skip": {"milter": {"protocol": 0x400, "B": [["s"]]},
             "smtp": HEAD + ["DATA", b"Subject: x\r\n\r\n"
                             + b"0123456789abcdef\r\n" * 20000 + b".\r\n",
                             "QUIT"]},
    "mapped off": {"smtp": MAIL, "listener": "disable"},
    "mapped": {"smtp": MAIL, "listener": "map"},
    "switched off": {"smtp": MAIL, "listener": "none"},
    "protocol 2": {"smtp": MAIL, "listener": "p2", "milter": {"version": 2}},
    "protocol 3": {"smtp": MAIL, "listener": "p3", "milter": {"version": 3}},
    "protocol 4": {"smtp": MAIL, "listener": "p4", "milter": {"version": 4}},
    "protocol in braces": {"smtp": MAIL, "listener": "braces",
                           "milter": {"version": 3}},
    "answers 2": {"smtp": MAIL, "milter": {"version": 2, "actions": 0x3f}},
    "no milter": {"smtp": MAIL, "listener": "nosuch"},
    "no milter accept": {"smtp": MAIL, "listener": "nosuch-accept"},
    "local": {"sendmail": ["alice@example.com", "team@example.com"],
              "message": "From: x@example.com\nSubject: s\n\nbody\n"},
    "local incomplete": {"sendmail": ["alice"], "message": "body\n"},
}

# Every answer at every stage.
ANSWERS = {
    "continue": ["c"], "accept": ["a"], "reject": ["r"], "tempfail": ["t"],
    "discard": ["d"], "shutdown": ["4"], "connfail": ["f"], "skip": ["s"],
    "550": [reply(550, "5.7.1 not you")], "450": [reply(450, "4.7.1 later")],
    "multi": [reply(554, "5.7.1 line one\r\n554 5.7.1 line two")],
    "421": [reply(421, "4.7.0 go away")], "nodsn": [reply(550, "plain text")],
    "250": [reply(250, "2.0.0 odd")], "junk": [reply(999, "what")],
    "short": [b"y55\0"], "mismatch": [reply(550, "4.7.1 mixed")],
    "521": [reply(521, "5.7.0 bye")],
    "percent": [reply(550, "5.7.1 100%% sure")],
    "quarantine": [quarantine("bad day"), "c"],
    "progress": ["p", "p", "c"],
    "garbage": [("raw", b"\xff\xff\xff\xffgarbage")],
    "zero": [("raw", b"\0\0\0\0")], "unknown": [b"Zfoo\0"],
    "close": ["close"], "hang": ["hang"],
    "add": [add("X-Early", "x"), "c"],
}
# What no milter library lets a milter say, and Postfix gets into trouble with.
ODD = {("U", "accept"), ("U", "discard"), ("M", "discard"), ("R", "discard")}
for _stage in "CHMRTLNBEU":
    for _name, _answer in ANSWERS.items():
        if (_stage, _name) in ODD or (_name == "quarantine"
                                      and _stage not in "TE"):
            continue
        if _name == "hang" and _stage not in "MBE":
            continue  # each takes a time limit
        if _name == "shutdown" and _stage in "LNBE":
            continue  # Postfix says yes and throws the message away
        _smtp = MAIL
        if _stage == "U":
            _smtp = ["EHLO c", "FOO", "NOOP", *HEAD[1:], "QUIT"]
        elif _stage == "C":
            _smtp = ["EHLO c", "HELO c", "NOOP", *HEAD[1:], "RSET", "FOO",
                     "QUIT"]
        elif _stage == "H":
            _smtp = ["EHLO c", "HELO c", *HEAD[1:], "QUIT"]
        elif _stage in "MR":
            _smtp = [*HEAD, "RCPT TO:<bob@example.com>", *HEAD[1:], "DATA",
                     "RSET", *HEAD[1:], "QUIT"]
            if _name not in ("hang", "close"):
                _smtp = [*HEAD, "RCPT TO:<bob@example.com>", "RSET", *HEAD[1:],
                         "QUIT"]
        CASES[f"at {_stage} {_name}"] = {"smtp": _smtp,
                                         "milter": {_stage: [_answer]}}
for _action in ("accept", "reject", "quarantine"):
    for _stage in "OCMRB":
        for _name in ("close", "garbage"):
            CASES[f"{_action} at {_stage} {_name}"] = {
                "smtp": MAIL, "listener": _action,
                "milter": {_stage: [ANSWERS[_name]]}}
CASES["connect before helo"] = {
    "smtp": MAIL, "listener": "nodelay", "milter": {"C": [["r"]]}}

# Modifications at the end of the message.
CHANGES = {
    "add": [add("X-New", "value")],
    "add folded": [add("X-New", "a\n b\n\tc")],
    "add crlf": [add("X-New", "a\r\n b")],
    "add space": [add("X-New", " value")],
    "add empty": [add("X-New", "")],
    "add two": [add("X-New", "1"), add("X-New", "2")],
    "add evil": [add("X-New", "a\nX-Evil: yes\n\nbody")],
    "add no name": [add("", "x")],
    "add bad name": [add("a b", "x")],
    "add 8bit": [add("X-New", "\xfc")],
    "add long": [add("X-New", "y" * 3000)],
    "change": [change(1, "Subject", "changed")],
    "change case": [change(1, "subject", "changed")],
    "change dup 2": [change(2, "X-Dup", "two")],
    "change dup 3": [change(3, "X-Dup", "three")],
    "change dup 4": [change(4, "X-Dup", "four")],
    "change dup 0": [change(0, "X-Dup", "zero")],
    "change none": [change(1, "X-None", "new")],
    "change longer": [change(1, "Subject", "longer " * 60)],
    "change twice": [change(1, "Subject", "one"), change(1, "Subject", "two")],
    "change received": [change(1, "Received", "x")],
    "delete": [change(1, "Subject", "")],
    "delete dup 2": [change(2, "X-Dup", "")],
    "delete all": [change(1, "X-Dup", "")] * 3,
    "delete 321": [change(3, "X-Dup", ""), change(2, "X-Dup", ""),
                   change(1, "X-Dup", "")],
    "delete none": [change(1, "X-None", "")],
    "delete received": [change(1, "Received", "")],
    "delete folded": [change(1, "X-Fold", "")],
    "change folded": [change(1, "X-Fold", "x\n y")],
    "insert 0": [insert(0, "X-Ins", "zero")],
    "insert 1": [insert(1, "X-Ins", "one")],
    "insert 2": [insert(2, "X-Ins", "two")],
    "insert 3": [insert(3, "X-Ins", "three")],
    "insert 8": [insert(8, "X-Ins", "eight")],
    "insert 99": [insert(99, "X-Ins", "last")],
    "insert folded": [insert(1, "X-Ins", "a\n b")],
    "insert space": [insert(1, "X-Ins", " sp")],
    "insert many": [insert(1, "X-A", "a"), insert(1, "X-B", "b"),
                    insert(0, "X-C", "c"), insert(2, "X-D", "d")],
    "insert then change": [insert(1, "X-Dup", "new"),
                           change(1, "X-Dup", "first"),
                           change(2, "X-Dup", "second")],
    "insert then delete": [insert(0, "Subject", "new"),
                           change(1, "Subject", ""), change(1, "Subject", "")],
    "add then change": [add("X-New", "1"), change(1, "X-New", "2"),
                        change(1, "X-New", "")],
    "body": [body(b"new body\r\nline\r\n")],
    "body parts": [body(b"new bo"), body(b"dy\r"), body(b"\nx\r\n")],
    "body no end": [body(b"no line end")],
    "body lf": [body(b"a\nb\n")],
    "body empty": [body(b"")],
    "body cr": [body(b"a\rb\r\n")],
    "body nul": [body(b"a\0b\r\n")],
    "body big": [body(b"0123456789abcdef\r\n" * 30)] * 40,
    "body and subject": [change(1, "Subject", "new"), body(b"b\r\n")],
    "rcpt": [address("+", "<bob@example.com>")],
    "rcpt bare": [address("+", "bob@example.com")],
    "rcpt alias": [address("+", "<pair@example.com>")],
    "rcpt empty": [address("+", "<>")],
    "rcpt local": [address("+", "<bob>")],
    "rcpt args": [address("2", "<bob@example.com>", "NOTIFY=NEVER")],
    "rcpt args bad": [address("2", "<bob@example.com>", "FOO=BAR")],
    "rcpt args orcpt": [address("2", "<bob@example.com>",
                                "ORCPT=rfc822;q@example.net NOTIFY=SUCCESS")],
    "rcpt no args": [address("2", "<bob@example.com>")],
    "rcpt remote": [address("+", "<x@routed.example>")],
    "rcpt bad": [address("+", "<a b c>")],
    "rcpt delete": [address("-", "<alice@example.com>"),
                    address("+", "<bob@example.com>")],
    "rcpt delete case": [address("-", "<ALICE@example.com>"),
                         address("+", "<bob@example.com>")],
    "rcpt delete last": [address("-", "<alice@example.com>")],
    "rcpt delete none": [address("-", "<zoe@example.com>")],
    "sender": [address("e", "<new@example.org>")],
    "sender null": [address("e", "<>")],
    "sender bare": [address("e", "new@example.org")],
    "sender local": [address("e", "<new>")],
    "sender args": [address("e", "<new@example.org>", "RET=HDRS ENVID=abc")],
    "sender args bad": [address("e", "<new@example.org>", "FOO=BAR")],
    "sender twice": [address("e", "<a@example.org>"),
                     address("e", "<b@example.org>")],
    "quarantine": [quarantine("bad virus")],
    "quarantine add": [quarantine("why"), add("X-New", "v")],
    "progress": ["p", add("X-New", "v"), "p"],
    "all": [add("X-New", "v"), change(1, "Subject", "s"),
            insert(0, "X-Top", "t"), body(b"b\r\n"),
            address("+", "<bob@example.com>"), address("e", "<n@example.org>")],
}
for _h in ("Rej", "Rej4", "Warn", "Hold", "Disc", "Filt", "Ign", "Repl", "Pre",
           "Redir", "Bcc", "Info", "Strip", "Pass", "Replbad", "Unknown",
           "Redbad"):
    CHANGES["checks " + _h] = [add(f"X-{_h}", "v"), add("X-After", "w")]
CHANGES["checks insert"] = [insert(1, "X-Repl", "v"), insert(1, "X-Ign", "v")]
CHANGES["checks change"] = [change(1, "X-Repl", "v"), change(1, "X-Dup", "v")]
CHANGES["checks pass on"] = [add("X-Pass", "v"), add("X-Ign", "v")]
for _name, _packets in CHANGES.items():
    for _end, _last in (("", "c"), (" accept", "a")):
        if _end and _name not in ("add", "body", "rcpt", "quarantine"):
            continue
        CASES[f"change {_name}{_end}"] = {
            "smtp": MAIL, "milter": {"E": [[*_packets, _last]]}}
for _end, _last in (("reject", "r"), ("tempfail", "t"),
                    ("550", reply(550, "5.7.1 no")), ("close", "close")):
    CASES[f"change then {_end}"] = {
        "smtp": [*HEAD, *SEND, *(HEAD[1:] + SEND if _end != "close" else []),
                 "QUIT"],
        "milter": {"E": [[add("X-New", "v"), body(b"x\r\n"), _last], ["c"]]}}
CASES["rcpt delete team"] = {
    "smtp": ["EHLO c", HEAD[1], "RCPT TO:<team@example.com>",
             "RCPT TO:<pair@example.com>", "RCPT TO:<carol@example.com>",
             *SEND, "QUIT"],
    "milter": {"E": [[address("-", "<team@example.com>"), "c"]]}}
CASES["rcpt delete alias result"] = {
    "smtp": ["EHLO c", HEAD[1], "RCPT TO:<pair@example.com>", *SEND, "QUIT"],
    "milter": {"E": [[address("-", "<alice@example.com>"), "c"]]}}
CASES["rcpt delete dup"] = {
    "smtp": ["EHLO c", HEAD[1], "RCPT TO:<alice@example.com>",
             "RCPT TO:<Alice@example.com>", "RCPT TO:<bob@example.com>",
             *SEND, "QUIT"],
    "milter": {"E": [[address("-", "<alice@example.com>"), "c"]]}}
CASES["rcpt add nomap"] = {
    "smtp": MAIL, "listener": "nomap",
    "milter": {"E": [[address("+", "<pair@example.com>"), "c"]]}}
CASES["not allowed"] = {
    "smtp": MAIL, "milter": {"actions": 0, "E": [[
        add("X-New", "v"), change(1, "Subject", "x"), body(b"x\r\n"),
        address("+", "<bob@example.com>"), "c"]]}}
CASES["second sees change"] = {
    "smtp": MAIL, "listener": "two",
    "milter": {"E": [[add("X-New", "v"), body(b"new\r\n"), "c"]]}}
CASES["first accepts"] = {"smtp": MAIL, "listener": "two",
                          "milter": {"M": [["a"]]}}
CASES["first accepts connection"] = {"smtp": MAIL, "listener": "two",
                                     "milter": {"C": [["a"]]}}
CASES["second rejects"] = {"smtp": [*HEAD, *MAIL[1:]], "listener": "two",
                           "milter2": {"R": [["r"], ["c"]]}}
CASES["both change"] = {
    "smtp": MAIL, "listener": "two",
    "milter": {"E": [[add("X-New", "v"), change(1, "Subject", "one"), "c"]]},
    "milter2": {"E": [[change(1, "X-New", "w"), change(1, "Subject", "two"),
                       insert(1, "X-Top", "t"), "c"]]}}
CASES["local change"] = {
    "sendmail": ["alice@example.com"], "message": "Subject: s\n\nbody\n",
    "milter": {"E": [[add("X-New", "v"), change(1, "Subject", "new"),
                      body(b"b\r\n"), address("+", "<bob@example.com>"), "c"]]}}
for _stage in "CHMRTLNBE":
    for _name in ("reject", "tempfail", "discard", "550", "450", "accept",
                  "close", "quarantine"):
        if _name == "quarantine" and _stage != "E":
            continue
        CASES[f"local at {_stage} {_name}"] = {
            "sendmail": ["alice@example.com"], "message": "Subject: s\n\nb\n",
            "milter": {_stage: [ANSWERS[_name]]}}

# The greeting.
for _name, _answer in {
        "newer": [b"O" + struct.pack(">III", 7, 0, 0)],
        "older": [b"O" + struct.pack(">III", 1, 0, 0)],
        "more flags": [b"O" + struct.pack(">III", 6, 0xffffffff, 0xffe00000)],
        "short": [b"O" + struct.pack(">I", 6)],
        "two": [b"O" + struct.pack(">II", 6, 0)],
        "continue": ["c"], "reject": ["r"], "empty": [b"O"],
        "stage": [b"O" + struct.pack(">IIII", 6, 0, 0, 99) + b"i j\0"],
        "more protocol": [b"O" + struct.pack(">III", 6, 0, 0xffe00000)],
        }.items():
    CASES[f"greeting {_name}"] = {"smtp": [*HEAD, "QUIT"],
                                  "milter": {"O": [_answer]}}
CASES["addresses in macros"] = {"listener": "macros", "smtp": [
    "EHLO c", "MAIL FROM:<Sender+X@Routed.EXAMPLE>",
    "RCPT TO:<Some.Body@Routed.Example>", "RCPT TO:<\"al ice\"@routed.example>",
    "RCPT TO:<postmaster>", "RSET", "MAIL FROM:<local>", "RCPT TO:<alice>",
    "RSET", "MAIL FROM:<\"a b\"@routed.example> AUTH=<>", "QUIT"]}
CASES["no header reply"] = {"smtp": MAIL, "listener": "no-reply",
                            "milter": {"protocol": 0x80}}
CASES["inet refused"] = {"smtp": MAIL, "listener": "inet"}
CASES["local null sender"] = {"sendmail": ["-F", "", "-f", "<>",
                                            "alice@example.com"],
                              "message": "Subject: s\n\nb\n"}
CASES["local macros"] = {
    "sendmail": ["alice@example.com", "team"], "message": "Subject: s\n\nb\n",
    "milter": {"symlist": {s: ALL for s in "CHMRTEN"}}}
CASES["ignored change"] = {
    "smtp": [*HEAD, "DATA", b"X-Ign: 1\r\nX-Ign: 2\r\n\r\nb\r\n.\r\n", "QUIT"],
    "milter": {"E": [[change(1, "X-Ign", "v"), change(2, "X-Ign", ""), "c"]]}}
CASES["own header gone"] = {
    "smtp": [*HEAD, "DATA", b"Received: a\r\nReceived: b\r\n\r\nb\r\n.\r\n",
             "QUIT"],
    "milter": {"E": [[change(1, "Received", "x"), "c"]]}}
CASES["sleepy"] = {"smtp": MAIL, "milter": {
    "E": [[("sleep", 1.3), "p", ("sleep", 1.3), "p", ("sleep", 1.3), "c"]]}}
CASES["too late"] = {"smtp": MAIL, "milter": {"E": [[("sleep", 3), "c"]]}}
CASES["slow packet"] = {"smtp": MAIL, "milter": {
    "E": [[("raw", b"\0\0\0\2h"), ("sleep", 3), "c"]]}}
CASES["bad header packet"] = {"smtp": MAIL, "milter": {"E": [[b"hX-A"]]}}
CASES["bad insert packet"] = {"smtp": MAIL, "milter": {"E": [[b"i\0\0"]]}}
CASES["trailing bytes"] = {"smtp": MAIL, "milter": {"E": [[b"cxyz"]]}}
for _name in ("slow packet", "bad header packet", "bad insert packet",
              "trailing bytes"):
    CASES[_name]["log"] = False  # the warning is worded otherwise
# What the queue of Postfix shows differs where it only marks a recipient.
for _name in ("change rcpt delete", "change rcpt delete last",
              "odd addresses", "rcpt delete team", "rcpt delete dup", "change checks Redir"):
    CASES[_name]["queue"] = False
