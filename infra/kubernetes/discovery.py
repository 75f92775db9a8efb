"""Who reads a vault's secrets in a cluster: by a class, by an ExternalSecret, or by a Secret that either of them keeps.

Templates say it before a pod runs, so CronJobs between two runs and workloads that are scaled to 0 are found, too; pods
say it for everything that none of these kinds made.

    for reader in find_readers(cluster, "orderskv", {"orders-username", "orders-password"}, namespaces={"orders"}):
        print(reader.workload, reader.namespace, reader.sources)
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from infra.credentials import Consumer, CsiDelivery
from infra.errors import AccessDenied
from infra.kubernetes.argo_rollouts import COLLECTION
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.deliveries.operator_objects import (
    GROUP,
    ExternalSecret,
    find_api,
    read_external_secret,
    read_vault,
)
from infra.kubernetes.deliveries.provider_classes import API, ProviderClass, read_provider_class
from infra.kubernetes.ownership import find_controller, is_finished

_TEMPLATES = {
    "Deployment": "/apis/apps/v1/{}deployments",
    "StatefulSet": "/apis/apps/v1/{}statefulsets",
    "DaemonSet": "/apis/apps/v1/{}daemonsets",
    "CronJob": "/apis/batch/v1/{}cronjobs",
    "Rollout": COLLECTION,
}
_JOBS = "/apis/batch/v1/{}jobs"
LISTED = (
    API + "/{}secretproviderclasses",
    f"/apis/{GROUP}/v1/{{}}externalsecrets",
    f"/apis/{GROUP}/v1/{{}}secretstores",
    *_TEMPLATES.values(),
    "/apis/apps/v1/{}replicasets",
    _JOBS,
    "/api/v1/{}pods",
)
"""Everything that is listed, with `{}` for the namespace's part of the path."""


@dataclass(frozen=True, order=True)
class Source:
    """Where a pod takes values from.

    Args:
        kind: "SecretProviderClass", "Secret", or "ExternalSecret" where no pod reads the Secret that it keeps.
        name: its name.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Reader:
    """A workload whose pods read the secrets.

    Args:
        kind: of the workload, or of whatever made the pods.
        namespace: its namespace.
        name: its name.
        sources: where its pods take the values from.
    """

    kind: str
    namespace: str
    name: str
    sources: frozenset[Source]

    def __str__(self) -> str:
        return f"{self.kind.lower()} {self.namespace}/{self.name}"


def find_readers(
    cluster: Cluster, vault: str, secrets: Collection[str], namespaces: Collection[str]
) -> tuple[Reader, ...]:
    """Return every workload that reads one of these secrets.

    Args:
        cluster: where to look.
        vault: the vault's name.
        secrets: the names of its secrets; case does not count.
        namespaces: where to look if the caller may not look everywhere.

    Raises:
        AccessDenied: the caller may not look there either.
    """
    kept = tuple(_list_external(cluster, vault, secrets, namespaces))
    sources = _find_sources(cluster, vault, secrets, namespaces)
    for namespace, _, secret in kept:
        sources[namespace].add(Source("Secret", secret))
    found = defaultdict[tuple[str, str, str], set[Source]](set)
    for (kind, namespace, name), template in list_templates(cluster, namespaces):
        if used := sources.get(namespace, set()) & set(read_sources(template)):
            found[kind, namespace, name] |= used
    read = {(namespace, source) for (_, namespace, _), used in found.items() for source in used}
    for namespace, name, secret in kept:
        if (namespace, Source("Secret", secret)) not in read:
            found["ExternalSecret", namespace, name].add(Source("ExternalSecret", name))
    return tuple(Reader(*key, frozenset(used)) for key, used in sorted(found.items()))


def list_sources(consumer: Consumer) -> frozenset[Source]:
    """Return everything that a consumer's deliveries let its pods read."""
    secrets = {Source("Secret", delivery.secret_name) for delivery in consumer.every_delivery if delivery.secret_name}
    return frozenset(secrets) | list_mounted(consumer)


