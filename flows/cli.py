"""The command line of every flow: short options, an error of one line, the tables printed, the exit code right.

    python -m flows.rotate dexter                             # shows the plan
    python -m flows.rotate dexter --no-dry-run --sync express # rotates

The first parameter is positional, every other one an option. A model's fields are options of their own; those of
`guards` keep its name as a prefix. Exit codes: 0 the flow did what it was asked for, 1 it did not, 2 the command line
cannot be used, 130 interrupted.
"""

import argparse
import difflib
import gc
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Literal, NoReturn, get_args, get_origin

from prefect.flows import Flow
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from flows.console import run

PREFIXED = ("guards",)
"""Models whose fields are rarely given: their options keep the model's name."""
LEFT_COLUMN, WIDTH = 37, 100


@dataclass(frozen=True)
class Option:
    """One parameter of a flow, or one field of a parameter that is a model.

    Args:
        path: where its value belongs: the parameter, and the field.
        annotation: its type.
        default: its default; Ellipsis if it has none.
        help: what people read about it.
    """

    path: tuple[str, ...]
    annotation: Any
    default: Any
    help: str

    @property
    def is_first(self) -> bool:
        """Whether it is the parameter without a default, which is positional."""
        return self.default is ...

    @property
    def flag(self) -> str:
        """How it is typed."""
        if self.is_first:
            return self.path[0]
        shown = self.path if self.path[0] in PREFIXED else self.path[-1:]
        return "--" + ".".join(shown).replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that can be typed, if they are few."""
        kind = get_args(self.annotation)[0] if get_origin(self.annotation) is tuple else self.annotation
        if get_origin(kind) is Literal:
            return get_args(kind)
        return tuple(str(member.value) for member in kind) if inspect.isclass(kind) and issubclass(kind, Enum) else ()

    @property
    def help_text(self) -> str:
        """What the help says: of a rarely given option the first sentence, and the default if it says something."""
        text = (self.help.partition(". ")[0] if self.path[0] in PREFIXED else self.help).rstrip(".")
        default = self.default.value if isinstance(self.default, Enum) else self.default
        says_nothing = self.is_first or not default or default in (True, "no")
        return (text[:1].upper() + text[1:] + ("" if says_nothing else f" (default: {default})")).replace("%", "%%")


def run_from_shell(flow: Flow[Any, Any], arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a flow with parameters from the command line, print what it made, and exit.

    Args:
        flow: the flow.
        arguments: the command line without the program; the process' own by default.
    """
    keep_imports()
    run(flow, parse_parameters(flow, sys.argv[1:] if arguments is None else arguments))


def keep_imports() -> None:
    """Count what a command imported as no garbage, and look for garbage from here on."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def parse_parameters(flow: Flow[Any, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the flow's parameters as the command line gives them; exits with code 2 if it cannot be used."""
    options = list(list_options(flow))
    parser = make_parser(flow, options)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_explain_unknown(unknown[0], options))
    values: dict[str, Any] = {}
    for option in options:
        if (value := getattr(given, ".".join(option.path), None)) is not None:
            inner = values.setdefault(option.path[0], {}) if option.path[1:] else values
            inner[option.path[-1]] = value
    try:
        parsed = _model_of(flow).model_validate(values)
    except ValidationError as error:
        parser.error("; ".join(_explain(each, options) for each in error.errors(include_input=False)))
    return {name: getattr(parsed, name) for name in type(parsed).model_fields}


def list_options(flow: Flow[Any, Any]) -> Iterator[Option]:
    """Yield the options of a flow, in the order of its parameters."""
    for name, parameter in inspect.signature(flow.fn, eval_str=True).parameters.items():
        default = ... if parameter.default is parameter.empty else parameter.default
        kind = parameter.annotation
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            for field_name, field in kind.model_fields.items():
                yield Option((name, field_name), field.annotation, field.default, field.description or "")
        else:
            help_text = flow.parameters.properties[name].get("description", "")
            yield Option((name,), FieldInfo.from_annotation(kind).annotation, default, help_text)


