"""A fleet that tests start from."""

from datetime import UTC, datetime, timedelta
from typing import Any

from infra.credentials import Credential
from infra.fleet.roster import Roster
from infra.fleet.schedule import Facts
from testing.walkthrough import SERVER, change

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
OLD = Facts(NOW - timedelta(days=90))
"""Of a credential that rotates every 60 days and is overdue."""


def managed(name: str, **fields: Any) -> Credential:
    return change(SERVER, **{"name": name, "every": "60d", **fields})


def make_roster(*names: str) -> Roster:
    """Return overdue credentials, each in a vault of its own."""
    credentials = {name: managed(name, vault=f"vault-{number}") for number, name in enumerate(names)}
    return Roster(credentials, dict.fromkeys(names, OLD))
