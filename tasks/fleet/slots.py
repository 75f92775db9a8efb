"""Prefect's global concurrency limits for vaults and servers: whoever sets them bounds the fleet's rotations by them.

    prefect gcl create keyturn-vault-orderskv --limit 4
    prefect gcl create keyturn-server-orders-postgresql --limit 2

The fleet's own limits bound what one fleet starts; these hold across all fleets, workers and clusters. A limit that
does not exist bounds nothing, and a rotation that a person starts waits for none.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run

from infra.credentials import Credential
from infra.fleet.wave import Place
from tasks.fleet.runs import FLEET
from tasks.reports.logs import best_effort

LONGEST_SECONDS = 3600.0
"""A rotation that has waited for so long begins without a slot: late is worse than crowded."""


@contextmanager
def slots_held(credential: Credential) -> Iterator[bool]:
    """Hold a slot of each of a credential's limits for a block, if the fleet has started the run.

    Yields whether it may have waited. If Prefect's API is away the block runs all the same: its own errors pass, and
    none of the limits' do.
    """
    held, is_bound = ExitStack(), FLEET in (flow_run.tags or ())
    if is_bound:
        with best_effort("take the slots of vault and server"):
            held.enter_context(concurrency(name_limits(credential), timeout_seconds=LONGEST_SECONDS))
    try:
        yield is_bound
    finally:
        with best_effort("give back the slots of vault and server"):
            held.close()


def name_limits(credential: Credential) -> list[str]:
    """Return the names of the limits of a credential's vault and server."""
    place = Place.of(credential)
    return [f"keyturn-vault-{place.vault}", f"keyturn-server-{re.sub('[^-a-z0-9]+', '-', place.server.lower())}"]
