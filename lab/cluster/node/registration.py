"""The Node object, its lease, and the CSI drivers that a cluster on Azure has anyway."""

import asyncio
import os
import platform
from datetime import UTC, datetime

from lab.cluster.client import CSI_DRIVERS, LEASES, NODES, Client, Object
from lab.cluster.events import timestamp

LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
LEASE_NAMESPACE = "kube-node-lease"
VERSION = "v1.34.4"
DISK = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "fsGroupPolicy": "File",
    "volumeLifecycleModes": ["Persistent"],
}
FILE = {
    "attachRequired": False,
    "podInfoOnMount": True,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "volumeLifecycleModes": ["Persistent", "Ephemeral"],
}


async def register(client: Client, name: str, address: str, port: int) -> Object:
    """Create the Node, ready, and say where its kubelet answers."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.azure.com/agentpool": "nodepool1",
        "kubernetes.azure.com/mode": "system",
        "agentpool": "nodepool1",
        "topology.kubernetes.io/region": "eastus2",
    }
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    if await client.find(NODES, "", name) is None:
        await client.create(NODES, node)
    patch = {"status": _status(name, address, port)}
    found = await client.patch(NODES, "", name, patch, subresource="status")
    if found["spec"].get("taints"):
        await client.patch(NODES, "", name, {"spec": {"taints": None}})
    return found


def _status(name: str, address: str, port: int) -> Object:
    now = timestamp()

    def condition(kind: str, status: str, reason: str, message: str) -> Object:
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }

    resources = {"cpu": str(os.cpu_count() or 1), "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    return {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "capacity": resources,
        "allocatable": resources,
        "conditions": [
            condition(
                "MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"
            ),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "nodeInfo": {
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            "kernelVersion": platform.release(),
            "osImage": "Ubuntu 22.04.5 LTS",
            "containerRuntimeVersion": "containerd://1.7.27",
            "kubeletVersion": VERSION,
            "kubeProxyVersion": VERSION,
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }


async def register_drivers(client: Client) -> None:
    """The CSI drivers for disks and file shares, which AKS brings along; nothing mounts through them here."""
    for name, spec in (("disk.csi.azure.com", DISK), ("file.csi.azure.com", FILE)):
        if await client.find(CSI_DRIVERS, "", name) is None:
            body = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": name}, "spec": spec}
            await client.create(CSI_DRIVERS, body)


async def renew_lease(client: Client, name: str, uid: str) -> None:
    """Show for ever that the node lives."""
    reference = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
    body: Object = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [reference]},
    }
    while True:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body["spec"] = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
        if await client.find(LEASES, LEASE_NAMESPACE, name) is None:
            await client.create(LEASES, body)
        else:
            await client.patch(LEASES, LEASE_NAMESPACE, name, {"spec": body["spec"]})
        await asyncio.sleep(RENEW_SECONDS)
