"""Lists: selection, paging and the revision that they show.

https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

from lab.cluster.api.errors import ApiError, bad_request, expired
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, name_of, namespace_of
from lab.cluster.api.requests import integer
from lab.cluster.api.selectors import Selection, parse_selection
from lab.cluster.api.store import Store, Stored

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True)
class Page:
    """A list, or a part of it, and its metadata."""

    items: list[Stored]
    meta: Json


@dataclass(frozen=True)
class _Continue:
    revision: int
    after: tuple[str, str]

    def encode(self) -> str:
        token = {"v": "meta.k8s.io/v1", "rv": self.revision, "start": "/".join(self.after)}
        return base64.urlsafe_b64encode(json.dumps(token).encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> "_Continue":
        try:
            token = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            namespace, _, name = str(token["start"]).partition("/")
            return cls(int(token["rv"]), (namespace, name))
        except (ValueError, KeyError, TypeError):
            raise bad_request("invalid continue token: continue key is not valid") from None


def parse_revision(text: str) -> int:
    """A resourceVersion as a number.

    Raises:
        ApiError: 400 if it is none.
    """
    if not text.isascii() or not text.isdigit():
        why = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise bad_request(f'invalid resource version: resourceVersion: Invalid value: "{text}": {why}')
    return int(text)


def list_page(store: Store, kind: Kind, namespace: str, query: Mapping[str, str]) -> Page:
    """The objects that a list asks for.

    Raises:
        ApiError: 400 for what cannot be read, 410 for a page of a list that is forgotten, 504 for a future revision.
    """
    selection = parse_selection(kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    limit = integer(query, "limit")
    token = _Continue.decode(query["continue"]) if query.get("continue") else None
    revision = token.revision if token else _asked_revision(store, query)
    if revision == store.revision:
        items = store.items(kind, namespace)
    else:
        if revision < store.compacted:
            raise expired(_TOO_OLD if token else f"The resourceVersion for the provided list is too old: {revision}")
        items = store.items_at(kind, namespace, revision)
    chosen = [item for item in items if selection.matches(item.obj)]
    if token:
        chosen = [item for item in chosen if _key(item) > token.after]
    return _cut(chosen, limit, revision, selection)


def _key(item: Stored) -> tuple[str, str]:
    return namespace_of(item.obj), name_of(item.obj)


def _cut(chosen: list[Stored], limit: int, revision: int, selection: Selection) -> Page:
    meta: Json = {"resourceVersion": str(revision)}
    if limit and len(chosen) > limit:
        meta["continue"] = _Continue(revision, _key(chosen[limit - 1])).encode()
        if selection.is_everything:
            meta["remainingItemCount"] = len(chosen) - limit
        chosen = chosen[:limit]
    return Page(chosen, meta)


def _asked_revision(store: Store, query: Mapping[str, str]) -> int:
    text = query.get("resourceVersion", "")
    if text in ("", "0"):
        return store.revision
    asked = parse_revision(text)
    check_not_future(store, asked)
    return asked if query.get("resourceVersionMatch") == "Exact" else store.revision


def check_not_future(store: Store, asked: int) -> None:
    """A revision that was never handed out is waited for by a real server, and then refused.

    Raises:
        ApiError: 504 for those.
    """
    if asked > store.revision:
        message = f"Timeout: Too large resource version: {asked}, current: {store.revision}"
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        raise ApiError(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})
