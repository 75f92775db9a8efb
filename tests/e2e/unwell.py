"""Workloads that do not get ready: a pod with one thing wrong, and a wait that ends as soon as the cause is known."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from infra.azure.client import Azure
from infra.azure.identities import FederatedCredentials, Identities
from infra.credentials import WorkloadRef
from infra.errors import WorkloadUnhealthy
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.manifests import apply
from infra.kubernetes.waiting import Progress
from infra.kubernetes.workloads import open_workload
from infra.provisioning.options import Stack
from infra.provisioning.resources import AUDIENCE, Identity
from infra.provisioning.wanted import federation
from infra.settings import Settings
from tests.kubernetes_objects import delete

NAME = "unwell"


class Impatient:
    """A clock that jumps to the end as soon as a wait has reported a cause: no test waits longer than it must.

    Args:
        transient: what is reported before the cause, on a busy machine.
    """

    def __init__(self, transient: str) -> None:
        self._ahead, self._transient = 0.0, ("being started", transient)

    def clock(self) -> float:
        return time.monotonic() + self._ahead

    def hear(self, progress: Progress) -> None:
        if ";" in progress.seen and not any(text in progress.seen for text in self._transient):
            self._ahead = 1e6


@dataclass(frozen=True)
class Unwell:
    """One Deployment with a SecretProviderClass of its own.

    Args:
        parameters: what differs in the class's parameters.
        object_name: the vault's object that is mounted.
        account: the service account.
        image: the container's image.
        reference: Secret and key that a variable is taken from; none when empty.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    object_name: str = "username"
    account: str = "dexter-sa"
    image: str = "postgres:14"
    reference: tuple[str, str] = ("", "")

    def documents(self, stack: Stack, identity: Identity) -> list[Object]:
        """Return the class and the Deployment."""
        objects = f"array:\n  - |\n    objectName: {self.object_name}\n    objectType: secret\n"
        parameters = {
            "clientID": identity.client_id,
            "keyvaultName": stack.vault,
            "tenantID": identity.tenant_id,
            "objects": objects,
            **self.parameters,
        }
        synced = {"secretName": NAME, "type": "Opaque", "data": [{"key": "NAME", "objectName": self.object_name}]}
        provider = {
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": {"name": NAME, "namespace": stack.namespace},
            "spec": {"provider": "azure", "parameters": parameters, "secretObjects": [synced]},
        }
        return [provider, self._deployment(stack)]

    def _deployment(self, stack: Stack) -> Object:
        name, key = self.reference
        variables = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}] if name else []
        container = {
            "name": "db",
            "image": self.image,
            "env": variables,
            "volumeMounts": [{"name": "store", "mountPath": "/mederma", "readOnly": True}],
        }
        source = {"driver": "secrets-store.csi.k8s.io", "readOnly": True}
        volume = {"name": "store", "csi": source | {"volumeAttributes": {"secretProviderClass": NAME}}}
        spec = {"serviceAccountName": self.account, "containers": [container], "volumes": [volume]}
        labels = {"app": NAME}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": stack.namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }


def told(cluster: Cluster, stack: Stack, unwell: Unwell, identity: Identity) -> WorkloadUnhealthy:
    """Apply an unwell Deployment, wait until its cause is reported, remove it, and return the error."""
    transient = "does not exist yet" if unwell.reference[0] == NAME else "being started"
    documents, impatient = unwell.documents(stack, identity), Impatient(transient)
    workload = open_workload(cluster, WorkloadRef(namespace=stack.namespace, name=NAME))
    apply(cluster, documents)
    try:
        with pytest.raises(WorkloadUnhealthy) as caught:
            workload.wait_for_ready(40, impatient.hear, impatient.clock)
    finally:
        delete(cluster, documents)
        cluster.delete(f"/api/v1/namespaces/{stack.namespace}/secrets/{NAME}")
    return caught.value


def identity_that_trusts(
    stack: Stack, name: str, *, issuer: str = "", subject: str = "", audience: str = AUDIENCE
) -> Identity:
    """Make an identity with a federated credential and no role; what is not given is as it must be."""
    with Azure(Settings()) as azure:
        identities, trusts = Identities(azure, stack.resource_group), FederatedCredentials(azure, stack.resource_group)
        identities.put(Identity(name=name, location=stack.location))
        right = trusts.resolve(replace(federation(stack), name="trust", parent=name, audience=audience))
        trusts.put(replace(right, issuer=issuer or right.issuer, subject=subject or right.subject))
        return identities.get(name)


@contextmanager
def service_account(cluster: Cluster, stack: Stack, name: str) -> Iterator[None]:
    """A service account that no identity trusts, for a block."""
    document = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": stack.namespace},
    }
    apply(cluster, [document])
    try:
        yield
    finally:
        delete(cluster, [document])
