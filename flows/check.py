"""Check: what is wrong with the inventory, in words. With --live also what a preflight would say of each credential.

python -m flows.check                     # every file, without a network
python -m flows.check orders-db --live    # also looks at its vault, cluster and database; changes nothing
python -m flows.check --schema            # the JSON schema, for editors
"""

import argparse
import json
import sys
from collections.abc import Sequence

from infra.credentials import load_inventory
from infra.credentials.schema import make_schema
from infra.errors import KeyturnError
from infra.settings import Settings
from tasks.inventory import list_problems


def main(arguments: Sequence[str]) -> int:
    """Check what the command line names, print it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.check", description=__doc__.partition("\n")[0])
    parser.add_argument("credential", nargs="?", default="", help="one credential; by default all of them")
    parser.add_argument("--live", action="store_true", help="look at vault, cluster and database, too; changes nothing")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of an inventory")
    given = parser.parse_args(arguments)
    if given.schema:
        print(json.dumps(make_schema(), indent=2))
        return 0
    try:
        inventory = load_inventory(Settings().credentials)
        problems = list_problems(inventory, given.credential)
    except KeyturnError as error:
        print(error)
        return 1
    for problem in problems:
        print(problem)
    if given.live and not (problems and given.credential):
        from flows.live_check import run_live  # takes seconds: the check without a network needs nothing of it

        run_live(given.credential)
    if not problems:
        count = len(inventory.entries)
        usable = given.credential or ("1 credential" if count == 1 else f"{count} credentials")
        print(f"{inventory.path}: {usable} can be used.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
