"""The lab that rotations are killed in, and what is checked from outside: vault, cluster, database, a client."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.azure.secrets import KeyVault
from infra.credentials import Consumer, Credential, CsiDelivery, ExternalSecretDelivery, Login, SecretDelivery
from infra.errors import KeyturnError, LoginRefused
from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.deliveries import open_delivery
from infra.kubernetes.deliveries.provider_classes import path_of
from infra.kubernetes.manifests import apply
from infra.kubernetes.pods import run_in_pod
from infra.kubernetes.workload_handle import STOPPED_REPLICAS
from infra.kubernetes.workloads import open_workload
from infra.postgres.database import Database
from infra.rotation.candidate import name_candidate, parse_candidate
from infra.rotation.observation import PHASE, ROTATION_ID, Phase
from infra.settings import Settings
from lab.control import lifecycle
from tasks.context import Access, connections_shared, opened, opened_azure
from tasks.rotation.lock import lease_name
from testing import bare
from testing.external_secrets import API, external_secret, install_operator, store
from testing.labs import RunningLab, make_state_folder
from testing.reading import let_read
from testing.rotator import bind, make_rotator
from testing.walkthrough import DATABASE, DEXTER, consumer_like
from tests.crash.zygote import Zygote

CLIENT = consumer_like(DATABASE, name="client", is_database=False)
NAMESPACE = DATABASE.workload.namespace
POLL_SECONDS, SECONDS, MOST_VERSIONS = 1.0, 40, 15
WAITING = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"
LEASES = "/apis/coordination.k8s.io/v1"
READ_FILES = "cd -P /credential/..data && cat username && echo && cat password"
"""Reads both files of one state: the driver replaces the folder that the link names."""
ONE_OBJECT = 'array:\n  - |\n    objectName: {}\n    objectType: secret\n    objectVersion: ""\n'
KIND_OF_CLASS = {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass"}
KEYS = ("USERNAME", "PASSWORD")
"""The keys of the synced Secret, and the client's variables."""
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"


def path_of_lease(credential: Credential) -> str:
    """Return the path of a credential's lock."""
    return f"{LEASES}/namespaces/{credential.lock_namespace}/leases/{lease_name(credential)}"


