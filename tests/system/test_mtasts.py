# SPDX-License-Identifier: MIT
"""The service that knows MTA-STS policies and counts results of TLS."""
import os
import threading
import time

import pytest

import tls_ca
from sts_host import policy
from sts_world import (
    CACHED, DAY, ENFORCE, EXPIRED, FETCH_ERROR, FETCHED, NO_POLICY,
    NO_STARTTLS, NONE, NOT_TRUSTED, POLICY_INVALID, SUCCESS, TESTING, TLSA,
    WEBPKI, World, avoid_midnight, day_before, read_reports, state, wait_for)


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    w.stop()


def test_fetch_and_cache(world):
    world.announce("a.example", "20160831085700Z")
    world.host.set("a.example", policy("enforce", ["mx1.a.example",
                                                   "*.b.example"]))
    how, got = world.ask("A.Example")
    assert how == (ENFORCE, FETCHED, SUCCESS)
    assert got["mx"] == ["mx1.a.example", "*.b.example"]
    assert got["A_ID"] == "20160831085700Z"
    assert got["A_TTL"] == got["A_TIME_LIMIT"] == 604800
    assert world.host.requests == [("a.example", "/.well-known/mta-sts.txt")]
    world.box.wait_log("mtasts: MTA-STS policy of a.example: "
                       "id=20160831085700Z, mode=enforce, max_age=604800, "
                       "mx=mx1.a.example,*.b.example")
    how, again = world.ask("a.example")
    assert how == (ENFORCE, CACHED, SUCCESS) and again["mx"] == got["mx"]
    # Other modes; a name that is not ASCII.
    world.announce("b.example")
    world.host.set("b.example", policy("testing", ["x.b.example"]))
    assert world.ask("b.example")[0] == (TESTING, FETCHED, SUCCESS)
    world.announce("xn--bcher-kva.example")
    world.host.set("xn--bcher-kva.example", policy("none"))
    assert world.ask("b\u00fccher.example")[0] == (NONE, FETCHED, SUCCESS)
    assert world.ask("b\u00fccher.example")[0] == (NONE, CACHED, SUCCESS)
    assert world.host.count("xn--bcher-kva.example") == 1

    # It survives a restart, and the loss of record and policy host.
    world.announce("a.example", None, None)
    world.restart()
    how, again = world.ask("a.example")
    assert how == (ENFORCE, CACHED, SUCCESS) and again["mx"] == got["mx"]
    assert again["A_ID"] == "20160831085700Z"
    assert "no valid TXT record" in again["A_REASON"]
    world.publish("a.example", "_mta-sts.a.example SERVFAIL\n")
    how, again = world.ask("a.example")
    assert how[:2] == (ENFORCE, CACHED)
    assert world.host.count("a.example") == 1


def test_no_policy(world):
    txt = "ttl=0 _mta-sts.a.example TXT "
    world.host.set("a.example", policy("enforce", ["mx.a.example"]))
    for records in ("a.example A 127.0.0.1\n",
                    txt + "v=STSv1; id=1;\n" + txt + "v=STSv1; id=2;\n",
                    txt + "v=STSv1;\n", txt + "v=spf1 -all\n"):
        world.publish("a.example",
                      records + "mta-sts.a.example A 127.0.0.1\n")
        how, got = world.ask("a.example")
        assert how == (NONE, NO_POLICY, SUCCESS), records
    for bad in ("-", "a..b", "x" * 64 + ".example", "a." * 120 + "example",
                "[127.0.0.1]", "../etc", ""):
        assert world.ask(bad)[0] == (NONE, NO_POLICY, SUCCESS)
    assert world.host.requests == []
    # Another record beside it does not count.
    txt = txt.replace("a.example", "b.example")
    world.host.set("b.example", policy("enforce", ["mx.b.example"]))
    world.publish("b.example", txt + "v=spf1 -all\n" + txt +
                  "v=STSv1; id=1;\nmta-sts.b.example A 127.0.0.1\n")
    assert world.ask("b.example")[0] == (ENFORCE, FETCHED, SUCCESS)
    world.publish("c.example", "_mta-sts.c.example SERVFAIL\n")
    assert world.ask("c.example")[0] == (NONE, NO_POLICY, FETCH_ERROR)
    # Nobody waits for the next time-out.
    world.publish("c.example", "_mta-sts.c.example DROP\n")
    start = time.monotonic()
    assert world.ask("c.example")[0] == (NONE, NO_POLICY, FETCH_ERROR)
    assert time.monotonic() - start < 4


