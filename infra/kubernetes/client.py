"""The connection to one cluster: bounded requests, answers as JSON, errors as Keyturn's own.

The official client does transport, TLS and proxies. Objects stay the JSON that the API server sent:
the client's generated models reject some valid objects and have no custom resources.

    cluster = connect(Path("~/.kube/config"), Settings())
    cluster.get("/api/v1/namespaces/dexter/pods")["items"]
"""

import json
import math
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes.client
import urllib3.exceptions

from infra.errors import Conflict, NotFound
from infra.kubernetes.errors import Expired, make_error, translated
from infra.kubernetes.kubeconfig import Context, load_kubeconfig
from infra.kubernetes.plugins import run_plugin
from infra.kubernetes.sign_in import GetToken, Issued, Renewed, SignIn, sign_in_by_context
from infra.kubernetes.tls import MemoryFile, set_tls, share_context
from infra.settings import Settings

Object = dict[str, Any]
"""A Kubernetes object, or a list of them, as JSON."""

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
FIELD_MANAGER = "keyturn"
"""Who owns the fields that Keyturn writes: https://kubernetes.io/docs/reference/using-api/server-side-apply/."""
_ATTEMPTS = 5


@dataclass(frozen=True)
class Cluster:
    """A connection to a cluster. Threads may share it; it holds credentials, so it stays inside a task.

    Args:
        context: the server, and who signs in to it; it holds credentials.
        configuration: the official client's configuration; it holds credentials.
        api: the official client's transport.
        settings: bounds on connections and requests.
        sign_in: says who asks.
        files: the certificates and keys that `configuration` names.
    """

    context: Context = field(repr=False)
    configuration: Any = field(repr=False)
    api: Any = field(repr=False)
    settings: Settings = field(repr=False)
    sign_in: SignIn = field(repr=False)
    files: tuple[MemoryFile, ...] = field(repr=False)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self.context.server

    def get(self, path: str, **query: str) -> Object:
        """Return the object or list at `path`.

        Raises:
            NotFound: there is none.
        """
        return self.request("GET", path, query)

    def find(self, path: str, **query: str) -> Object | None:
        """Return the object at `path`, None when it does not exist."""
        try:
            return self.get(path, **query)
        except NotFound:
            return None

    def delete(self, path: str, **query: str) -> None:
        """Delete the object at `path`, if it still exists."""
        try:
            self.request("DELETE", path, {"propagationPolicy": "Background"} | query)
        except NotFound:
            return

    def delete_this(self, path: str, uid: str) -> None:
        """Delete the object at `path`, unless it is another one by now, or gone."""
        try:
            self.request("DELETE", path, {}, {"preconditions": {"uid": uid}})
        except (NotFound, Conflict):
            return

    def patch(self, path: str, body: Object) -> Object:
        """Merge `body` into the object at `path`, as Keyturn's field manager.

        Raises:
            NotFound: there is none.
            Conflict: `body` names a resourceVersion, and somebody else wrote the object since.
        """
        return self.request("PATCH", path, {"fieldManager": FIELD_MANAGER}, body, MERGE_PATCH)

    def change(self, path: str, make_body: Callable[[Object], Object | None]) -> None:
        """Read an object and merge a change of it; read it again if somebody else wrote it in between.

        Args:
            path: the object's path.
            make_body: returns what to merge into the object that was read; None: nothing.

        Raises:
            NotFound: there is none.
            Conflict: somebody else keeps changing it.
        """
        for attempt in range(_ATTEMPTS):
            item = self.get(path)
            body = make_body(item)
            if body is None:
                return
            seen = {"resourceVersion": item["metadata"]["resourceVersion"]}
            try:
                self.patch(path, {**body, "metadata": {**body.get("metadata", {}), **seen}})
                return
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """Send one request and return the answer's JSON.

        Raises:
            KeyturnError: one of AuthenticationFailed, AccessDenied, NotFound, Conflict, InvalidInput, ServiceFailed.
        """
        name = described(path)
        read = float(self.settings.request_timeout_seconds)
        with (
            translated(name, self.server),
            closing(self._send(method, path, query, body, content_type, read)) as answer,
        ):
            data = answer.read()
        if not 200 <= answer.status <= 299:
            raise make_error(answer.status, data, name)
        parsed: Object = json.loads(data)
        return parsed

    def watch(self, path: str, query: Mapping[str, str], version: str, wait_seconds: float) -> Iterator[Object]:
        """Yield the changes after `version` for about `wait_seconds`, each as soon as it arrives.

        Returns silently when the time is over or the server cuts the connection: resume from the last version.

        Raises:
            Expired: the server no longer knows `version`.
            KeyturnError: as `request`.
        """
        name = described(path)
        watch = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version}
        watch["timeoutSeconds"] = str(max(1, math.ceil(wait_seconds)))
        with translated(name, self.server):
            answer = self._send("GET", path, {**query, **watch}, None, "application/json", wait_seconds + 0.3)
        with closing(answer):
            if answer.status == 410:
                raise Expired(name)
            if not 200 <= answer.status <= 299:
                raise make_error(answer.status, answer.read(), name)
            for event in _events(answer):
                if event["type"] == "ERROR":
                    raise _watch_error(event["object"], name)
                yield event

    def close(self) -> None:
        """Close the pooled connections; a later request opens new ones."""
        self.api.close()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        content_type: str,
        read_seconds: float,
    ) -> Any:
        answer = self._ask(method, path, query, body, content_type, read_seconds)
        if answer.status == 401 and self.sign_in.forget():
            answer.close()
            return self._ask(method, path, query, body, content_type, read_seconds)
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        content_type: str,
        read_seconds: float,
    ) -> Any:
        request = self.api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        timeout = (self.settings.connect_timeout_seconds, read_seconds)
        return self.api.call_api(*request, _request_timeout=timeout).response


