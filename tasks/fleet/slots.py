"""Prefect's global concurrency limits for vaults and servers: whoever sets them bounds the fleet's rotations by them.

    prefect gcl create keyturn-vault-orderskv --limit 4
    prefect gcl create keyturn-server-orders-postgresql --limit 2

The fleet's own limits bound what one fleet starts; these hold across all fleets, workers and clusters. A limit that
does not exist bounds nothing, and a rotation that a person starts waits for none.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run

from infra.credentials import Credential
from infra.fleet.wave import Place
from tasks.fleet.runs import FLEET, PAGE
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
            if names := find_limits(credential):
                held.enter_context(concurrency(names, timeout_seconds=LONGEST_SECONDS))
    try:
        yield is_bound
    finally:
        with best_effort("give back the slots of vault and server"):
            held.close()


def find_limits(credential: Credential) -> list[str]:
    """Return which of a credential's limits exist.

    Prefect keeps a thread with a client for every combination of names that a process has ever asked for, so names that
    nobody has made a limit of must not be asked for: a fleet in one process has hundreds of combinations.
    """
    with get_client(sync_client=True) as client:
        known = {limit.name for limit in _list_limits(client)}
    return [name for name in name_limits(credential) if name in known]


def _list_limits(client: SyncPrefectClient) -> Iterator[GlobalConcurrencyLimitResponse]:
    offset = 0
    while page := client.read_global_concurrency_limits(limit=PAGE, offset=offset):
        yield from page
        if len(page) < PAGE:
            return
        offset += PAGE


def name_limits(credential: Credential) -> list[str]:
    """Return the names of the limits of a credential's vault and server."""
    place = Place.of(credential)
    return [f"keyturn-vault-{place.vault}", f"keyturn-server-{re.sub('[^-a-z0-9]+', '-', place.server.lower())}"]
