"""The manifests: read, filled in, parsed. Pure but for reading the files.

A placeholder is `${NAME}`. Every one must be given a value, and only values that a name or an id can have are
taken, so that no value can break out of its place in the YAML.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from infra.errors import InvalidInput, NotFound
from infra.kubernetes.client import Object

FOLDER = Path(__file__).resolve().parents[2] / "manifests"

_PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_PLAIN = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._/:@]*")


def load(name: str, values: Mapping[str, str], folder: Path = FOLDER) -> list[Object]:
    """Return the documents of a manifest with its placeholders filled in.

    Args:
        name: the file's name, as `dexter.yaml`.
        values: placeholder -> value; more than the file needs is fine.
        folder: where the manifests are.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a placeholder has no value or one that cannot stand there, or the file is no manifest.
    """
    try:
        text = (folder / name).read_text()
    except FileNotFoundError:
        raise NotFound("The manifest does not exist", name=str(folder / name), fix="restore it") from None
    return parse(name, fill(name, text, values))


def fill(name: str, text: str, values: Mapping[str, str]) -> str:
    """Replace each `${NAME}` in a manifest's text. Raises as `load`."""
    wanted = set(_PLACEHOLDER.findall(text))
    if "${" in _PLACEHOLDER.sub("", text):
        fix = "write each placeholder as ${UPPER_CASE}"
        raise InvalidInput("The manifest has a malformed placeholder", name=name, fix=fix)
    missing = sorted(key for key in wanted if not values.get(key))
    if missing:
        fix = "see what was looked up for them; the deploy flow fills in names, ids and the image"
        seen = f"no value for {', '.join(missing)}"
        raise InvalidInput("The manifest has unfilled placeholders", name=name, seen=seen, fix=fix)
    for key in sorted(wanted):
        if not _PLAIN.fullmatch(values[key]):
            fix = "give it a name or an id: letters, digits and - . _ / : @"
            raise InvalidInput("The value cannot stand in a manifest", name=f"{key} of {name}", fix=fix)
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], text)


def parse(name: str, text: str) -> list[Object]:
    """Split a manifest into its documents. Raises as `load`."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        seen = f"line {mark.line + 1}" if mark else type(error).__name__
        raise InvalidInput("The manifest is no YAML", name=name, seen=seen, fix="correct the file") from None
    for document in documents:
        if not isinstance(document, dict) or not all(document.get(key) for key in ("apiVersion", "kind", "metadata")):
            fix = "give each document apiVersion, kind and metadata"
            raise InvalidInput("The manifest has a document that is no object", name=name, fix=fix)
    return documents
