"""The errors that a person reads: what failed, on which name, what was seen, how to fix it.

    KeyturnError
    ├── InvalidInput          a parameter, setting or file that cannot be used
    ├── NotFound              a resource, secret, object or file does not exist
    ├── AccessDenied          the caller is known and may not do this
    ├── AuthenticationFailed  the caller is not known
    ├── NotYetPropagated      a role or federated credential is not effective yet (retryable)
    ├── SecretUnusable        a secret cannot be read as it is
    ├── Conflict              somebody else changed this, or holds its name
    ├── CannotChange          a resource differs in a way that cannot be changed in place
    ├── ServiceFailed         a service answered with any other error, or not at all
    ├── SyncPending           the consumers do not have the new versions yet (retryable)
    ├── DatabaseStarting      the database accepts no connections yet (retryable)
    ├── DatabaseUnreachable   no database answers
    ├── LoginRefused          the database refuses the login
    ├── Unverified            a proof failed
    ├── WorkloadUnhealthy     pods do not get ready
    ├── Refused               a plan that must not be carried out
    ├── RolledBack            the rotation failed and was rolled back
    ├── NeedsOperator         the rotation stopped, and a person must decide
    └── Unexpected            an exception that nobody translated

Adapters translate their vendor's errors into these at their border. A message never carries a secret value. What nobody
translated becomes `Unexpected` where a step or a flow ends, so no run ends without a verdict.
`retryable` is what the tasks' retry policy asks: true only for what is transient (propagation, sync, a database that
is starting). Throttling and transport are the SDKs' own business and are not retried again here.
"""

import traceback
from typing import ClassVar

from infra.codes import Code as Code

MISSING_ROLE = frozenset(
    {"AuthorizationFailed", "AuthorizationPermissionMismatch", "ForbiddenByRbac", "LinkedAuthorizationFailed"}
)
"""Azure's codes for a caller who lacks a role, or whose role is not effective yet; no other refusal is transient."""


class KeyturnError(Exception):
    """Base of all errors that a person is meant to read.

    Args:
        what: what failed, as a sentence without its full stop; or one of Keyturn's codes, which says it.
        name: the field, resource or object that it failed on.
        seen: what was found there. Never a secret value.
        fix: how to fix it; that of the code by default.
        code: the vendor's own code, if there is one (`ForbiddenByRbac`, `AADSTS700213`, `28P01`).
        cause: the error that led to this one, shown on a line of its own.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        what: str,
        *,
        name: str,
        seen: str = "",
        fix: str = "",
        code: str = "",
        cause: "KeyturnError | None" = None,
    ) -> None:
        if isinstance(what, Code):
            fix, code = fix or what.fix, what.value
            what = what.what
        self.what, self.name, self.seen, self.fix, self.code, self.cause = what, name, seen, fix, code, cause
        super().__init__(what, name, seen, fix, code, cause)

    def __str__(self) -> str:
        parts = [f"{self.what}: {self.name}"]
        if self.seen:
            parts.append(f"Seen: {self.seen}" + (f" ({self.code})" if self.code else ""))
        elif self.code:
            parts.append(f"Code: {self.code}")
        if self.fix:
            parts.append(f"Fix: {self.fix}")
        text = ". ".join(part.rstrip(".") for part in parts) + "."
        return f"{text}\nCause: {self.cause}" if self.cause else text

    def __repr__(self) -> str:
        """Read like a sentence: Prefect logs the repr of an error that is tried again."""
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild from the parts: an exception with keyword arguments does not pickle by itself."""
        return _rebuild, (type(self), self.what, self.name, self.seen, self.fix, self.code, self.cause)


def _rebuild(
    kind: type[KeyturnError], what: str, name: str, seen: str, fix: str, code: str, cause: KeyturnError | None
) -> KeyturnError:
    return kind(what, name=name, seen=seen, fix=fix, code=code, cause=cause)


class InvalidInput(KeyturnError):
    """A parameter, setting or file that cannot be used; nothing was changed."""


class NotFound(KeyturnError):
    """A resource, secret, object or file that must exist does not."""


class AccessDenied(KeyturnError):
    """The caller was recognised and may not do this."""


class AuthenticationFailed(KeyturnError):
    """The caller was not recognised: a credential, token or kubeconfig that is wrong or expired."""


class NotYetPropagated(KeyturnError):
    """A role assignment or federated credential exists but is not effective yet."""

    retryable = True


class SecretUnusable(KeyturnError):
    """A secret exists but cannot be read as it is: disabled, empty, of the wrong form."""


class Conflict(KeyturnError):
    """Somebody or something else changed this, or holds its name."""


class CannotChange(KeyturnError):
    """A resource differs from what is wanted in a way that cannot be changed in place."""


class ServiceFailed(KeyturnError):
    """A vendor's service answered with an error that is none of the others."""


class SyncPending(KeyturnError):
    """The new versions have not reached the consumers within the budget."""

    retryable = True


class DatabaseStarting(KeyturnError):
    """The database does not accept connections yet."""

    retryable = True


class LoginRefused(KeyturnError):
    """The database is up and refused the login."""


class DatabaseUnreachable(KeyturnError):
    """No database answers at the address."""


class Unverified(KeyturnError):
    """A proof failed: something was seen that must not be, or the other way round."""


class WorkloadUnhealthy(KeyturnError):
    """Pods do not get ready; the message carries the diagnosis."""


class Refused(KeyturnError):
    """A plan that must not be carried out; nothing was changed."""


class RolledBack(KeyturnError):
    """The rotation failed and was rolled back: the previous values are in force again."""


class NeedsOperator(KeyturnError):
    """The rotation stopped, and a person must decide; nothing was deleted."""


class Unexpected(KeyturnError):
    """An exception that nobody translated: a fault of Keyturn's, or of something that it uses."""


def as_own_error(error: Exception, name: str) -> KeyturnError:
    """Return an error of Keyturn's as it is; any other exception by its type and place, for its text may have values.

    Args:
        error: what was raised.
        name: what failed.
    """
    if isinstance(error, KeyturnError):
        return error
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_globals.get("__name__", "").startswith(("flows.", "tasks.", "infra."))]
    places = [f" at {frame.f_globals.get('__name__')}:{frame.f_lineno}" for frame in (ours or frames)[-1:]]
    kind = type(error)
    return Unexpected(Code.UNEXPECTED, name=name, seen=f"{kind.__module__}.{kind.__qualname__}{''.join(places)}")
