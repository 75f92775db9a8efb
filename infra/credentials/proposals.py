"""Proposing an inventory from what a cluster and a resource group have. Pure: a survey in, YAML with comments out.

    print(propose(Survey(cluster, bundles, users, services, servers)))

Which secrets are a login is seen by their names: `orders-username` and `orders-password` are one. What nobody can see
is left to a person: a comment says what to decide, or what is missing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from infra.credentials.consumers import Consumer
from infra.credentials.credential import Credential
from infra.credentials.endpoints import ClusterRef
from infra.credentials.problems import list_mistakes

USERNAME, PASSWORD, CONNECTION = "username", "password", "connection string"
_WORDS = {
    USERNAME: ("username", "user", "login", "uid"),
    PASSWORD: ("password", "passwd", "pass", "pwd"),
    CONNECTION: (
        "connection-string",
        "connectionstring",
        "database-url",
        "databaseurl",
        "postgres-url",
        "dsn",
        "jdbc-url",
        "jdbc",
        "db-url",
    ),
}
POSTGRES_PORT = 5432


@dataclass(frozen=True)
class Bundle:
    """Secrets of a vault that come to a namespace together.

    Args:
        kind: "SecretProviderClass" or "ExternalSecret".
        namespace: its namespace.
        name: its name.
        vault: the key vault; empty if it is not said.
        secrets: the vault's secrets that it brings.
        synced: Kubernetes Secret -> the vault's secrets that it has.
        fields: the vault's secret -> the fields of its JSON object that are read, if only some are.
        objects: those of which all fields of a JSON object are read.
        encodings: the vault's secret -> how its value is encoded there, if it is decoded on the way.
    """

    kind: str
    namespace: str
    name: str
    vault: str
    secrets: tuple[str, ...]
    synced: Mapping[str, frozenset[str]] = field(default_factory=dict)
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    objects: frozenset[str] = frozenset()
    encodings: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class User:
    """A workload, and what its pods read.

    Args:
        kind: the workload's kind.
        namespace: its namespace.
        name: its name.
        classes: the SecretProviderClasses that its pods mount.
        secrets: the Kubernetes Secrets that they read.
        is_database: whether it runs PostgreSQL itself.
    """

    kind: str
    namespace: str
    name: str
    classes: frozenset[str]
    secrets: frozenset[str]
    is_database: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Survey:
    """What was found.

    Args:
        cluster: where.
        bundles: what brings secrets of vaults.
        users: who reads them.
        endpoints: where databases may be reached, each as an inventory has it, with its namespace; empty for servers.
    """

    cluster: ClusterRef
    bundles: tuple[Bundle, ...]
    users: tuple[User, ...]
    endpoints: tuple[tuple[str, Mapping[str, str]], ...] = ()


@dataclass
class _Found:
    """A login in a vault: its parts, and what brings them."""

    vault: str
    stem: str
    parts: dict[str, str] = field(default_factory=dict)
    json_fields: dict[str, str] = field(default_factory=dict)
    is_object: bool = False
    encodings: dict[str, str] = field(default_factory=dict)
    bundles: list[Bundle] = field(default_factory=list)

    @property
    def secrets(self) -> set[str]:
        return {name.lower() for name in self.parts.values()}

    def is_beside(self, login: "_Found") -> bool:
        """Whether it is a connection string that by its name belongs to a login with a password of its own."""
        same = (self.vault.lower(), self.stem) == (login.vault.lower(), login.stem)
        return same and CONNECTION in self.parts and PASSWORD in login.parts


def split_name(secret: str) -> tuple[str, str]:
    """Return which part of a login a secret holds, by its name, and what is left of the name; empty if it is none.

    >>> split_name("orders-db-password")
    ('password', 'orders-db')
    """
    name = secret.lower()
    for part in (CONNECTION, PASSWORD, USERNAME):
        for word in _WORDS[part]:
            if match := re.fullmatch(rf"(?P<stem>.*?)-?{word}|{word}-(?P<rest>.+)", name):
                return part, (match["stem"] or match["rest"] or "").strip("-")
    return "", ""


def propose(survey: Survey) -> str:
    """Return an inventory as YAML, with comments where a person must decide."""
    logins, others = _find_logins(survey.bundles)
    lines = [
        "# yaml-language-server: $schema=credentials.schema.json",
        f"# Proposed from {survey.cluster}. Read every line marked with DECIDE or MISSING, then: python -m flows.check",
        "credentials:" if logins else "credentials: {} # nothing in the cluster looks like a login that a vault keeps",
    ]
    names = _name(logins)
    for name, login in zip(names, logins, strict=True):
        twins = [other.parts[CONNECTION] for other in logins if other.is_beside(login)]
        lines += ["", *_write(name, login, survey, twins)]
    lines += [
        f"\n# Not proposed: {bundle}, because nothing tells its vault" for bundle in survey.bundles if not bundle.vault
    ]
    lines += ["", *(f"# Not proposed, by its name no login: {secret} ({bundle})" for secret, bundle in others)]
    return "\n".join([*lines, *_left_over(survey)]).rstrip() + "\n"


def _find_logins(bundles: Sequence[Bundle]) -> tuple[list[_Found], list[tuple[str, Bundle]]]:
    """Return the logins, and the secrets that are none, each with one that brings it."""
    found, others = dict[tuple[str, str, bool], _Found](), dict[tuple[str, str], Bundle]()
    for bundle in bundles:
        for secret in bundle.secrets if bundle.vault else ():
            fields = {split_name(name)[0]: name for name in bundle.fields.get(secret, ())}
            is_object = secret in bundle.objects
            part, stem = (PASSWORD, secret.lower()) if PASSWORD in fields or is_object else split_name(secret)
            if not part:
                others.setdefault((bundle.vault, secret), bundle)
                continue
            key = (bundle.vault.lower(), stem, part == CONNECTION)
            login = found.setdefault(key, _Found(bundle.vault, stem))
            login.parts.setdefault(part, secret)
            login.json_fields |= fields if PASSWORD in fields else {}
            login.is_object |= is_object
            login.encodings |= {secret: bundle.encodings[secret]} if secret in bundle.encodings else {}
            if bundle not in login.bundles:
                login.bundles.append(bundle)
    logins = [login for login in found.values() if set(login.parts) != {USERNAME}]
    alone = [login for login in found.values() if set(login.parts) == {USERNAME}]
    rest = [(secret, bundle) for (_, secret), bundle in others.items()]
    return logins, rest + [(login.parts[USERNAME], login.bundles[0]) for login in alone]


def _name(logins: Iterable[_Found]) -> list[str]:
    """Give each login a name of its own: what its secrets have in common, or what brings them."""
    names = list[str]()
    for login in logins:
        base = re.sub(r"[^a-z0-9-]+", "-", login.stem or login.bundles[0].name.lower()).strip("-")[:50] or "database"
        candidates = (base, f"{base}-{login.bundles[0].namespace}", *(f"{base}-{number}" for number in range(2, 1000)))
        names.append(next(name for name in candidates if name not in names))
    return names


def _write(name: str, login: _Found, survey: Survey, twins: Sequence[str]) -> Iterator[str]:
    """Write a credential: what is known as fields, the rest as comments."""
    fields, decide = _fields(login), list[str]()
    fields["cluster"] = survey.cluster.model_dump(mode="json", exclude_defaults=True)
    fields["lock_namespace"] = login.bundles[0].namespace
    endpoints = _possible_endpoints(login, survey)
    if len(endpoints) == 1:
        fields["endpoint"] = endpoints[0]
    decide.append(_choose(endpoints))
    fields["strategy"] = "in-place"
    decide.append("strategy: in-place restarts its clients; alternating has no failed logins, see README.md#strategies")
    consumers, unsupported = _list_consumers(login, survey.users)
    if consumers:
        fields["consumers"] = consumers
    decide += [f"consumers: {user} reads it, too, and cannot be listed: {why}" for user, why in unsupported]
    if set(login.parts) == {PASSWORD} and USERNAME not in login.json_fields and not login.is_object:
        decide.append(f"secrets: no secret has the username for {login.parts[PASSWORD]}; is it PostgreSQL's at all?")
    decide += [f"derived: if {twin} holds this login, too, list it here, and not as a credential" for twin in twins]
    if login.is_object:
        decide.append(f"secrets: are username and password the names of the fields in {login.parts[PASSWORD]}?")
    missing = _list_mistakes(Credential, {**fields, "name": name}, () if len(endpoints) == 1 else ("endpoint",))
    yield f"  {name}: # {', '.join(map(str, login.bundles))}"
    yield from (f"    # DECIDE {text}" for text in decide)
    yield from (f"    # MISSING {text}" for text in missing)
    for key, value in fields.items():
        if key != "consumers":
            yield f"    {key}: {_inline(value)}"
    yield from ("    consumers:" for _ in consumers[:1])
    for consumer in consumers:
        for number, (key, value) in enumerate(consumer.items()):
            yield f"      {'- ' if number == 0 else '  '}{key}: {_inline(value)}"


def _fields(login: _Found) -> dict[str, Any]:
    parts, layout = login.parts, dict[str, Any]()
    if login.json_fields or login.is_object:
        names = {f"{part}_field": name for part, name in login.json_fields.items() if part in (USERNAME, PASSWORD)}
        layout = {"kind": "json", "secret": parts[PASSWORD], **names}
    elif CONNECTION in parts:
        layout = {"kind": "connection-string", "secret": parts[CONNECTION]}
    elif USERNAME in parts:
        layout = {"kind": "pair", "username": parts[USERNAME], "password": parts[PASSWORD]}
    else:
        layout = {"kind": "password", "password": parts[PASSWORD]}
    encodings = {"encodings": login.encodings} if login.encodings else {}
    return {"vault": login.vault, "secrets": layout | encodings}


def _possible_endpoints(login: _Found, survey: Survey) -> list[Mapping[str, str]]:
    """Return where its database may be: in the namespaces of its databases or consumers; else a server."""
    users = [user for user in survey.users if any(_list_deliveries(bundle, user, login) for bundle in login.bundles)]
    databases = {user.namespace for user in users if user.is_database}
    namespaces = databases or {bundle.namespace for bundle in login.bundles}
    near = [endpoint for namespace, endpoint in survey.endpoints if namespace in namespaces]
    return near or [endpoint for namespace, endpoint in survey.endpoints if not namespace]


def _choose(endpoints: Sequence[Mapping[str, str]]) -> str:
    if not endpoints:
        return "endpoint: add where its database is reached; neither the cluster nor the servers tell"
    if len(endpoints) > 1:
        return f"endpoint: add one of {' or '.join(map(_inline, endpoints))}"
    is_service = "service" in endpoints[0]
    return "endpoint: is this where its database is reached?" + (" Without tls it is plain text." if is_service else "")


def _list_consumers(login: _Found, users: Sequence[User]) -> tuple[list[dict[str, Any]], list[tuple[User, str]]]:
    """Return the consumers as an inventory has them, and the users that it cannot have, each with the reason."""
    consumers, unsupported = list[dict[str, Any]](), list[tuple[User, str]]()
    for user in users:
        deliveries = [found for bundle in login.bundles for found in _list_deliveries(bundle, user, login)]
        if not deliveries:
            continue
        workload = {"kind": user.kind, "namespace": user.namespace, "name": user.name}
        several = {"delivery": deliveries[0]} if len(deliveries) == 1 else {"deliveries": deliveries}
        consumer = {"workload": workload, **several, **({"is_database": True} if user.is_database else {})}
        if mistakes := _list_mistakes(Consumer, consumer):
            unsupported.append((user, mistakes[0]))
        else:
            consumers.append(consumer)
    return consumers, unsupported


def _list_deliveries(bundle: Bundle, user: User, login: _Found) -> list[dict[str, str]]:
    """Return how a bundle brings the login to a user; nothing if it does not."""
    if bundle.namespace != user.namespace:
        return []
    synced = sorted(
        name for name, secrets in bundle.synced.items() if login.secrets & {each.lower() for each in secrets}
    )
    read = [name for name in synced if name in user.secrets]
    if bundle.kind == "ExternalSecret":
        kept = {"kind": "external-secret", "external_secret": bundle.name}
        return [kept | ({"synced_secret": name} if name != bundle.name else {}) for name in read]
    if bundle.name not in user.classes:
        return [{"kind": "secret", "secret": name, "kept_by": bundle.name} for name in read]
    mounted = {"kind": "csi", "secret_provider_class": bundle.name}
    return [mounted | ({"synced_secret": (read or synced)[0]} if synced else {})]


def _list_mistakes(model: type[BaseModel], fields: Mapping[str, Any], told: Sequence[str] = ()) -> list[str]:
    """Return what a check would say, without the fields that are told of already."""
    try:
        model.model_validate(fields)
    except ValidationError as error:
        found = [mistake for mistake in list_mistakes(model, error) if mistake.field not in told]
        return [f"{mistake.field}: {mistake.seen}; {mistake.fix}".removeprefix(": ") for mistake in found]
    return []


def _left_over(survey: Survey) -> Iterator[str]:
    """Tell of servers: their administrators have no workload that reads their login."""
    for namespace, endpoint in survey.endpoints:
        if not namespace:
            yield (
                f"# The Flexible Server {endpoint['server']}: for its administrator add a credential with the endpoint "
                f"{_inline(endpoint)}, the strategy managed, and the vault's secrets of its login"
            )


def _inline(value: Any) -> str:
    return (
        str(yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)).removesuffix("...\n").strip()
    )
