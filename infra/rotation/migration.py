"""The migration from one login to an owner role that two logins share: its plan and what blocks it. Pure.

The strategy alternating needs an owner role that cannot log in. The migration makes the current login's role the owner
role, in one transaction; the plan says beforehand what that transaction does.

    plan_migration(credential, facts).steps[0].what   # -> "rename the login's role to its name with _owner"
"""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.credentials import Credential
from infra.errors import Code, Conflict, KeyturnError, Refused
from infra.rotation.preflight import Finding, refuse

_KEEP_THE_ROLE_SINCE = {12: 22, 13: 18, 14: 15, 15: 10, 16: 6, 17: 2}
"""Major version -> the first minor version whose sessions start as the role of `ALTER ROLE ... SET role` and keep it.
In those before, `DISCARD ALL` drops it (seen on 16.2), and the last of them ignore the setting:
https://www.postgresql.org/docs/release/17.2/"""
_MOST_NAMES = 10


@dataclass(frozen=True)
class DatabaseFacts:
    """What of a database depends on the name that a login's sessions act as.

    Args:
        name: the database.
        sessions: how many the login has open there.
        finds_own_schema: whether `"$user"` in its search_path finds a schema, by the login's name or the owner role's.
        asking: what asks for the current or the session's user, each as "view recent_orders".
    """

    name: str
    sessions: int = 0
    finds_own_schema: bool = False
    asking: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoginFacts:
    """A login and what it has, without its name.

    Args:
        alternate_logins: how many other logins its owner role has; None if it has no owner role yet.
        is_owner_name_taken: whether a role already has the name that the owner role would get.
        relations: how many it owns in this database, without those that initdb made.
        sessions: how many it has open.
        settings: how many settings its sessions start with.
        may_rename: whether the session that looked may rename its role.
        server_version: as a number: 150018 is 15.18.
        starts_as_another: whether its sessions start as another role already, by a setting of its own.
        members: roles that may switch to it.
        followers: roles and databases whose sessions start as it, by their settings.
        subscriptions: those that it owns.
        databases: those that it may connect to.
    """

    alternate_logins: int | None
    is_owner_name_taken: bool
    relations: int
    sessions: int
    settings: int
    may_rename: bool
    server_version: int
    starts_as_another: bool = False
    members: tuple[str, ...] = ()
    followers: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()
    databases: tuple[DatabaseFacts, ...] = ()

    @property
    def own_schemas(self) -> tuple[str, ...]:
        """The databases whose search_path finds a schema by the login's name."""
        return tuple(database.name for database in self.databases if database.finds_own_schema)


@dataclass(frozen=True)
class MigrationStep:
    """One part of the transaction.

    Args:
        what: what is done.
        why: what it is for.
    """

    what: str
    why: str


@dataclass(frozen=True)
class Migration:
    """What is left to do.

    Args:
        steps: in order; none if the login has its owner role.
        findings: what blocks them, and what a person should know before.
        refusal: why they must not be done; None if they may.
    """

    steps: tuple[MigrationStep, ...]
    findings: tuple[Finding, ...] = ()
    refusal: KeyturnError | None = None


def plan_migration(credential: Credential, facts: LoginFacts, unfinished: str = "") -> Migration:
    """Plan what is left to do.

    Args:
        credential: the credential whose login gets an owner role.
        facts: what was seen of that login.
        unfinished: the id of an unfinished rotation; empty if there is none.
    """
    if facts.alternate_logins is not None:
        return Migration(())
    findings = (
        *(Finding(error) for error in _list_blockers(credential, facts, unfinished)),
        *(Finding(error, is_blocking=False) for error in _list_warnings(credential, facts)),
    )
    return Migration(_list_steps(credential, facts), findings, refuse(findings, credential.name))


def _list_steps(credential: Credential, facts: LoginFacts) -> tuple[MigrationStep, ...]:
    kept = f"{facts.relations} relations in {credential.database}, grants and memberships everywhere"
    found = (
        MigrationStep(
            f'set its search_path in {database} to what it is, with the schema\'s name in place of "$user"',
            'its sessions act as the owner role, whose name "$user" would mean',
        )
        for database in facts.own_schemas
    )
    return (
        MigrationStep("rename the login's role to its name with _owner", f"it keeps everything it has: {kept}"),
        MigrationStep("disable login for the owner role", "nobody logs in as the role that owns everything"),
        MigrationStep(
            "create a login with the current name and password, as a member of the owner role",
            "clients log in as before, with no downtime",
        ),
        MigrationStep(
            f"give it the attributes, the comment and the {facts.settings} settings of the current login",
            "membership passes on none of them, and its sessions start as before",
        ),
        *found,
        MigrationStep(
            "let its sessions start as the owner role",
            "what they create belongs to the owner role, whichever login created it; from now on, grant to that role",
        ),
    )


def _list_blockers(credential: Credential, facts: LoginFacts, unfinished: str) -> Iterator[KeyturnError]:
    name = credential.name
    if unfinished:
        yield Conflict(Code.UNFINISHED, name=name, seen=f"rotation {unfinished}")
    if facts.is_owner_name_taken:
        yield Conflict(
            "The name of the owner role is taken",
            name=name,
            seen="a role has the current login's name with _owner",
            fix="rename that role, or drop it if nobody needs it",
            code="42710",
        )
    if not facts.may_rename:
        yield Refused(
            "The login's role may not be renamed",
            name=name,
            seen="only a superuser can rename it, or another role that may create roles and, from PostgreSQL 16 on, "
            "has ADMIN OPTION on it; no such role can rename a superuser",
            fix="name the secrets of such a role in the credential's field `administrator`",
            code="42501",
        )
    major, minor = divmod(facts.server_version, 10000)
    if major < min(_KEEP_THE_ROLE_SINCE) or minor < _KEEP_THE_ROLE_SINCE.get(major, 0):
        yield Refused(Code.ROLE_NOT_KEPT, name=name, seen=f"PostgreSQL {major}.{minor}")
    if facts.starts_as_another:
        yield Refused(Code.STARTS_AS_ANOTHER, name=name, seen="the login has a setting `role` of its own")
    if facts.followers:
        yield Refused(Code.FOLLOWED_BY_SETTING, name=name, seen=_list_names(facts.followers))
    if facts.subscriptions:
        yield Refused(Code.OWNS_SUBSCRIPTIONS, name=name, seen=_list_names(facts.subscriptions))
    open_there = [
        f"{database.sessions} sessions in {database.name}"
        for database in facts.databases
        if database.finds_own_schema and database.sessions
    ]
    if open_there:
        yield Refused(Code.SCHEMA_OF_ITS_NAME, name=name, seen=_list_names(open_there))


def _list_warnings(credential: Credential, facts: LoginFacts) -> Iterator[KeyturnError]:
    if facts.members:
        yield Refused(Code.HAS_MEMBERS, name=credential.name, seen=_list_names(facts.members))
    asking = [f"{found} in {database.name}" for database in facts.databases for found in database.asking]
    if asking:
        yield Refused(Code.ASKS_CURRENT_USER, name=credential.name, seen=_list_names(asking))


def _list_names(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
