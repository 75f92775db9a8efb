"""What Azure asks of an administrator's password, checked before anything is made. Never says the value."""

from infra.errors import InvalidInput

SHORTEST, LONGEST = 8, 128


def check_first_password(variable: str, value: str, username: str) -> None:
    """Refuse a first password that is missing or that a Flexible Server does not take.

    See https://learn.microsoft.com/azure/postgresql/flexible-server/quickstart-create-server

    Args:
        variable: the environment variable that it comes from.
        value: the password.
        username: the login that it is for.

    Raises:
        InvalidInput: with the rule that it breaks.
    """
    if not value:
        raise InvalidInput(
            "The variable of the first password is empty",
            name=variable,
            fix="set it where the flow runs, or leave first_password_variable empty to have one generated",
            code="FirstPasswordMissing",
        )
    if weakness := _find_weakness(value, username):
        raise InvalidInput(
            "The first password is not one that Azure takes",
            name=variable,
            seen=weakness,
            fix="8-128 characters of three kinds (lower case, upper case, digits, others), without the username",
            code="FirstPasswordWeak",
        )


def _find_weakness(value: str, username: str) -> str:
    if not SHORTEST <= len(value) <= LONGEST:
        return f"it has not {SHORTEST} to {LONGEST} characters"
    tests = (str.islower, str.isupper, str.isdigit, lambda one: not one.isalnum())
    if sum(any(test(one) for one in value) for test in tests) < 3:
        return "it has characters of fewer than three kinds"
    return "it contains the username" if username.lower() in value.lower() else ""
