"""What a model refuses, in words: also of unions that are told apart by their kind in any of pydantic's ways."""

import ast
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Discriminator, Field, Tag, ValidationError

from infra.credentials.fields import Model
from infra.credentials.problems import list_mistakes

IMPERATIVES = {"add", "give", "leave", "let", "list", "mark", "name", "shorten", "use", "write"}


class Apple(Model):
    """A fruit."""

    kind: Literal["apple"] = "apple"
    sort: str = Field(description="Its sort.")


class Pear(Model):
    """Another one."""

    kind: Literal["pear"] = "pear"
    apple: int


def kind_of(fruit: object) -> str:
    return str(fruit.get("kind", "apple") if isinstance(fruit, dict) else getattr(fruit, "kind", "apple"))


ByField = Annotated[Apple | Pear, Field(discriminator="kind")]
ByFunction = Annotated[
    Annotated[Apple, Tag("apple")] | Annotated[Pear, Tag("pear")],
    Discriminator(kind_of, custom_error_type="fruit", custom_error_message="the kind is one of apple and pear"),
]


class Secrets(Model):
    """What must not be repeated."""

    password: Literal["here"]
    level: int = 1


class Basket(Model):
    """What fruits are in."""

    by_field: ByField | None = None
    by_function: ByFunction | None = Field(None, description="A fruit.")
    many: tuple[ByField, ...] = ()
    level: int = Field(1, ge=1, le=9)
    secrets: Secrets | None = None


@pytest.mark.parametrize("union", ["by_field", "by_function"])
@pytest.mark.parametrize(
    ("value", "field", "seen", "fix"),
    [
        ({"kind": "aple"}, ".kind", "'aple' is none of", "apple, pear; apple was probably meant"),
        ({"kind": "apple"}, ".sort", "it is missing", "add sort (Its sort)"),
        ({"kind": "apple", "sort": ["x"]}, ".sort", "a list, but it must be a valid string", "write a text (Its sort)"),
        ({"kind": "pear", "apple": "x"}, ".apple", "'x', but it must be a valid integer", "write a whole number"),
        ({"kind": "pear", "apple": 1, "sorts": 1}, ".sorts", "there is no such field", "use one of apple, kind"),
    ],
)
def test_a_mistake_in_a_kind_is_told_without_the_ways_of_its_union(
    union: str, value: Any, field: str, seen: str, fix: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Basket.model_validate({union: value})
    [mistake] = list_mistakes(Basket, caught.value)
    assert mistake.field == union + field
    assert mistake.seen.startswith(seen)
    assert fix in mistake.fix


def test_a_place_in_a_list_is_told_by_its_number() -> None:
    with pytest.raises(ValidationError) as caught:
        Basket.model_validate({"many": [{"kind": "apple", "sort": "x"}, {"sort": "x"}]})
    [mistake] = list_mistakes(Basket, caught.value)
    assert (mistake.field, mistake.seen) == ("many[1].kind", "it is missing")
    assert mistake.fix == "add kind: one of apple, pear"


def test_a_text_in_place_of_fields_is_told_as_such() -> None:
    with pytest.raises(ValidationError) as caught:
        Basket.model_validate({"by_function": "secret-value"})
    [mistake] = list_mistakes(Basket, caught.value)
    assert mistake.field == "by_function"
    assert mistake.seen == "a text of 12 characters, but it has fields"
    assert "secret-value" not in mistake.fix


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"level": 10}, "10, but it must be less than or equal to 9"),
        ({"level": "ten"}, "'ten', but it must be a valid integer"),
        ({"level": "postgresql://u:hunter2@db"}, "a text of 25 characters, but it must be a valid integer"),
        ({"level": "a\nb"}, "a text of 3 characters, but it must be a valid integer"),
        ({"secrets": {"password": "hunter2"}}, "a text of 7 characters is none of its values"),
        (
            {"secrets": {"password": "here", "level": "hunter2"}},
            "a text of 7 characters, but it must be a valid integer",
        ),
    ],
)
def test_a_value_is_repeated_where_no_secret_can_be_and_nowhere_else(fields: dict[str, Any], seen: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Basket.model_validate(fields)
    [mistake] = list_mistakes(Basket, caught.value)
    assert mistake.seen.startswith(seen)
    assert "hunter2" not in mistake.seen + mistake.fix
    assert mistake.fix.startswith("write ")


def test_every_sentence_of_a_model_says_what_to_do_behind_its_first_colon() -> None:
    folder = Path(__file__).parents[2] / "infra" / "credentials"
    calls = [
        node.exc
        for name in ("clusters", "credential", "consumers", "endpoints", "passwords", "schedule", "layouts")
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text()))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == "ValueError"
    ]
    assert len(calls) > 25
    for call in calls:
        _, _, fix = _text(call.args[0]).partition(": ")
        assert fix.partition(" ")[0] in IMPERATIVES, ast.unparse(call)


def _text(node: ast.expr) -> str:
    """Return a message with nothing in place of its values."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    assert isinstance(node, ast.Constant)
    return str(node.value)
