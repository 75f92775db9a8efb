"""What a model refuses, in words: also of unions that are told apart by their kind in any of pydantic's ways."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Discriminator, Field, Tag, ValidationError

from infra.credentials.fields import Model
from infra.credentials.problems import list_mistakes


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


class Basket(Model):
    """What fruits are in."""

    by_field: ByField | None = None
    by_function: ByFunction | None = Field(None, description="A fruit.")
    many: tuple[ByField, ...] = ()


@pytest.mark.parametrize("union", ["by_field", "by_function"])
@pytest.mark.parametrize(
    ("value", "field", "seen", "fix"),
    [
        ({"kind": "aple"}, ".kind", "a text of 4 characters is none of", "apple, pear; apple was probably meant"),
        ({"kind": "apple"}, ".sort", "it is missing", "add sort (Its sort)"),
        ({"kind": "apple", "sort": ["x"]}, ".sort", "a list, but it must be a valid string", "Its sort."),
        ({"kind": "pear", "apple": "x"}, ".apple", "a text of 1 character, but it must be a valid integer", ""),
        ({"kind": "pear", "apple": 1, "sorts": 1}, ".sorts", "there is no such field", "the fields are apple, kind"),
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
