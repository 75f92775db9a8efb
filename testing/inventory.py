"""Credentials of tests, listed in an inventory where the flows find them: beside the shipped ones, by name.

    spare = DEXTER.model_copy(update={"name": "spare", "secrets": SecretPair(username="u", password="p")})
    verify_login(listed(spare))

The inventory is this process' own, and its children's.
"""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import yaml

from infra.credentials import Credential
from testing.walkthrough import INVENTORY

_known = dict(INVENTORY.credentials)


def listed(credential: Credential) -> str:
    """List a credential, in place of an earlier one of its name, and return its name."""
    _known[credential.name] = credential
    _write()
    return credential.name


def list_shipped_alone() -> None:
    """List what ships and nothing else: a test before may have added to it."""
    _known.clear()
    _known.update(INVENTORY.credentials)
    _write()


def unlisted(name: str) -> None:
    """Take a credential out of the inventory."""
    _known.pop(name, None)
    _write()


def _write() -> None:
    entries = {name: known.model_dump(mode="json", exclude={"name"}) for name, known in _known.items()}
    written = _folder() / "next.yaml"
    written.write_text(yaml.dump({"credentials": entries}, Dumper=yaml.CSafeDumper), encoding="utf-8")
    # Flows in other threads may be reading the inventory meanwhile: it is replaced in one step.
    os.environ["KEYTURN_CREDENTIALS"] = str(written.replace(_folder() / "credentials.yaml"))


@cache
def _folder() -> Path:
    folder, owner = Path(tempfile.mkdtemp(prefix="keyturn-inventory-")), os.getpid()
    atexit.register(lambda: shutil.rmtree(folder) if os.getpid() == owner else None)
    return folder
