"""Verify access: the machine and the pod read what they may, by their identities alone."""

from typing import Any

from prefect import flow
from prefect.states import Completed

from flows.shell import run_from_shell
from infra.targets import AccessOptions, AccessRows, Stack
from tasks import access
from tasks.access import Proof
from tasks.provisioning import with_budget


@flow(name="verify access", flow_run_name="Verify the access in {stack.resource_group}", persist_result=False)
def verify_access(
    stack: Stack = Stack(),  # noqa: B008
    options: AccessOptions = AccessOptions(),  # noqa: B008
) -> Any:
    """Prove that the machine reads secret and blob (S1, S2) and that the pod serves the blob (S15). Changes nothing.

    Roles and federated credentials that are new are waited for; missing or wrong ones are named at once.

    Args:
        stack: the names of everything.
        options: whose access is proven.
    """
    proofs = _prove(stack, options.rows)
    access.report_access(stack, proofs)
    rows = ", ".join(one.row for one in proofs)
    return Completed(name="Verified", message=f"{rows} are proven by identities alone", data=proofs)


def _prove(stack: Stack, rows: AccessRows) -> list[Proof]:
    """Ask the pod while the machine is busy."""
    in_pod = with_budget(access.read_blob_in_pod).submit(stack) if rows is not AccessRows.MACHINE else None
    proofs: list[Proof] = []
    if rows is not AccessRows.POD:
        proofs.append(with_budget(access.read_secret_on_machine)(stack))
        proofs.append(with_budget(access.read_blob_on_machine)(stack))
    return [*proofs, in_pod.result()] if in_pod else proofs


if __name__ == "__main__":
    run_from_shell(verify_access)
