# SPDX-License-Identifier: MIT
"""An HTTPS server for MTA-STS policies, scripted per domain.

    host = StsHost(tls_ca.folder(), ["good.example", "other.example"])
    host.set("good.example", policy("enforce", ["mx.good.example"]))
    ... host.port, host.count("good.example") ...
    host.stop()

It has certificates of the authority for mta-sts. of the domains. What may be
set for a domain: a policy's text, or a dict of what differs from the usual:
text, status, type (of the content), headers (a list of pairs), cert (another
NAME of .pem and .key in the folder; None: drop the connection), hold (a
threading.Event that the answer waits for).
"""
import http.server
import os
import socket
import ssl
import threading

import tls_ca


def policy(mode, mx=(), max_age=604800, more=""):
    lines = ["version: STSv1", f"mode: {mode}"]
    lines += [f"mx: {name}" for name in mx] + [f"max_age: {max_age}"]
    return "\r\n".join(lines) + "\r\n" + more


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        domain = self.headers["Host"].split(":")[0].removeprefix("mta-sts.")
        host = self.server.owner
        script = host.scripts.get(domain, {"status": 404})
        host.requests.append((domain, self.path))
        if "hold" in script:
            script["hold"].wait(60)
        body = script.get("text", "").encode()
        self.send_response(script.get("status", 200))
        self.send_header("Content-Type", script.get("type", "text/plain"))
        self.send_header("Content-Length", str(len(body)))
        for name, value in script.get("headers", ()):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def finish_request(self, request, client_address):
        """The handshake takes place in the thread of the client."""
        request.settimeout(60)
        try:
            request = self.owner.context.wrap_socket(request,
                                                     server_side=True)
            super().finish_request(request, client_address)
            request.unwrap()
        except (OSError, ssl.SSLError):
            pass

    def handle_error(self, request, client_address):
        pass


class _Server6(_Server):
    address_family = socket.AF_INET6


class StsHost:
    def __init__(self, folder, domains, host="127.0.0.1", port=0):
        self.folder = folder
        self.scripts = {}
        self.requests = []
        if not os.path.exists(f"{folder}/sts.pem"):
            tls_ca.issue(folder, "sts", "mta-sts",
                         names=["mta-sts." + d for d in domains])
        self.context = self._context("sts")
        self.context.sni_callback = self._choose
        self.server = (_Server6 if ":" in host else _Server)((host, port),
                                                             _Handler)
        self.server.owner = self
        self.host = host
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def _context(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{self.folder}/{name}.pem",
                                f"{self.folder}/{name}.key")
        return context

    def _choose(self, sock, name, _):
        script = self.scripts.get((name or "").removeprefix("mta-sts."), {})
        if "cert" in script:
            if script["cert"] is None:
                return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
            sock.context = self._context(script["cert"])
        return None

    def set(self, domain, script):
        self.scripts[domain] = (script if isinstance(script, dict)
                                else {"text": script})

    def count(self, domain):
        return sum(1 for d, _ in self.requests if d == domain)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
