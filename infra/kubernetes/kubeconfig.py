"""Kubeconfigs: their contexts, which of them is a named cluster's, and the context that every pod has of its own.

A kubeconfig comes from AKS, or from a file, whose relative paths begin at its folder.

    context = load_kubeconfig(path).choose("orders")
    verify_server(context, "orders", {"orders-dns-x.hcp.eastus2.azmk8s.io"})

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import base64
import binascii
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from infra.errors import Code, InvalidInput, NotFound

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where every pod finds its service account: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/."""

_UNSUPPORTED = {"as", "as-uid", "as-groups", "as-user-extra", "auth-provider"}
"""Ways of a user to sign in that would be lost silently."""

Section = Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """A server, and the user who signs in to it.

    Args:
        name: its name in the kubeconfig.
        origin: where it comes from, for errors.
        folder: where relative paths begin.
        cluster: the kubeconfig's section on the server.
        user: its section on the user, empty if there is none. It holds credentials.
    """

    name: str
    origin: str
    folder: Path
    cluster: Section = field(repr=False)
    user: Section = field(repr=False)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self.cluster["server"]).rstrip("/")

    @property
    def host(self) -> str:
        """The name that the server's certificate must have."""
        verified = not self.cluster.get("insecure-skip-tls-verify") and self.cluster.get("tls-server-name")
        return str(verified or urlsplit(self.server).hostname or "").lower()

    def path(self, section: Section, key: str) -> Path | None:
        """Return the path that a field gives, if it does.

        Raises:
            InvalidInput: there is no such file.
        """
        if not section.get(key):
            return None
        path = self.folder / Path(str(section[key])).expanduser()
        if not path.is_file():
            raise unusable(self.origin, f"{key} names {path}, which does not exist")
        return path

    def data(self, section: Section, key: str) -> bytes | None:
        """Return the bytes that a field holds in base64, if it does.

        Raises:
            InvalidInput: it is no base64.
        """
        if not section.get(key):
            return None
        try:
            return base64.b64decode(str(section[key]))
        except binascii.Error:
            raise unusable(self.origin, f"{key} is not base64") from None


@dataclass(frozen=True)
class Kubeconfig:
    """A parsed kubeconfig; it holds credentials.

    Args:
        origin: where it comes from, for errors.
        folder: where relative paths begin.
        content: all of it.
    """

    origin: str
    folder: Path
    content: Section = field(repr=False)

    def get(self, name: str | None = None) -> Context:
        """Return a context, the current one by default.

        Raises:
            InvalidInput: there is no such context, or it cannot be used.
        """
        name = name or str(self.content.get("current-context") or "")
        context = self._section("contexts", "context", name)
        cluster = self._section("clusters", "cluster", str(context.get("cluster") or ""))
        user = self._section("users", "user", str(context["user"])) if context.get("user") else {}
        if not urlsplit(str(cluster.get("server") or "")).hostname:
            raise unusable(self.origin, f"the cluster of the context '{name}' has no server")
        others = {key for key in user.keys() & _UNSUPPORTED if key != "auth-provider" or not _is_azure(user)}
        if others:
            raise unusable(self.origin, f"its user signs in by {', '.join(sorted(others))}, which is not supported")
        return Context(name, self.origin, self.folder, cluster, user)

    def choose(self, cluster: str, wanted: str | None = None) -> Context:
        """Return the context of a cluster: named as `az aks get-credentials` names it, else the current or only one.

        Args:
            cluster: the cluster's name.
            wanted: the context's name, if it is known.

        Raises:
            InvalidInput: none of them can be meant, or it cannot be used.
        """
        names = sorted(self._named("contexts", "context"))
        current = str(self.content.get("current-context") or "")
        candidates = [wanted] if wanted else [cluster, f"{cluster}-admin", current, *(names if len(names) == 1 else ())]
        for name in candidates:
            if name in names:
                return self.get(name)
        raise InvalidInput(
            Code.CONTEXT_MISSING, name=wanted or cluster, seen=f"{self.origin} has {', '.join(names) or 'none'}"
        )

    def _section(self, plural: str, singular: str, name: str) -> Section:
        found = self._named(plural, singular).get(name)
        if found is None:
            raise unusable(self.origin, f"it has no {singular} '{name}'" if name else f"it names no {singular}")
        return found

    def _named(self, plural: str, singular: str) -> Mapping[str, Section]:
        """Return the entries of a list by name.

        Raises:
            InvalidInput: it is no such list.
        """
        entries = self.content.get(plural) or []
        try:
            named = {str(entry["name"]): entry.get(singular) or {} for entry in entries}
        except (TypeError, KeyError, AttributeError):
            raise unusable(self.origin, f"its {plural} do not have the form of a kubeconfig") from None
        if not all(isinstance(section, Mapping) for section in named.values()):
            raise unusable(self.origin, f"its {plural} do not have the form of a kubeconfig")
        return named


