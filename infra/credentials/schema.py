"""The JSON schema of an inventory: editors complete its fields by it, and say what is wrong while it is written."""

from typing import Any

from infra.credentials.credential import Credential

_ABOUT = "What Keyturn rotates: PostgreSQL credentials in Azure Key Vault, by name. Names only, never values."


def make_schema() -> dict[str, Any]:
    """Return the schema of one file. What a credential must say may come from `defaults`, so nothing is required."""
    schema = Credential.model_json_schema()
    properties = {name: field for name, field in schema["properties"].items() if name != "name"}
    fields = {"type": "object", "additionalProperties": False, "properties": properties}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Keyturn's inventory of credentials",
        "description": _ABOUT,
        "type": "object",
        "additionalProperties": False,
        "required": ["credentials"],
        "properties": {
            "defaults": {
                "description": "What counts for every credential of this file that does not say it itself.",
                "$ref": "#/$defs/Fields",
            },
            "credentials": {
                "description": "Each credential by its name.",
                "type": "object",
                "propertyNames": {key: schema["properties"]["name"][key] for key in ("pattern", "maxLength")},
                "additionalProperties": {"$ref": "#/$defs/Fields"},
            },
        },
        "$defs": {"Fields": fields, **schema["$defs"]},
    }
