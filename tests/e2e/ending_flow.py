"""A flow that ends as it is told, for the tests of endings; a worker loads it from this file."""

from typing import Any

from prefect import flow

import flows  # noqa: F401  # installs what keeps tracebacks of our own errors out of the logs
from infra.errors import LoginRefused, NotYetPropagated, Refused
from infra.rotation.options import Guards
from tasks.reports.endings import end, ends_with_own_errors
from tasks.retries import task_with_retries

REFUSAL = Refused("The plan must not be executed", name="orders-db", fix="change it", code="Locked")
VALUE = "a-value-of-the-vault"


@task_with_retries(name="Try", run_name="{credential}: try", retries=1, backoff_seconds=0)
def attempt(credential: str, how: str) -> None:
    """Raise what the test asks for."""
    if how == "login-refused":
        raise LoginRefused("The database refuses the login", name=credential, fix="write other values")
    if how == "not-yet":
        raise NotYetPropagated("The role is not effective yet", name=credential, fix="wait")
    if how == "bug":
        int(VALUE)  # the exception's text has what is no number


@flow(name="ending", flow_run_name="{credential}: end", persist_result=False)
@ends_with_own_errors
def ending(credential: str, how: str = "rotated", guards: Guards = Guards()) -> Any:  # noqa: B008
    """End in one way or another."""
    attempt(credential, how)
    if how == "raised":
        raise REFUSAL
    if how == "flow-bug":
        int(VALUE)
    if how == "refused":
        return end("needs-operator", credential, error=REFUSAL)
    if how == "dry":
        return end("refused", credential, error=REFUSAL, event="planned")
    return end("nothing-to-do", credential, "All is done.", payload={"rotation_id": "r1"}, data=42)


@flow(name="parent", flow_run_name="{stack}: parent", persist_result=False)
@ends_with_own_errors
def parent(stack: str, how: str = "refused") -> Any:
    """Call the other flow."""
    ending("orders-db", how)
    return end("proven", stack, kind="stack")
