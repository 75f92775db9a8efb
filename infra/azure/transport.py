"""The connections to Azure: each request goes out at once, through a proxy too, and none reads the environment anew."""

from pathlib import Path
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline.transport import RequestsTransport
from requests import Session
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import Retry
from urllib3.connection import HTTPConnection
from urllib3.util.ssl_ import create_urllib3_context


def make_transport(**bounds: Any) -> RequestsTransport:
    """Return a transport with a session of its own, which retries nothing: that is the pipeline's business.

    Args:
        bounds: the timeouts, as RequestsTransport takes them.
    """
    session = _Remembering()
    adapter = _Prompt(max_retries=Retry(total=False, redirect=False, raise_on_status=False))
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return RequestsTransport(session=session, **bounds)


class _Remembering(Session):
    """Looks for proxies, exceptions to them and authorities once for each host: by itself it does with each request."""

    def __init__(self) -> None:
        super().__init__()
        self._settings: dict[Any, dict[str, Any]] = {}

    def merge_environment_settings(self, url: str, proxies: Any, *asked: Any) -> dict[str, Any]:
        """Return what the environment says of a request. Settings of its own are merged each time."""
        if proxies:
            return dict(super().merge_environment_settings(url, proxies, *asked))
        key = (*urlsplit(url)[:2], *asked)
        if key not in self._settings:
            self._settings[key] = super().merge_environment_settings(url, {}, *asked)
        return {**self._settings[key], "proxies": dict(self._settings[key]["proxies"])}


class _Prompt(HTTPAdapter):
    """Loads the authorities once for all connections: by itself requests does so for each.

    And it sends small segments to proxies at once: urllib3 lets a body wait until the proxy has acknowledged its head,
    40 ms. https://urllib3.readthedocs.io/en/stable/reference/urllib3.connection.html
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._contexts: dict[str, SSLContext] = {}

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Let the connections that know the same authorities share a context which has loaded them."""
        host, options = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https" and verify:
            authorities = DEFAULT_CA_BUNDLE_PATH if verify is True else str(verify)
            options = {name: value for name, value in options.items() if name not in ("ca_certs", "ca_cert_dir")}
            options["ssl_context"] = self._find_context(authorities)
        return host, options

    def _find_context(self, authorities: str) -> SSLContext:
        if authorities not in self._contexts:
            context, is_folder = create_urllib3_context(), Path(authorities).is_dir()
            if not Path(authorities).exists():
                raise FileNotFoundError(f"there are no authorities at {authorities}: see REQUESTS_CA_BUNDLE")
            context.load_verify_locations(None if is_folder else authorities, authorities if is_folder else None)
            self._contexts[authorities] = context
        return self._contexts[authorities]

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the authorities to the context."""
        super().cert_verify(conn, url, verify, cert)
        conn.ca_certs = conn.ca_cert_dir = None

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, socket_options=HTTPConnection.default_socket_options, **options)
