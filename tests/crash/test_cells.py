"""Each layout with each delivery and each strategy, rotated together; `recreate` is for pairs alone: see its kills."""

from collections.abc import Iterator

import pytest

from infra.credentials import Login, Strategy
from infra.rotation.candidate import name_candidate
from infra.rotation.execution import Verdict
from testing import bare
from tests.crash.cells import TEXTS, Cell, choose_sample, consumers_run, list_cells, logins_made, read_in_pods
from tests.crash.faulty import rotate
from tests.crash.scene import Scene

MARKED = [
    pytest.param(cell.delivery, cell, id=str(cell), marks=() if cell in choose_sample() else pytest.mark.slow)
    for cell in list_cells()
]


@pytest.fixture(scope="module")
def logins(scene: Scene) -> Iterator[dict[Strategy, Login]]:
    """The current login of each strategy."""
    scene.lab.faults.clear_faults()
    with logins_made(scene) as made:
        yield made


@pytest.fixture(scope="module")
def delivery(request: pytest.FixtureRequest, scene: Scene, logins: dict[Strategy, Login]) -> Iterator[str]:
    """A delivery, and who gets the credential by it."""
    with consumers_run(scene, request.param):
        yield request.param


@pytest.mark.parametrize(("delivery", "cell"), MARKED, indirect=["delivery"])
def test_a_login_of_each_layout_gets_to_its_clients_by_each_delivery_under_each_strategy(
    scene: Scene, logins: dict[Strategy, Login], delivery: str, cell: Cell
) -> None:
    before = logins[cell.strategy]
    credential, texts = cell.credential(before.username), TEXTS[cell.layout]
    vault = scene.vault(credential)
    for name, text in texts.items():
        vault.write(name, text.format(before.username, before.password))
    if cell.strategy is Strategy.ALTERNATING and before.username.endswith("turns"):
        bare.make_owner_role(credential)
    try:
        ended = rotate(credential)
    finally:
        logins[cell.strategy] = newest = scene.newest(credential)
    assert ended.verdict is Verdict.ROTATED, ended.message
    assert newest.password != before.password
    assert (newest.username != before.username) is (cell.strategy is Strategy.ALTERNATING)
    assert scene.logs_in(credential, newest)
    assert not scene.logs_in(credential, before)
    values = {name: text.format(newest.username, newest.password) for name, text in texts.items()}
    assert {name: vault.read(name) for name in texts} == values
    for name in (name for name, text in texts.items() if text.format(before.username, before.password) != values[name]):
        enabled = [version.version for version in vault.list_versions(name) if version.enabled]
        assert enabled == [vault.get_latest(name).version]
    assert vault.find_latest(name_candidate(credential.secrets.names)) is None
    found = read_in_pods(scene, delivery, tuple(texts)) if credential.consumers else list(values.items())
    assert set(found) == set(values.items())
    assert {name for name, _ in found} == set(texts)
