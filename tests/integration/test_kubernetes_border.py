"""Kubeconfigs, refusals and broken connections: what they become, and that a wait gets over them."""

import socket
from pathlib import Path

import pytest
from scripted_api import Answer, ScriptedApi, scripted_api

from infra.errors import (
    AccessDenied,
    AuthenticationFailed,
    Conflict,
    InvalidInput,
    KeyturnError,
    NotFound,
    ServiceFailed,
    SyncPending,
)
from infra.kubernetes.client import connect
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret, seal
from infra.kubernetes.waiting import follow
from infra.settings import Settings

SECRETS = "/api/v1/namespaces/dexter/secrets"
FAST = Settings(connect_timeout_seconds=1, request_timeout_seconds=2)


def status(code: int, reason: str, message: str = "because") -> dict[str, object]:
    return {"kind": "Status", "code": code, "reason": reason, "message": message}


def secret(version: str, value: str = "", uid: str = "s1") -> dict[str, object]:
    return {"metadata": {"name": "userpass", "uid": uid, "resourceVersion": version}, "data": {"USERNAME": value}}


def userpass(api: ScriptedApi) -> SyncedSecret:
    return SyncedSecret(connect(api.kubeconfig, FAST), "dexter", "userpass")


def listing(version: str, *items: object) -> Answer:
    return Answer(body={"metadata": {"resourceVersion": version}, "items": list(items)})


def change(kind: str, item: object) -> dict[str, object]:
    return {"type": kind, "object": item}


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", InvalidInput),
        (401, "Unauthorized", AuthenticationFailed),
        (403, "Forbidden", AccessDenied),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", Conflict),
        (422, "Invalid", InvalidInput),
        (500, "InternalError", ServiceFailed),
        (503, "ServiceUnavailable", ServiceFailed),
    ],
)
def test_each_refusal_becomes_an_error_of_ours_with_reason_and_fix(
    code: int, reason: str, kind: type[KeyturnError]
) -> None:
    with scripted_api(Answer(code, status(code, reason))) as api, pytest.raises(kind) as caught:
        connect(api.kubeconfig, FAST).get(f"{SECRETS}/userpass")
    assert type(caught.value) is kind
    assert caught.value.code == reason
    assert caught.value.name == "secrets/userpass in dexter"
    assert caught.value.seen == "because"
    assert caught.value.fix
    assert caught.value.__cause__ is None


def test_an_expired_token_says_how_to_fix_it() -> None:
    with scripted_api(Answer(401, status(401, "Unauthorized", "Unauthorized"))) as api:
        cluster = connect(api.kubeconfig, FAST)
        with pytest.raises(AuthenticationFailed) as caught:
            cluster.get(SECRETS)
    assert "expired" in caught.value.fix
    assert "a-token" not in f"{caught.value} {caught.value!r} {cluster!r}"


def test_an_answer_that_is_no_status_is_shown_shortened() -> None:
    with scripted_api(Answer(502, "<html>" + "x" * 5000)) as api, pytest.raises(ServiceFailed) as caught:
        connect(api.kubeconfig, FAST).get(SECRETS)
    assert caught.value.code == "502"
    assert len(caught.value.seen) < 700


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with scripted_api(Answer()) as api:
        api.url = f"http://127.0.0.1:{port}"
        with pytest.raises(ServiceFailed) as caught:
            connect(api.kubeconfig, FAST).get(SECRETS)
    assert (caught.value.name, caught.value.code) == (f"http://127.0.0.1:{port}", "Unreachable")
    assert " at 0x" not in str(caught.value)


def test_no_proxy_may_be_a_block_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_api(listing("1")) as api:
        for variable in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(variable, "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.0/8")
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.0/8")
        assert connect(api.kubeconfig, FAST).get(SECRETS)["items"] == []
        monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
        monkeypatch.setenv("no_proxy", "10.0.0.0/8")
        with pytest.raises(ServiceFailed):
            connect(api.kubeconfig, FAST).get(SECRETS)


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        connect(tmp_path / "nosuch", FAST)
    assert caught.value.name == str(tmp_path / "nosuch")
    assert "KEYTURN_KUBECONFIG" in caught.value.fix


