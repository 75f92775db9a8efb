"""Kubeconfigs: which context is the named cluster's, and who signs in how."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.errors import InvalidInput
from infra.kubernetes.kubeconfig import Kubeconfig, load_kubeconfig, verify_issuer, verify_server
from infra.kubernetes.sign_in import AKS_SERVER, find_entra_server

BLUE, GREEN = "blue-dns-1.hcp.eastus2.azmk8s.io", "green-dns-2.hcp.eastus2.azmk8s.io"
SERVERS = {"blue": BLUE, "green": GREEN}


def kubeconfig(*contexts: str, current: str = "", **user: Any) -> dict[str, Any]:
    """A kubeconfig whose contexts lead to the cluster that begins their name."""
    return {
        "current-context": current,
        "clusters": [{"name": name, "cluster": {"server": f"https://{host}:443"}} for name, host in SERVERS.items()],
        "contexts": [{"name": name, "context": {"cluster": name.partition("-")[0], "user": "me"}} for name in contexts],
        "users": [{"name": "me", "user": user or {"token": "a-token"}}],
    }


def config_of(*contexts: str, current: str = "", **user: Any) -> Kubeconfig:
    return load_kubeconfig(kubeconfig(*contexts, current=current, **user))


@pytest.mark.parametrize(
    ("contexts", "current", "wanted", "chosen"),
    [
        (("blue", "green"), "green", None, "blue"),
        (("blue-admin", "green"), "green", None, "blue-admin"),
        (("blue", "blue-admin"), "blue-admin", None, "blue"),
        (("green-x", "green-y"), "green-y", None, "green-y"),
        (("green-x",), "", None, "green-x"),
        (("blue", "blue-other"), "blue", "blue-other", "blue-other"),
    ],
    ids=["its name", "administrator", "user first", "current", "the only one", "set"],
)
def test_the_context_is_the_one_with_the_clusters_name(
    contexts: tuple[str, ...], current: str, wanted: str | None, chosen: str
) -> None:
    assert config_of(*contexts, current=current).choose("blue", wanted).name == chosen


@pytest.mark.parametrize(("wanted", "name"), [(None, "blue"), ("nosuch", "nosuch")])
def test_a_kubeconfig_without_a_context_for_the_cluster_says_which_it_has(wanted: str | None, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        config_of("green-x", "green-y").choose("blue", wanted)
    assert (caught.value.code, caught.value.name) == ("ContextMissing", name)
    assert caught.value.seen == "kubeconfig has green-x, green-y"
    assert "az aks get-credentials" in caught.value.fix


def test_a_context_of_another_cluster_is_refused_by_its_server() -> None:
    context = config_of("green").get("green")
    with pytest.raises(InvalidInput) as caught:
        verify_server(context, "blue", {BLUE})
    assert (caught.value.code, caught.value.name) == ("WrongCluster", "context green of kubeconfig")
    assert caught.value.seen == f"it leads to {GREEN}, but blue answers at {BLUE}"
    assert "az aks get-credentials" in caught.value.fix


@pytest.mark.parametrize("hosts", [{BLUE}, {BLUE.upper()}, {"blue.private.example", BLUE}])
def test_a_context_whose_server_is_right_may_have_any_name(hosts: set[str]) -> None:
    verify_server(config_of("blue-by-the-bay").get("blue-by-the-bay"), "blue", hosts)


def test_by_a_tunnel_the_name_in_the_certificate_counts() -> None:
    content = kubeconfig("blue")
    content["clusters"][0]["cluster"] |= {"server": "https://localhost:6443", "tls-server-name": BLUE}
    verify_server(load_kubeconfig(content).get("blue"), "blue", {BLUE})
    content["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    with pytest.raises(InvalidInput, match="it leads to localhost"):
        verify_server(load_kubeconfig(content).get("blue"), "blue", {BLUE})


def test_where_azure_does_not_tell_the_server_the_contexts_name_must_be_the_clusters() -> None:
    verify_server(config_of("blue").get("blue"), "blue", None)
    verify_server(config_of("blue-admin").get("blue-admin"), "blue", None)
    with pytest.raises(InvalidInput) as caught:
        verify_server(config_of("blue-x").get("blue-x"), "blue", None)
    assert caught.value.code == "WrongCluster"
    assert "it is not called blue, and Azure does not tell" in caught.value.seen


def test_a_pod_of_another_cluster_is_refused_by_the_issuer_of_its_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x.eyJpc3MiOiJodHRwczovL29pZGMvYmx1ZS8ifQ.x")
    context = config_of("blue", tokenFile=str(token)).get("blue")
    verify_issuer(context, "blue", "https://oidc/blue")
    verify_issuer(context, "blue", None)
    with pytest.raises(InvalidInput) as caught:
        verify_issuer(context, "green", "https://oidc/green/")
    assert caught.value.code == "WrongCluster"
    assert "issued by https://oidc/blue/, but those of green by https://oidc/green/" in caught.value.seen


def test_relative_paths_begin_at_the_kubeconfigs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("a-token")
    (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig("blue", tokenFile="token")))
    monkeypatch.chdir("/")
    context = load_kubeconfig(tmp_path / "config").get("blue")
    assert context.path(context.user, "tokenFile") == tmp_path / "token"


def test_a_file_that_a_kubeconfig_names_and_nobody_has_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig("blue", tokenFile="nosuch")))
    context = load_kubeconfig(tmp_path / "config").get("blue")
    with pytest.raises(InvalidInput, match=f"tokenFile names {tmp_path}/nosuch, which does not exist"):
        context.path(context.user, "tokenFile")


@pytest.mark.parametrize("user", [{"as": "somebody"}, {"auth-provider": {"name": "oidc"}}])
def test_a_way_to_sign_in_that_would_be_lost_is_refused(user: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"signs in by {next(iter(user))}, which is not supported"):
        config_of("blue", **user).get("blue")


@pytest.mark.parametrize(
    ("user", "server"),
    [
        ({"exec": {"command": "kubelogin", "args": ["get-token", "--login", "devicecode"]}}, AKS_SERVER),
        ({"exec": {"command": "/usr/bin/kubelogin", "args": ["get-token", "--server-id", "own"]}}, "own"),
        ({"exec": {"command": "kubelogin.exe", "args": ["get-token", "--login=interactive"]}}, AKS_SERVER),
        ({"exec": {"command": "kubelogin", "args": ["get-token", "-l", "spn"]}}, None),
        ({"exec": {"command": "kubelogin", "env": [{"name": "AAD_LOGIN_METHOD", "value": "msi"}]}}, None),
        ({"exec": {"command": "aws", "args": ["eks", "get-token"]}}, None),
        ({"auth-provider": {"name": "azure", "config": {"apiserver-id": "own"}}}, "own"),
        ({"token": "a-token"}, None),
    ],
    ids=["device code", "path", "interactive", "service principal", "by variable", "other", "provider", "token"],
)
def test_the_flows_own_credential_signs_in_where_kubelogin_would_ask_a_person(
    user: dict[str, Any], server: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AAD_LOGIN_METHOD", raising=False)
    assert find_entra_server(user) == server
