# SPDX-License-Identifier: MIT
"""The queue manager's side of a delivery agent (lib/ipc/proto.h)."""
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "system"))
from ipc_frames import Ipc  # noqa: E402

FLAG_SMTPUTF8 = 2
FLAG_REQUIRETLS = 4


class Result:
    """reply[address] is the attributes of MSG_RCPT_DONE."""

    def __init__(self):
        self.order = []
        self.reply = {}
        self.idle = ""

    def dsn(self, address):
        return self.reply[address]["A_DSN"]

    def text(self, address):
        return self.reply[address]["A_TEXT"]


class AgentTalk:
    def __init__(self, box, where="private/smtp"):
        self.box = box
        self.ipc = Ipc(box.connect(where))
        kind, attrs = self.ipc.recv()
        assert kind == "MSG_AGENT_HELLO"
        self.pid = attrs["A_PID"]
        self.count = 0

    def send(self, nexthop, rcpts, content=b"Subject: test\n\nhello\n",
             sender="s@example.com", **attrs):
        """rcpts: addresses, or dicts of MSG_RCPT attributes."""
        self.count += 1
        self.queue_id = "%05X%03d" % (self.pid, self.count)
        now = int(time.time() * 1000000)
        pad = b"header of the image\n"
        self.rcpts = [{"A_RECIPIENT": r} if isinstance(r, str) else r
                      for r in rcpts]
        request = {
            "A_QUEUE_ID": self.queue_id, "A_QUEUE_NAME": "active",
            "A_CONTENT_OFFSET": len(pad), "A_CONTENT_LENGTH": len(content),
            "A_SIZE": len(content), "A_ARRIVAL": now, "A_ACTIVE_TIME": now,
            "A_FLAGS": 0, "A_SENDER": sender, "A_TRANSPORT": "smtp",
            "A_NEXTHOP": nexthop, "A_INDEX": len(self.rcpts),
        }
        request.update(attrs)
        with tempfile.TemporaryFile() as file:
            file.write(pad + content + b"trailer")
            file.flush()
            self.ipc.send("MSG_DELIVER", request, file.fileno())
        for i, rcpt in enumerate(self.rcpts):
            self.ipc.send("MSG_RCPT", dict({"A_INDEX": 100 + i}, **rcpt))

    def result(self):
        out = Result()
        while True:
            kind, attrs = self.ipc.recv()
            if kind == "MSG_DELIVER_DONE":
                out.idle = attrs["A_IDLE_DEST"]
                assert len(out.order) == len(self.rcpts), out.order
                return out
            assert kind == "MSG_RCPT_DONE", kind
            rcpt = self.rcpts[attrs["A_INDEX"] - 100]["A_RECIPIENT"]
            assert rcpt not in out.reply, "reported twice"
            out.reply[rcpt] = attrs
            out.order.append(rcpt)

    def deliver(self, *args, **kw):
        self.send(*args, **kw)
        return self.result()

    def close(self):
        self.ipc.close()
