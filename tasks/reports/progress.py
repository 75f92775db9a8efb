"""How far a wait is, as people see it: in the run's log; a sync also as a table and a percentage."""

from collections.abc import Callable, Mapping, Sequence

from prefect.logging import get_run_logger

from infra.errors import KeyturnError
from infra.kubernetes.deliveries import OnSync, SyncProgress
from infra.kubernetes.waiting import OnProgress, Progress
from tasks.reports.artifacts import Bar, report_table

Row = dict[str, str]


def log_progress(subject: object) -> OnProgress:
    """Return what writes a wait's progress to the run's log, which open pages follow."""
    logger = get_run_logger()

    def log(progress: Progress) -> None:
        logger.info("%s: %s (%.0f s left)", subject, progress.seen, progress.left_seconds)

    return log


def log_errors(subject: object) -> Callable[[KeyturnError, float], None]:
    """Return what writes the transient errors of a wait to the run's log."""
    logger = get_run_logger()

    def log(error: KeyturnError, left_seconds: float) -> None:
        logger.info("%s: %s, %s (%.0f s left)", subject, error.what, error.code or error.seen, left_seconds)

    return log


def show_sync(credential: str, subject: object, secret_key: str, pods: Mapping[str, str]) -> OnSync:
    """Return what a wait for the sync reports its progress to, in the current run.

    Args:
        credential: its name, which the artifacts' keys begin with.
        subject: the consumer that is waited for.
        secret_key: the Secret that becomes current after the mounts; empty: none.
        pods: uid -> name of its pods.
    """
    log, bar = log_progress(subject), Bar(f"{credential}-sync-percent", f"How far the sync of `{subject}` is.")

    def show(progress: SyncProgress) -> None:
        log(progress)
        rows = list_rows(progress, secret_key, pods)
        report_table(
            f"{credential}-sync", rows, f"What each pod of `{subject}` has mounted, and what the Secret holds."
        )
        bar.move(percentage(rows))

    return show


def list_rows(progress: SyncProgress, secret_key: str, pods: Mapping[str, str]) -> list[Row]:
    """Return one row for each pod and secret, and one for the synced Secret, if any. Version ids, never values."""
    left = progress.left_seconds
    rows = [
        _row(pod, secret, progress.versions.get(uid, {}).get(secret, "")[:8] or "nothing", is_new, left)
        for uid, pod in sorted(pods.items(), key=lambda item: item[1])
        for secret, version in sorted(progress.wanted.items())
        for is_new in (progress.versions.get(uid, {}).get(secret) == version,)
    ]
    if not secret_key:
        return rows
    state = "the new values" if progress.secret_is_current else "older values"
    return [*rows, _row(f"Secret {secret_key}", "all", state, progress.secret_is_current, left)]


def _row(where: str, secret: str, has: str, is_new: bool, left_seconds: float) -> Row:
    new = "yes" if is_new else "not yet"
    return {"where": where, "secret": secret, "has": has, "new": new, "time left": f"{left_seconds:.0f} s"}


def percentage(rows: Sequence[Mapping[str, str]]) -> float:
    """Return how much of what is waited for has arrived."""
    return 100.0 * sum(row["new"] == "yes" for row in rows) / len(rows) if rows else 100.0