def list_needed(consumer: Consumer) -> frozenset[Source]:
    """Return what a consumer's pods must read: the classes that they mount, and the Secrets that others keep."""
    others = (delivery for delivery in consumer.every_delivery if not isinstance(delivery, CsiDelivery))
    return list_mounted(consumer) | {Source("Secret", delivery.secret_name) for delivery in others}


def list_mounted(consumer: Consumer) -> frozenset[Source]:
    """Return the classes that a consumer's pods mount."""
    own = (delivery for delivery in consumer.every_delivery if isinstance(delivery, CsiDelivery))
    return frozenset(Source("SecretProviderClass", delivery.source) for delivery in own)


def _find_sources(
    cluster: Cluster, vault: str, secrets: Collection[str], namespaces: Collection[str]
) -> defaultdict[str, set[Source]]:
    """Namespace -> the classes that bring the secrets there, and their Secrets."""
    wanted, sources = {name.lower() for name in secrets}, defaultdict[str, set[Source]](set)
    for item in list_items(cluster, API + "/{}secretproviderclasses", namespaces):
        provider = read_provider_class(item)
        if provider.vault.lower() == vault.lower():
            sources[item["metadata"]["namespace"]] |= set(_sources_by(provider, wanted))
    return sources


def _list_external(
    cluster: Cluster, vault: str, secrets: Collection[str], namespaces: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield namespace, name and Secret of each ExternalSecret that reads one of the secrets.

    A store that cannot be looked at may read the vault, so what names a secret of that name counts.
    """
    wanted = {name.lower() for name in secrets}
    for found, read in list_external_secrets(cluster, namespaces):
        is_vaults = read is None or read.lower() == vault.lower()
        if is_vaults and wanted & found.secrets:
            metadata = found.item["metadata"]
            yield metadata["namespace"], metadata["name"], found.target


def list_external_secrets(cluster: Cluster, namespaces: Collection[str]) -> Iterator[tuple[ExternalSecret, str | None]]:
    """Yield each ExternalSecret with the vault of its store: empty if that is none, None if nobody may look."""
    if (api := find_api(cluster)) is None:
        return
    vaults = dict[tuple[str, str], str]()
    for store in list_items(cluster, api + "/{}secretstores", namespaces):
        vaults[store["metadata"]["namespace"], store["metadata"]["name"]] = read_vault(store)
    with suppress(AccessDenied):
        for store in (cluster.find(f"{api}/clustersecretstores") or {"items": []})["items"]:
            vaults["", store["metadata"]["name"]] = read_vault(store)
    for item in list_items(cluster, api + "/{}externalsecrets", namespaces):
        reference = item["spec"].get("secretStoreRef") or {}
        where = "" if reference.get("kind") == "ClusterSecretStore" else item["metadata"]["namespace"]
        yield read_external_secret(item), vaults.get((where, reference.get("name", "")))


def _sources_by(provider: ProviderClass, wanted: Collection[str]) -> Iterator[Source]:
    if any(name.lower() in wanted for name in provider.files.values()):
        yield Source("SecretProviderClass", provider.name)
    for secret, keys in provider.synced.items():
        if any(name.lower() in wanted for name in keys.values()):
            yield Source("Secret", secret)


def list_templates(
    cluster: Cluster, namespaces: Collection[str]
) -> Iterator[tuple[tuple[str, str, str], Mapping[str, Any]]]:
    """Yield kind, namespace and name of each workload with its pods' spec."""
    items = {kind: list(list_items(cluster, path, namespaces)) for kind, path in _TEMPLATES.items()}
    templates = {_name(item): item["spec"]["template"] for item in items["Deployment"]}
    referenced = set(map(_name_template, items["Rollout"]))
    for kind, found in items.items():
        for item in found:
            if kind == "Deployment" and _name(item) in referenced and item["spec"].get("replicas") == 0:
                continue  # no more than the template of a Rollout
            spec = item["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else item["spec"]
            template = spec.get("template") or templates.get(_name_template(item)) or {}
            yield (kind, *_name(item)), template.get("spec") or {}
    jobs = list(list_items(cluster, _JOBS, namespaces))
    for job in jobs:
        if not find_controller(job) and not _has_ended(job):
            metadata, template = job["metadata"], job["spec"]["template"]
            yield ("Job", metadata["namespace"], metadata["name"]), template.get("spec") or {}
    for name, pod in list_pods(cluster, namespaces, jobs):
        yield name, pod["spec"]


def list_pods(
    cluster: Cluster, namespaces: Collection[str], jobs: Sequence[Object] | None = None
) -> Iterator[tuple[tuple[str, str, str], Object]]:
    """Yield each pod that has not finished with kind, namespace and name of what made it; or its own, if nothing did.

    Args:
        cluster: where to look.
        namespaces: where to look if the caller may not look everywhere.
        jobs: every Job, if the caller has listed them.
    """
    listed = jobs if jobs is not None else list_items(cluster, _JOBS, namespaces)
    made = (*listed, *list_items(cluster, "/apis/apps/v1/{}replicasets", namespaces))
    owners = {item["metadata"]["uid"]: find_controller(item) for item in made}
    for pod in list_items(cluster, "/api/v1/{}pods", namespaces):
        if is_finished(pod):
            continue
        controller = find_controller(pod)
        while controller and owners.get(controller["uid"]):
            controller = owners[controller["uid"]]
        kind, name = (controller["kind"], controller["name"]) if controller else ("Pod", pod["metadata"]["name"])
        yield (kind, pod["metadata"]["namespace"], name), pod


def _name(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _name_template(rollout: Object) -> tuple[str, str]:
    """Return namespace and name of the Deployment that a Rollout takes its template from; no name: none."""
    reference = rollout["spec"].get("workloadRef") or {}
    return rollout["metadata"]["namespace"], reference.get("name", "") if reference.get("kind") == "Deployment" else ""


def _has_ended(job: Object) -> bool:
    """Whether a Job makes no further pods; one that is suspended may."""
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(found["type"] in ("Complete", "Failed") and found["status"] == "True" for found in conditions)


def list_items(cluster: Cluster, path: str, namespaces: Collection[str]) -> Iterator[Object]:
    """List everywhere, or in these namespaces if the caller may not; nothing if the cluster has no such kind."""
    try:
        lists = [cluster.find(path.format(""))]
    except AccessDenied:
        if not namespaces:
            raise
        lists = [cluster.find(path.format(f"namespaces/{namespace}/")) for namespace in sorted(namespaces)]
    for found in lists:
        yield from (found or {"items": []})["items"]


def read_sources(spec: Mapping[str, Any]) -> Iterator[Source]:
    """Yield the classes that a pod mounts, and the Secrets that it mounts or has in its environment."""
    for volume in spec.get("volumes") or []:
        attributes = (volume.get("csi") or {}).get("volumeAttributes") or {}
        if name := attributes.get("secretProviderClass"):
            yield Source("SecretProviderClass", name)
        yield from _secrets(volume.get("secret") or {}, "secretName")
        for projected in (volume.get("projected") or {}).get("sources") or []:
            yield from _secrets(projected.get("secret") or {}, "name")
    for container in (*(spec.get("initContainers") or []), *(spec.get("containers") or [])):
        for variable in container.get("env") or []:
            yield from _secrets((variable.get("valueFrom") or {}).get("secretKeyRef") or {}, "name")
        for variables in container.get("envFrom") or []:
            yield from _secrets(variables.get("secretRef") or {}, "name")


def _secrets(reference: Mapping[str, Any], field: str) -> Iterator[Source]:
    if name := reference.get(field):
        yield Source("Secret", name)
