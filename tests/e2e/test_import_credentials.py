"""`python -m flows.import_credentials` on the walkthrough's stack: what it proposes is what the shipped file says."""

from pathlib import Path

import pytest

from flows.import_credentials import main
from flows.live_check import look
from infra.credentials import FlexibleServerEndpoint, Strategy, load_inventory
from testing.bare import without_prefect
from testing.rotating import World
from testing.walkthrough import DEXTER, SERVER, change

pytestmark = pytest.mark.owner


def test_the_walkthroughs_stack_is_proposed_and_could_rotate(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = world.snapshot()
    group, name = DEXTER.cluster.in_azure
    assert main([name, group, "--servers-in", group]) == 0
    path = tmp_path / "credentials.yaml"
    path.write_text(capsys.readouterr().out)
    inventory = load_inventory(path)
    assert inventory.list_problems() == ()
    [proposed] = inventory.credentials.values()
    wanted = change(DEXTER, name=proposed.name, strategy=Strategy.IN_PLACE)
    assert proposed == wanted, "the strategy is a person's to decide"
    assert isinstance(SERVER.endpoint, FlexibleServerEndpoint)
    assert f"# The Flexible Server {SERVER.endpoint.server}: for its administrator add a credential" in path.read_text()
    with without_prefect():
        assert not look(proposed).is_blocked
    assert world.snapshot() == before


def test_a_cluster_that_does_not_exist_is_told_and_nothing_is_proposed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["nosuch", "integrateakskv-rg"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "nosuch" in printed.err
