"""Which loopback network a lab gets."""

import os
import socket

import pytest

from lab.control import network
from lab.control.network import FRONT, POSTGRES_PORT, reserve
from lab.errors import Conflict, InvalidInput


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The two networks that there are: below those of labs, so that no lab comes in between."""
    first = 1 + os.getpid() % 37 * 2
    monkeypatch.setattr(network, "FIRST", first)
    monkeypatch.setattr(network, "LAST", first + 1)
    return f"127.{first}", f"127.{first + 1}"


def test_a_reserved_network_is_given_to_nobody_else_until_it_is_closed(networks: tuple[str, str]) -> None:
    with reserve() as one, reserve() as other:
        assert (one.prefix, other.prefix) == networks
        with pytest.raises(Conflict, match=f"the network of the lab is taken: {one.prefix}"):
            reserve(one.prefix)
        with pytest.raises(Conflict, match="no network is free for the lab"):
            reserve()
    with reserve() as again:
        assert again.prefix == networks[0]


def test_a_network_whose_port_is_taken_is_passed_over_and_given_back(networks: tuple[str, str]) -> None:
    taken = rf"the port that the lab's databases answer on is taken: {networks[0]}.0.5:5432"
    with socket.create_server((f"{networks[0]}.{FRONT}", POSTGRES_PORT)):
        with reserve() as chosen:
            assert chosen.prefix == networks[1]
            with pytest.raises(Conflict, match=taken):
                reserve()
        with pytest.raises(Conflict, match=taken):
            reserve(networks[0])
    reserve(networks[0]).close()


@pytest.mark.parametrize("wanted", ["10.0", "127.0", "127.251", "127.077", "127"])
def test_other_networks_are_refused(wanted: str) -> None:
    with pytest.raises(InvalidInput, match=f"not a network that a lab can use: {wanted}"):
        reserve(wanted)
