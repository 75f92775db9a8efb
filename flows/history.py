"""History: what the last rotations of a credential changed, who started them, and how they ended."""

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.cli import run_from_shell
from flows.parameters import CredentialName
from tasks.inventory import get_credential
from tasks.reports.endings import end, ends_with_own_errors
from tasks.reports.history import report_history


@flow(name="history", flow_run_name="{credential}: history", persist_result=False)
@ends_with_own_errors
def history(credential: CredentialName, runs: Annotated[int, Field(ge=1, le=200)] = 20) -> Any:
    """Show the last rotations of a credential, newest first, and everything about the newest one. Changes nothing.

    Args:
        credential: The credential's name in the inventory.
        runs: How many rotations are shown at most.
    """
    told = report_history(get_credential(credential), runs)
    if not told:
        return end("no-history", credential, "Prefect knows of no rotation of it.")
    last = told[0]
    message = f"{len(told)} rotations; the last one ended {last['ended']}, {last['verdict']}."
    return end("listed", credential, message, data=told)


if __name__ == "__main__":
    run_from_shell(history)
