"""What a command in the lab is given beside its caller's own variables."""

import pytest

from lab.control.environment import NO_PROXY, add_no_proxy


def no_proxy(**caller: str) -> set[str]:
    variables = add_no_proxy({"NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY}, caller)
    assert variables["NO_PROXY"] == variables["no_proxy"]
    entries = variables["NO_PROXY"].split(",")
    assert len(entries) == len(set(entries))
    return set(entries)


def test_what_the_caller_reaches_directly_is_added_from_both_spellings() -> None:
    found = no_proxy(NO_PROXY="registry.example, .corp.example", no_proxy="10.0.0.0/8,localhost")

    assert found == {*NO_PROXY.split(","), "registry.example", ".corp.example", "10.0.0.0/8"}


def test_without_a_callers_own_it_is_the_labs() -> None:
    assert no_proxy() == set(NO_PROXY.split(","))


@pytest.mark.parametrize(
    "entry", ["*", ".vault.azure.net", "*.azure.com", "net", "login.microsoftonline.com:443", "169.254.169.254"]
)
def test_nothing_leads_past_the_lab_to_the_real_azure(entry: str) -> None:
    assert no_proxy(NO_PROXY=f"{entry},registry.example") == {*NO_PROXY.split(","), "registry.example"}
