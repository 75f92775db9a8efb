"""The client of a lab's control API, for the command line and the tests. Standard library alone: it starts fast."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from lab.errors import InvalidInput, ServiceFailed

REQUEST_TIMEOUT_SECONDS = 30


class ControlClient:
    """Speaks to a lab's control API; never through a proxy.

    Args:
        url: where it listens.
        token: what it wants to see.
    """

    def __init__(self, url: str, token: str) -> None:
        self._netloc, self._token = urlsplit(url).netloc, token

    def status(self) -> dict[str, Any]:
        """What the lab has just now."""
        return self._call("GET", "/status")

    def faults(self) -> dict[str, Any]:
        """The rules by number and the switches that are on."""
        return self._call("GET", "/faults")

    def add_fault(self, **rule: Any) -> int:
        """Add an HTTP fault; the arguments are those of `lab.control.faults.Fault`."""
        number: int = self._call("POST", "/faults", rule)["number"]
        return number

    def add_application(self, name: str) -> dict[str, str]:
        """Make an application of the tenant that has no role yet, as `az ad app create` does.

        Returns:
            Its client_id, object_id and client_secret.
        """
        return self._call("POST", "/applications", {"name": name})

    def switch(self, name: str, on: bool = True) -> None:
        """Turn a named fault on or off; see `lab.control.switches.SWITCHES`."""
        self._call("PUT", f"/switches/{name}", {"on": on})

    def clear_faults(self, number: int | None = None) -> None:
        """Take away one rule, or all rules and switches."""
        self._call("DELETE", "/faults" if number is None else f"/faults/{number}")

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._netloc, timeout=REQUEST_TIMEOUT_SECONDS)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, ValueError) as error:
            raise ServiceFailed(
                "the lab does not answer",
                name=self._netloc,
                seen=type(error).__name__,
                fix="read its log: python -m lab logs",
            ) from None
        finally:
            connection.close()
        if response.status == 400:
            raise InvalidInput("the lab refused a request", name=path, seen=answer["error"])
        if response.status != 200:
            raise ServiceFailed("the lab refused a request", name=path, seen=str(answer.get("error", response.status)))
        return answer
