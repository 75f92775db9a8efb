"""What objects are given by default, and what they are refused for, in the words of a real API server."""

from typing import Any

import pytest
from kubernetes_world import Json, Space, deployment, template

_KEYLESS = {"secretKeyRef": {"name": "s"}}
_GO = "Go struct field DeploymentSpec.spec."
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def without(obj: Json, *names: str) -> Json:
    return {key: value for key, value in obj.items() if key not in names}


def test_a_deployment_is_filled_in(space: Space) -> None:
    body = {"metadata": {"name": "web"}, "spec": without(deployment("web")["spec"], "replicas") | {"paused": True}}
    spec = space.api.create(space.apps("deployments"), body)["spec"]
    assert without(spec, "template", "selector", "paused") == {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
    }
    assert without(spec["template"]["spec"], "containers") == {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    assert without(spec["template"]["spec"]["containers"][0], "name", "image", "env") == {
        "resources": {},
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("h:5000/a", "Always"),
        ("a@sha256:0", "IfNotPresent"),
    ],
)
def test_untagged_images_are_always_pulled(space: Space, image: str, policy: str) -> None:
    pod = {"metadata": {"name": "one"}, "spec": {"schedulerName": "no", "containers": [{"name": "c", "image": image}]}}
    assert space.api.create(space.path("pods"), pod)["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_pod_gets_its_account_and_its_token(space: Space) -> None:
    pod = {"metadata": {"name": "one"}, "spec": {"schedulerName": "no", "containers": [{"name": "c", "image": "i:1"}]}}
    made = space.api.create(space.path("pods"), pod)
    spec, volume = made["spec"], made["spec"]["volumes"][0]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert volume["name"].startswith("kube-api-access-")
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": volume["name"], "readOnly": True, "mountPath": TOKEN_PATH}
    ]
    sources = volume["projected"]["sources"]
    assert sources[0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert sources[1]["configMap"]["name"] == "kube-root-ca.crt"
    assert volume["projected"]["defaultMode"] == 420
    assert (made["status"]["phase"], made["status"]["qosClass"]) == ("Pending", "BestEffort")
    assert [item["key"] for item in spec["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]


def test_a_pod_without_its_account_is_forbidden(space: Space) -> None:
    pod = {
        "metadata": {"name": "one"},
        "spec": {"serviceAccountName": "no", "containers": [{"name": "c", "image": "i"}]},
    }
    answer = space.api("POST", space.path("pods"), pod)
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert answer.message == (
        f'pods "one" is forbidden: error looking up service account {space.name}/no: serviceaccount "no" not found'
    )


def test_string_data_becomes_data(space: Space) -> None:
    body = {"metadata": {"name": "one"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}}
    made = space.api.create(space.path("secrets"), body)
    assert (made["type"], made["data"]) == ("Opaque", {"a": "Yg==", "c": "ZA=="})
    assert "stringData" not in made


def test_a_load_balancer_gets_an_address_and_a_node_port_at_once(space: Space) -> None:
    ports = [{"port": 5432, "targetPort": 5432}]
    body = {"metadata": {"name": "db"}, "spec": {"type": "LoadBalancer", "selector": {"a": "b"}, "ports": ports}}
    spec = space.api.create(space.path("services"), body)["spec"]
    assert spec["clusterIP"] == spec["clusterIPs"][0]
    assert spec["clusterIP"].count(".") == 3
    assert 30000 <= spec["ports"][0]["nodePort"] <= 32767
    assert (spec["ports"][0]["protocol"], spec["sessionAffinity"]) == ("TCP", "None")
    assert (spec["externalTrafficPolicy"], spec["allocateLoadBalancerNodePorts"]) == ("Cluster", True)


def test_a_service_keeps_its_address_and_loses_its_node_port_with_its_type(space: Space) -> None:
    body = {"metadata": {"name": "db"}, "spec": {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 1}]}}
    before = space.api.create(space.path("services"), body)["spec"]
    after = space.api.patch(space.path("services", "db"), {"spec": {"type": "ClusterIP"}}).body["spec"]
    assert after["clusterIP"] == before["clusterIP"]
    assert "nodePort" not in after["ports"][0]
    assert "externalTrafficPolicy" not in after
    moved = space.api.patch(space.path("services", "db"), {"spec": {"clusterIP": "10.96.9.9"}})
    assert (moved.code, moved.causes) == (422, [("FieldValueInvalid", "spec.clusterIPs[0]")])


def test_a_csi_driver_is_filled_in(space: Space) -> None:
    path, name = "/apis/storage.k8s.io/v1/csidrivers", f"{space.name}.example.com"
    spec = space.api.create(path, {"metadata": {"name": name}, "spec": {"podInfoOnMount": True}})["spec"]
    space.api("DELETE", f"{path}/{name}")
    assert spec == {
        "attachRequired": True,
        "podInfoOnMount": True,
        "volumeLifecycleModes": ["Persistent"],
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "requiresRepublish": False,
        "seLinuxMount": False,
    }


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        (
            {"selector": None},
            [("FieldValueRequired", "spec.selector"), ("FieldValueInvalid", "spec.template.metadata.labels")],
        ),
        ({"selector": {"matchLabels": {"app": "x"}}}, [("FieldValueInvalid", "spec.template.metadata.labels")]),
        ({"replicas": -1}, [("FieldValueInvalid", "spec.replicas")]),
        ({"strategy": {"type": "Other"}}, [("FieldValueNotSupported", "spec.strategy")]),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            [("FieldValueForbidden", "spec.strategy.rollingUpdate")],
        ),
        (
            {"template": template(restartPolicy="Never")},
            [("FieldValueNotSupported", "spec.template.spec.restartPolicy")],
        ),
        ({"template": template(containers=[])}, [("FieldValueRequired", "spec.template.spec.containers")]),
    ],
)
def test_a_wrong_deployment_is_invalid(space: Space, spec: Json, causes: list[tuple[str, str]]) -> None:
    answer = space.api("POST", space.apps("deployments"), deployment("web", **spec))
    assert (answer.code, answer.reason, answer.causes) == (422, "Invalid", causes)
    assert answer.message.startswith('Deployment.apps "web" is invalid: ')
    assert answer.body["details"]["kind"] == "Deployment"
    assert space.api("GET", space.apps("deployments", "web")).code == 404


