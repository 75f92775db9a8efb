"""Consumers that nobody listed: found before anything is published, told by name."""

from clients import DEPLOYMENTS, IN_PLACE, WITH_CLIENT, running_client

from infra.errors import Code
from infra.rotation.execution import Verdict
from testing.rotating import NAMESPACE, World, rotate
from testing.walkthrough import DATABASE, change


def test_a_consumer_that_nobody_listed_blocks_the_rotation_before_anything_is_published(world: World) -> None:
    with running_client(world):
        before = world.snapshot()
        refused = rotate(IN_PLACE, sync="express")
        assert (refused.verdict, refused.code) == (Verdict.REFUSED, Code.UNLISTED_CONSUMER)
        assert "deployment dexter/client" in refused.message
        assert "Secret userpass" in refused.message
        assert world.snapshot() == before
        warned = rotate(change(IN_PLACE, unlisted_consumers="warn"), sync="express")
        assert (warned.verdict, warned.error) == (Verdict.ROTATED, None)


def test_a_consumer_that_takes_a_part_from_another_class_is_never_given_a_mixed_login(world: World) -> None:
    classes = f"/apis/secrets-store.csi.x-k8s.io/v1/namespaces/{NAMESPACE}/secretproviderclasses"
    own = world.cluster.get(f"{classes}/{DATABASE.delivery.secret_provider_class}")
    other = {**own, "metadata": {"name": "other", "namespace": NAMESPACE}}
    other["spec"] = {**own["spec"], "secretObjects": []}
    world.cluster.request("POST", classes, {}, other)
    attributes = {"secretProviderClass": "other"}
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": attributes}
    with running_client(world):
        spec = world.cluster.get(f"{DEPLOYMENTS}/client")["spec"]["template"]["spec"]
        volumes = [*spec["volumes"], {"name": "other", "csi": csi}]
        world.cluster.patch(f"{DEPLOYMENTS}/client", {"spec": {"template": {"spec": {"volumes": volumes}}}})
        before = world.snapshot()
        refused = rotate(WITH_CLIENT, sync="express")
        assert (refused.verdict, refused.code) == (Verdict.REFUSED, Code.UNLISTED_SOURCE)
        assert "SecretProviderClass other" in refused.message
        assert world.snapshot() == before
    world.cluster.delete(f"{classes}/other")
