# SPDX-License-Identifier: MIT
"""Where the SMTP client goes, beyond what Debian's Postfix can be compared
with (tests/peer/test_route_oracle.py): SRV records, and best_mx_transport
within the queue manager."""
import contextlib
import re

import pytest

import postrider
import relay
from test_smtp_client import World, brief, status_line

TO = "u@remote.example"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("srv"))
    yield w
    w.stop()


@pytest.fixture(scope="module")
def srv(world):
    talk = world.agent(over=["use_srv_lookup=submission", "inet_protocols=ipv4",
                             "smtp_mx_session_limit=0",
                             "smtp_mx_address_limit=0"])
    yield talk
    talk.close()


def hosts(world, domain, *records):
    """SRV records (priority, weight, stages or None); returns the servers."""
    servers = []
    for i, (priority, weight, script) in enumerate(records):
        addr = world.server(**(script if script is not None
                               else {"listen": False}))
        servers.append(world.servers.get(addr))
        world.records(
            f"_submission._tcp.{domain} SRV {priority} {weight} {world.port} "
            f"s{i}.{domain}\ns{i}.{domain} A {addr}")
    return servers


def result(world, talk, nexthop):
    talk.deliver(nexthop, [TO])
    return brief(status_line(world, talk, TO))


def test_srv_order(world, srv):
    """The lowest priority first, then the next one."""
    servers = hosts(world, "prio.example", (20, 0, {}), (10, 0, None),
                    (15, 5, {"rcpt": "450 4.2.0 grey"}), (30, 0, {}))
    line = result(world, srv, "prio.example:submission")
    assert line.startswith("relay=s0.prio.example[")
    assert f":{world.port}, dsn=2.0.0" in line
    assert [len(s.sessions) if s else None for s in servers] == [1, None, 1, 0]


def test_srv_weights(world):
    """All the load goes where the weight is; the rest is for bad times."""
    talk = world.agent(over=["use_srv_lookup=submission",
                             "smtp_connection_cache_on_demand=no"])
    servers = hosts(world, "weight.example", (1, 1, {}), (1, 65535, {}),
                    (1, 1, {}))
    for _ in range(12):
        assert "dsn=2.0.0" in result(world, talk, "weight.example:submission")
    assert len(servers[1].sessions) >= 11
    talk.close()


def test_srv_only_where_it_is_configured(world, agent_plain, srv):
    """[host], a number, another service and no service mean what they do
    everywhere."""
    hosts(world, "conf.example", (1, 1, {}))
    addr = world.server()
    world.records(f"conf.example A {addr}")
    for nexthop in (f"conf.example:{world.port}",
                    f"[conf.example]:{world.port}"):
        assert result(world, srv, nexthop).startswith(
            f"relay=conf.example[{addr}]:{world.port}, dsn=2.0.0")
    for talk, nexthop in ((agent_plain, "conf.example:submission"),
                          (srv, "[conf.example]:submission"),
                          (srv, "conf.example:587")):
        assert result(world, talk, nexthop) == (
            "relay=none, dsn=4.4.1, status=deferred (connect to "
            f"conf.example[{addr}]:587: Connection refused)")
    assert world.dns.count("_submission._tcp.conf.example", "SRV") == 0


@pytest.fixture(scope="module")
def agent_plain(world):
    talk = world.agent()
    yield talk
    talk.close()


