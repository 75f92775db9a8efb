"""Label and field selectors.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.cluster.api.errors import bad_request
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, dig, metadata

Match = Callable[[Mapping[str, str]], bool]

_SET = re.compile(r"^\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)\s*$")
_EQUALITY = re.compile(r"^\s*([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)\s*$")
_EXISTENCE = re.compile(r"^\s*(!?)\s*([^\s!=,()]+)\s*$")
_BETWEEN = re.compile(r",(?![^(]*\))")
_FIELD = re.compile(r"^([^!=]+)(==|=|!=)(.*)$")

_FIELDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
                   "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"),
    ("", "secrets"): ("type",),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "events"): ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
                     "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
                     "reason", "reportingComponent", "source", "type"),
    ("apps", "replicasets"): ("status.replicas",),
}  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """Which objects a list or watch wants."""

    labels: tuple[Match, ...] = ()
    fields: tuple[tuple[str, str, str], ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.labels or self.fields)

    def matches(self, obj: Json) -> bool:
        """Whether an object is wanted."""
        labels = metadata(obj).get("labels") or {}
        if not all(match(labels) for match in self.labels):
            return False
        return all((_field(obj, path) == value) == (operator != "!=") for path, operator, value in self.fields)


def _field(obj: Json, path: str) -> str:
    if path == "source":
        return str(dig(obj, "source", "component") or "")
    value: Any = dig(obj, *path.split("."))
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None and path in ("spec.unschedulable", "spec.hostNetwork"):
        return "false"
    return "" if value is None else str(value)


def parse_selection(kind: Kind, labels: str, fields: str) -> Selection:
    """Read the query's labelSelector and fieldSelector.

    Raises:
        ApiError: 400 for what cannot be read, and for fields that the kind can't be selected by.
    """
    return Selection(parse_labels(labels), tuple(_parse_fields(kind, fields)))


def parse_labels(text: str) -> tuple[Match, ...]:
    """The requirements of a label selector.

    Raises:
        ApiError: 400 if it cannot be read.
    """
    return tuple(_requirement(part, text) for part in _BETWEEN.split(text) if part.strip())


def _requirement(part: str, whole: str) -> Match:
    if found := _SET.match(part):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUALITY.match(part):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTENCE.match(part):
        negated, key = found.groups()
        return lambda labels: (key in labels) != bool(negated)
    raise bad_request(f"unable to parse requirement: found '{part}' in \"{whole}\"")


def _parse_fields(kind: Kind, text: str) -> list[tuple[str, str, str]]:
    known = ("metadata.name", "metadata.namespace", *_FIELDS.get(kind.storage_key, ()))
    result = []
    for part in filter(None, text.split(",")):
        found = _FIELD.match(part)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path, operator, value = found.groups()
        if path not in known:
            raise bad_request(f"field label not supported: {path}")
        result.append((path, operator, value))
    return result


def name_in_field_selector(text: str) -> str:
    """The name that a field selector pins down, empty if it does not."""
    for part in text.split(","):
        found = _FIELD.match(part)
        if found and found[1] == "metadata.name" and found[2] != "!=":
            return found[3]
    return ""


def matches_selector(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether labels fit a metav1.LabelSelector."""
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_fits_expression(rule, labels) for rule in selector.get("matchExpressions") or ())


def _fits_expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = expression.get("key", ""), expression.get("operator"), expression.get("values") or []
    if operator in ("Exists", "DoesNotExist"):
        return bool((key in labels) == (operator == "Exists"))
    return bool((labels.get(key) in values) == (operator == "In"))
