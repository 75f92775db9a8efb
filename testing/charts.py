"""Charts as many teams have them, under neutral names, and what a person decides of the inventory that is proposed.

for chart in CHARTS:
    inventory = chart.complete(proposed, endpoint)    # -> YAML that can be used
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from infra.credentials import Login
from infra.credentials.derived import DerivedSecret
from infra.kubernetes.client import Object
from infra.kubernetes.manifests import load
from testing.labs import ROOT

FOLDER = ROOT / "tests" / "data" / "charts"
USERNAME = "tenant"
URL = "postgresql://{username:uri}:{password:uri}@{host}:{port}/{database}"
CSI, SECRET, EXTERNAL = "csi", "secret", "external-secret"


@dataclass(frozen=True)
class Chart:
    """A chart, and the credential that an import must propose of it.

    Args:
        name: of its file.
        credential: the proposed credential.
        layout: the kind of its secrets.
        values: the vault's secret -> what it holds, as a template of the login.
        consumers: kind and name of each workload -> the kinds of its deliveries.
        decided: what a person adds: fields of the credential, those of `secrets` one by one.
        said: what the proposal asks a person.
    """

    name: str
    credential: str
    layout: str
    values: Mapping[str, str]
    consumers: Mapping[str, tuple[str, ...]]
    decided: Mapping[str, Any] = field(default_factory=dict)
    said: str = "DECIDE strategy: "

    def __str__(self) -> str:
        return self.name

    def documents(self, values: Mapping[str, str]) -> list[Object]:
        """Return its manifests, filled in."""
        return load(f"{self.name}.yaml", values, FOLDER)

    def complete(self, proposed: str, endpoint: Mapping[str, Any]) -> str:
        """Return the inventory as a person leaves it: this credential with what was decided, and an endpoint."""
        entry = yaml.safe_load(proposed)["credentials"][self.credential]
        decided = {**self.decided, "secrets": {**entry["secrets"], **self.decided.get("secrets", {})}}
        return yaml.safe_dump({"credentials": {self.credential: {"endpoint": endpoint, **entry, **decided}}})

    def render(self, login: Login, host: str, port: int, database: str) -> dict[str, str]:
        """Return the vault's secret -> its value for a login."""
        made = {name: DerivedSecret(secret=name, template=text) for name, text in self.values.items()}
        return {name: secret.render(login, host, port, database) for name, secret in made.items()}


def _pair(stem: str, username: str = "username", password: str = "password") -> dict[str, str]:  # noqa: S107
    return {f"{stem}-{username}": "{username}", f"{stem}-{password}": "{password}"}


CHARTS = (
    Chart("aliases", "shop", "pair", _pair("shop"), {"Deployment shop": (CSI,)}),
    Chart(
        "password-alone",
        "portal-postgresql",
        "password",
        {"portal-postgresql-password": "{password}"},
        {"Deployment portal": (CSI,)},
        {"secrets": {"username": USERNAME}},
        "DECIDE secrets: no secret has the username for portal-postgresql-password",
    ),
    Chart(
        "connection-string",
        "billing",
        "connection-string",
        {"billing-connection-string": URL},
        {"Deployment billing": (CSI,)},
    ),
    Chart(
        "beside-a-connection-string",
        "stock",
        "pair",
        {**_pair("stock", "user"), "stock-connection-string": URL},
        {"Deployment stock": (CSI,)},
        {"derived": [{"secret": "stock-connection-string", "template": URL}]},
        "DECIDE derived: if stock-connection-string holds this login, too, list it here, and not as a credential",
    ),
    Chart("files-alone", "queue-db", "pair", _pair("queue-db"), {"StatefulSet queue": (CSI,)}),
    Chart("sub-path", "agent", "pair", _pair("agent", "login", "pwd"), {"DaemonSet agent": (CSI,)}),
    Chart(
        "cron-job",
        "report",
        "pair",
        _pair("report"),
        {"CronJob report-nightly": (SECRET,), "Deployment report-web": (CSI,)},
    ),
    Chart(
        "encoded",
        "ledger",
        "pair",
        {"ledger-username": "{username}", "ledger-password": "{password:base64}"},
        {"Deployment ledger": (CSI,)},
    ),
    Chart("two-classes", "search", "pair", _pair("search"), {"Deployment search": (CSI, CSI)}),
    Chart(
        "json-properties",
        "gateway-db",
        "json",
        {"gateway-db": '{{"user": "{username:json}", "password": "{password:json}", "port": {port}}}'},
        {"Deployment gateway": (EXTERNAL,)},
    ),
    Chart(
        "extract",
        "catalog-database",
        "json",
        {"catalog-database": '{{"username": "{username:json}", "password": "{password:json}"}}'},
        {"Deployment catalog": (EXTERNAL,)},
        said="DECIDE secrets: are username and password the names of the fields in catalog-database?",
    ),
)
