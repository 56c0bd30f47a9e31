# SPDX-License-Identifier: MIT
"""The cases of content_side_by_side.py."""

ESMTP = ("250-{host}\n250-PIPELINING\n250-SIZE 10240000\n250-DSN\n"
         "250-ENHANCEDSTATUSCODES")
SERVERS = {
    "plain": {},
    "7bit": {"ehlo": ESMTP.replace("\n250-ENH", "\n250 ENH")},
    "helo": {"ehlo": "502 5.5.1 what"},
    "utf8": {"ehlo": ESMTP + "\n250-8BITMIME\n250 SMTPUTF8"},
    "utf87bit": {"ehlo": ESMTP + "\n250 SMTPUTF8"},
    "xforward": {"ehlo": ESMTP + "\n250-XFORWARD NAME ADDR PORT PROTO HELO "
                 "IDENT SOURCE\n250 8BITMIME", },
    "xforwardbad": {"ehlo": ESMTP + "\n250-XFORWARD NAME PROTO\n"
                    "250 8BITMIME"},
    "replies": {"rcpt": {"a@": "550 5.1.1 no", "b@": "450-4.2.0 one\n450 two",
                         "c@": "garbage", "d@": "250 5.1.1 mixed"}},
    "multi": {"banner": "220-{host} first\n220 ESMTP second"},
    "noesmtp": {"banner": "220 {host} hello"},
    "many": {"ehlo": "250-{host}\n" + "250-X-UNKNOWN\n" * 500 +
             "250 8BITMIME"},
    "manylast": {"ehlo": "250-{host}\n" + "250-X-UNKNOWN\n" * 95 +
                 "250 8BITMIME"},
    "longline": {"ehlo": "250-{host}\n250-X " + "y" * 1500 +
                 "\n250 8BITMIME"},
    "sizenone": {"ehlo": "250-{host}\n250-SIZE\n250 8BITMIME"},
    "sizezero": {"ehlo": "250-{host}\n250-SIZE 0\n250 8BITMIME"},
    "lower": {"ehlo": "250-{host}\n250-pipelining\n250-size 99999\n250-dsn\n"
              "250 8bitmime"},
    "equals": {"ehlo": "250-{host}\n250-AUTH=PLAIN\n250-SIZE=500\n"
               "250 8BITMIME"},
    "pix": {"banner": "220 ****************"},
    "rcpt5": {"rcpt": "550 5.1.1 no such user"},
    "rcpt4": {"rcpt": "450 4.2.0 greylisted"},
}
FILES = {}
CASES = []


def case(name, message, **more):
    assert name not in [c["name"] for c in CASES], name
    if isinstance(message, str):
        message = message.encode()
    CASES.append(dict(name=name, message=message, **more))


HEAD = ("From: s@example.com\nTo: r@example.org\nSubject: test\n"
        "Message-Id: <x@example.com>\n"
        "Date: Sun, 22 Nov 2026 11:00:00 +0000\n")
M8 = " BODY=8BITMIME"
TEXT8 = ("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
         "Content-Transfer-Encoding: 8bit\n\n")


def down(name, message, head=HEAD, **more):
    """To a server without 8BITMIME."""
    if isinstance(message, str):
        message = message.encode()
    more.setdefault("server", "7bit")
    more.setdefault("mail", M8)
    case("down-" + name, head.encode() + message, **more)


def part(ctype, encoding, body, more=""):
    text = f"Content-Type: {ctype}\n" if ctype else ""
    text += f"Content-Transfer-Encoding: {encoding}\n" if encoding else ""
    return text + more + "\n" + body


def multi(parts, sub="mixed", encoding="8bit", boundary="B", pre="", post="",
          top="MIME-Version: 1.0\n", end=True):
    text = top + part(f'multipart/{sub}; boundary="{boundary}"', encoding, pre)
    for one in parts:
        text += f"--{boundary}\n{one}\n"
    return text + (f"--{boundary}--\n" if end else "") + post