@pytest.mark.parametrize(
    ("container", "reason", "field"),
    [
        ({"image": ""}, "FieldValueRequired", "image"),
        ({"name": "Web_"}, "FieldValueInvalid", "name"),
        ({"imagePullPolicy": "Often"}, "FieldValueNotSupported", "imagePullPolicy"),
        ({"ports": [{"containerPort": 70000}]}, "FieldValueInvalid", "ports[0].containerPort"),
        ({"env": [{"value": "x"}]}, "FieldValueRequired", "env[0].name"),
        ({"env": [{"name": "A", "valueFrom": {}}]}, "FieldValueInvalid", "env[0].valueFrom"),
        ({"env": [{"name": "A", "valueFrom": _KEYLESS}]}, "FieldValueRequired", "env[0].valueFrom.secretKeyRef.key"),
        ({"volumeMounts": [{"name": "none", "mountPath": "/x"}]}, "FieldValueNotFound", "volumeMounts[0].name"),
    ],
)
def test_a_wrong_container_is_invalid(space: Space, container: Json, reason: str, field: str) -> None:
    containers = [{"name": "web", "image": "postgres:14"} | container]
    answer = space.api("POST", space.apps("deployments"), deployment("web", template=template(containers=containers)))
    assert (answer.code, answer.causes) == (422, [(reason, f"spec.template.spec.containers[0].{field}")])


def test_a_selector_cannot_be_changed(space: Space) -> None:
    space.api.create(space.apps("deployments"), deployment("web"))
    labels = {"app": "web", "more": "x"}
    wanted = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
    answer = space.api.patch(space.apps("deployments", "web"), {"spec": wanted})
    assert (answer.code, answer.causes) == (422, [("FieldValueInvalid", "spec.selector")])
    assert answer.message.endswith("field is immutable")


