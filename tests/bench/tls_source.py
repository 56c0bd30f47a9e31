# SPDX-License-Identifier: MIT
"""A load of SMTP over STARTTLS for bench.py, run as a program of its own:

    tls_source.py PORT SESSIONS COUNT SIZE RECIPIENT

COUNT connections in SESSIONS processes, each a full handshake and, when SIZE
is not 0, one message of that many bytes.
"""
import os
import socket
import ssl
import sys


def reply(file):
    while True:
        line = file.readline()
        if line[3:4] != b"-":
            if line[:1] not in b"23":
                raise OSError(line.decode(errors="replace"))
            return


def session(context, port, message):
    sock = socket.create_connection(("127.0.0.1", port), 60)
    file = sock.makefile("rb")
    reply(file)
    sock.sendall(b"EHLO client.example.com\r\n")
    reply(file)
    sock.sendall(b"STARTTLS\r\n")
    reply(file)
    tls = context.wrap_socket(sock)
    file = tls.makefile("rb")
    tls.sendall(b"EHLO client.example.com\r\n")
    reply(file)
    if message:
        tls.sendall(message[0])
        for _ in range(3):
            reply(file)
        tls.sendall(message[1])
        reply(file)
    tls.sendall(b"QUIT\r\n")
    reply(file)
    tls.close()


def main():
    port, sessions, count, size = map(int, sys.argv[1:5])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    message = None
    if size:
        line = b"x" * 62 + b"\r\n"
        message = (b"MAIL FROM:<sender@client.example.com>\r\n"
                   b"RCPT TO:<" + sys.argv[5].encode() + b">\r\nDATA\r\n",
                   b"Subject: bench\r\n\r\n" + line * (size // 64) + b".\r\n")
    children = []
    for i in range(sessions):
        pid = os.fork()
        if pid == 0:
            try:
                for _ in range(count // sessions + (i < count % sessions)):
                    session(context, port, message)
            except OSError as err:
                print(err, file=sys.stderr)
                os._exit(1)
            os._exit(0)
        children.append(pid)
    sys.exit(any(os.waitpid(pid, 0)[1] for pid in children))


if __name__ == "__main__":
    main()
