"""The connections to Azure: every request goes out at once, through a proxy too."""

from typing import Any

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
    session = Session()
    adapter = _Prompt(max_retries=Retry(total=False, redirect=False, raise_on_status=False))
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return RequestsTransport(session=session, **bounds)


class _Prompt(HTTPAdapter):
    """Sends small segments to proxies, too: urllib3 lets a body wait until the proxy has acknowledged its head, 40 ms.

    https://urllib3.readthedocs.io/en/stable/reference/urllib3.connection.html
    """

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, socket_options=HTTPConnection.default_socket_options, **options)
