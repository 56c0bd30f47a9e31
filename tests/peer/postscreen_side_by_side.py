# SPDX-License-Identifier: MIT
"""Play the dialogues of tests/postscreen to Debian's postscreen and to ours, in
namespaces of their own; print where replies or log lines differ. Run by
test_postscreen_oracle.py:

    postscreen_side_by_side.py [--record | --oracle] FILE...

--record writes what Debian's postscreen does into the files, --oracle prints
it, --ours prints what ours does.
"""
import difflib
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))

import dns_server  # noqa: E402
import oracle  # noqa: E402
import postrider  # noqa: E402
import screen_script  # noqa: E402

MASTER = """\
127.0.0.1:{port} inet n - n - 1 postscreen {over}
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"""
SETTINGS = {
    "myhostname": "mx.example.com",
    "mynetworks": "127.0.0.2",
    "smtpd_peername_lookup": "no",
    "postscreen_greet_wait": "2s",
    "defer_transports": "local smtp",
    "local_recipient_maps": "",
    "mydestination": "example.com",
    "in_flow_delay": "0",
}
HANGS_AROUND = 0.5  # until the last log line is written


def use_resolver(scratch):
    for name, text in (("resolv.conf", "nameserver 127.0.0.1\n"),
                       ("hosts", "127.0.0.1 localhost\n")):
        with open(os.path.join(scratch, name), "w", encoding="ascii") as out:
            out.write(text)
        subprocess.run(["mount", "--bind", os.path.join(scratch, name),
                        "/etc/" + name], check=True)


def play(server, script, port):
    results = script.play(("127.0.0.1", port))
    time.sleep(HANGS_AROUND)
    return script.record(results, server.log())


def theirs(scratch, script, number):
    port = postrider.free_port()
    files = os.path.join(scratch, f"files{number}")
    os.makedirs(files)
    main = dict(SETTINGS, **script.settings(files))
    line = MASTER.format(port=port, over=" ".join(script.over))
    server = oracle.Postfix(scratch, port, main=main, name=f"o{number}",
                            master={f"127.0.0.1:{port} inet": line})
    server.start()
    try:
        return play(server, script, port), server
    finally:
        server.stop()


def ours(scratch, script, number):
    port = postrider.free_port()
    files = os.path.join(scratch, f"our-files{number}")
    os.makedirs(files)
    main = dict(SETTINGS, **script.settings(files))
    line = MASTER.format(port=port, over=" ".join(script.over))
    with postrider.Instance(port=port, main=main,
                            master={"smtp inet": line}) as server:
        text = play(server, script, port)
        return text, server.log()


def main():
    scratch = oracle.enter()
    use_resolver(scratch)
    args = sys.argv[1:]
    mode = args.pop(0) if args[0].startswith("--") else ""
    verdict = 0
    for number, path in enumerate(args):
        script = screen_script.Script(path)
        zone = dns_server.DnsServer(script.zone, port=53).start()
        try:
            if mode != "--ours":
                text, server = theirs(scratch, script, number)
            if mode == "--oracle":
                print(text)
                print(server.log())
            elif mode == "--record":
                with open(path, "w", encoding="utf-8") as out:
                    out.write(text)
            else:
                own, log = ours(scratch, script, number)
                if mode == "--ours":
                    print(own)
                    print(log)
                    continue
                diff = list(difflib.unified_diff(
                    text.split("\n"), own.split("\n"), "Postfix",
                    "Postrider", lineterm="", n=4))
                print("\n".join(diff))
                if diff:
                    print(path)
                    verdict = 1
        finally:
            zone.stop()
    sys.exit(verdict)


if __name__ == "__main__":
    main()
