"""The rows of services and of what they lead to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lab.cluster.api.objects import Json, dig, metadata
from lab.cluster.api.tables.ages import age
from lab.cluster.api.tables.columns import layout
from lab.cluster.api.tables.workloads import format_labels

_NONE = "<none>"
_SHOWN = 3


def _service(obj: Json, now: datetime) -> Sequence[Any]:
    spec = obj.get("spec") or {}
    addresses = spec.get("clusterIPs") or []
    return (
        metadata(obj)["name"],
        spec.get("type", ""),
        addresses[0] if addresses else _NONE,
        _external(obj, spec),
        ",".join(_port(port) for port in spec.get("ports") or ()) or _NONE,
        age(metadata(obj).get("creationTimestamp"), now),
        format_labels(spec.get("selector")),
    )


def _external(obj: Json, spec: Json) -> str:
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    addresses: list[str] = []
    if spec.get("type") == "LoadBalancer":
        for point in dig(obj, "status", "loadBalancer", "ingress") or ():
            if place := point.get("ip") or point.get("hostname"):
                addresses.append(place)
        addresses = sorted(set(addresses))
    addresses += spec.get("externalIPs") or []
    return ",".join(addresses) or ("<pending>" if spec.get("type") == "LoadBalancer" else _NONE)


def _port(port: Json) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"


def _endpoints(obj: Json, now: datetime) -> Sequence[Any]:
    places: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or []
        places += [f"{ip}:{port.get('port', 0)}" for port in ports for ip in addresses] if ports else addresses
    return metadata(obj)["name"], shorten(places), age(metadata(obj).get("creationTimestamp"), now)


def _slice(obj: Json, now: datetime) -> Sequence[Any]:
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or ()]
    addresses = [address for point in obj.get("endpoints") or () for address in point.get("addresses") or ()]
    born = age(metadata(obj).get("creationTimestamp"), now)
    return metadata(obj)["name"], obj.get("addressType", ""), _listed(ports), _listed(addresses), born


def _listed(values: list[str]) -> str:
    return "<unset>" if not values else shorten(values)


def shorten(values: list[str]) -> str:
    """The first three, and how many more there are."""
    text = ",".join(values[:_SHOWN]) or _NONE
    return f"{text} + {len(values) - _SHOWN} more..." if len(values) > _SHOWN else text


SERVICES = layout(_service, "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", wide=("Selector",))
ENDPOINTS = layout(_endpoints, "Endpoints", "Age")
ENDPOINT_SLICES = layout(_slice, "AddressType", "Ports", "Endpoints", "Age")
