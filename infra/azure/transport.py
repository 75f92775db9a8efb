"""The connections to Azure: each request goes out at once, through a proxy too, and none reads the environment anew."""

from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline.transport import RequestsTransport
from requests import Session
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.connection import HTTPConnection


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
    """Sends small segments to proxies, too: urllib3 lets a body wait until the proxy has acknowledged its head, 40 ms.

    https://urllib3.readthedocs.io/en/stable/reference/urllib3.connection.html
    """

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, socket_options=HTTPConnection.default_socket_options, **options)
