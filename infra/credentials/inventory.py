"""The inventory: the file, or the folder of files, that says which credentials there are.

    inventory = load_inventory(Path("credentials.yaml"))
    inventory.get("orders-db")    # -> Credential
    inventory.list_problems()     # -> what cannot be used, of all credentials

A mistake in one credential is its own: the others can be used. Whatever a file's `defaults` say counts for every
credential of that file which does not say it itself.
"""

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infra.credentials.credential import Credential
from infra.credentials.documents import (
    Location,
    Node,
    find_field,
    find_line,
    find_repeated,
    is_mapping,
    list_fields,
    read_document,
    read_value,
)
from infra.credentials.problems import Problem, list_mistakes
from infra.errors import InvalidInput, KeyturnError, NotFound

SETTING = "KEYTURN_CREDENTIALS"
SUFFIXES = (".yaml", ".yml")
FEW = 25
"""How many names a message or a drop-down lists."""
SMALL_BYTES = 65536
"""An inventory of few names is no larger; a larger one is not read for its names alone."""
KEYS = ("defaults", "credentials")
SCHEDULE = {"every", "before_expiry"}
"""Of these a credential has one: its own takes the place of a default that is the other."""


@dataclass(frozen=True)
class Entry:
    """A credential as a file has it.

    Args:
        path: the file.
        line: where it begins.
        name: its name.
        node: what stands there.
        defaults: what counts for the fields that it does not give.
    """

    path: Path
    line: int
    name: str
    node: Node
    defaults: Node | None

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.path}, line {self.line}"

    def read(self) -> Credential | list[Problem]:
        """Return the credential, or what is wrong with it."""
        nodes = [node for node in (self.defaults, self.node) if node is not None]
        if not is_mapping(self.node):
            return [self._problem(self.line, "", "it has no fields", "write its fields below it, such as vault")]
        if repeated := [found for node in nodes for found in find_repeated(node)]:
            return [
                self._problem(line, str(location[-1]), "it stands twice", "keep one") for location, line in repeated
            ]
        if named := [find_line(node, ("name",)) for node in nodes if find_field(node, "name") is not None]:
            return [self._problem(line, "name", "there is no such field", "the key is the name") for line in named]
        try:
            return Credential.model_validate(self._fields())
        except InvalidInput as error:
            return [self._problem(self.line, "", error.seen, "correct the value")]
        except ValidationError as error:
            return [
                self._problem(self.line_of(mistake.location), mistake.field, mistake.seen, mistake.fix)
                for mistake in list_mistakes(Credential, error)
            ]

    def _fields(self) -> dict[str, Any]:
        own: dict[str, Any] = read_value(self.node)
        shared: dict[str, Any] = read_value(self.defaults) if self.defaults else {}
        if SCHEDULE & own.keys():
            shared = {name: value for name, value in shared.items() if name not in SCHEDULE}
        return {**shared, **own, "name": self.name}

    def line_of(self, location: Location) -> int:
        """Return the line on which a field stands, in its own fields or in the defaults."""
        if not location or location == ("name",):
            return self.line
        is_own = find_field(self.node, str(location[0])) is not None
        is_shared = not is_own and find_field(self.defaults, str(location[0])) is not None
        if is_shared and self.defaults:
            return find_line(self.defaults, location)
        return find_line(self.node, location) if is_own else self.line

    def _problem(self, line: int, field: str, seen: str, fix: str) -> Problem:
        return Problem(self.path, line, self.name, field, seen, fix)


