"""The command line of a flow: short options, values as in the forms, errors of one line, and the exit codes."""

from typing import Annotated, Any

import pytest
from prefect import flow
from prefect.flows import Flow
from pydantic import Field

from flows.cli import parse_parameters, run_from_shell
from infra.credentials import Day
from infra.rotation.options import AdvancedOptions, DataLoss, Guards, Sync

HELP_LINES, HELP_COLUMNS = 40, 100


@flow(name="turn")
def turn(
    credential: str,
    dry_run: bool = True,
    sync: Sync = Sync.WAIT,
    data_loss: DataLoss = "no",
    advanced: AdvancedOptions = AdvancedOptions(),  # noqa: B008
    guards: Guards = Guards(),  # noqa: B008
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 60,
) -> None:
    """Turn a key.

    More than the help needs to say.

    Args:
        credential: name of the credential in the inventory.
        dry_run: show the plan and change nothing.
        sync: how the consumers get the new versions.
        data_loss: consent that the strategy recreate needs.
        timeout_seconds: bound on one attempt.
    """


DEFAULTS = {
    "credential": "orders-db",
    "dry_run": True,
    "sync": Sync.WAIT,
    "data_loss": "no",
    "advanced": AdvancedOptions(),
    "guards": Guards(),
    "timeout_seconds": 60,
}


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_parameters(turn, arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.endswith(" --help)\n")
    return printed.err.partition(" (see python -m ")[0]


def help_of(flow: Flow[..., Any], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        run_from_shell(flow, ["--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_the_first_parameter_is_positional_and_all_others_have_their_defaults() -> None:
    assert parse_parameters(turn, ["orders-db"]) == DEFAULTS


def test_options_have_no_prefix_but_those_of_the_guards() -> None:
    line = (
        "--no-dry-run --sync express --new-username dexter_b orders-db --guards.approval --guards.minimum-age-hours 24"
    )
    assert parse_parameters(turn, line.split()) == DEFAULTS | {
        "dry_run": False,
        "sync": Sync.EXPRESS,
        "advanced": AdvancedOptions(new_username="dexter_b"),
        "guards": Guards(approval=True, minimum_age_hours=24),
    }


def test_consent_is_given_in_words() -> None:
    parsed = parse_parameters(turn, ["orders-db", "--data-loss", "I accept data loss"])
    assert parsed["data_loss"] == "I accept data loss"


def test_several_values_follow_one_option() -> None:
    line = "orders-db --guards.window-start 02:00 --guards.window-end 05:00 --guards.window-days Monday Friday"
    assert parse_parameters(turn, line.split())["guards"].window_days == (Day.MONDAY, Day.FRIDAY)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("", "the following arguments are required: CREDENTIAL"),
        ("orders-db --sync fast", "--sync: choose from wait, express"),
        ("orders-db --data-loss yes", "--data-loss: choose from no, I accept data loss"),
        ("orders-db --guards.window-days Sun", "--guards.window-days: choose from Monday, Tuesday, Wednesday, "),
        ("orders-db --syn express", "there is no option --syn, did you mean --sync?"),
        ("orders-db --no-options.dry-run", "there is no option --no-options.dry-run, did you mean --no-dry-run?"),
        ("orders-db --hunter2", "there is no option --hunter2"),
        ("orders-db --new-username A-B", "--new-username does not fit: Lower-case letters, digits and underscores. "),
        ("orders-db --guards.window-start 2:00", "--guards.window-start does not fit: HH:MM. Empty: no window"),
        ("orders-db --guards.window-start 02:00", "--guards.window-start and --guards.window-end belong together; "),
        ("orders-db --guards.time-zone Mars", "--guards.time-zone: there is no time zone 'Mars': give one such as "),
        ("orders-db --timeout-seconds 0", "--timeout-seconds must be greater than or equal to 1"),
        ("orders-db --timeout-seconds soon", "--timeout-seconds must be a valid integer"),
        ("orders-db --keep-versions 101", "--keep-versions must be less than or equal to 100"),
        ("orders-db --sync", "argument --sync: expected one argument"),
    ],
)
def test_an_unusable_line_is_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: str, error: str
) -> None:
    assert error_of(capsys, *arguments.split()).startswith(error)


@pytest.mark.parametrize("arguments", ["--new-username CANARY-", "CANARY", "--passwort=CANARY", "--sync CANARY"])
def test_a_wrong_value_is_not_repeated(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    assert "CANARY" not in error_of(capsys, "orders-db", *arguments.split())


def test_a_variable_of_the_environment_is_no_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRY_RUN", "false")
    monkeypatch.setenv("ADVANCED", '{"new_username": "other"}')
    assert parse_parameters(turn, ["orders-db"]) == DEFAULTS


def test_the_help_fits_one_screen_and_shows_what_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(turn, capsys)
    lines = said.splitlines()
    assert len(lines) <= HELP_LINES
    assert max(map(len, lines)) <= HELP_COLUMNS
    assert lines[0].endswith(" CREDENTIAL [options]")
    assert "Turn a key." in lines
    for shown in ("--no-dry-run", "{wait,express}", '{no,"I accept data loss"}', "--guards.window-start", "wait)"):
        assert shown in said
    for hidden in ("EXPRESS", "None", "<", "Args:", "More than", "--advanced"):
        assert hidden not in said


def test_an_interruption_ends_with_the_shells_code_and_says_how_to_resume(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.console._run", interrupt)
    with pytest.raises(SystemExit) as caught:
        run_from_shell(turn, ["orders-db"])
    assert caught.value.code == 130
    assert "Run it again to resume" in capsys.readouterr().out
