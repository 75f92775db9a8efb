"""Verify access: the machine and the pod read what they may, by their identities alone."""

from typing import Any

from prefect import flow

from flows.cli import run_from_shell
from infra.provisioning.options import AccessRows, Stack, get_stack
from infra.settings import Settings
from tasks.context import connections_shared
from tasks.provisioning import access
from tasks.provisioning.access import Proof
from tasks.reports.endings import end, ends_with_own_errors
from tasks.retries import with_budget


@flow(name="verify access", flow_run_name="{stack}: verify the access", persist_result=False)
@ends_with_own_errors
def verify_access(stack: str, rows: AccessRows = AccessRows.ALL) -> Any:
    """Prove that the machine reads secret and blob (S1, S2) and that the pod serves the blob (S15). Changes nothing.

    New roles and federated credentials are waited for; missing or wrong ones are named at once.

    Args:
        stack: The stack's name: that of its folder below `KEYTURN_STACKS`.
        rows: Whose access is proven. machine: secret and blob by the VM's identity. pod: blob by workload identity.
    """
    chosen = get_stack(stack, Settings())
    with connections_shared():
        proofs = _prove(chosen, rows)
    access.report_access(chosen, proofs)
    proven = ", ".join(proof.row for proof in proofs)
    return end("verified", stack, f"{proven} by identities alone.", kind="stack", data=proofs)


def _prove(stack: Stack, rows: AccessRows) -> list[Proof]:
    """Ask the pod while the machine is busy."""
    in_pod = with_budget(access.read_blob_in_pod).submit(stack) if rows is not AccessRows.MACHINE else None
    proofs: list[Proof] = []
    try:
        if rows is not AccessRows.POD:
            proofs.append(with_budget(access.read_secret_on_machine)(stack))
            proofs.append(with_budget(access.read_blob_on_machine)(stack))
    finally:
        if in_pod:
            in_pod.wait()
    return [*proofs, in_pod.result()] if in_pod else proofs


if __name__ == "__main__":
    run_from_shell(verify_access)