T8 = "text/plain; charset=utf-8"
down("text", TEXT8 + "Grüße\nzweite Zeile\n")
down("ascii", TEXT8 + "only ascii = here\n")
down("notlabelled", "\nGrüße\n")
down("7bitlabel", TEXT8.replace("8bit", "7bit") + "Grüße\n")
down("binary", TEXT8.replace("8bit", "binary") + "Grüße\n")
down("binaryascii", TEXT8.replace("8bit", "binary") + "Gruesse=\n")
down("upper", TEXT8.replace("8bit", "8BIT (comment)") + "Grüße\n")
down("base64", TEXT8.replace("8bit", "base64") + "R3I=\n")
down("unknown", TEXT8.replace("8bit", "x-uue") + "Grüße\n")
down("quoted", TEXT8.replace("8bit", "quoted-printable") + "Gr=C3=BCße\n")
down("nobodymail", TEXT8 + "Grüße\n", mail="")
down("helo", TEXT8 + "Grüße\n", server="helo")
down("disabled", TEXT8 + "Grüße\n",
     options={"disable_mime_output_conversion": "yes"})
down("notneeded", TEXT8 + "Grüße\n", server="plain")
down("discard8", TEXT8 + "Grüße\n", server="plain",
     options={"smtp_discard_ehlo_keywords": "8bitmime"})
down("equals", TEXT8 + "a=b = c=\n=\n==\n")
down("spaces", TEXT8 + "tail ü \ntab ü\t\n \n  \nü  \t \nx\n")
down("dots", TEXT8 + ".\n..\n.ü\n. \n")
down("from", TEXT8 + "From me\nFrom ü\n")
for length in (70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 100, 152, 230):
    down(f"len{length}", TEXT8 + "x" * length + "\n" + "y" * (length - 1) +
         "ü\n" + "z" * (length - 2) + " \n" + "w" * (length - 2) + "=\n")
down("wide", TEXT8 + "ü" * 60 + "\n" + "abcü" * 40 + "\n")
down("long", TEXT8 + "word ü " * 700 + "\n")
down("noeol", (TEXT8 + "Grüße").encode() + b"\n")
down("empty", TEXT8)
down("emptylines", TEXT8 + "\n\n\nü\n\n")
down("control", TEXT8.encode() + b"a\x01b\x7fc\x08\x0cd\ttab\xff\n")
down("nul", TEXT8.encode() + b"a\0b\xff\n\0\n")
down("cr", TEXT8.encode() + b"a\rb\xff\n")
down("latin", TEXT8.replace("utf-8", "iso-8859-1").encode() +
     b"Gr\xfc\xdfe\n")
down("order", "Content-Transfer-Encoding: 8bit\nMIME-Version: 1.0\n"
     f"Content-Type: {T8}\nX-After: 1\n\nü\n")
down("twice", TEXT8[:-1] + "Content-Transfer-Encoding: 8bit\n\nü\n")
down("twiceother", TEXT8[:-1] + "Content-Transfer-Encoding: 7bit\n\nü\n")
down("cteonly", "Content-Transfer-Encoding: 8bit\n\nü\n")
down("folded", TEXT8[:-1].replace(": 8bit", ":\n 8bit") + "X: a\n  b\n\nü\n")
down("params", TEXT8[:-1].replace("8bit", "8bit; x=y") + "\nü\n")
down("noctype", "MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\nü\n")
down("header8", "X-A: ü\n" + TEXT8 + "ü\n")
down("nocolonheader", TEXT8[:-1] + "no header ü\n\nü\n")
down("image", part("image/png", "8bit", "ü\n"))
down("application", part("application/octet-stream", "binary", "ü=\n"))
down("mixed", multi([part(T8, "8bit", "ü\n"), part(T8, "7bit", "u\n"),
                     part(T8, "base64", "w7w=\n"),
                     part(T8, "quoted-printable", "=C3=BC\n"),
                     part("", "", "plain\n"), "\nno headers ü\n"]))
down("mixedpre", multi([part(T8, "8bit", "ü\n")], pre="Präambel = x\n",
                       post="Epilög =\n"))
down("mixedno8", multi([part(T8, "8bit", "ü\n")], encoding=""))
down("mixedqp", multi([part(T8, "8bit", "ü\n")],
                      encoding="quoted-printable"))
down("mixedbinary", multi([part(T8, "binary", "ü\n")], encoding="binary"))
down("mixed7", multi([part(T8, "7bit", "ü\n")], encoding="7bit"))
down("alternative", multi([part(T8, "8bit", "ü\n"),
                           part("text/html", "8bit", "<p a='b'>ü</p>\n")],
                          sub="alternative"))
down("nested", multi([multi([part(T8, "8bit", "ü\n")], boundary="C", top=""),
                      part(T8, "8bit", "ö\n")]))
