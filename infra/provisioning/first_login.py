"""What Azure asks of a server's administrator, checked before anything is made. Never says a password.

https://learn.microsoft.com/azure/postgresql/flexible-server/quickstart-create-server
"""

from collections.abc import Mapping

from infra.errors import Code, InvalidInput

SHORTEST, LONGEST = 8, 128
RESERVED_LOGINS = ("azure_superuser", "azure_pg_admin", "azuresu", "admin", "administrator", "root", "guest", "public")


def check_first_username(login: str) -> None:
    """Refuse a first username that a Flexible Server does not accept as its administrator.

    Raises:
        InvalidInput: it is reserved.
    """
    if login in RESERVED_LOGINS or login.startswith("pg_"):
        raise InvalidInput(
            "The first username cannot be a server's administrator",
            name="first_username",
            seen=login,
            fix=f"Use a name other than {', '.join(RESERVED_LOGINS)} and pg_*",
        )


def read_first_password(variable: str, username: str, environment: Mapping[str, str]) -> str:
    """Return the first password that a variable gives; empty when no variable is named.

    Args:
        variable: the name of the environment variable, or empty.
        username: the login that it is for.
        environment: the variables.

    Raises:
        InvalidInput: it is missing, or weaker than a Flexible Server accepts; says which rule it breaks.
    """
    if not variable:
        return ""
    if not (value := environment.get(variable, "")):
        raise InvalidInput(Code.FIRST_PASSWORD_MISSING, name=variable)
    if weakness := _find_weakness(value, username):
        raise InvalidInput(Code.FIRST_PASSWORD_WEAK, name=variable, seen=weakness)
    return value


def _find_weakness(value: str, username: str) -> str:
    if not SHORTEST <= len(value) <= LONGEST:
        return f"it does not have {SHORTEST} to {LONGEST} characters"
    tests = (str.islower, str.isupper, str.isdigit, lambda character: not character.isalnum())
    if sum(any(test(character) for character in value) for test in tests) < 3:
        return "it has characters of fewer than three kinds"
    return "it contains the username" if username.lower() in value.lower() else ""
