"""A value that ends with a line break is named when its login is refused, and never shown."""

from dataclasses import replace

import pytest
from rotation_facts import HEALTHY, OPTIONS

from infra.credentials import find_oddity
from infra.errors import LoginRefused
from infra.rotation.observation import Logins, LoginState
from infra.rotation.plan import make_plan
from testing.walkthrough import DEXTER


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"username": "dexter", "password": " in side"}, ""),
        ({"username": "dexter", "password": "secret\n"}, "the value of password ends with a line break"),
        ({"username": "dexter\r\n", "password": "x"}, "the value of username ends with a line break"),
        ({"username": "dexter", "password": "secret\t"}, "the value of password ends with white space"),
    ],
)
def test_only_the_end_of_a_value_is_odd_and_only_its_name_is_said(values: dict[str, str], expected: str) -> None:
    assert find_oddity(values) == expected


def test_the_refusal_of_a_broken_login_names_the_oddity_unless_the_previous_login_works() -> None:
    seen = "the value of password ends with a line break"
    for previous, is_told in ((LoginState.NOT_TRIED, True), (LoginState.WORKS, False)):
        error = LoginRefused("The database refuses the login", name="db", code="28P01")
        logins = Logins(LoginState.REFUSED, previous=previous, oddity=seen, error=error)
        refusal = make_plan(DEXTER, OPTIONS, replace(HEALTHY, logins=logins), "r1").refusal
        assert isinstance(refusal, LoginRefused)
        assert (refusal.code, refusal.seen) == ("28P01", seen)
        assert ("without it" in refusal.fix) is is_told