down("nestednoend", multi([multi([part(T8, "8bit", "ü\n")], boundary="C",
                                 top="", end=False),
                           part(T8, "8bit", "ö\n")]))
down("noend", multi([part(T8, "8bit", "ü\n")], end=False))
down("noboundary", "MIME-Version: 1.0\n" +
     part("multipart/mixed", "8bit", "--B\n\nü=\n--B--\n"))
down("boundaryspace", multi([part(T8, "8bit", "ü\n")], boundary="B C"))
down("boundarylong", multi([part(T8, "8bit", "ü\n")], boundary="b" * 100))
down("boundarycut", multi([part(T8, "8bit", "ü\n")], boundary="b" * 100),
     options={"mime_boundary_length_limit": "10"})
down("boundaryprefix", multi([part(T8, "8bit", "ü\n--Bx\n\nö\n")]))
down("digest", multi([part("", "", HEAD + TEXT8 + "ü\n"),
                      part(T8, "8bit", "ö\n")], sub="digest"))
down("rfc822", "MIME-Version: 1.0\n" +
     part("message/rfc822", "8bit", HEAD + TEXT8 + "ü =\n"))
down("rfc822no", "MIME-Version: 1.0\n" +
     part("message/rfc822", "", HEAD + TEXT8 + "ü =\n"))
down("rfc822mixed", multi([part("message/rfc822", "8bit", HEAD +
                                multi([part(T8, "8bit", "ü\n")],
                                      boundary="C"))]))
down("rfc822header8", "MIME-Version: 1.0\n" +
     part("message/rfc822", "8bit", "Subject: ü\n" + TEXT8 + "ü\n"))
down("partial", "MIME-Version: 1.0\n" +
     part("message/partial; id=1; number=1", "8bit", HEAD + TEXT8 + "ü =\n"))
down("external", "MIME-Version: 1.0\n" +
     part("message/external-body; access-type=x", "8bit",
          HEAD + TEXT8 + "ü =\n"))
down("delivery", multi([part("message/delivery-status", "8bit",
                             "Reporting-MTA: dns; ü\n\nFinal: x=ü\n")],
                       sub="report"))
down("global", "MIME-Version: 1.0\n" +
     part("message/global", "8bit", HEAD + TEXT8 + "ü =\n"))
down("signed", multi([part(T8, "8bit", "ü\n"),
                      part("application/pgp-signature", "", "sig\n")],
                     sub="signed"))
down("encrypted", multi([part(T8, "8bit", "ü\n")], sub="encrypted"))
DEEP = part(T8, "8bit", "ü=\n")
for i in range(8):
    DEEP = multi([DEEP], boundary=f"b{i}x", top="")
down("deep", "MIME-Version: 1.0\n" + DEEP)
down("deeplimit", "MIME-Version: 1.0\n" + DEEP,
     options={"mime_nesting_limit": "5"})
down("deepmessage", "MIME-Version: 1.0\n" +
     part("message/rfc822", "8bit", HEAD) * 12 + TEXT8 + "ü\n",
     options={"mime_nesting_limit": "5"})
down("attachment", multi([part("text/plain; charset=utf-8;\n\tname=x", "8bit",
                               "ü\n", "Content-Disposition: attachment;\n"
                               "\tfilename=y\n")]))
down("eightbitmultitext", multi([part("text/plain", "", "ü\n")]))
down("longheader", "X-Long: " + "h" * 3000 + "\n" + TEXT8 + "ü\n")
down("lmtp", TEXT8 + "ü\n", program="lmtp", server="plain",
     options={"lmtp_discard_ehlo_keywords": "8bitmime"})
down("flags", TEXT8 + "ü\n", options={"flags": "DOR"})
down("discardmany", TEXT8 + "ü\n", server="plain",
     options={"smtp_discard_ehlo_keywords": "dsn, silent-discard, 8bitmime"})
down("discardtwo", TEXT8 + "ü\n", server="plain",
     options={"smtp_discard_ehlo_keywords": "dsn size,8bitmime x-unknown"})
down("discardnot", TEXT8 + "ü\n", server="plain",
     options={"smtp_discard_ehlo_keywords": "chunking"})
down("discardall", TEXT8 + "ü\n", server="plain",
     options={"smtp_discard_ehlo_keywords": "chunking dsn xforward starttls "
              "size auth pipelining 8bitmime enhancedstatuscodes"})

