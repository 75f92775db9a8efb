"""Services: defaults, cluster addresses and node ports, and rules.

https://github.com/kubernetes/kubernetes/tree/v1.34.4/pkg/registry/core/service
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from lab.cluster.api.errors import FieldError, bad_value, not_supported, required
from lab.cluster.api.kinds.behaviour import Behaviour, fill
from lab.cluster.api.objects import Json, dig

NODE_PORTS = range(30000, 32768)
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_EXTERNAL = ("LoadBalancer", "NodePort")


def _default(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or ():
        fill(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] != "ExternalName":
        fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in _EXTERNAL:
        fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        fill(spec, allocateLoadBalancerNodePorts=True)
    for point in dig(obj, "status", "loadBalancer", "ingress") or ():
        if point.get("ip"):
            fill(point, ipMode="VIP")


def _start(obj: Json) -> None:
    obj["status"] = {"loadBalancer": {}}


def _carry_over(new: Json, old: Json) -> None:
    """An update that leaves out what was allocated keeps it."""
    spec, before = new["spec"], old["spec"]
    if spec["type"] != "ExternalName" and before["type"] != "ExternalName":
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if before.get(name) is not None:
                fill(spec, **{name: before[name]})
    if spec["type"] not in _EXTERNAL and before["type"] in _EXTERNAL:
        _drop_external(spec, before)
    if spec["type"] in _EXTERNAL and before["type"] in _EXTERNAL:
        ports = {(p["port"], p["protocol"]): p.get("nodePort") for p in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if known := ports.get((port.get("port"), port.get("protocol"))):
                fill(port, nodePort=known)


def _drop_external(spec: Json, before: Json) -> None:
    """What only an external type has goes with it, unless the client asks for it anew."""
    for name in ("externalTrafficPolicy", "allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(name) == before.get(name):
            spec.pop(name, None)
    known = {port.get("nodePort") for port in before.get("ports") or ()}
    for port in spec.get("ports") or ():
        if port.get("nodePort") in known:
            port.pop("nodePort", None)


def _validate(obj: Json) -> list[FieldError]:
    spec = obj["spec"]
    findings: list[FieldError] = []
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        findings.append(required("spec.ports"))
    for index, port in enumerate(ports):
        findings += _validate_port(port, f"spec.ports[{index}]", len(ports) > 1)
    if spec["type"] not in _TYPES:
        findings.append(not_supported("spec.type", spec["type"], _TYPES))
    return findings


def _validate_port(port: Json, path: str, needs_name: bool) -> list[FieldError]:
    findings = []
    if needs_name and not port.get("name"):
        findings.append(required(f"{path}.name"))
    for name in ("port", "targetPort"):
        number = port.get(name, 0)
        if isinstance(number, int) and not 0 < number < 65536:
            findings.append(bad_value(f"{path}.{name}", number, "must be between 1 and 65535, inclusive"))
    return findings


def _validate_change(new: Json, old: Json) -> list[FieldError]:
    before, now = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if before in (None, now) or "ExternalName" in (old["spec"]["type"], new["spec"]["type"]):
        return []
    if now is None:
        return []
    return [bad_value("spec.clusterIPs[0]", [now], "may not change once set")]


SERVICES = Behaviour(_default, _start, _carry_over, _validate, _validate_change, name="label")


@dataclass
class Allocator:
    """Gives services their cluster addresses and node ports.

    Args:
        prefix: first three bytes of the addresses, as "127.77.100".
        source: where ports are drawn from.
    """

    prefix: str = "127.77.100"
    source: random.Random = field(default_factory=random.SystemRandom)

    def allocate(self, service: Json, services: Iterable[Json]) -> None:
        """Fill in what a service needs and does not have.

        Args:
            service: the service, changed in place.
            services: the specs of all others.
        """
        spec = service["spec"]
        if spec["type"] == "ExternalName":
            return
        others = list(services)
        if not spec.get("clusterIP"):
            spec["clusterIP"] = self._free_address({other.get("clusterIP") for other in others})
        fill(spec, clusterIPs=[spec["clusterIP"]], ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
        if spec["type"] in _EXTERNAL and spec.get("allocateLoadBalancerNodePorts", True):
            taken = {port.get("nodePort") for other in others for port in other.get("ports") or ()}
            for port in spec.get("ports") or ():
                if not port.get("nodePort"):
                    port["nodePort"] = self._free_port(taken)
                    taken.add(port["nodePort"])

    def _free_address(self, taken: set[object]) -> str:
        free = [f"{self.prefix}.{last}" for last in range(2, 255) if f"{self.prefix}.{last}" not in taken]
        return free[0]

    def _free_port(self, taken: set[object]) -> int:
        return self.source.choice([port for port in NODE_PORTS if port not in taken])