@pytest.mark.parametrize("text", ["", "just text", "a: [", "kind: Config", "- a", "\x00"])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        connect(path, FAST)
    assert caught.value.name == str(path)


def test_a_context_that_is_not_in_the_kubeconfig_is_refused() -> None:
    with scripted_api(Answer()) as api, pytest.raises(InvalidInput, match="nosuch"):
        connect(api.kubeconfig, FAST, "nosuch")


def test_a_watch_that_has_expired_lists_again() -> None:
    gone = Answer(events=[change("ERROR", status(410, "Expired"))])
    with scripted_api(listing("1", secret("1")), gone, listing("9", secret("9", "bmV3"))) as api:
        userpass(api).wait_for(seal({"USERNAME": "new"}), 5)
    assert ["watch" in query for _, query in api.asked] == [False, True, False]


def test_a_watch_refused_with_410_lists_again() -> None:
    gone = Answer(410, status(410, "Expired"))
    with scripted_api(listing("1", secret("1")), gone, listing("9", secret("9", "bmV3"))) as api:
        userpass(api).wait_for(seal({"USERNAME": "new"}), 5)
    assert ["watch" in query for _, query in api.asked] == [False, True, False]


def test_a_watch_that_is_cut_off_resumes_from_the_last_version_seen() -> None:
    cut = Answer(events=[change("MODIFIED", secret("5")), change("BOOKMARK", secret("7"))], cut=True)
    rest = Answer(events=[change("MODIFIED", secret("8", "bmV3"))])
    with scripted_api(listing("1", secret("1")), cut, rest) as api:
        userpass(api).wait_for(seal({"USERNAME": "new"}), 5)
    assert [query.get("resourceVersion") for _, query in api.asked] == [None, "1", "7"]


def test_a_server_that_is_away_for_a_while_is_waited_for() -> None:
    away = [Answer(503, status(503, "ServiceUnavailable")), Answer(503, "starting"), Answer(0)]
    with scripted_api(listing("1", secret("1")), *away, listing("9", secret("9", "bmV3"))) as api:
        userpass(api).wait_for(seal({"USERNAME": "new"}), 10)
    assert len(api.asked) == 5


def test_a_server_that_is_away_when_a_wait_begins_is_waited_for() -> None:
    away = [Answer(0)] * 9  # urllib3 tries each request four times
    with scripted_api(*away, listing("9", secret("9", "bmV3"))) as api:
        userpass(api).wait_for(seal({"USERNAME": "new"}), 10)
    assert len(api.asked) == 10


def test_a_server_that_stays_away_ends_a_wait_at_its_bound() -> None:
    moments = iter([0.0, 0.0])
    with scripted_api(Answer(0)) as api, pytest.raises(ServiceFailed) as caught:
        userpass(api).wait_for(seal({"USERNAME": "new"}), 40, clock=lambda: next(moments, 99.0))
    assert (caught.value.name, caught.value.code) == (api.url, "Unreachable")


def test_a_token_that_expires_during_a_wait_ends_it() -> None:
    refused = Answer(401, status(401, "Unauthorized"))
    with scripted_api(listing("1", secret("1")), refused) as api, pytest.raises(AuthenticationFailed):
        userpass(api).wait_for(seal({"USERNAME": "new"}), 30)


def test_a_wait_ends_at_its_bound_by_the_given_clock() -> None:
    moments = iter([0.0, 0.0, 0.0, 50.0, 99.0])
    events = Answer(events=[change("MODIFIED", secret("2"))] * 3)
    with scripted_api(listing("1", secret("1")), events) as api, pytest.raises(SyncPending) as caught:
        userpass(api).wait_for(seal({"USERNAME": "new"}), 40, clock=lambda: next(moments, 99.0))
    assert caught.value.seen == "still the old values: USERNAME"
    assert len(api.asked) == 2


def test_deleted_objects_leave_the_view_and_others_stay() -> None:
    events = Answer(events=[change("DELETED", secret("3")), change("ADDED", secret("4", uid="s2"))])
    seen = []
    with scripted_api(listing("1", secret("1")), events) as api:
        for objects, _ in follow(connect(api.kubeconfig, FAST), SECRETS, {}, 5):
            seen.append(sorted(objects))
            if len(seen) == 3:
                break
    assert seen == [["s1"], [], ["s2"]]
