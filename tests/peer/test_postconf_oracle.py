# SPDX-License-Identifier: MIT
"""postconf beside the one of Debian's Postfix, over a set of configurations."""
import glob
import os
import re
import subprocess

import pytest

import oracle

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GOLDEN = os.path.join(TESTS, "golden", "postconf")
POSTCONF = os.path.join(os.environ["B"], "sbin", "postconf")
# Defaults that are meant to differ, and names that are newer.
DIFFERENT = re.compile(
    r"^(alias_maps|process_id|smtpd_forbid_bare_newline(_exclusions)?|"
    r"maillog_file_permissions|smtpd_client_ipv[46]_prefix_length|"
    r"use_srv_lookup|allow_srv_lookup_fallback|ignore_srv_lookup_error|"
    r"requiretls_enable|smtp_tlsrpt_\w+|"
    r"(smtp|lmtp)_sasl_password_result_delimiter|"
    r"postrider_\w+|local_recipient_maps|proxy_read_maps) =")
MAINS = sorted(m for m in glob.glob(GOLDEN + "/*.main.cf")
               if not os.path.basename(m).startswith("edit-"))


def postconf(which, folder, *args):
    env = dict(os.environ)
    path = POSTCONF
    if which == "oracle":
        path, env = oracle.command("postconf")
    env.pop("MAIL_CONFIG", None)
    p = subprocess.run([path, "-c", str(folder), *args], env=env,
                       capture_output=True, text=True, timeout=60)
    lines = [line for line in p.stdout.splitlines()
             if not DIFFERENT.match(line)]
    return p.returncode, lines


def both(folder, *args):
    want = postconf("oracle", folder, *args)
    assert postconf("ours", folder, *args) == want
    return want


@pytest.mark.parametrize("args", (["-d"], ["-dx"], ["-df"]))
def test_defaults(tmp_path, args):
    status, lines = both(tmp_path, *args)
    assert status == 0
    assert len(lines) > 800


@pytest.mark.parametrize("main", MAINS, ids=os.path.basename)
def test_settings(tmp_path, main):
    for name in ("main.cf", "master.cf"):
        source = main[:-len("main.cf")] + name
        text = ""
        if os.path.exists(source):
            with open(source, encoding="utf-8") as f:
                text = f.read()
        # The peer reads "-oname" as a bundle of one-letter options.
        text = text.replace(" -osmtp", " -o smtp")
        (tmp_path / name).write_text(text)
    for args in (["-n"], ["-nf"], ["-x"], ["-C", "service"],
                 ["-Mf"], ["-F"], ["-Px"]):
        both(tmp_path, *args)


def test_installed_files(tmp_path):
    conf = os.path.join(os.path.dirname(TESTS), "conf")
    for name in ("main.cf", "master.cf"):
        with open(os.path.join(conf, name), encoding="utf-8") as f:
            (tmp_path / name).write_text(f.read())
    assert both(tmp_path, "-n")[0] == 0
    status, lines = both(tmp_path, "-M")
    with open(os.path.join(oracle.root(), "usr/share/postfix/master.cf.dist"),
              encoding="utf-8") as f:
        (tmp_path / "master.cf").write_text(f.read())
    assert status == 0
    assert postconf("ours", tmp_path, "-M") == (0, lines)
