"""Which volumes show a Secret or ConfigMap: those alone are written again when it changes."""

import pytest

from lab.cluster.client import Object
from lab.cluster.node.projections import shows

API_ACCESS: Object = {
    "name": "kube-api-access",
    "projected": {
        "sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt"}},
            {"secret": {"name": "login"}},
        ]
    },
}


@pytest.mark.parametrize(
    ("volume", "kind", "name", "is_shown"),
    [
        ({"name": "v", "secret": {"secretName": "login"}}, "secret", "login", True),
        ({"name": "v", "secret": {"secretName": "login"}}, "secret", "another", False),
        ({"name": "v", "secret": {"secretName": "login"}}, "configMap", "login", False),
        ({"name": "v", "configMap": {"name": "settings"}}, "configMap", "settings", True),
        (API_ACCESS, "configMap", "kube-root-ca.crt", True),
        (API_ACCESS, "secret", "login", True),
        (API_ACCESS, "secret", "userpass", False),
        ({"name": "v", "projected": {"sources": None}}, "secret", "login", False),
        ({"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io"}}, "secret", "login", False),
    ],
)
def test_a_volume_shows_what_it_or_one_of_its_sources_names(
    volume: Object, kind: str, name: str, is_shown: bool
) -> None:
    assert shows(volume, kind, name) is is_shown
