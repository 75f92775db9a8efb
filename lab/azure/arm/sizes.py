"""Sizes of machines and of flexible servers, as East US 2 offers them.

https://learn.microsoft.com/azure/virtual-machines/sizes/overview
https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-compute
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Size:
    """A size of virtual machines.

    Args:
        name: as Azure writes it.
        cores: virtual ones.
        memory_gib: its memory.
        is_arm: whether its processor is an Arm64.
    """

    name: str
    cores: int
    memory_gib: float
    is_arm: bool = False


_BURSTABLE = {"B1ls": (1, 0.5), "B1s": (1, 1), "B1ms": (1, 2), "B2s": (2, 4), "B2ms": (2, 8)}
_BURSTABLE |= {f"B{cores}ms": (cores, cores * 4) for cores in (4, 8, 12, 16, 20)}
_BURSTABLE_V2 = {"ts": 0.5, "ls": 2, "s": 4}
_SECOND = {"1": (1, 3.5), "2": (2, 7), "3": (4, 14), "4": (8, 28), "5": (16, 56)}
_SECOND |= {"11": (2, 14), "12": (4, 28), "13": (8, 56), "14": (16, 112)}
_CORES = (2, 4, 8, 16, 32, 48, 64)
_FAMILIES: tuple[tuple[str, str, float, tuple[int, ...]], ...] = (
    ("D", "/s _v3", 4, _CORES),
    ("D", "/s/d/ds/a/as _v4", 4, _CORES),
    ("D", "/s/d/ds/as/ads/ps/pds _v5", 4, (*_CORES, 96)),
    ("D", "ls/lds/pls/plds _v5", 2, (*_CORES, 96)),
    ("D", "s/ds/as/ads/ps/pds _v6", 4, (*_CORES, 96)),
    ("D", "ls/lds/als/alds/pls/plds _v6", 2, (*_CORES, 96)),
    ("E", "/s _v3", 8, (*_CORES, 20)),
    ("E", "/s/d/ds/a/as _v4", 8, (*_CORES, 20)),
    ("E", "/s/d/ds/as/ads/ps/pds _v5", 8, (*_CORES, 20, 96)),
    ("E", "s/ds/as/ads/ps/pds _v6", 8, (*_CORES, 20, 96)),
    ("F", "s _v2", 2, (2, 4, 8, 16, 32, 48, 64, 72)),
    ("F", "as _v6", 4, _CORES),
)
"""Letter, what may follow the number, memory for each core, numbers of cores."""


def _machines() -> Iterator[Size]:
    for name, (cores, memory) in _BURSTABLE.items():
        yield Size(f"Standard_{name}", cores, memory)
    for (kind, memory), maker, cores in product(_BURSTABLE_V2.items(), ("", "a", "p"), (2, 4, 8, 16, 32)):
        yield Size(f"Standard_B{cores}{maker}{kind}_v2", cores, memory * cores, maker == "p")
    for (number, (cores, memory)), letters in product(_SECOND.items(), ("D", "DS")):
        yield Size(f"Standard_{letters}{number}_v2", cores, memory)
    for letter, suffixes, memory_gib, numbers in _FAMILIES:
        kinds, generation = suffixes.split()
        for kind, cores in product(kinds.split("/"), numbers):
            yield Size(f"Standard_{letter}{cores}{kind}{generation}", cores, cores * memory_gib, "p" in kind)


MACHINES = {size.name.lower(): size for size in _machines()}
"""By lower-case name."""


def _servers(letter: str, kinds: Iterable[str], numbers: Iterable[int]) -> tuple[str, ...]:
    pairs = product((kind.split("_") for kind in kinds), numbers)
    names = (f"Standard_{letter}{number}{kind}_{generation}" for (kind, generation), number in pairs)
    return tuple(name for name in names if name.lower() in MACHINES)


SERVERS = {
    "Burstable": (*(f"Standard_{name}" for name in _BURSTABLE if name not in ("B1ls", "B1s")),),
    "GeneralPurpose": _servers("D", ("s_v3", "ds_v4", "ds_v5", "ads_v5", "ds_v6", "ads_v6"), (*_CORES, 96)),
    "MemoryOptimized": _servers("E", ("s_v3", "ds_v4", "ds_v5", "ads_v5", "ds_v6", "ads_v6"), (*_CORES, 20, 96)),
}
"""Tier -> the sizes of flexible servers in it."""