@dataclass
class Scene:
    """A lab with the walkthrough's stack in it, and a process that runs rotations.

    Args:
        lab: the lab; its variables are this process' own.
        zygote: runs rotations, as who may rotate and no more.
        running: the client that runs now.
    """

    lab: RunningLab
    zygote: Zygote = field(init=False)
    running: Consumer = field(init=False, default=CLIENT)

    @cached_property
    def cluster(self) -> Cluster:
        return connect(Path(os.environ["KUBECONFIG"]), Settings())

    def access(self, credential: Credential) -> Access:
        """A credential's vault and database, under the sign-in that the scene shares."""
        with opened(credential) as access:
            return access

    def vault(self, credential: Credential) -> KeyVault:
        return self.access(credential).vault

    def database(self, credential: Credential) -> Database:
        return self.access(credential).database

    def newest(self, credential: Credential) -> Login:
        """The vault's newest versions."""
        return self.access(credential).read_newest()

    def staged(self, credential: Credential) -> Login | None:
        """What the candidate holds, if there is one."""
        vault, name = self.vault(credential), name_candidate(credential.secrets.names)
        return None if vault.find_latest(name) is None else parse_candidate(vault.read(name), name).new

    def unfinished(self, credential: Credential) -> str:
        """Return the id of the rotation that has steps left; empty if none has."""
        staged = self.vault(credential).find_latest(name_candidate(credential.secrets.names))
        return staged.tags[ROTATION_ID] if staged is not None and Phase(staged.tags[PHASE]).is_live else ""

    def logs_in(self, credential: Credential, login: Login, timeout_seconds: float = 0) -> bool:
        """Whether the database accepts a login; it must answer, at once or within the time."""
        try:
            self.database(credential).wait_for(login, timeout_seconds)
        except LoginRefused as error:
            assert error.code in ("28P01", "28000")
            return False
        return True

    def answers(self, credential: Credential, login: Login) -> bool:
        """Whether a database answers, with yes or no: it may be stopping or starting."""
        try:
            self.logs_in(credential, login)
        except KeyturnError:
            return False
        return True

    def environments(self) -> list[Login]:
        """The login that each ready pod of the client has: in its environment, or in files that it re-reads."""
        found = [(pod, self._find_environment(pod)) for pod in self._ready_clients()]
        staying = self._ready_clients()
        assert all(login or pod not in staying for pod, login in found), "a client's environment cannot be read"
        return [login for _, login in found if login]

    def _ready_clients(self) -> list[str]:
        pods = open_workload(self.cluster, CLIENT.workload).get().pods
        return [pod.name for pod in pods if pod.ready and not pod.terminating]

    def _find_environment(self, pod: str) -> Login | None:
        """Ask a pod, which may be terminating."""
        command = ["printenv", *KEYS] if self.running.secret_key else ["sh", "-c", READ_FILES]
        try:
            username, password = run_in_pod(self.cluster, NAMESPACE, pod, command).stdout.split()
        except (KeyturnError, ValueError):
            return None
        return Login(username, password)

    def assert_a_known_login_works(self, credential: Credential, before: Login, may_be_down: bool) -> None:
        """The newest versions can be read, and the database accepts one of the logins that the vault knows."""
        vault = self.vault(credential)
        for name in credential.secrets.names:
            assert vault.get_latest(name).enabled, f"the newest version of {name} is disabled"
        newest, staged = self.newest(credential), self.staged(credential)
        if may_be_down and not self.answers(credential, newest):
            return
        known = {newest, before, staged or newest}
        assert any(self.logs_in(credential, login) for login in known), "no known login works"

    def assert_clients_hold_no_mix(self, credential: Credential, before: Login, always_work: bool) -> None:
        """A client's username and password belong together, and work if the strategy promises that."""
        allowed = {before, self.staged(credential) or self.newest(credential)}
        for login in self.environments():
            assert login in allowed, "a client has a username and a password that do not belong together"
            assert not always_work or self.logs_in(credential, login), "a client has a login that does not work"

    def assert_well(self, credential: Credential, before: Login) -> None:
        """The newest versions are everywhere and log in, the previous login does not, nothing is left behind."""
        newest = self.newest(credential)
        assert newest != before
        assert self.logs_in(credential, newest)
        assert not self.logs_in(credential, before), "the previous login still works"
        vault = self.vault(credential)
        for name in credential.secrets.names:
            enabled = [version.version for version in vault.list_versions(name) if version.enabled]
            assert enabled == [vault.get_latest(name).version], f"older versions of {name} are enabled"
        assert vault.find_latest(name_candidate(credential.secrets.names)) is None, "the candidate is left"
        lease = self.cluster.get(path_of_lease(credential))
        assert not lease["spec"].get("holderIdentity"), "the lock is held"
        for consumer in credential.consumers:
            self._assert_has_newest(credential, consumer, newest)
        if self.running in credential.consumers:
            assert self.environments() == [newest]

    def _assert_has_newest(self, credential: Credential, consumer: Consumer, newest: Login) -> None:
        """Files and Secret get there by the next poll at the latest."""
        workload = open_workload(self.cluster, consumer.workload).get()
        assert workload.settled and workload.replicas == 1, f"{consumer.key} is not settled"
        metadata = self.cluster.get(f"{DEPLOYMENTS}/{consumer.workload.name}")["metadata"]
        assert STOPPED_REPLICAS not in (metadata.get("annotations") or {})
        names, vault = credential.secrets.names, self.vault(credential)
        versions = {name: vault.get_latest(name).version for name in names}
        delivery, pods = open_delivery(self.cluster, consumer), {pod.uid: pod.name for pod in workload.pods}
        assert delivery.uses(names) == set(names)
        assert not delivery.observe(names, None).pinned_for, f"{consumer.key} is pinned"
        delivery.wait_until_current(pods, versions, delivery.seal(credential.secrets.render(newest)), SECONDS)

    def put_data(self, credential: Credential) -> None:
        """Make a table that must outlive rotations."""
        with self.database(credential).connected(self.newest(credential)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")

    def has_data(self, credential: Credential) -> bool:
        """Whether the table is there."""
        with self.database(credential).connected(self.newest(credential)) as connection:
            return connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]

    def forget_old_versions(self, credential: Credential) -> None:
        """Write the newest values to secrets without a history, so that lists of versions stay short."""
        vault = self.vault(credential)
        for name in credential.secrets.names:
            if len(vault.list_versions(name)) > MOST_VERSIONS:
                value = vault.read(name)
                vault.delete(name)
                vault.purge(name)
                vault.write(name, value)

    def _login_probe(self) -> dict[str, Any]:
        """Make the readiness probe of a client that logs in to the database with its environment."""
        address = self.database(DEXTER).address
        where = f"-h {address.host} -p {address.port} -d {address.database}"
        command = f'PGPASSWORD="$PASSWORD" psql -w {where} -U "$USERNAME" -c ""'
        return {"exec": {"command": ["sh", "-c", command]}, "periodSeconds": 1, "timeoutSeconds": 5}

    @contextmanager
    def client(
        self, consumer: Consumer = CLIENT, credential: Credential = DEXTER, *, logs_in: bool = False
    ) -> Iterator[None]:
        """Run a client that has the credential by its deliveries; if it logs in, it is ready only when it can."""
        probe = self._login_probe() if logs_in else None
        self._make_sources(consumer, credential)
        self.cluster.request("POST", DEPLOYMENTS, {}, _make_client(consumer, probe))
        self.running = consumer
        try:
            open_workload(self.cluster, consumer.workload).wait_for_ready(SECONDS)
            yield
        finally:
            self.running = CLIENT
            self.remove(consumer)
            self._remove_external_secrets(consumer)

    def remove(self, *consumers: Consumer) -> None:
        """End the pods of Deployments, then remove them."""
        for consumer in consumers:
            self.cluster.patch(f"{DEPLOYMENTS}/{consumer.workload.name}", {"spec": {"replicas": 0}})
        for consumer in consumers:
            open_workload(self.cluster, consumer.workload).wait_for_pods_gone(SECONDS)
            self.cluster.delete(f"{DEPLOYMENTS}/{consumer.workload.name}")

    def _make_sources(self, consumer: Consumer, credential: Credential) -> None:
        """Make what brings a client the credential, as far as the stack does not have it."""
        for delivery in consumer.every_delivery:
            if isinstance(delivery, ExternalSecretDelivery):
                install_operator(self.cluster)
                let_read(credential)
                external = external_secret(
                    NAMESPACE, delivery.external_secret, dict(zip(KEYS, credential.secrets.names, strict=True))
                )
                apply(self.cluster, [store(NAMESPACE, DEXTER.vault, "dexter-sa"), external])
            else:
                self._make_class(delivery)

    def _remove_external_secrets(self, consumer: Consumer) -> None:
        """Remove what would be an unlisted consumer of the credential in the next case."""
        for delivery in consumer.every_delivery:
            if isinstance(delivery, ExternalSecretDelivery):
                self.cluster.delete(f"/apis/{API}/namespaces/{NAMESPACE}/externalsecrets/{delivery.external_secret}")

    def _make_class(self, delivery: CsiDelivery | SecretDelivery) -> None:
        """Make a class that the stack does not have: it brings what its name ends with."""
        like = self.cluster.get(path_of(NAMESPACE, DATABASE.every_delivery[0].source))
        path, name = path_of(NAMESPACE, delivery.source), delivery.source.rpartition("-")[2]
        if self.cluster.find(path) is not None:
            return
        data = [{"key": name.upper(), "objectName": name}]
        parameters = {**like["spec"]["parameters"], "objects": ONE_OBJECT.format(name)}
        secrets = [{"secretName": delivery.secret_name, "type": "Opaque", "data": data}]
        made = {"metadata": {"name": delivery.source}, "spec": {"provider": "azure", "parameters": parameters}}
        made["spec"]["secretObjects"] = secrets
        self.cluster.request("POST", path.rpartition("/")[0], {}, {**KIND_OF_CLASS, **made})


