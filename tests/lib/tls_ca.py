# SPDX-License-Identifier: MIT
"""An authority of our own, with certificates for tests of TLS.

    folder = tls_ca.folder()        made once per process, goes away with it

    ca.pem, ca2.pem         the authority; another that nobody trusts
    rsa.pem rsa.key         mx.example.com, RSA
    ec.pem ec.key           mx.example.com, ECDSA
    chain.pem               key, certificate and authority of both in one file
    rsakeycert.pem, rsacertkey.pem   rsa's key and certificate in this order
    other.pem other.key     other.example.com, ECDSA (for SNI)
    client.pem client.key   "client.example", by the authority, for clients
    stranger.pem .key       the same name, by ca2
    selfsigned.pem .key     signed by itself
    expired.pem .key        by the authority, over
    clients                 relay_clientcerts: fingerprints (sha256) of client,
                            of the public key of selfsigned
    access                  for check_ccert_access
    sni                     source of a table for tls_server_sni_maps
"""
import atexit
import os
import shutil
import subprocess
import tempfile

_folder = None


def openssl(*argv, **kw):
    done = subprocess.run(["openssl", *argv], capture_output=True, **kw)
    if done.returncode:
        raise RuntimeError(f"openssl {argv[0]}: {done.stderr.decode()}")
    return done.stdout


def new_key(path, kind="ec"):
    if kind == "rsa":
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt",
                "rsa_keygen_bits:2048", "-out", path)
    else:
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-out", path)
    os.chmod(path, 0o600)


def authority(where, name, common):
    new_key(f"{where}/{name}.key")
    openssl("req", "-x509", "-new", "-key", f"{where}/{name}.key", "-subj",
            f"/CN={common}", "-days", "3650", "-out", f"{where}/{name}.pem")


def issue(where, name, common, ca="ca", kind="ec", days=3650, names=None):
    """NAME.key and NAME.pem, signed by the authority ca (None: itself)."""
    new_key(f"{where}/{name}.key", kind)
    names = names or [common]
    ext = f"{where}/{name}.ext"
    with open(ext, "w") as out:
        out.write("basicConstraints=CA:FALSE\nsubjectAltName="
                  + ",".join("DNS:" + n for n in names) + "\n")
    openssl("req", "-new", "-utf8", "-key", f"{where}/{name}.key", "-subj",
            f"/O=Test/CN={common}", "-out", f"{where}/{name}.csr")
    sign = (["-CA", f"{where}/{ca}.pem", "-CAkey", f"{where}/{ca}.key",
             "-CAcreateserial"] if ca
            else ["-signkey", f"{where}/{name}.key"])
    openssl("x509", "-req", "-in", f"{where}/{name}.csr", *sign, "-days",
            str(days), "-extfile", ext, "-out", f"{where}/{name}.pem")
    os.unlink(f"{where}/{name}.csr")
    os.unlink(ext)


def fingerprint(path, digest="sha256", public_key=False):
    """As Postfix writes it: upper case hexadecimal with colons."""
    der = openssl("x509", "-in", path, "-outform", "DER")
    if public_key:
        pem = openssl("x509", "-in", path, "-noout", "-pubkey")
        der = openssl("pkey", "-pubin", "-outform", "DER", input=pem)
    text = openssl("dgst", "-" + digest, "-hex", input=der).decode()
    text = text.rsplit(" ", 1)[-1].strip().upper()
    return ":".join(text[i:i + 2] for i in range(0, len(text), 2))


def read(*paths):
    return "".join(open(path).read() for path in paths)


def make(where):
    authority(where, "ca", "Test Authority")
    authority(where, "ca2", "Unknown Authority")
    issue(where, "rsa", "mx.example.com", kind="rsa",
          names=["mx.example.com", "localhost"])
    issue(where, "ec", "mx.example.com",
          names=["mx.example.com", "localhost"])
    issue(where, "other", "other.example.com")
    issue(where, "client", "client.example")
    issue(where, "stranger", "client.example", ca="ca2")
    issue(where, "selfsigned", "self.example", ca=None)
    issue(where, "expired", "client.example", days=0)
    with open(f"{where}/chain.pem", "w") as out:
        for name in ("ec", "rsa"):
            out.write(read(*(f"{where}/{f}" for f in (
                name + ".key", name + ".pem", "ca.pem"))))
    os.chmod(f"{where}/chain.pem", 0o600)
    for order in (("key", "pem"), ("pem", "key")):
        name = "rsakeycert" if order[0] == "key" else "rsacertkey"
        with open(f"{where}/{name}.pem", "w") as out:
            out.write(read(*(f"{where}/rsa.{f}" for f in order)))
    client = fingerprint(f"{where}/client.pem")
    key = fingerprint(f"{where}/selfsigned.pem", public_key=True)
    with open(f"{where}/clients", "w") as out:
        out.write(f"{client} client\n{key} self\n")
    with open(f"{where}/access", "w") as out:
        out.write(f"{client} REJECT this certificate is not welcome\n"
                  f"{key} OK\n")
    with open(f"{where}/sni", "w") as out:
        for name in ("other.example.com", ".sub.example.com"):
            out.write(f"{name} {where}/other.key, {where}/other.pem\n")


def folder():
    global _folder
    if not _folder:
        _folder = tempfile.mkdtemp(prefix="postrider-tls-")
        os.chmod(_folder, 0o755)
        atexit.register(shutil.rmtree, _folder, True)
        make(_folder)
    return _folder
