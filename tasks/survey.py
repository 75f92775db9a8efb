"""Looking around in a cluster and a resource group, for a proposed inventory. Names only; nothing is changed."""

from collections.abc import Collection

from infra.azure.servers import list_server_names
from infra.credentials import ClusterRef
from infra.credentials.proposals import Survey
from infra.kubernetes.survey import list_bundles, list_endpoints, list_users
from tasks.context import connections_shared, open_cluster, opened_azure


def survey(reference: ClusterRef, namespaces: Collection[str], server_group: str) -> Survey:
    """Look at a cluster, and at the Flexible Servers of a group.

    Args:
        reference: the cluster.
        namespaces: where to look if the caller may not look everywhere.
        server_group: the resource group of the servers; empty: none are looked for.

    Raises:
        KeyturnError: the cluster or the group cannot be looked at.
    """
    with connections_shared(), opened_azure() as azure:
        cluster = open_cluster(reference, azure)
        servers = list_server_names(azure, server_group) if server_group else ()
        endpoints = [
            ("", {"kind": "flexible-server", "server": name, "resource_group": server_group}) for name in servers
        ]
        return Survey(
            reference,
            list_bundles(cluster, namespaces),
            list_users(cluster, namespaces),
            (*list_endpoints(cluster, namespaces), *endpoints),
        )
