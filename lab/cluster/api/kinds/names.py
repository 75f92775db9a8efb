"""Names and labels: what Kubernetes lets an object be called.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

import re

from lab.cluster.api.errors import FieldError, bad_value, required
from lab.cluster.api.objects import Json, metadata

_OWNER_FIELDS = ("apiVersion", "kind", "name", "uid")
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_SERVICE_LABEL = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_SERVICE_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_SERVICE_LABEL}')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_QUALIFIED}')"
)


def validate_name(name: str, rule: str, field: str = "metadata.name") -> list[FieldError]:
    """The findings about a name.

    Args:
        rule: "subdomain", "label", "service" or "path".
        field: where it is.
    """
    if rule == "path":
        return _validate_path(name, field)
    limit, pattern, text = {
        "label": (63, _LABEL, _LABEL_TEXT),
        "service": (63, _SERVICE_LABEL, _SERVICE_TEXT),
    }.get(rule, (253, _SUBDOMAIN, _SUBDOMAIN_TEXT))
    findings = []
    if len(name) > limit:
        findings.append(bad_value(field, name, f"must be no more than {limit} characters"))
    if not re.fullmatch(pattern, name):
        findings.append(bad_value(field, name, text))
    return findings


def _validate_path(name: str, field: str) -> list[FieldError]:
    findings = [bad_value(field, name, f"may not contain '{letter}'") for letter in "/%" if letter in name]
    if name in (".", ".."):
        findings.append(bad_value(field, name, f"may not be '{name}'"))
    return findings


def validate_metadata(obj: Json, rule: str) -> list[FieldError]:
    """The findings about an object's name, labels and annotations."""
    meta = metadata(obj)
    if not meta.get("name"):
        return [required("metadata.name", "name or generateName is required")]
    findings = validate_name(meta["name"], rule)
    for key, value in (meta.get("labels") or {}).items():
        findings += _validate_key(key, "metadata.labels")
        if len(value) > 63:
            findings.append(bad_value("metadata.labels", value, "must be no more than 63 characters"))
        if value and not re.fullmatch(_QUALIFIED, value):
            findings.append(bad_value("metadata.labels", value, _VALUE_TEXT))
    for key in meta.get("annotations") or {}:
        findings += _validate_key(key.lower(), "metadata.annotations")
    return findings + _validate_owners(meta)


def _validate_owners(meta: Json) -> list[FieldError]:
    path = "metadata.ownerReferences"
    findings = []
    for owner in meta.get("ownerReferences") or ():
        findings += [bad_value(f"{path}.{key}", "", "must not be empty") for key in _OWNER_FIELDS if not owner.get(key)]
    return findings


def _validate_key(key: str, field: str) -> list[FieldError]:
    prefix, _, name = key.rpartition("/")
    findings = []
    if prefix and not re.fullmatch(_SUBDOMAIN, prefix):
        findings.append(bad_value(field, key, f"prefix part {_SUBDOMAIN_TEXT}"))
    if not re.fullmatch(_QUALIFIED, name):
        findings.append(bad_value(field, key, _KEY_TEXT))
    return findings