def test_policy_host_fails(world):
    good = policy("enforce", ["mx.a.example"])
    number = 0
    tls_ca.issue(world.ca, "sts-name", "mta-sts.other.example")
    tls_ca.issue(world.ca, "sts-ca", "mta-sts.a.example", ca="ca2")
    tls_ca.issue(world.ca, "sts-old", "mta-sts.a.example", days=0)
    for script, want, reason in (
            ({"status": 404}, FETCH_ERROR, "HTTP status 404"),
            ({"status": 301, "headers": [("Location", "/mta-sts.txt")]},
             FETCH_ERROR, "HTTP status 301"),
            ({"type": "text/html"}, FETCH_ERROR, "not text/plain"),
            ({"text": good + "x: y\n" * 20000}, FETCH_ERROR, "too long"),
            ({"headers": [("X-%d" % i, "y" * 1000) for i in range(90)]},
             FETCH_ERROR, "too long"),
            ({"text": ""}, POLICY_INVALID, "no version"),
            ({"text": good.replace("enforce", "maybe")}, POLICY_INVALID,
             "unknown mode"),
            ({"cert": "sts-name"}, WEBPKI, "SSL: no alternative certificate"),
            ({"cert": "sts-ca"}, WEBPKI, "unable to get local issuer"),
            ({"cert": "sts-old"}, WEBPKI, "certificate has expired"),
            ({"cert": None}, FETCH_ERROR, "")):
        number += 1
        world.announce("a.example", f"id{number}")
        world.host.set("a.example", dict({"text": good}, **script))
        how, got = world.ask("a.example")
        assert how == (NONE, NO_POLICY, want), (script, got)
        assert reason in got["A_REASON"]
        world.box.wait_log("mtasts: warning: MTA-STS policy of a.example: "
                           + {FETCH_ERROR: "sts-policy-fetch-error: ",
                              POLICY_INVALID: "sts-policy-invalid: ",
                              WEBPKI: "sts-webpki-invalid: "}[want])
        # Not tried again so soon.
        before = len(world.host.requests)
        assert world.ask("a.example")[0] == how
        assert len(world.host.requests) == before
    world.announce("c.example", "1", None)
    how, got = world.ask("c.example")
    assert how == (NONE, NO_POLICY, FETCH_ERROR)
    assert got["A_REASON"] == "mta-sts.c.example: no such host"
    world.announce("b.example", "2", "127.0.0.99")
    assert world.ask("b.example")[0] == (NONE, NO_POLICY, FETCH_ERROR)
    assert os.listdir(world.cache) == []
    # A content type with parameters is fine, and so is a second address.
    world.announce("b.example", "3")
    world.publish("b.example", world.zone["b.example"]
                  + "ttl=0 mta-sts.b.example A 127.0.0.99\n")
    world.host.set("b.example", {"text": policy("none"),
                                 "type": "text/plain; charset=utf-8"})
    assert world.ask("b.example")[0] == (NONE, FETCHED, SUCCESS)


def test_new_id(world):
    world.announce("a.example", "1")
    world.host.set("a.example", policy("enforce", ["old.a.example"]))
    assert world.ask("a.example")[1]["mx"] == ["old.a.example"]
    # The old one holds while the new one cannot be had.
    world.announce("a.example", "2")
    world.host.set("a.example", {"status": 500})
    how, got = world.ask("a.example")
    assert how == (ENFORCE, CACHED, FETCH_ERROR)
    assert got["mx"] == ["old.a.example"] and got["A_ID"] == "1"
    world.host.set("a.example", policy("testing", ["new.a.example"]))
    assert world.ask("a.example")[0] == (ENFORCE, CACHED, FETCH_ERROR)
    assert world.host.count("a.example") == 2
    world.announce("a.example", "3")
    how, got = world.ask("a.example")
    assert how == (TESTING, FETCHED, SUCCESS)
    assert got["mx"] == ["new.a.example"] and got["A_ID"] == "3"
    assert world.ask("a.example")[0] == (TESTING, CACHED, SUCCESS)


def test_retry_time(tmp_path):
    world = World(tmp_path, {"postrider_mta_sts_retry_time": "1s"})
    try:
        world.announce("a.example")
        world.host.set("a.example", {"status": 500})
        assert world.ask("a.example")[0] == (NONE, NO_POLICY, FETCH_ERROR)
        world.host.set("a.example", policy("enforce", ["mx.a.example"]))
        wait_for(lambda: world.ask("a.example")[0]
                 == (ENFORCE, FETCHED, SUCCESS))
    finally:
        world.stop()


def test_ipv6(tmp_path):
    try:
        world = World(tmp_path, {"inet_protocols": "all"}, "::1")
    except OSError as err:
        pytest.skip(f"no IPv6 here: {err}")
    try:
        world.publish("a.example", "_mta-sts.a.example TXT v=STSv1; id=1\n"
                      "mta-sts.a.example AAAA ::1\n"
                      "mta-sts.a.example A 127.0.0.99\n")
        world.host.set("a.example", policy("testing", ["mx.a.example"]))
        assert world.ask("a.example")[0] == (TESTING, FETCHED, SUCCESS)
    finally:
        world.stop()


