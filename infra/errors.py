"""The error taxonomy: what failed, on which name, what was seen, what to do.

Adapters translate their vendor's errors into these at their border. A message never carries a secret value.
`retryable` is what the tasks' retry policy asks: true only for what passes by itself (propagation, sync, a
database that is starting). Throttling and transport are the SDKs' own business and are not retried again here.
"""

from typing import ClassVar


class KeyturnError(Exception):
    """Base of all errors that a person is meant to read.

    Args:
        what: what failed, as a sentence without its full stop.
        name: the field, resource or object that it failed on.
        seen: what was found there. Never a secret value.
        remedy: what to do about it.
        code: the vendor's own code, if there is one (`ForbiddenByRbac`, `AADSTS700213`, `28P01`).
    """

    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, name: str, seen: str = "", remedy: str = "", code: str = "") -> None:
        self.what, self.name, self.seen, self.remedy, self.code = what, name, seen, remedy, code
        super().__init__(what, name, seen, remedy, code)

    def __str__(self) -> str:
        parts = [f"{self.what}: {self.name}"]
        if self.seen:
            parts.append(f"Seen: {self.seen}" + (f" ({self.code})" if self.code else ""))
        elif self.code:
            parts.append(f"Code: {self.code}")
        if self.remedy:
            parts.append(f"To do: {self.remedy}")
        return ". ".join(part.rstrip(".") for part in parts) + "."

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild from the parts: an exception with keyword arguments does not pickle by itself."""
        return _rebuild, (type(self), self.what, self.name, self.seen, self.remedy, self.code)


def _rebuild(kind: type[KeyturnError], what: str, name: str, seen: str, remedy: str, code: str) -> KeyturnError:
    return kind(what, name=name, seen=seen, remedy=remedy, code=code)


class InvalidInput(KeyturnError):
    """A parameter or setting that cannot be used; nothing was changed."""


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
    """A plan that must not be carried out: consent or confirmation is missing, or a restart would prove nothing."""


class RolledBack(KeyturnError):
    """The rotation failed after publishing and the old values are in force again."""


class NeedsOperator(KeyturnError):
    """The rotation stopped where only a person can go on; nothing was deleted."""