def _make_client(consumer: Consumer, probe: dict[str, Any] | None) -> dict[str, Any]:
    """Make the Deployment of a client that has the pair of the walkthrough."""
    deliveries = consumer.every_delivery
    classes = [delivery.source for delivery in deliveries if isinstance(delivery, CsiDelivery)]
    secrets = [delivery.secret_name for delivery in deliveries if delivery.secret_name]
    by_key = zip(KEYS, secrets * len(KEYS), strict=False)
    variables = [{"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}} for key, secret in by_key]
    folders = dict(zip(classes, ("/credential", "/another"), strict=False))
    return waiting_deployment(consumer.workload.name, folders, env=variables, readinessProbe=probe)


def waiting_deployment(name: str, folders: Mapping[str, str], **container: Any) -> dict[str, Any]:
    """Return a Deployment that waits.

    Args:
        name: its name.
        folders: class -> where its files are.
        container: what else its container has.
    """
    labels, driver = {"app": name}, {"driver": "secrets-store.csi.k8s.io", "readOnly": True}
    mounts = [{"name": mounted, "mountPath": path, "readOnly": True} for mounted, path in folders.items()]
    client = {"name": "client", "image": "postgres:14", "command": ["sh", "-c", WAITING], "volumeMounts": mounts}
    spec = {
        "serviceAccountName": "dexter-sa",
        "terminationGracePeriodSeconds": 1,
        "containers": [{**client, **container}],
        "volumes": [
            {"name": mounted, "csi": {**driver, "volumeAttributes": {"secretProviderClass": mounted}}}
            for mounted in folders
        ],
    }
    template = {"metadata": {"labels": {**labels, "azure.workload.identity/use": "true"}}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def _make_rotator(scene: Scene) -> dict[str, str]:
    """Make who rotates; the scene's own connections stay the owner's."""
    with opened_azure() as azure:
        variables = make_rotator(scene.lab, azure, scene.cluster)
    bind(scene.cluster, NAMESPACE)
    return variables


@contextmanager
def running_scene() -> Iterator[Scene]:
    """Start a lab for a block, with the stack in it; its variables are this process' own.

    Clients trust the lab's authority alone: loading all public authorities for each connection takes most of their
    time.
    """
    options = lifecycle.StartOptions(
        state=make_state_folder(), poll_interval_seconds=POLL_SECONDS, operation_seconds=0.0
    )
    before = dict(os.environ)
    with lifecycle.attached(options) as info:
        authority = str(options.state / "ca.pem")
        bundles = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), authority)
        os.environ.update({**info.environment, **bundles, "KEYTURN_KUBECONFIG": info.environment["KUBECONFIG"]})
        try:
            with connections_shared(), ExitStack() as running:
                bare.install(poll_interval_seconds=1)
                scene = Scene(RunningLab(options, info))
                os.environ.update(_make_rotator(scene))
                scene.zygote = running.enter_context(Zygote())
                yield scene
        finally:
            os.environ.clear()
            os.environ.update(before)
