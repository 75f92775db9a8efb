"""Steps that let identities in: the federated credential, and roles. Both need a while to take effect."""

from infra.provisioning.plan import Step
from infra.targets import Stack
from tasks.policy import step as a_step
from tasks.provisioning import Outcome, carry_out


@a_step(name="Federate the identity with the service account", run_name="{step.title}")
def federate(step: Step, stack: Stack) -> Outcome:
    """Let the service account's tokens stand for the identity; the issuer is read from the cluster now.

    Raises:
        NotFound: the cluster has no issuer.
        NotYetPropagated: Azure does not know the new identity everywhere yet.
    """
    return carry_out(step, stack)


@a_step(name="Assign a role", run_name="{step.title}")
def assign_role(step: Step, stack: Stack) -> Outcome:
    """Give a principal a role; its object id is looked up now.

    Raises:
        NotYetPropagated: Azure does not know the new principal everywhere yet.
        AccessDenied: the caller may not assign roles.
    """
    return carry_out(step, stack)
