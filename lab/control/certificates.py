"""The lab's throw-away certificate authority. Its key lives in memory and ends with the lab."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme


@dataclass(frozen=True)
class CertificateFiles:
    """A certificate chain and its key as PEM files, for servers that are processes."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority that signs what the lab's servers show.

    Args:
        pem_path: its own certificate.
        bundle_path: the same together with the public authorities, for REQUESTS_CA_BUNDLE and SSL_CERT_FILE:
            a process that trusts the lab still trusts the rest of the world.
        pem: its own certificate as text.
    """

    pem_path: Path
    bundle_path: Path
    pem: str
    _ca: trustme.CA

    @classmethod
    def create(cls, directory: Path) -> "Authority":
        """Make a new authority and write `ca.pem` and `ca-bundle.pem` into `directory`."""
        ca = trustme.CA(organization_name="Keyturn lab", organization_unit_name="throw-away")
        pem = ca.cert_pem.bytes().decode()
        directory.mkdir(parents=True, exist_ok=True)
        pem_path, bundle_path = directory / "ca.pem", directory / "ca-bundle.pem"
        pem_path.write_text(pem)
        bundle_path.write_text(pem + "\n" + Path(certifi.where()).read_text())
        for path in (pem_path, bundle_path):
            path.chmod(0o644)
        return cls(pem_path, bundle_path, pem, ca)

    def server_context(self, *names: str) -> ssl.SSLContext:
        """A context for a server that is known by `names`: host names, wildcards or addresses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._ca.issue_cert(*names).configure_cert(context)
        return context

    def write_files(self, directory: Path, stem: str, *names: str) -> CertificateFiles:
        """Write a server's certificate and key into `directory` as `STEM.pem` and `STEM.key` (mode 0600)."""
        issued = self._ca.issue_cert(*names)
        files = CertificateFiles(directory / f"{stem}.pem", directory / f"{stem}.key")
        files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        files.key.touch(mode=0o600)
        files.key.write_bytes(issued.private_key_pem.bytes())
        return files