def connect(kubeconfig: Mapping[str, Any] | Path, settings: Settings, context: str | None = None) -> Cluster:
    """Make a connection from a kubeconfig, without a request to the cluster.

    Args:
        kubeconfig: the parsed kubeconfig, or the path of one.
        settings: bounds on connections and requests.
        context: the context to use; the kubeconfig's current one by default.

    Raises:
        NotFound: the file does not exist.
        InvalidInput: it is not a kubeconfig, or has no such context.
        AuthenticationFailed: its credential plugin gives no credential.
    """
    return connect_to(load_kubeconfig(kubeconfig).get(context), settings)


def connect_to(context: Context, settings: Settings, get_token: GetToken | None = None) -> Cluster:
    """Make a connection from one context of a kubeconfig, without a request to the cluster.

    Args:
        context: the server, and who signs in to it.
        settings: bounds on connections and requests.
        get_token: gives a token of the flows' own Azure credential, which signs in where a person would have to.

    Raises:
        InvalidInput: its certificates cannot be used.
        AuthenticationFailed: its credential plugin, or Entra ID, gives no credential.
    """

    def plugin(context: Context) -> Issued:
        return run_plugin(context, settings.request_timeout_seconds)

    sign_in = sign_in_by_context(context, plugin, get_token)
    configuration = kubernetes.client.Configuration()  # reads HTTPS_PROXY and NO_PROXY, CIDR blocks included
    configuration.host = context.server
    configuration.keep_alive = True  # and no wait for a proxy to acknowledge a request's head before its body is sent
    issued = sign_in.get().certificate if isinstance(sign_in, Renewed) else None
    files = set_tls(configuration, context, issued)
    _set_sign_in(configuration, sign_in)
    api = kubernetes.client.ApiClient(configuration)
    if context.server.startswith("https://"):
        share_context(api, context)
    cluster = Cluster(context, configuration, api, settings, sign_in, files)
    weakref.finalize(cluster, api.close)  # reference cycles keep its sockets open for long
    return cluster


def _set_sign_in(configuration: Any, sign_in: SignIn) -> None:
    """Have each request ask for its header."""

    def refresh(configuration: Any) -> None:
        configuration.api_key["BearerToken"] = sign_in.header()

    if sign_in.header():
        refresh(configuration)
        configuration.refresh_api_key_hook = refresh


def described(path: str) -> str:
    """Describe a request path in words: `secrets/userpass in dexter`."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if len(parts) > 2 and parts[0] == "namespaces":
        return f"{'/'.join(parts[2:])} in {parts[1]}"
    return "/".join(parts) or path


def _events(answer: Any) -> Iterator[Object]:
    """Split a watch's answer into events, until the connection falls silent or breaks."""
    rest = b""
    try:
        for chunk in answer.stream(None, decode_content=False):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines if line.strip())
    except (urllib3.exceptions.HTTPError, OSError):
        return


def _watch_error(status: Object, name: str) -> Exception:
    code = int(status.get("code") or 500)
    return Expired(name) if code == 410 else make_error(code, json.dumps(status), name)
