"""The lab's certificate authority: who trusts it, and for which names."""

import ssl
from pathlib import Path

import certifi
import pytest

from lab.control.certificates import Authority


def shake_hands(server: ssl.SSLContext, bundle: Path, name: str) -> list[str]:
    """The names in the certificate that a client sees in a TLS handshake in memory; raises what the client would."""
    client = ssl.create_default_context(cafile=str(bundle))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    near.do_handshake()
    shown = near.getpeercert()
    assert shown is not None
    return [str(name) for _, name in shown["subjectAltName"]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path)


@pytest.mark.parametrize("name", ["management.azure.com", "dexterkeyvault.vault.azure.net"])
def test_a_certificate_is_good_for_its_names(authority: Authority, name: str) -> None:
    names = ["management.azure.com", "*.vault.azure.net"]
    server = authority.server_context(*names)
    for trusted in (authority.pem_path, authority.bundle_path):
        assert shake_hands(server, trusted, name) == names


@pytest.mark.parametrize("name", ["vault.azure.net", "a.b.vault.azure.net", "example.com"])
def test_a_certificate_is_good_for_no_other_name(authority: Authority, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(authority.server_context("*.vault.azure.net"), authority.pem_path, name)


def test_another_lab_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(other.server_context("a.b"), authority.bundle_path, "a.b")


def test_the_bundle_trusts_the_rest_of_the_world_too(authority: Authority) -> None:
    assert Path(certifi.where()).read_text() in authority.bundle_path.read_text()
    assert authority.pem in authority.bundle_path.read_text()


def test_a_key_file_is_for_its_owner_alone(authority: Authority, tmp_path: Path) -> None:
    files = authority.write_files(tmp_path, "server", "server.postgres.database.azure.com")
    assert files.key.stat().st_mode & 0o777 == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    shake_hands(context, authority.pem_path, "server.postgres.database.azure.com")
