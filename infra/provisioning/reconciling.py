"""What exists of a stack, and one resource made as it is wanted, whatever state it is in.

The same call begins, resumes and repairs: it looks first, waits for what another run has begun, and leaves what is
as wanted.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from infra.errors import MISSING_ROLE, AccessDenied, Code, NotFound, NotYetPropagated, ServiceFailed
from infra.provisioning.changes import Verb, WantedResource, plan_change, refuse
from infra.provisioning.comparing import Resource
from infra.provisioning.kinds import Found, Kind, Kinds, OnProgress, State, is_unreachable
from infra.provisioning.resources import ResourceGroup

WORKERS = 8
POLL_SECONDS = 5
"""Between two looks at a resource that is busy."""
OPERATION_TIMEOUT_SECONDS = 3600.0


def find_all(kinds: Kinds, wanted: Sequence[Resource]) -> dict[str, Found]:
    """Return what exists of the wanted resources, by key; what does not exist is not in it.

    Parents are looked up first, many at a time, then what is nested in them.

    Raises:
        KeyturnError: a resource cannot be looked at.
    """
    groups = [resource for resource in wanted if isinstance(resource, ResourceGroup)]
    outer = [resource for resource in wanted if not resource.parent_key and resource not in groups]
    nested = [resource for resource in wanted if resource.parent_key]
    found = _look(groups, lambda resource: find(kinds, resource))
    if not found:
        outer = [resource for resource in outer if kinds[type(resource)].unique_in_azure]
    found |= _look(outer, lambda resource: find(kinds, resource))
    return found | _look(nested, lambda resource: _find_nested(kinds, resource, found))


def find(kinds: Kinds, wanted: Resource) -> Found | None:
    """Return one resource, or None. What the caller may not see yet is hidden: the plan assigns the missing role."""
    kind = kinds[type(wanted)]
    if not kind.on_data_plane:
        return kind.find(wanted)
    try:
        return kind.find(wanted)
    except AccessDenied as error:
        if error.code not in (*MISSING_ROLE, Code.FORBIDDEN_BY_POLICY):
            raise
        return Found(None, State.HIDDEN, f"not readable yet: {error.seen}", error.code)
    except NotFound as error:
        if not is_unreachable(error):
            raise
        return Found(None, State.HIDDEN, "its host is not known yet")


def make(kinds: Kinds, wanted: Resource, on_progress: OnProgress) -> Verb:
    """Make a resource as it is wanted, and return what was done.

    Raises:
        CannotChange: it differs in what cannot be changed in place.
        NotYetPropagated: a new role, identity or host name is not effective yet.
    """
    kind = kinds[type(wanted)]
    wanted = kind.resolve(wanted)
    found = wait_until_settled(lambda: find(kinds, wanted), wanted.key, on_progress)
    change = plan_change(WantedResource(wanted), found)
    if change.verb is Verb.REFUSE:
        raise refuse([change])
    if change.verb is Verb.LEAVE:
        return Verb.LEAVE
    _put(kind, wanted, found, on_progress)
    return Verb.CREATE if change.verb is Verb.CHECK else change.verb


def wait_until_settled(
    find: Callable[[], Found | None],
    what: str,
    on_progress: OnProgress,
    timeout_seconds: float = OPERATION_TIMEOUT_SECONDS,
    pause: Callable[[float], object] | None = None,
) -> Found | None:
    """Look at a resource until no operation runs on it any more, and return it, or None when it is gone.

    A poller of the SDK belongs to one process. What survives it is the resource's provisioning state:
    https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations

    Args:
        find: looks at the resource.
        what: its name, for progress and error.
        on_progress: called after each look that finds it busy.
        timeout_seconds: bound on the whole wait.
        pause: waits some seconds; by default a wait that ends with the process.

    Raises:
        ServiceFailed: it is still busy at the end.
    """
    pause = pause or threading.Event().wait
    deadline = time.monotonic() + timeout_seconds
    found = find()
    while found is not None and found.state is State.BUSY:
        if time.monotonic() >= deadline:
            seen = f"{found.said} after {timeout_seconds:.0f} s"
            raise ServiceFailed(Code.OPERATION_TIMED_OUT, name=what, seen=seen)
        on_progress(f"{what}: {found.said}, by an operation that began earlier")
        pause(POLL_SECONDS)
        found = find()
    return found


def _look(wanted: Sequence[Resource], look: Callable[[Resource], Found | None]) -> dict[str, Found]:
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        found = pool.map(look, wanted)
        return {resource.key: seen for resource, seen in zip(wanted, found, strict=True) if seen is not None}


def _find_nested(kinds: Kinds, wanted: Resource, found: Mapping[str, Found]) -> Found | None:
    parent = found.get(wanted.parent_key)
    if parent is not None and parent.state is State.DELETED and wanted.IS_RECOVERED_WITH_PARENT:
        return Found(None, State.HIDDEN, f"seen when the {wanted.parent_key} is recovered")
    exists = parent is not None and parent.resource is not None and parent.state is not State.DELETED
    return find(kinds, wanted) if exists else None


def _put(kind: Kind[Any], wanted: Resource, found: Found | None, on_progress: OnProgress) -> None:
    is_deleted = found is not None and found.state is State.DELETED
    try:
        (kind.recover if is_deleted else kind.put)(wanted, on_progress)
    except (AccessDenied, NotFound) as error:
        if kind.on_data_plane and (error.code in MISSING_ROLE or is_unreachable(error)):
            raise NotYetPropagated(
                error.what, name=error.name, seen=error.seen, fix=error.fix, code=error.code
            ) from None
        raise
