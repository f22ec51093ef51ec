"""A timestamping authority of the tests' own, by the command `openssl`."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")

needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the tests' timestamping authority is the openssl command")

_CONFIGURATION = """
[tsa]
default_tsa = ours
[ours]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_chain = no
{accuracy}
"""


@dataclass(frozen=True)
class Authority:
    """Issues timestamps now; its root is what a judge trusts."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    @property
    def own(self) -> Path:
        return self.folder / "tsa.pem"

    def same_for(self, usage: str) -> Path:
        """Return a certificate of the same key, issuer and serial number, for another usage."""
        extensions, path = self.folder / "other-usage", self.folder / "other-usage.pem"
        extensions.write_text(f"extendedKeyUsage={usage}\n")
        self.sign(extensions, path)
        return path

    def sign(self, extensions: Path, output: Path) -> None:
        """Let the root sign the authority's key, always with the same serial number."""
        signer = ("-CA", self.root, "-CAkey", self.folder / "root.key", "-set_serial", "7")
        request = self.folder / "tsa.csr"
        openssl("x509", "-req", "-in", request, *signer, "-days", "3650", "-extfile", extensions, "-out", output)

    def answer(self, request: bytes, *, accuracy: str = "") -> bytes:
        """Return the response to a request, both DER."""
        config, query, response = (self.folder / name for name in ("tsa.cnf", "query.tsq", "response.tsr"))
        config.write_text(_CONFIGURATION.format(folder=self.folder, accuracy=accuracy))
        query.write_bytes(request)
        openssl("ts", "-reply", "-queryfile", query, "-config", config, "-out", response)
        return response.read_bytes()

    def stamp(self, content: Path, *, certificate: bool = True) -> bytes:
        """Return the response for a file whose request `openssl` writes."""
        query = self.folder / "by-hand.tsq"
        openssl("ts", "-query", "-data", content, "-sha256", *(["-cert"] if certificate else []), "-out", query)
        return self.answer(query.read_bytes())


def make_authority(folder: Path) -> Authority:
    """Make a root, and the authority's own certificate, which the root signs."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Authority(folder)
    new = ("-newkey", "rsa:2048", "-nodes")
    root = ("-x509", "-days", "3650", "-keyout", folder / "root.key", "-out", made.root)
    openssl("req", *new, *root, "-subj", "/CN=Root of the tests")
    openssl("req", *new, "-keyout", folder / "tsa.key", "-out", folder / "tsa.csr", "-subj", "/CN=Authority")
    extensions = folder / "extensions"
    extensions.write_text("extendedKeyUsage=critical,timeStamping\n")
    made.sign(extensions, made.own)
    (folder / "serial").write_text("01\n")
    return made


def openssl(*arguments: str | Path) -> None:
    """Run `openssl`."""
    assert OPENSSL is not None
    subprocess.run([OPENSSL, *map(str, arguments)], check=True, capture_output=True)
