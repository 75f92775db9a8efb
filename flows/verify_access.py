"""Verify access: the machine and the pod read what they may, by their identities alone."""

from prefect import flow

from flows.shell import run_from_shell
from infra.targets import Stack
from tasks import access
from tasks.access import Proof
from tasks.provisioning import with_budget


@flow(name="verify access", flow_run_name="Verify the access in {stack.resource_group}", persist_result=False)
def verify_access(stack: Stack = Stack()) -> list[Proof]:  # noqa: B008
    """Prove that the machine reads secret and blob (S1, S2) and that the pod serves the blob (S15). Changes nothing.

    Roles and federated credentials that are new are waited for; missing or wrong ones are named at once.

    Args:
        stack: the names of everything.
    """
    in_pod = with_budget(access.read_blob_in_pod).submit(stack)
    proofs = [
        with_budget(access.read_secret_on_machine)(stack),
        with_budget(access.read_blob_on_machine)(stack),
        in_pod.result(),
    ]
    access.report_access(stack, proofs)
    return proofs


if __name__ == "__main__":
    run_from_shell(verify_access)
