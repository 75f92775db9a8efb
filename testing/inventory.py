"""Credentials of tests, listed in an inventory where the flows find them: beside the shipped ones, by name.

    spare = DEXTER.model_copy(update={"name": "spare", "secrets": SecretPair(username="u", password="p")})
    verify_login(listed(spare))

The inventory is this process' own, and its children's.
"""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import yaml

from infra.credentials import (
    ClusterRef,
    Credential,
    FlexibleServerEndpoint,
    LoadBalancerEndpoint,
    SecretPair,
    load_inventory,
)
from infra.targets import Target, Through
from testing.labs import ROOT

SHIPPED = load_inventory(ROOT / "credentials.yaml").credentials
DEXTER, DEXTER_SERVER = SHIPPED["dexter"], SHIPPED["dexter-server"]

_known = dict(SHIPPED)


def listed(credential: Credential) -> str:
    """List a credential, in place of an earlier one of its name, and return its name."""
    _known[credential.name] = credential
    entries = {name: known.model_dump(mode="json", exclude={"name"}) for name, known in _known.items()}
    written = _folder() / "next.yaml"
    written.write_text(yaml.safe_dump({"credentials": entries}), encoding="utf-8")
    # Flows in other threads may be reading the inventory meanwhile: it is replaced in one step.
    os.environ["KEYTURN_CREDENTIALS"] = str(written.replace(_folder() / "credentials.yaml"))
    return credential.name


@cache
def _folder() -> Path:
    folder, owner = Path(tempfile.mkdtemp(prefix="keyturn-inventory-")), os.getpid()
    atexit.register(lambda: shutil.rmtree(folder) if os.getpid() == owner else None)
    return folder


def of_target(target: Target) -> Credential:
    """Return the credential of a rotation's target, without its consumers."""
    server = FlexibleServerEndpoint(server=target.server, resource_group=target.resource_group)
    service = LoadBalancerEndpoint(namespace=target.namespace, service=target.service)
    names = target.admin_username_secret, target.admin_password_secret
    return Credential(
        name="of-target",
        vault=target.vault,
        secrets=SecretPair(username=target.username_secret, password=target.password_secret),
        cluster=ClusterRef(name=target.cluster, resource_group=target.resource_group),
        lock_namespace=target.namespace,
        endpoint=server if target.through is Through.SERVER else service,
        database=target.database,
        strategy=target.strategy.value,
        administrator=SecretPair(username=names[0], password=names[1]) if names[0] else None,
    )
