# SPDX-License-Identifier: MIT
"""Recorded dialogues, replayed: the replies must be the recorded ones, which
are Debian's Postfix's (tests/peer/test_smtpd_oracle.py checks that)."""
import glob
import os
import socket

import pytest

import postrider
import replay
import tls_ca

HERE = os.path.dirname(os.path.abspath(__file__))

# What every dialogue counts on; a dialogue's own settings come on top.
SETTINGS = {
    "myhostname": "mx.example.com",
    "mydestination": "$myhostname, localhost, example.com",
    "local_recipient_maps": "inline:{alice=1, bob=1}",
    "smtpd_error_sleep_time": "0",
    "smtpd_junk_command_limit": "1000",
    "smtpd_soft_error_limit": "1000",
    "smtpd_hard_error_limit": "1000",
}

DIALOGUES = sorted(glob.glob(os.path.join(HERE, "*.txt")))


@pytest.mark.parametrize("path", DIALOGUES, ids=os.path.basename)
def test_dialogue(path):
    dialogue = replay.Dialogue(path)
    main = dict(SETTINGS, **dict(dialogue.settings))
    if any("$test_tls" in line for line in dialogue.lines):
        main["test_tls"] = tls_ca.folder()
    # Nobody delivers: what is accepted is only looked at.
    more = [postrider.free_port() for _ in dialogue.services]
    with postrider.Instance(
            main=dict(main, defer_transports="local"),
            master=dict(enumerate(dialogue.master_lines(more)))) as mta:
        ports = [mta.port, *more]
        got = replay.play(dialogue, lambda: socket.create_connection(
            ("127.0.0.1", ports[dialogue.service])))
    assert got == dialogue.lines


def test_a_wrong_reply_is_noticed(tmp_path):
    path = tmp_path / "wrong.txt"
    path.write_text("S: 220 mx.example.com ESMTP Postfix\n"
                    "C: NOOP\nS: 250 2.0.0 Fine\nC: QUIT\nS: 221 2.0.0 Bye\n")
    dialogue = replay.Dialogue(path)
    with postrider.Instance(main=SETTINGS) as mta:
        got = replay.play(dialogue, lambda: socket.create_connection(
            ("127.0.0.1", mta.port)))
    assert got != dialogue.lines
    assert got[2] == "S: 250 2.0.0 Ok"
