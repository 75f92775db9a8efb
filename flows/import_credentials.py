"""Import credentials: propose an inventory from what a cluster has. It prints YAML and changes nothing.

    python -m flows.import_credentials orders-aks orders-rg --servers-in orders-rg > credentials.yaml
    python -m flows.import_credentials orders-aks orders-rg --namespace orders --namespace billing

Without rights in the whole cluster, name the namespaces to look into.
"""

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from infra.credentials import ClusterRef
from infra.credentials.problems import describe_errors
from infra.credentials.proposals import propose
from infra.errors import KeyturnError
from tasks.survey import survey


def main(arguments: Sequence[str]) -> int:
    """Look around, print the proposal, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.import_credentials", description="Propose an inventory from what a cluster has."
    )
    parser.add_argument("cluster", help="the AKS cluster")
    parser.add_argument("resource_group", help="its resource group")
    parser.add_argument("--servers-in", default="", metavar="GROUP", help="the resource group of Flexible Servers")
    parser.add_argument("--namespace", action="append", default=[], help="look into it, if not everywhere")
    given = parser.parse_args(arguments)
    try:
        reference = ClusterRef(name=given.cluster, resource_group=given.resource_group)
        print(propose(survey(reference, given.namespace, given.servers_in)), end="")
    except ValidationError as error:
        parser.error(describe_errors(error))
    except KeyturnError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