# The checks of the client (header_checks(5) says which actions it has).
FILES["checks"] = """\
/^X-Warn:/ WARN look here
/^X-Warn2:/ WARN
/^X-Info:/ INFO some text
/^X-Ignore:/ IGNORE
/^X-Strip:/ STRIP gone
/^X-Dunno:/ DUNNO
/^X-Ok:/ OK
/^X-Replace: (.*)/ REPLACE X-Replaced: <$1>
/^X-Replace2:/ REPLACE no header
/^X-Replace3:/ REPLACE
/^X-Prepend:/ PREPEND X-Before: yes
/^X-Prepend2:/ PREPEND no header
/^X-Reject:/ REJECT no
/^X-Discard:/ DISCARD
/^X-Hold:/ HOLD
/^X-Filter:/ FILTER smtp:x
/^X-Redirect:/ REDIRECT a@example.com
/^X-Bcc:/ BCC a@example.com
/^X-Unknown:/ WHAT is this
/^X-Empty:/ dunno
/^X-Folded: a b/ WARN folded
/^Content-Type:.*multipart/ INFO multipart
/^body warn/ WARN in the body
/^body ignore/ IGNORE
/^body replace/ REPLACE replaced line
/^body prepend/ PREPEND a line before
/^body strip/ STRIP
/^body info/ INFO
/^body reject/ REJECT
/^X-Utf8: / WARN
"""
CHECKED = "".join(f"X-{n}: value {n}\n" for n in (
    "Warn", "Warn2", "Info", "Ignore", "Strip", "Dunno", "Ok", "Replace",
    "Replace2", "Replace3", "Prepend", "Prepend2", "Reject", "Discard", "Hold",
    "Filter", "Redirect", "Bcc", "Unknown", "Empty")) + "X-Folded: a\n b\n"
CHECKED_BODY = "".join(f"body {n} line\n" for n in (
    "warn", "ignore", "replace", "prepend", "strip", "info", "reject", "none"))
NESTED = (multi([part("text/plain; x=\"X-Warn: \"", "7bit", CHECKED_BODY,
                      "X-Warn: in a part\nX-Ignore: in a part\n"),
                 part("message/rfc822", "7bit",
                      HEAD + CHECKED + "\n" + CHECKED_BODY)]))


def checked(name, message, **options):
    case(name, HEAD + CHECKED + message, server="plain", options={
        k: "regexp:@@checks" for k in options})


checked("checkheader", "\n" + CHECKED_BODY, smtp_header_checks=1)
checked("checkbody", "\n" + CHECKED_BODY, smtp_body_checks=1)
checked("checkboth", "\n" + CHECKED_BODY, smtp_body_checks=1,
        smtp_header_checks=1)
checked("checknested", NESTED, smtp_header_checks=1)
checked("checkmime", NESTED, smtp_header_checks=1, smtp_mime_header_checks=1)
checked("checkmimeonly", NESTED, smtp_mime_header_checks=1)
checked("checknestedonly", NESTED, smtp_nested_header_checks=1)
checked("checkall", NESTED, smtp_nested_header_checks=1, smtp_body_checks=1,
        smtp_mime_header_checks=1)
case("checkfail", HEAD + "\nbody\n", server="plain",
     options={"smtp_header_checks": "fail:x"})
case("checkfailbody", HEAD + "\nbody\n", server="plain",
     options={"smtp_body_checks": "fail:x"})
case("checklmtp", HEAD + CHECKED + "\n" + CHECKED_BODY, program="lmtp",
     server="plain", options={"lmtp_header_checks": "regexp:@@checks",
                              "lmtp_body_checks": "regexp:@@checks"})
case("checkdown", HEAD + "X-Warn: x\nX-Ignore: y\n" + TEXT8 +
     "ü\nbody ignore\nbody replace\n", server="7bit", mail=M8,
     options={"smtp_header_checks": "regexp:@@checks",
              "smtp_body_checks": "regexp:@@checks"})
case("checklong", HEAD + "\n" + "body warn " + "x" * 3000 + "\n" +
     "y" * 2048 + "body warn\nbody ignore\n", server="plain",
     options={"smtp_body_checks": "regexp:@@checks",
              "smtp_header_checks": "regexp:@@empty"})
FILES["empty"] = "/^$/ WARN empty\n"
case("checkempty", HEAD + "\n\na\n\nb\n", server="plain",
     options={"smtp_body_checks": "regexp:@@empty"})
