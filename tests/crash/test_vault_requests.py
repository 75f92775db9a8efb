"""What a rotation costs the vault in requests, counted by the lab: few, however many versions a secret has."""

from collections.abc import Iterator

import pytest

from infra.azure.secrets import KeyVault
from infra.credentials import Strategy
from infra.rotation.attributes import Attributes
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from tests.crash.cases import Case, find_case
from tests.crash.faulty import rotate
from tests.crash.scene import Scene

PAGE = 25
"""How many versions Key Vault lists in a page."""
MOST = {
    (Strategy.MANAGED, Sync.WAIT): 23,
    (Strategy.IN_PLACE, Sync.EXPRESS): 24,
    (Strategy.RECREATE, Sync.EXPRESS): 28,
    (Strategy.ALTERNATING, Sync.EXPRESS): 30,
    (Strategy.ALTERNATING, Sync.WAIT): 30,
}
"""With a pair of secrets: one list of each, the values that each task needs, looks before writes, rights tried."""


@pytest.fixture(params=MOST, ids=lambda key: f"{key[0]}-{key[1]}")
def case(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Case]:
    """A case that is ready to be rotated, with a database and a client as consumers where it has any."""
    found = find_case(*request.param)
    scene.lab.faults.clear_faults()
    with found.prepared(scene):
        retire_all_but_the_newest(scene, found)
        yield found
        scene.forget_old_versions(found.credential)


def retire_all_but_the_newest(scene: Scene, case: Case) -> None:
    """Leave what a rotation leaves: each further enabled version would cost a request to disable it."""
    scene.forget_old_versions(case.credential)
    vault = scene.vault(case.credential)
    for name in case.credential.secrets.names:
        for version in vault.list_all(name)[1:]:
            if version.enabled:
                vault.set_enabled(name, version.version, False)


def count(scene: Scene) -> int:
    """Return how many requests the operator has sent to the vaults."""
    sent = scene.lab.faults.status()["requests"]["operator"]
    return sum(number for host, number in sent.items() if host.endswith(".vault.azure.net"))


def fill(vault: KeyVault, name: str, versions: int) -> None:
    """Give a secret a history of disabled versions before its newest one."""
    value, before = vault.read(name), vault.get_latest(name).version
    for _ in range(versions - len(vault.list_versions(name))):
        vault.set_enabled(name, vault.write(name, value).version, False)
    vault.write(name, value, attributes=Attributes())
    vault.set_enabled(name, before, False)


def rotate_and_count(scene: Scene, case: Case) -> int:
    before = count(scene)
    ended = rotate(case.credential, sync=case.sync)
    assert ended.verdict is Verdict.ROTATED, ended.message
    return count(scene) - before


def test_a_rotation_needs_few_requests(scene: Scene, case: Case) -> None:
    assert rotate_and_count(scene, case) <= MOST[case.strategy, case.sync]


@pytest.mark.slow
def test_240_versions_cost_the_further_pages_of_one_list_of_each_secret(scene: Scene, case: Case) -> None:
    vault, names = scene.vault(case.credential), case.credential.secrets.names
    for name in names:
        fill(vault, name, 239)
    pages = sum(-(-len(vault.list_versions(name)) // PAGE) - 1 for name in names)
    assert pages >= 2 * 9
    assert rotate_and_count(scene, case) <= MOST[case.strategy, case.sync] + pages