def make_parser(flow: Flow[Any, Any], options: Sequence[Option]) -> argparse.ArgumentParser:
    """Make the parser of a flow's options. It reads words; what they may be is the models' business."""
    about = (flow.description or "").partition("\n\n")[0]
    parser = _Parser(
        prog=f"python -m {_module_of(flow)}",
        description=about,
        add_help=False,
        allow_abbrev=False,
        formatter_class=partial(argparse.HelpFormatter, max_help_position=LEFT_COLUMN, width=WIDTH),
    )
    parser.usage = f"{parser.prog} {' '.join(option.flag.upper() for option in options if option.is_first)} [options]"
    parser.add_argument("--help", action="help", help=argparse.SUPPRESS)
    groups: dict[str, Any] = {}
    for option in options:
        title = "parameters" if len(option.path) == 1 else f"{option.path[0]} (rarely needed)"
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        groups[title].add_argument(option.flag, help=option.help_text, **_how_typed(option))
    return parser


def _how_typed(option: Option) -> dict[str, Any]:
    """Return what argparse must know of an option."""
    if option.is_first:
        return {"metavar": option.flag.upper()}
    how: dict[str, Any] = {"dest": ".".join(option.path), "default": None}
    if option.annotation is bool:
        return how | {"action": argparse.BooleanOptionalAction if option.default else "store_true"}
    if get_origin(option.annotation) is tuple:
        return how | {"nargs": "+", "metavar": get_args(option.annotation)[0].__name__.upper()}
    choices = ",".join(f'"{choice}"' if " " in choice else choice for choice in option.choices)
    return how | {"metavar": f"{{{choices}}}" if choices else "N" if option.annotation is int else "TEXT"}


class _Parser(argparse.ArgumentParser):
    """Ends with one line instead of the usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where the help is."""
        self.exit(2, f"{message} (see {self.prog} --help)\n")


def _model_of(flow: Flow[Any, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        parameter.name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for parameter in inspect.signature(flow.fn, eval_str=True).parameters.values()
    }
    return create_model("CommandLine", __config__=ConfigDict(extra="forbid"), **fields)


def _explain_unknown(argument: str, options: Sequence[Option]) -> str:
    """Say which option was probably meant. A word that is no option is not repeated: it may be a secret."""
    if not argument.startswith("-"):
        return "there is an argument too many"
    name = argument.partition("=")[0]
    flags = [flag for option in options for flag in (option.flag, f"--no-{option.flag[2:]}")]
    nearest = difflib.get_close_matches(name, flags, 1)
    return f"there is no option {name}" + (f", did you mean {nearest[0]}?" if nearest else "")


def _explain(error: ErrorDetails, options: Sequence[Option]) -> str:
    """Say in words what is wrong with a value, without repeating it."""
    path = error["loc"]
    option = next((each for each in options if each.path == path[: len(each.path)]), None)
    if option is None:
        return _as_typed(error["msg"].removeprefix("Value error, "), options)
    if option.choices:
        return f"{option.flag}: choose from {', '.join(option.choices)}"
    if error["type"] == "string_pattern_mismatch":
        return f"{option.flag} does not fit: {option.help.rstrip('.')}"
    if error["type"] == "value_error":
        return f"{option.flag}: {error['msg'].removeprefix('Value error, ')}"
    return f"{option.flag} {error['msg'].replace('Input should', 'must').partition(',')[0]}"


def _as_typed(text: str, options: Sequence[Option]) -> str:
    """Name fields as options."""
    flags: Mapping[str, str] = {option.path[-1]: option.flag for option in options}
    return re.sub(r"\b\w+_\w+\b", lambda word: flags.get(word[0], word[0]), text)


def _module_of(flow: Flow[Any, Any]) -> str:
    """Return the name by which `python -m` finds the flow's module, also while it is the main one."""
    module = inspect.getmodule(flow.fn)
    spec = getattr(module, "__spec__", None)
    return spec.name if spec else flow.fn.__module__
