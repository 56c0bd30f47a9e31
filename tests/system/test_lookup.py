# SPDX-License-Identifier: MIT
"""The lookup service, asked over its socket."""
import os
import time

import pytest

from daemon import Box
from ipc_frames import Ipc

FOUND, ABSENT, RETRY = range(3)


@pytest.fixture
def box(tmp_path):
    def table(name, text):
        path = tmp_path / name
        path.write_text(text)
        return f"texthash:{path}"

    good = table("good", "key value\nuser@d.test other\n")
    table("secret", "key value\n")
    box = Box(tmp_path / "box", {
        "myhostname": "mx.example.org",
        "transport_maps": "proxy:" + table("transport", "t.test slow:[nh]\n"),
        "proxy_read_maps": f"$transport_maps proxy:{good}",
        "virtual_alias_maps": "",
        "virtual_alias_domains": "valias.test",
        "alias_maps": "",
        "local_recipient_maps": "",
        "relocated_maps": "fail:now",
    })
    box.tables = str(tmp_path)
    box.start("lookup", "private/lookup")
    yield box
    box.stop()


def ask_table(ipc, name, key):
    ipc.send("MSG_TABLE_GET", {"A_TABLE": name, "A_KEY": key,
                               "A_FLAGS": 0})
    return ipc.recv()


def resolve(ipc, sender, recipient):
    ipc.send("MSG_RESOLVE", {"A_SENDER": sender, "A_RECIPIENT": recipient})


def test_table(box):
    ipc = Ipc(box.connect("private/lookup"))
    good = f"texthash:{box.tables}/good"
    kind, answer = ask_table(ipc, good, "key")
    assert (kind, answer["A_STATUS"], answer["A_VALUE"]) == (
        "MSG_TABLE_VALUE", FOUND, "value")
    assert ask_table(ipc, good, "none")[1]["A_STATUS"] == ABSENT
    _, answer = ask_table(ipc, f"texthash:{box.tables}/secret", "key")
    assert answer["A_STATUS"] == RETRY
    assert "secret" in answer["A_TEXT"]
    box.wait_log('warning: request for unapproved table: '
                 f'"texthash:{box.tables}/secret"')
    box.wait_log("to approve this table for read-only access, list "
                 f"proxy:texthash:{box.tables}/secret in "
                 "main.cf:proxy_read_maps")


def test_changed_table(box):
    ipc = Ipc(box.connect("private/lookup"))
    path = os.path.join(box.tables, "good")
    assert ask_table(ipc, "texthash:" + path, "new")[1]["A_STATUS"] == ABSENT
    with open(path, "a", encoding="utf-8") as file:
        file.write("new entry\n")
    # A file is read again when it has been left alone for a moment.
    deadline = time.time() + 15
    while time.time() < deadline:
        ipc = Ipc(box.connect("private/lookup"))
        _, answer = ask_table(ipc, "texthash:" + path, "new")
        if answer["A_STATUS"] != ABSENT:
            break
        time.sleep(0.2)
    assert (answer["A_STATUS"], answer["A_VALUE"]) == (FOUND, "entry")


def test_route(box):
    ipc = Ipc(box.connect("private/lookup"))
    resolve(ipc, "s@x.test", "a@valias.test")
    _, answer = ipc.recv()
    # relocated_maps cannot answer
    assert answer["A_STATUS"] != 0
    assert answer["A_DSN"].startswith("4.")
    resolve(ipc, "", "a@1.2.3.4")
    _, answer = ipc.recv()
    assert (answer["A_STATUS"], answer["A_DSN"], answer["A_TEXT"]) == (
        1, "5.1.3", "bad address syntax")


def test_route_found(tmp_path):
    (tmp_path / "transport").write_text("t.test slow:[nh]\n")
    box = Box(tmp_path / "box", {
        "myhostname": "mx.example.org",
        "transport_maps": f"proxy:texthash:{tmp_path}/transport",
        "alias_maps": "", "local_recipient_maps": ""})
    try:
        box.start("lookup", "private/lookup")
        ipc = Ipc(box.connect("private/lookup"))
        for rcpt, want in (("a@t.test", ("slow", "[nh]")),
                           ("a@u.test", ("smtp", "u.test")),
                           ("root", ("local", "mx.example.org"))):
            resolve(ipc, "s@x.test", rcpt)
            _, answer = ipc.recv()
            assert answer["A_STATUS"] == 0
            assert (answer["A_TRANSPORT"], answer["A_NEXTHOP"]) == want
        # Two questions at once are answered in order.
        resolve(ipc, "", "b@t.test")
        resolve(ipc, "", "c@u.test")
        assert ipc.recv()[1]["A_RECIPIENT"] == "b@t.test"
        assert ipc.recv()[1]["A_RECIPIENT"] == "c@u.test"
    finally:
        box.stop()


def test_bad_request(box):
    ipc = Ipc(box.connect("private/lookup"))
    ipc.send("MSG_FLUSH", {})
    with pytest.raises((EOFError, ConnectionError)):
        ipc.recv()
    box.wait_log("warning: bad request from a client")
    ipc = Ipc(box.connect("private/lookup"))
    assert ask_table(ipc, f"texthash:{box.tables}/good",
                     "key")[1]["A_STATUS"] == FOUND