@dataclass(frozen=True)
class Inventory:
    """All credentials by name.

    Args:
        path: the file or folder that they come from.
        entries: name -> where the files have it; more than once is a mistake.
        unusable: the files that cannot be used at all, and why.
    """

    path: Path
    entries: Mapping[str, tuple[Entry, ...]]
    unusable: tuple[KeyturnError, ...] = ()

    def get(self, name: str) -> Credential:
        """Return the credential called `name`. Mistakes in others do not matter.

        Raises:
            NotFound: there is none; says which there are.
            InvalidInput: it cannot be used; says line and field of each mistake, or where it stands twice.
        """
        self._verify_listed(name)
        found = self._read(name)
        if isinstance(found, Credential):
            return found
        raise self._explain(name, found)

    def _explain(self, name: str, found: list[Problem]) -> InvalidInput:
        seen = "; ".join(problem.brief for problem in found)
        fix = f"correct it, then see: python -m flows.check {name}"
        path = self.entries[name][0].path
        return InvalidInput("The credential cannot be used", name=f"{name} in {path}", seen=seen, fix=fix)

    def _verify_listed(self, name: str) -> None:
        if name not in self.entries:
            raise NotFound(
                "The inventory has no such credential",
                name=name,
                seen=f"{self.path} has {self._list_names(name)}",
                fix="correct the name, or add the credential to the inventory",
                cause=self.unusable[0] if self.unusable else None,
            )

    def _list_names(self, wanted: str) -> str:
        if len(self.entries) <= FEW:
            return ", ".join(sorted(self.entries)) or "none"
        nearest = sorted(difflib.get_close_matches(wanted, self.entries))
        return f"{len(self.entries)}" + (f", the nearest are {', '.join(nearest)}" if nearest else "")

    @cached_property
    def _all(self) -> Mapping[str, Credential | list[Problem]]:
        """Name -> credential, or what is wrong with it."""
        return {name: self._read(name) for name in self.entries}

    @cached_property
    def credentials(self) -> Mapping[str, Credential]:
        """Name -> credential, of all that can be used."""
        return {name: credential for name, credential in self._all.items() if isinstance(credential, Credential)}

    @cached_property
    def errors(self) -> Mapping[str, KeyturnError]:
        """What cannot be used and why: credentials by their names, files by their paths. Nobody else misses them."""
        found = {name: read for name, read in self._all.items() if isinstance(read, list)}
        files = {error.name: error for error in self.unusable}
        return {**files, **{name: self._explain(name, problems) for name, problems in found.items()}}

    def list_problems(self, *names: str) -> tuple[Problem, ...]:
        """Return what cannot be used, of some credentials or of all. A mistake in `defaults` is told once.

        Raises:
            NotFound: there is no such credential.
        """
        found: dict[tuple[Path, int, str], Problem] = {}
        for name in names or self.entries:
            self._verify_listed(name)
            read = self._read(name)
            for problem in read if isinstance(read, list) else ():
                found.setdefault((problem.path, problem.line, problem.what), problem)
        others = (*self._list_shared(), *self._list_contradictions())
        return tuple(sorted([*found.values(), *(each for each in others if not names or each.credential in names)]))

    def _read(self, name: str) -> Credential | list[Problem]:
        first, *others = self.entries[name]
        if not others:
            return first.read()
        places = " and in ".join(entry.place for entry in (first, *others))
        fix = "keep one, or give one of them another name"
        return [Problem(first.path, first.line, name, "", f"it stands in {places}", fix)]

    def _list_contradictions(self) -> Iterator[Problem]:
        """Find what every plan would refuse."""
        for name, credential in self.credentials.items():
            if contradiction := credential.find_contradiction():
                entry = self.entries[name][0]
                seen, _, fix = contradiction.partition(": ")
                yield Problem(entry.path, entry.line_of(("consumers",)), name, "consumers", seen, fix)

    def _list_shared(self) -> Iterator[Problem]:
        """Find secrets that two credentials rotate: each would undo what the other did."""
        owners = defaultdict[tuple[str, str], list[str]](list)
        for name, credential in self.credentials.items():
            for secret in credential.secret_names:
                owners[credential.vault.lower(), secret.lower()].append(name)
        for (vault, secret), names in owners.items():
            for name in names[1:]:
                entry = self.entries[name][0]
                seen = f"the secret {vault}/{secret} is that of {names[0]}, too"
                fix = "let one credential rotate it, and list all of its consumers there"
                yield Problem(entry.path, entry.line_of(("secrets",)), name, "secrets", seen, fix)


def list_few_names(path: Path) -> tuple[str, ...]:
    """Return the names of an inventory that has few; none if it has many, or cannot be read."""
    try:
        if sum(file.stat().st_size for file in _list_files(path)) > SMALL_BYTES:
            return ()
        names = tuple(sorted(load_inventory(path).entries))
    except (KeyturnError, OSError):
        return ()
    return names if len(names) <= FEW else ()


def load_inventory(path: Path) -> Inventory:
    """Read the inventory. What its credentials say is looked at when they are asked for.

    Args:
        path: a YAML file with a mapping `credentials` of name -> credential; or a folder of such files.

    Raises:
        NotFound: there is no such file.
        InvalidInput: the file cannot be used at all. Of a folder, the files that can be used are.
    """
    if not path.is_dir():
        return _collect(path, list(_read_file(path)), ())
    entries, unusable, files = list[Entry](), list[KeyturnError](), _list_files(path)
    if not files:
        fix = f"put files such as team.yaml into it, or set {SETTING} to another file or folder"
        raise NotFound("The folder has no inventory", name=str(path), seen="no file ends with .yaml", fix=fix)
    for file in files:
        try:
            entries += _read_file(file)
        except KeyturnError as error:
            unusable.append(error)
    return _collect(path, entries, tuple(unusable))


def _list_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))


def _collect(path: Path, entries: list[Entry], unusable: tuple[KeyturnError, ...]) -> Inventory:
    by_name = defaultdict[str, list[Entry]](list)
    for entry in entries:
        by_name[entry.name].append(entry)
    return Inventory(path, {name: tuple(found) for name, found in by_name.items()}, unusable)


def _read_file(path: Path) -> Iterator[Entry]:
    """Yield the credentials of a file.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is not YAML, or not an inventory.
    """
    document = read_document(path, SETTING)
    defaults, credentials = find_field(document, "defaults"), find_field(document, "credentials")
    if not is_mapping(credentials):
        fix = "write `credentials:` and below it each credential by its name"
        raise InvalidInput(
            "The inventory cannot be used", name=str(path), seen="it has no mapping `credentials`", fix=fix
        )
    keys = [str(key.value) for key, _ in list_fields(document)]
    for key, _ in list_fields(document):
        if key.value not in KEYS or keys.count(key.value) > 1:
            seen = f"the key '{key.value}'" + (" stands twice" if key.value in KEYS else "")
            name = f"{path}, line {key.start_mark.line + 1}"
            raise InvalidInput("The inventory cannot be used", name=name, seen=seen, fix=f"have {' and '.join(KEYS)}")
    if defaults is not None and not is_mapping(defaults):
        name = f"{path}, line {find_line(defaults, ())}"
        raise InvalidInput("The inventory cannot be used", name=name, seen="`defaults` has no fields", fix="remove it")
    for key, node in list_fields(credentials):
        yield Entry(path, key.start_mark.line + 1, str(key.value), node, defaults)
