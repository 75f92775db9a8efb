"""The models of Azure's SDKs, made fit for threads.

A class prepares its fields when its first object is made, without a lock: it goes through its attributes and adds some.
Where two threads do so at once, one fails ("dictionary changed size during iteration"), and the SDK returns the plain
dict of the answer instead of an object. See `Model.__new__` in each SDK's `_utils/model_base.py`.
"""

import sys
import threading
from functools import cache
from typing import Any

_PREPARING = threading.RLock()


@cache
def lock_models(sdk: str) -> None:
    """Let one thread at a time make an object of an SDK's models.

    Args:
        sdk: its package, as "azure.mgmt.network"; one whose models are made otherwise stays as it is.
    """
    if (base := sys.modules.get(f"{sdk}._utils.model_base")) is None:
        return
    model: Any = base.Model
    make = model.__new__

    def make_alone(cls: type, *args: object, **kwargs: object) -> object:
        with _PREPARING:
            return make(cls, *args, **kwargs)

    model.__new__ = staticmethod(make_alone)
