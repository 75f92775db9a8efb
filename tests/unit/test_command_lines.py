"""The command line of a flow: the values of the forms, its own module's name, its exit codes."""

import pytest
from prefect import Flow

from flows.provision import provision
from flows.rotate import rotate
from flows.shell import parse_parameters, run_from_shell
from flows.tear_down import tear_down
from infra.targets import Guards, RotationOptions, Sync, Target


def usage_error(flow: Flow, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_parameters(flow, arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


DEFAULTS = {"target": Target(), "options": RotationOptions(), "guards": Guards()}


def test_without_arguments_the_parameters_are_the_defaults() -> None:
    assert parse_parameters(rotate, []) == DEFAULTS
    assert parse_parameters(tear_down, ["--stack", "walkthrough"]) == {"stack": "walkthrough", "confirm": ""}


def test_an_enum_is_given_by_its_value() -> None:
    options = parse_parameters(rotate, ["--options.sync", "express", "--target.strategy", "recreate"])["options"]
    assert options.sync is Sync.EXPRESS


def test_the_dry_run_is_switched_off_and_consent_given_in_words() -> None:
    arguments = ["--no-options.dry-run", "--options.data-loss", "I accept data loss"]
    options = parse_parameters(rotate, arguments)["options"]
    assert (options.dry_run, options.data_loss) == (False, "I accept data loss")


def test_a_value_out_of_bounds_is_named_by_its_option_and_module(capsys: pytest.CaptureFixture[str]) -> None:
    said = usage_error(rotate, capsys, "--options.sync-timeout-seconds", "0")
    assert "--options.sync-timeout-seconds: Input should be greater than or equal to 1" in said
    assert "see: python -m flows.rotate --help" in said


def test_a_wrong_choice_is_answered_with_the_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--options.sync: Input should be 'wait' or 'express'" in usage_error(rotate, capsys, "--options.sync", "x")


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unrecognized arguments: --nope" in usage_error(rotate, capsys, "--nope")


def test_a_wrong_value_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "canary" not in usage_error(rotate, capsys, "--options.new-username", "CANARY-canary")


def test_a_variable_of_the_environment_is_no_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTIONS", '{"dry_run": false}')
    monkeypatch.setenv("TARGET__VAULT", "othervault")
    assert parse_parameters(rotate, []) == DEFAULTS


def test_the_help_shows_values_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_from_shell(rotate, ["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "{wait,express}" in said
    assert "EXPRESS" not in said
    assert said.startswith("usage: python -m flows.rotate ")
    assert "change nothing" in said


def test_who_interrupts_gets_the_shells_code_and_a_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.shell._run", interrupted)
    with pytest.raises(SystemExit) as caught:
        run_from_shell(provision, ["--stack", "walkthrough"])
    assert caught.value.code == 130
    assert "run it again" in capsys.readouterr().out
