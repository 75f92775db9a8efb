"""Threads that make the first objects of a class of Azure's SDKs at once do not disturb each other."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from azure.keyvault.secrets._generated._utils.model_base import Model as SecretModel
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.keyvault._utils.model_base import Model as VaultModel
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.resources._utils.model_base import Model as ResourceModel

from infra.azure.client import Azure
from infra.settings import Settings

Opens = Callable[[Azure], Any]


@contextmanager
def secrets(azure: Azure) -> Iterator[None]:
    with azure.vault("vault")._opened("look", "name", "role"):
        yield


@pytest.mark.parametrize(
    ("model", "opens"),
    [
        (ResourceModel, lambda azure: azure.management(ResourceManagementClient)),
        (VaultModel, lambda azure: azure.management(KeyVaultManagementClient)),
        (SecretModel, secrets),
    ],
    ids=["resources", "vaults", "secrets"],
)
def test_a_class_of_the_sdk_is_prepared_by_one_thread_at_a_time(model: Any, opens: Opens) -> None:
    both, met = Barrier(2), list[str]()

    class Meeting:
        """Is looked at by each thread that prepares the class."""

        @property
        def _type(self) -> None:
            with suppress(BrokenBarrierError):
                both.wait(0.2)
                met.append("both")
            raise AttributeError

    made = type("Made", (model,), {"meeting": Meeting()})
    with Azure(Settings(subscription_id="s")) as azure, opens(azure), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(made, [{}, {}]))
    assert [type(each) for each in found] == [made, made]
    assert met == []