def test_expired_and_refreshed(world):
    for domain, age in (("a.example", 7200), ("b.example", 2 * DAY),
                        ("c.example", 7200)):
        world.announce(domain)
        world.host.set(domain, policy("enforce", ["mx." + domain], age))
        assert world.ask(domain)[0] == (ENFORCE, FETCHED, SUCCESS)
    world.end()
    world.age("a.example", 7201)
    world.age("b.example", 2 * DAY - 7200)
    world.age("c.example", 7000)
    with open(os.path.join(world.cache, "c.example"), "a") as f:
        f.write("broken\n")
    open(os.path.join(world.cache, "d.example"), "w").close()
    with open(os.path.join(world.cache, "b.example.museum"), "w") as f:
        f.write(world.cached("b.example"))
    world.host.set("a.example", {"status": 500})
    world.host.set("b.example", policy("testing", ["new.b.example"]))
    world.start()
    assert sorted(os.listdir(world.cache)) == ["b.example"]
    # Too old, and no other to be had.
    assert world.ask("a.example")[0] == (NONE, NO_POLICY, FETCH_ERROR)
    # Old enough to be fetched again, which nobody waits for.
    how, got = world.ask("b.example")
    assert how == (ENFORCE, CACHED, SUCCESS)
    assert 0 < got["A_TTL"] <= 7200
    wait_for(lambda: "new.b.example" in world.cached("b.example"))
    how, got = world.ask("b.example")
    assert how == (TESTING, CACHED, SUCCESS) and got["A_TTL"] > DAY
    # A damaged file is no policy.
    world.box.wait_log("/c.example is damaged: malformed line")
    assert world.ask("c.example")[0] == (ENFORCE, FETCHED, SUCCESS)


def test_one_fetch_for_all(world):
    hold = threading.Event()
    world.announce("a.example")
    world.host.set("a.example", {"text": policy("enforce", ["mx.a.example"]),
                                 "hold": hold})
    world.announce("b.example")
    world.host.set("b.example", policy("none"))
    clients = [world.connect() for _ in range(5)]
    for client in clients:
        for _ in range(3):
            world.send("a.example", client)
    wait_for(world.host.count, "a.example")
    # Others need not wait; who hangs up is forgotten.
    assert world.ask("b.example")[0] == (NONE, FETCHED, SUCCESS)
    clients.pop().close()
    assert world.ask("b.example")[0] == (NONE, CACHED, SUCCESS)
    hold.set()
    for client in clients:
        for _ in range(3):
            assert world.receive(client)["A_MODE"] == ENFORCE
        client.close()
    assert world.host.count("a.example") == 1


def test_bad_requests(world):
    world.announce("a.example")
    world.host.set("a.example", policy("none"))
    for kind, attrs in (("MSG_STATUS", {"A_STATUS": 0}),
                        ("MSG_STS_QUERY", {"A_SERIAL": 1})):
        client = world.connect()
        client.send(kind, attrs)
        with pytest.raises((EOFError, ConnectionError)):
            client.recv()
        client.close()
    world.ipc.send("MSG_TLS_RESULT", {"A_NAME": "a/b", "A_KIND": 99,
                                      "A_RESULT": -1})
    world.ipc.send("MSG_TLS_RESULT", {"A_NAME": "a.example", "A_KIND": 99,
                                      "A_RESULT": -1})
    assert world.ask("a.example")[0] == (NONE, FETCHED, SUCCESS)


# ---- reports ----

def result(world, domain, kind, what, strings=(), mx=(), **more):
    attrs = [("A_NAME", domain), ("A_KIND", kind), ("A_RESULT", what)]
    attrs += list(more.items()) + [("A_RR", s) for s in strings]
    attrs += [("A_PATTERN", s) for s in mx]
    world.ipc.send("MSG_TLS_RESULT", attrs)