def test_the_spec_of_a_pod_cannot_be_changed_but_for_its_image(space: Space) -> None:
    pod = {"metadata": {"name": "one"}, "spec": {"schedulerName": "no", "containers": [{"name": "c", "image": "i:1"}]}}
    made = space.api.create(space.path("pods"), pod)
    del made["metadata"]["resourceVersion"]
    made["spec"]["containers"][0]["image"] = "i:2"
    changed = space.api("PUT", space.path("pods", "one"), made)
    assert changed.code == 200
    del changed.body["metadata"]["resourceVersion"]
    changed.body["spec"]["containers"][0]["command"] = ["x"]
    answer = space.api("PUT", space.path("pods", "one"), changed.body)
    assert (answer.code, answer.causes) == (422, [("FieldValueForbidden", "spec")])


def test_immutable_secrets_and_their_types_stay(space: Space) -> None:
    body = {"metadata": {"name": "one"}, "immutable": True, "data": {"a": "Yg=="}}
    space.api.create(space.path("secrets"), body)
    path = space.path("secrets", "one")
    assert space.api.patch(path, {"data": {"a": "Yw=="}}).causes == [("FieldValueForbidden", "data")]
    assert space.api.patch(path, {"type": "other"}).causes == [("FieldValueInvalid", "type")]


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "a" * 254, ""])
def test_names_follow_dns(space: Space, name: str) -> None:
    answer = space.api("POST", space.path("secrets"), {"metadata": {"name": name}})
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert {field for _, field in answer.causes} == {"metadata.name"}


def test_labels_follow_their_grammar(space: Space) -> None:
    body = {"metadata": {"name": "one", "labels": {"a b": "c", "d": "e/"}}}
    answer = space.api("POST", space.path("secrets"), body)
    assert answer.causes == [("FieldValueInvalid", "metadata.labels")] * 2


def test_strict_validation_names_every_problem(space: Space) -> None:
    body = b'{"metadata":{"name":"one","labels":{"x":"1","x":"2"}},"more":1,"data":{}}'
    answer = space.api("POST", space.path("secrets") + "?fieldValidation=Strict", body)
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert answer.message == (
        'Secret in version "v1" cannot be handled as a Secret: strict decoding error: '
        'duplicate field "metadata.labels.x", unknown field "more"'
    )


def test_otherwise_unknown_fields_are_dropped_with_a_warning(space: Space) -> None:
    answer = space.api("POST", space.path("secrets"), {"metadata": {"name": "one"}, "more": 1})
    assert (answer.code, "more" in answer.body) == (201, False)
    assert answer.warnings == ('299 - "unknown field \\"more\\""',)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"replicas": "x"}, f"cannot unmarshal string into {_GO}replicas of type int32"),
        ({"paused": 1}, f"cannot unmarshal number into {_GO}paused of type bool"),
        ({"selector": []}, f"cannot unmarshal array into {_GO}selector of type v1.LabelSelector"),
    ],
)
def test_ill_typed_fields_are_bad_requests(space: Space, spec: Json, why: str) -> None:
    answer = space.api("POST", space.apps("deployments"), deployment("web", **spec))
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert answer.message == f'Deployment in version "v1" cannot be handled as a Deployment: json: {why}'


def test_an_unknown_body_is_unsupported(space: Space) -> None:
    answer = space.api("POST", space.path("secrets"), b"x", content_type="application/x-other")
    assert (answer.code, answer.reason) == (415, "UnsupportedMediaType")


def test_a_body_of_another_kind_is_refused(space: Space) -> None:
    wrong: list[Any] = [{"kind": "Pod", "apiVersion": "v1"}, {"kind": "Secret", "apiVersion": "apps/v1"}]
    for head in wrong:
        answer = space.api("POST", space.path("secrets"), head | {"metadata": {"name": "one"}})
        assert (answer.code, answer.reason) == (400, "BadRequest")
        assert "cannot be handled as a Secret" in answer.message
