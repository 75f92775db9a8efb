"""Everything in a cluster that says which of a vault's secrets come to which workloads, for a proposed inventory.

Secrets themselves are never read: classes and ExternalSecrets say what they hold, and workloads which ones they use.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from infra.credentials.proposals import POSTGRES_PORT, Bundle, User
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.deliveries.provider_classes import API, read_provider_class
from infra.kubernetes.discovery import list_external_secrets, list_items, list_templates, read_sources

_DATABASE = ("POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE", "POSTGRESQL_PASSWORD", "POSTGRESQL_PASSWORD_FILE")
"""What the images of PostgreSQL are initialised from."""


def list_bundles(cluster: Cluster, namespaces: Collection[str]) -> tuple[Bundle, ...]:
    """Return the SecretProviderClasses and ExternalSecrets that bring secrets of key vaults.

    Args:
        cluster: where to look.
        namespaces: where to look if the caller may not look everywhere.

    Raises:
        AccessDenied: the caller may not look there either.
    """
    classes = (_read_class(item) for item in list_items(cluster, API + "/{}secretproviderclasses", namespaces))
    return (*(bundle for bundle in classes if bundle.secrets), *_list_external(cluster, namespaces))


def _read_class(item: Object) -> Bundle:
    provider = read_provider_class(item)
    synced = {secret: frozenset(keys.values()) for secret, keys in provider.synced.items()}
    names = tuple(dict.fromkeys(provider.files.values()))
    where = ("SecretProviderClass", item["metadata"]["namespace"], provider.name)
    return Bundle(
        *where, provider.vault, names, synced, encodings={name: str(code) for name, code in provider.decoded.items()}
    )


def _list_external(cluster: Cluster, namespaces: Collection[str]) -> Iterator[Bundle]:
    """Yield the ExternalSecrets whose store may be a key vault; none where the operator is not installed."""
    for found, vault in list_external_secrets(cluster, namespaces):
        if vault == "" or not found.references:
            continue
        metadata, fields = found.item["metadata"], defaultdict[str, list[str]](list)
        for reference in found.references:
            fields[reference.secret] += [reference.field] if reference.field else []
        where = ("ExternalSecret", metadata["namespace"], metadata["name"])
        parts = {name: tuple(dict.fromkeys(each)) for name, each in fields.items()}
        objects = frozenset(each.secret for each in found.references if not each.key and not each.field)
        yield Bundle(*where, vault or "", tuple(parts), {found.target: frozenset(parts)}, parts, objects)


def list_users(cluster: Cluster, namespaces: Collection[str]) -> tuple[User, ...]:
    """Return every workload whose pods read a class or a Secret. Arguments and errors as `list_bundles`."""
    sources, databases = defaultdict[tuple[str, str, str], set[tuple[str, str]]](set), set[tuple[str, str, str]]()
    for key, spec in list_templates(cluster, namespaces):
        sources[key] |= {(source.kind, source.name) for source in read_sources(spec)}
        if _is_database(spec):
            databases.add(key)
    return tuple(
        User(
            *key,
            classes=frozenset(name for kind, name in read if kind == "SecretProviderClass"),
            secrets=frozenset(name for kind, name in read if kind == "Secret"),
            is_database=key in databases,
        )
        for key, read in sorted(sources.items())
        if read
    )


def _is_database(spec: Mapping[str, Any]) -> bool:
    variables = [entry["name"] for container in spec.get("containers") or [] for entry in container.get("env") or []]
    return any(name in _DATABASE for name in variables)


def list_endpoints(cluster: Cluster, namespaces: Collection[str]) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """Return each Service on PostgreSQL's port: its namespace, and the endpoint that an inventory may have."""
    kinds, found = {"LoadBalancer": "load-balancer", "ClusterIP": "cluster-ip"}, list[tuple[str, Mapping[str, str]]]()
    for item in list_items(cluster, "/api/v1/{}services", namespaces):
        spec, metadata = item["spec"], item["metadata"]
        ports = {port.get(field) for port in spec.get("ports") or [] for field in ("port", "targetPort")}
        if POSTGRES_PORT in ports and (kind := kinds.get(spec.get("type", "ClusterIP"))):
            where = {"kind": kind, "namespace": metadata["namespace"], "service": metadata["name"]}
            found.append((metadata["namespace"], where))
    return tuple(found)
