"""Kinds that a CustomResourceDefinition defines: discovery, rules, defaults, status and Tables."""

from kubernetes_world import TABLE, Json, Space, widget_definition

from testing.waiting import eventually

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def widget(name: str = "one", **spec: object) -> Json:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 1} | spec}


def test_a_definition_is_established_and_discovered(space: Space, widgets: str) -> None:
    conditions = space.api.get(f"{DEFINITIONS}/widgets.example.com")["status"]["conditions"]
    assert {item["type"]: item["status"] for item in conditions} == {"NamesAccepted": "True", "Established": "True"}
    resources = {item["name"]: item for item in space.api.get("/apis/example.com/v1")["resources"]}
    assert set(resources) == {"widgets", "widgets/status"}
    found = resources["widgets"]
    assert (found["singularName"], found["shortNames"], found["kind"]) == ("widget", ["wi"], "Widget")
    assert "example.com" in {group["name"] for group in space.api.get("/apis")["groups"]}
    assert widgets.endswith("/widgets")


def test_a_definition_must_be_named_after_its_kind(space: Space) -> None:
    body = widget_definition() | {"metadata": {"name": "other"}}
    answer = space.api("POST", DEFINITIONS, body)
    assert (answer.code, answer.causes) == (422, [("FieldValueInvalid", "metadata.name")])
    assert answer.message.endswith('must be spec.names.plural+"."+spec.group')


def test_defaults_are_filled_in_and_unknown_fields_dropped(space: Space, widgets: str) -> None:
    made = space.api("POST", widgets, widget(more=1))
    assert (made.code, made.body["spec"]) == (201, {"size": 1, "color": "red"})
    assert made.warnings == ('299 - "unknown field \\"spec.more\\""',)
    strict = space.api("POST", f"{widgets}?fieldValidation=Strict", widget("two", more=1))
    assert (strict.code, strict.message) == (
        400,
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.more"',
    )


def test_a_broken_rule_is_invalid(space: Space, widgets: str) -> None:
    wrong: list[tuple[Json, str, str]] = [
        ({"size": 0}, "FieldValueInvalid", "spec.size in body should be greater than or equal to 1"),
        ({"size": "x"}, "FieldValueTypeInvalid", 'spec.size in body must be of type integer: "string"'),
        ({"color": "green"}, "FieldValueNotSupported", 'supported values: "red", "blue"'),
    ]
    for spec, reason, text in wrong:
        answer = space.api("POST", widgets, widget(**spec))
        assert (answer.code, answer.reason, answer.causes[0][0]) == (422, "Invalid", reason)
        assert answer.message.startswith('Widget.example.com "one" is invalid: spec.')
        assert answer.message.endswith(text)
    missing = space.api("POST", widgets, widget() | {"spec": {}})
    assert missing.causes == [("FieldValueRequired", "spec.size")]


def test_an_update_must_name_its_version(space: Space, widgets: str) -> None:
    made = space.api.create(widgets, widget())
    blind = space.api("PUT", f"{widgets}/one", widget(size=2))
    assert (blind.code, blind.causes) == (422, [("FieldValueInvalid", "metadata.resourceVersion")])
    made["spec"]["size"] = 2
    assert space.api("PUT", f"{widgets}/one", made).body["metadata"]["generation"] == 2


def test_status_is_written_at_its_own_address_alone(space: Space, widgets: str) -> None:
    space.api.create(widgets, widget() | {"status": {"lost": True}})
    change = {"status": {"seen": 1}, "spec": {"size": 9}, "metadata": {"labels": {"a": "b"}}}
    after = space.api.patch(f"{widgets}/one/status", change).body
    assert (after["status"], after["spec"]["size"]) == ({"seen": 1}, 1)
    assert "labels" not in after["metadata"]
    assert after["metadata"]["generation"] == 1


def test_a_table_has_the_columns_of_the_definition(space: Space, widgets: str) -> None:
    space.api.create(widgets, widget(size=3))
    space.api.patch(f"{widgets}/one/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    space.api.create(widgets, widget("two"))
    table = space.api("GET", widgets, accept=TABLE).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size", "Ready"]
    assert [row["cells"] for row in table["rows"]] == [["one", 3, "True"], ["two", 1, None]]


def test_objects_go_with_their_definition(space: Space, widgets: str) -> None:
    space.api.create(widgets, widget())
    assert space.api("DELETE", f"{DEFINITIONS}/widgets.example.com").code == 200
    eventually(lambda: space.api("GET", widgets).code == 404)
