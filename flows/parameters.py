"""Parameters that flows share.

@flow
def rotate(credential: CredentialName, dry_run: bool = True) -> Any: ...
"""

from typing import Annotated

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from infra.credentials.inventory import list_few_names
from infra.settings import Settings


class _FromInventory:
    """Puts the inventory's names into the form that Prefect makes of a flow's parameters: few make a drop-down.

    A deployment keeps the names that the inventory has when it is deployed. A run from elsewhere may name any.
    """

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of a text, with the names that it may be."""
        names = list_few_names(Settings().credentials)
        return handler(core_schema) | ({"enum": list(names)} if names else {})


CredentialName = Annotated[str, _FromInventory()]
"""A credential's name in the inventory."""