BAD_ZONE = """
_submission._tcp.none.example SRV 0 0 0 .
_submission._tcp.fail.example SERVFAIL
_submission._tcp.gonehost.example SRV 0 0 25 nobody.gonehost.example
_submission._tcp.failhost.example SRV 0 0 25 x.fail.failhost.example
x.fail.failhost.example SERVFAIL
_submission._tcp.garbage.example SRV 0 0 25 b\\x.example
_submission._tcp.port0.example SRV 0 0 0 h.port0.example
"""
BAD = {
    "nothing.example": "dsn=5.4.4, status=bounced (Host or domain name not "
        "found. Name service error for name=_submission._tcp.nothing.example "
        "type=SRV: Host not found)",
    "none.example": "dsn=5.4.4, status=bounced (Domain none.example does not "
        "offer the service submission)",
    "fail.example": "dsn=4.4.3, status=deferred (Host or domain name not "
        "found. Name service error for name=_submission._tcp.fail.example "
        "type=SRV: Host not found, try again)",
    "gonehost.example": "dsn=5.4.4, status=bounced (Host or domain name not "
        "found. Name service error for name=nobody.gonehost.example type=A: "
        "Host not found)",
    "failhost.example": "dsn=4.4.3, status=deferred (Host or domain name not "
        "found. Name service error for name=x.fail.failhost.example type=A: "
        "Host not found, try again)",
    "garbage.example": "dsn=5.4.4, status=bounced (Name service error for "
        "name=_submission._tcp.garbage.example type=SRV: Malformed or "
        "unexpected name server reply)",
    "port0.example": "dsn=5.4.4, status=bounced (Name service error for "
        "name=_submission._tcp.port0.example type=SRV: Malformed or "
        "unexpected name server reply)",
}


@pytest.mark.parametrize("domain", BAD)
def test_srv_failures(world, srv, domain):
    if BAD_ZONE not in world.zone:
        world.records(BAD_ZONE)
    assert result(world, srv, domain + ":submission") == (
        "relay=none, " + BAD[domain])


def test_srv_falls_back(world):
    """allow_srv_lookup_fallback: no records; ignore_srv_lookup_error: no
    answer."""
    addr = world.server()
    world.records(f"_submission._tcp.sf.example SERVFAIL\nsf.example A {addr}\n"
                  f"nr.example MX 10 m.nr.example\nm.nr.example A {addr}")
    over = ["use_srv_lookup=submission",
            f"known_tcp_ports=submission={world.port}"]
    for name, good, bad in (
            ("allow_srv_lookup_fallback", "nr.example", "sf.example"),
            ("ignore_srv_lookup_error", "sf.example", "nr.example")):
        talk = world.agent(over=over + [name + "=yes"])
        assert "dsn=2.0.0" in result(world, talk, good + ":submission")
        assert "type=SRV" in result(world, talk, bad + ":submission")
        talk.close()


# ---- best_mx_transport ----

@contextlib.contextmanager
def sink():
    server = postrider.smtp_sink()
    yield server
    server.stop()


start = relay.start_fixture({"smtp_dns_support_level": "disabled",
                             "smtp_host_lookup": "native"})


def test_passed_on_once(start):
    """Transports that pass to each other come to an end, and the recipients
    of one message go their own ways."""
    with sink() as sink2:
        main = {
            "relayhost": "", "transport_maps":
                "inline:{ a.example=ping:[127.0.0.1], "
                "b.example=keep:[127.0.0.1], c.example=err:[127.0.0.1] }",
        }
        master = {
            "ping unix": "ping unix - - n - - smtp -o best_mx_transport=pong",
            "pong unix": "pong unix - - n - - smtp -o best_mx_transport=ping",
            "keep unix": "keep unix - - n - - smtp "
                         f"-o best_mx_transport=smtp:[127.0.0.1]:{sink2.port}",
            "err unix": "err unix - - n - - smtp "
                        "-o {best_mx_transport=error:5.1.2 not here}",
        }
        mta, _ = start(main=main, master=master)
        relay.send(mta, ["u@a.example", "u@b.example", "v@b.example",
                         "u@c.example"], sender="")
        mta.wait_log(r"to=<u@a.example>.*dsn=5.4.6, status=bounced "
                     r"\(mail for 127.0.0.1 loops back to myself\)")
        mta.wait_log(r"passing <u@a.example> to transport=pong")
        mta.wait_log(r"to=<u@c.example>.*dsn=5.1.2, status=bounced "
                     r"\(not here\)")
        for who in "uv":
            mta.wait_log(rf"to=<{who}@b.example>, relay=127.0.0.1\[127.0.0.1\]"
                         rf":{sink2.port}, .*status=sent")
        mta.wait_queue(0)
        assert len(re.findall("passing <u@a.example>", mta.log())) == 2
        assert len(sink2.messages) == 1
        assert len(sink2.messages[0].rcpts) == 2
