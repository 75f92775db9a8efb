"""TLS with an API server: what the official client is told, with certificates and keys in memory only.

The client takes certificates as paths alone. A kubeconfig's data, and what a credential plugin gives, get the path of a
file that has no name on any disk: it ends with the connection, however the process ends.
"""

import os
import weakref
from typing import Any

from urllib3.util.ssl_ import create_urllib3_context

from infra.kubernetes.kubeconfig import Context, Section, unusable


class MemoryFile:
    """A file in this process' memory (memfd), open as long as this object lives.

    Args:
        content: what it holds.
    """

    def __init__(self, content: bytes) -> None:
        descriptor = os.memfd_create("keyturn")
        weakref.finalize(self, os.close, descriptor)
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        self.path = f"/proc/self/fd/{descriptor}"


Source = MemoryFile | str | None
"""A file in memory, the path of one on the disk, or nothing."""


def set_tls(configuration: Any, context: Context, issued: tuple[bytes, bytes] | None) -> tuple[MemoryFile, ...]:
    """Tell the official client how to speak TLS, and by which proxy.

    Args:
        configuration: the client's configuration.
        context: whose server and user.
        issued: a certificate and its key, as PEM, that a credential plugin gave.

    Returns:
        The files in memory, to be kept as long as the configuration.
    """
    cluster, user = context.cluster, context.user
    if proxy := cluster.get("proxy-url"):
        configuration.proxy = str(proxy)
    if not context.server.startswith("https://"):
        return ()
    configuration.verify_ssl = not cluster.get("insecure-skip-tls-verify")
    configuration.tls_server_name = cluster.get("tls-server-name")
    authority = _find_source(context, cluster, "certificate-authority")
    names = ("client-certificate", "client-key")
    certificate, key = map(MemoryFile, issued) if issued else (_find_source(context, user, name) for name in names)
    sources = (authority, certificate, key)
    configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file = map(_path, sources)
    return tuple(source for source in sources if isinstance(source, MemoryFile))


def _find_source(context: Context, section: Section, name: str) -> Source:
    data = context.data(section, f"{name}-data")
    if data is not None:
        return MemoryFile(data)
    path = context.path(section, name)
    return str(path) if path else None


def _path(source: Source) -> str | None:
    return source.path if isinstance(source, MemoryFile) else source


def share_context(api: Any, context: Context) -> None:
    """Load certificates and key once for all connections: by itself the client does so for each.

    Later they would look like a server that cannot be reached. Nobody is asked for a password.

    Args:
        api: the official client.
        context: whose they are.

    Raises:
        InvalidInput: a certificate or key cannot be used.
    """
    configuration, options = api.configuration, api.rest_client.pool_manager.connection_pool_kw
    tls = create_urllib3_context(cert_reqs=options["cert_reqs"])
    try:
        if configuration.ssl_ca_cert:
            tls.load_verify_locations(configuration.ssl_ca_cert)
        else:
            tls.load_default_certs()
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file, password="")
    except (OSError, ValueError):
        raise unusable(context.origin, "a certificate, or the key of the client's, cannot be read") from None
    options |= {"ssl_context": tls, "ca_certs": None, "cert_file": None, "key_file": None}