def test_reports(world):
    avoid_midnight()
    world.publish("r", "_smtp._tls.a.example TXT v=TLSRPTv1; "
                  "rua=mailto:tls@a.example\n"
                  "_smtp._tls.b.example TXT v=TLSRPTv1; rua=mailto:x@b\n"
                  "c.example A 127.0.0.1\n_smtp._tls.d.example SERVFAIL\n")
    lines = ["version: STSv1", "mode: enforce", "mx: *.a.example",
             "max_age: 86400"]
    sts = {"strings": lines, "mx": ["*.a.example"]}
    for _ in range(3):
        result(world, "A.example", 1, SUCCESS, **sts)
    for _ in range(2):
        result(world, "a.example", 1, EXPIRED, A_MTA="mx.a.example",
               A_CLIENT_ADDR="192.0.2.1", A_SERVER_ADDR="2001:db8::1",
               A_REASON='say "x" y', **sts)
    result(world, "a.example", 1, NO_STARTTLS, A_MTA="mx.a.example", **sts)
    result(world, "a.example", 0, SUCCESS)
    result(world, "b.example", 2, TLSA, strings=["3 1 1 AB"],
           A_SITE="mx.b.example")
    for domain in ("c.example", "d.example"):
        result(world, domain, 0, SUCCESS)
    for name in "abcd":
        wait_for(world.dns.count, f"_smtp._tls.{name}.example", "TXT")
    world.announce("a.example", None)
    assert world.ask("a.example")[0] == (NONE, NO_POLICY, SUCCESS)
    world.end()
    assert "domain a.example wanted\n" in state(world)
    # A restart within the day goes on counting.
    world.start()
    result(world, "a.example", 1, SUCCESS, **sts)
    result(world, "a.example", 1, EXPIRED, A_MTA="mx.a.example",
           A_CLIENT_ADDR="192.0.2.1", A_SERVER_ADDR="2001:db8::1",
           A_REASON='say "x" y', **sts)
    world.ask("a.example")
    world.end()
    assert os.listdir(world.reports) == ["state"]
    begin = day_before(world)
    for age, name in ((31 * DAY, "old"), (DAY, "new")):
        open(os.path.join(world.reports, f"h!{name}.example!1!"
                          f"{int(time.time()) - age}.json"), "w").close()
    world.start()
    wait_for(lambda: f"tlsrpt 1 {begin + DAY}\n" == state(world))
    files = [f for f in os.listdir(world.reports)
             if f.startswith("client.example.com!")]
    end = begin + DAY - 1
    assert sorted(files) == [f"client.example.com!{d}.example!{begin}!{end}"
                             ".json" for d in "ab"]
    assert len(os.listdir(world.reports)) == 4
    got = read_reports(world)
    day = time.strftime("%Y-%m-%d", time.gmtime(begin))
    assert got["a.example"] == {
        "organization-name": "example.com",
        "date-range": {"start-datetime": f"{day}T00:00:00Z",
                       "end-datetime": f"{day}T23:59:59Z"},
        "contact-info": "postmaster@example.com",
        "report-id": f"{begin}.a.example@client.example.com",
        "policies": [
            {"policy": {"policy-type": "sts", "policy-string": lines,
                        "policy-domain": "a.example",
                        "mx-host": ["*.a.example"]},
             "summary": {"total-successful-session-count": 4,
                         "total-failure-session-count": 4},
             "failure-details": [
                 {"result-type": "certificate-expired",
                  "sending-mta-ip": "192.0.2.1",
                  "receiving-mx-hostname": "mx.a.example",
                  "receiving-ip": "2001:db8::1",
                  "failed-session-count": 3,
                  "failure-reason-code": 'say "x" y'},
                 {"result-type": "starttls-not-supported",
                  "receiving-mx-hostname": "mx.a.example",
                  "failed-session-count": 1}]},
            {"policy": {"policy-type": "no-policy-found",
                        "policy-domain": "a.example"},
             "summary": {"total-successful-session-count": 1,
                         "total-failure-session-count": 0}}]}
    assert got["b.example"]["policies"] == [
        {"policy": {"policy-type": "tlsa", "policy-string": ["3 1 1 AB"],
                    "policy-domain": "mx.b.example"},
         "summary": {"total-successful-session-count": 0,
                     "total-failure-session-count": 1},
         "failure-details": [{"result-type": "tlsa-invalid",
                              "failed-session-count": 1}]}]


def test_reports_are_bounded(world):
    avoid_midnight()
    world.publish("r", "_smtp._tls.a.example TXT v=TLSRPTv1; "
                  "rua=mailto:tls@a.example\n")
    for i in range(300):
        result(world, "a.example", 0, NOT_TRUSTED, A_REASON=f"reason {i}")
        result(world, "a.example", 1, SUCCESS, mx=[f"mx{i}.a.example"])
    world.ask("a.example")
    world.end()
    text = state(world)
    assert text.count("\npolicy ") == 8
    assert text.count("\nfailed ") == 101
    assert "failed certificate-not-trusted 200 - - - -\n" in text
    with open(os.path.join(world.reports, "state"), "a") as f:
        f.write("failed nonsense\n")
    world.start()
    world.box.wait_log("/tlsrpt/state is damaged")
    result(world, "a.example", 0, NOT_TRUSTED, A_REASON="reason 1")
    world.ask("a.example")
    world.end()
    assert "failed certificate-not-trusted 2 - - - reason 1\n" in state(world)
