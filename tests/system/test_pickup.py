# SPDX-License-Identifier: MIT
"""pickup when a message, its file or the queue makes trouble."""
import os
import socket
import time

import postrider
import pytest

MESSAGE = "Subject: x\n\ntext\n"


@pytest.fixture
def make():
    running = []

    def build(**main):
        settings = {"mailbox_command": "", "local_recipient_maps": ""}
        settings.update(main)
        mta = postrider.Instance(main=settings)
        running.append(mta)
        return mta

    yield build
    for mta in running:
        mta.close()


def maildrop(mta):
    return os.listdir(os.path.join(mta.queue_directory, "maildrop"))


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_one_that_waits_keeps_nobody_else(make):
    """A table that does not answer about some recipients."""
    good = " ".join(f"{{good{i}@example.com=root@example.com}}"
                    for i in range(5))
    mta = make(virtual_alias_maps=f"inline:{{{good} "
                                  "{root@example.com=root@example.com}}, "
                                  "fail:later",
               virtual_alias_domains="", alias_maps="",
               default_transport="discard", local_transport="discard")
    mta.start()
    mta.stop()
    for i in range(4):
        mta.sendmail(f"bad{i}@example.com", MESSAGE)
    for i in range(5):
        mta.sendmail(f"good{i}@example.com", MESSAGE)
    assert len(maildrop(mta)) == 9
    mta.start()
    mta.wait_log("message not taken now", count=4)
    until(lambda: len(maildrop(mta)) == 4)
    mta.wait_log("qmgr.*: removed", count=5)


def test_a_notice_may_be_larger_than_a_message(make):
    """Many recipients that fail at once: the notice has a limit of its own,
    or the message would never leave the queue."""
    mta = make(message_size_limit="20000", transport_maps="inline:{"
               "{example.net=error:5.1.1 nobody here by that name}}")
    mta.start()
    rcpts = [f"a-rather-long-recipient-name-{i}@example.net"
             for i in range(100)]
    mta.sendmail(rcpts, MESSAGE, "-f", "root@example.com")
    sent = mta.wait_log(r"sender non-delivery notification: (\w+)")
    assert sent
    mta.wait_queue(0)
    assert "cannot write a notice" not in mta.log()


def wake(mta):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.path.join(mta.queue_directory, "public/pickup"))


def test_taken_once_though_it_cannot_be_removed(make):
    mta = make(default_transport="discard", local_transport="discard")
    path = os.path.join(mta.queue_directory, "maildrop")
    mta.start()
    mta.stop()
    mta.sendmail("root@example.com", MESSAGE)
    mode = os.stat(path).st_mode & 0o7777
    os.chmod(path, 0o500)
    try:
        mta.start()
        mta.wait_log("remove maildrop/")
        os.chmod(path, 0o500)
        wake(mta)
        mta.wait_log("remove maildrop/", count=2)
    finally:
        os.chmod(path, mode)
    wake(mta)
    until(lambda: maildrop(mta) == [])
    mta.wait_queue(0)
    assert mta.log().count("status=sent") == 1
