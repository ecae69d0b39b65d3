"""An authority and what it signs, made by the openssl program for one test run."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """PEM files: the authority's certificate; certificate and key of a server and of a client."""

    ca: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]

    def server_context(self, *, asks_client: bool = False) -> ssl.SSLContext:
        """What a server of `models.test`, localhost and 127.0.0.1 speaks TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server)
        if asks_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context


def make_authority(folder: Path) -> Authority:
    """A new authority in the folder. Fails clearly where there is no openssl program."""
    assert shutil.which("openssl"), "these tests make certificates with the program `openssl`"
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    _openssl(
        f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout {ca_key} -out {ca}"
    )
    names = "subjectAltName=DNS:models.test,DNS:localhost,IP:127.0.0.1"
    pairs = []
    for who in ("server", "client"):
        key, request, certificate = (folder / f"{who}.{end}" for end in ("key", "csr", "pem"))
        extensions = folder / f"{who}.ext"
        extensions.write_text(names)
        _openssl(f"req -newkey rsa:2048 -nodes -subj /CN={who} -keyout {key} -out {request}")
        _openssl(
            f"x509 -req -in {request} -CA {ca} -CAkey {ca_key} -CAcreateserial -days 2 "
            f"-extfile {extensions} -out {certificate}"
        )
        pairs.append((certificate, key))
    return Authority(ca, pairs[0], pairs[1])


def _openssl(words: str) -> None:
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
