"""How a connection says who it is: a fixed header, a token in a file, a credential plugin, or a token of Entra ID.

What expires is renewed while the connection is used: a file when it changes, the others before their end.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

import os
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path, PurePath
from typing import Any, Protocol

from infra.errors import AuthenticationFailed
from infra.kubernetes.kubeconfig import Context

AKS_SERVER = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""The application whose tokens every AKS cluster with Entra ID takes: https://azure.github.io/kubelogin/."""
RENEW_SECONDS = 300.0
"""How long before its end a token is renewed; a short-lived one when four fifths of its time are over."""
_WITH_A_PERSON = ("devicecode", "interactive", "")

GetToken = Callable[[str], tuple[str, float]]
"""Takes a scope of Entra ID and returns a token for it and when that expires, in Unix seconds."""


@dataclass(frozen=True)
class Issued:
    """What a sign-in gave.

    Args:
        header: the Authorization header; empty for a certificate.
        expires_at: in Unix seconds; None if it was not said.
        certificate: a client's certificate and its key, as PEM.
    """

    header: str = field(default="", repr=False)
    expires_at: float | None = None
    certificate: tuple[bytes, bytes] | None = field(default=None, repr=False)


class SignIn(Protocol):
    """Says who asks."""

    def header(self) -> str:
        """Return the Authorization header of the next request; empty for none."""

    def forget(self) -> bool:
        """Forget what the server did not accept; whether there can be something newer."""


@dataclass(frozen=True)
class Fixed:
    """A header that stays."""

    value: str = field(repr=False)

    def header(self) -> str:
        """Return it."""
        return self.value

    def forget(self) -> bool:
        """There is nothing newer."""
        return False


class TokenFile:
    """A token in a file, read again when somebody replaced it, as the kubelet does.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[tuple[int, int], str] | None = None

    def header(self) -> str:
        """Return the file's token.

        Raises:
            AuthenticationFailed: the file cannot be read, or is empty.
        """
        try:
            found = self._path.stat()
            mark = (found.st_ino, found.st_mtime_ns)
            if self._read is None or self._read[0] != mark:
                self._read = mark, self._path.read_text().strip()
        except OSError as error:
            raise self._failed(error.strerror or type(error).__name__) from None
        if not self._read[1]:
            raise self._failed("the file is empty")
        return f"Bearer {self._read[1]}"

    def forget(self) -> bool:
        """Whether the file has another token by now."""
        refused, self._read = self._read, None
        return refused is not None and self.header() != f"Bearer {refused[1]}"

    def _failed(self, seen: str) -> AuthenticationFailed:
        return AuthenticationFailed(
            "The token for the cluster cannot be read", name=str(self._path), seen=seen, fix="Restore the file"
        )


class Renewed:
    """What is issued for a time, and issued again before that is over. Threads may share it.

    Args:
        issue: signs in.
        now: the clock, in Unix seconds.
    """

    def __init__(self, issue: Callable[[], Issued], now: Callable[[], float] = time.time) -> None:
        self._issue, self._now, self._lock = issue, now, threading.Lock()
        self._issued: Issued | None = None
        self._renew_at = 0.0

    def get(self) -> Issued:
        """Return what is good now."""
        with self._lock:
            if self._issued is None or self._now() >= self._renew_at:
                begun = self._now()
                self._issued = self._issue()
                ends = self._issued.expires_at
                self._renew_at = float("inf") if ends is None else ends - min(RENEW_SECONDS, (ends - begun) / 5)
            return self._issued

    def header(self) -> str:
        """Return the header that is good now."""
        return self.get().header

    def forget(self) -> bool:
        """Sign in again for the next request."""
        with self._lock:
            self._issued = None
        return True


def sign_in_by_context(context: Context, run_plugin: Callable[[Context], Issued], get_token: GetToken | None) -> SignIn:
    """Return how a context signs in.

    Args:
        context: its user.
        run_plugin: runs the context's credential plugin.
        get_token: gives a token of the flows' own Azure credential, where there is one.

    Raises:
        InvalidInput: a file that the user names does not exist.
    """
    user = context.user
    if user.get("token"):
        return Fixed(f"Bearer {user['token']}")
    if path := context.path(user, "tokenFile"):
        return TokenFile(path)
    server = find_entra_server(user)
    if server and get_token:
        return Renewed(lambda: _issue_by_azure(get_token, f"{server}/.default"))
    if user.get("exec"):
        return Renewed(lambda: run_plugin(context))
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}"
        return Fixed(f"Basic {b64encode(pair.encode()).decode()}")
    return Fixed("")


def find_entra_server(user: Mapping[str, Any]) -> str | None:
    """Return whose tokens the cluster takes if its user signs in to Entra ID with a person's help, as AKS writes it."""
    if provider := user.get("auth-provider"):
        return str((provider.get("config") or {}).get("apiserver-id") or AKS_SERVER)
    plugin = user.get("exec") or {}
    if PurePath(str(plugin.get("command") or "")).stem != "kubelogin":
        return None
    options = _read_options([str(word) for word in plugin.get("args") or []])
    variables = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or []}
    default = variables.get("AAD_LOGIN_METHOD", os.environ.get("AAD_LOGIN_METHOD", ""))
    if options.get("--login", options.get("-l", default)) not in _WITH_A_PERSON:
        return None
    return options.get("--server-id", AKS_SERVER)


def _read_options(words: list[str]) -> dict[str, str]:
    """Read `--name value` and `--name=value`."""
    return {
        word.partition("=")[0]: word.partition("=")[2] if "=" in word else value
        for word, value in zip_longest(words, words[1:], fillvalue="")
        if word.startswith("-")
    }


def _issue_by_azure(get_token: GetToken, scope: str) -> Issued:
    token, expires_at = get_token(scope)
    return Issued(f"Bearer {token}", expires_at)