def load_kubeconfig(kubeconfig: Section | Path) -> Kubeconfig:
    """Return a kubeconfig from its path, or from what AKS handed out.

    Raises:
        NotFound: the file does not exist.
        InvalidInput: it is not a kubeconfig.
    """
    if not isinstance(kubeconfig, Path):
        return Kubeconfig("kubeconfig", Path(), kubeconfig)
    path, fix = kubeconfig.expanduser().absolute(), "Set KEYTURN_KUBECONFIG to an existing kubeconfig, or unset it"
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise NotFound("The kubeconfig does not exist", name=str(kubeconfig), fix=fix) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise unusable(str(kubeconfig), type(error).__name__) from None
    if not isinstance(content, dict):
        raise unusable(str(kubeconfig), "it has no mapping")
    return Kubeconfig(str(kubeconfig), path.parent, content)


def find_own_context() -> Context:
    """Return the context of the cluster that this process is a pod of: its service account, as the kubelet keeps it.

    Raises:
        InvalidInput: this process is not a pod, or its pod has no token.
    """
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    token, authority = SERVICE_ACCOUNT / "token", SERVICE_ACCOUNT / "ca.crt"
    missing = [str(path) for path in (token, authority) if not path.is_file()]
    if not host or not port or missing:
        seen = f"there is no {missing[0]}" if missing else "KUBERNETES_SERVICE_HOST and _PORT are not set"
        raise InvalidInput(Code.NOT_IN_CLUSTER, name="sign_in: in-cluster", seen=seen)
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    cluster = {"server": server, "certificate-authority": str(authority)}
    return Context("in-cluster", "the pod's service account", Path("/"), cluster, {"tokenFile": str(token)})


def verify_server(context: Context, cluster: str, hosts: Collection[str] | None) -> None:
    """Refuse a context that does not lead to a named cluster.

    Args:
        context: the context.
        cluster: the cluster's name.
        hosts: the names of its API server; None if nobody can tell, and then the context's name must.

    Raises:
        InvalidInput: it leads elsewhere, or nothing says that it leads there.
    """
    name = f"context {context.name} of {context.origin}"
    if hosts is None:
        if context.name not in (cluster, f"{cluster}-admin"):
            seen = f"it is not called {cluster}, and Azure does not tell the caller the server of that cluster"
            raise InvalidInput(Code.WRONG_CLUSTER, name=name, seen=seen)
    elif context.host not in {host.lower() for host in hosts}:
        seen = f"it leads to {context.host}, but {cluster} answers at {' or '.join(sorted(hosts)) or 'no address'}"
        raise InvalidInput(Code.WRONG_CLUSTER, name=name, seen=seen)


def verify_issuer(context: Context, cluster: str, issuer: str | None) -> None:
    """Refuse a pod's own context where the pod runs in another cluster than the named one.

    Args:
        context: the pod's own context.
        cluster: the cluster's name.
        issuer: whose service account tokens the cluster takes; None if nobody can tell, and then it is not compared.

    Raises:
        InvalidInput: the pod's token has another issuer.
    """
    seen = _read_issuer(Path(str(context.user["tokenFile"])).read_text())
    if issuer and seen.rstrip("/") != issuer.rstrip("/"):
        text = f"its token is issued by {seen or 'nobody'}, but those of {cluster} by {issuer}"
        raise InvalidInput(Code.WRONG_CLUSTER, name=context.origin, seen=text)


def unusable(origin: str, seen: str) -> InvalidInput:
    """Make the error for a kubeconfig that cannot be used."""
    fix = "Give a kubeconfig with clusters, users and contexts, as `az aks get-credentials` writes it"
    return InvalidInput("The kubeconfig cannot be used", name=origin, seen=seen, fix=fix)


def _read_issuer(token: str) -> str:
    """Return a token's issuer without checking its signature: whoever can change the token needs no trick."""
    try:
        payload = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""


def _is_azure(user: Section) -> bool:
    provider = user.get("auth-provider")
    return isinstance(provider, Mapping) and provider.get("name") == "azure"
