"""What is rotated: credentials by name, their layouts, endpoints, clusters and consumers. Names only, never values."""

from infra.credentials.consumers import Consumer, CsiDelivery, Delivery, WorkloadKind, WorkloadRef
from infra.credentials.credential import (
    NO_GRACE,
    UNTIL_NEXT_ROTATION,
    Credential,
    PasswordCopies,
    Strategy,
    ValidUntil,
)
from infra.credentials.endpoints import ClusterRef, Endpoint, FlexibleServerEndpoint, LoadBalancerEndpoint, SignIn
from infra.credentials.inventory import Inventory, load_inventory
from infra.credentials.layouts import Login, Part, SecretLayout, SecretPair, find_oddity
from infra.credentials.schedule import Day, Window

__all__ = [
    "NO_GRACE",
    "UNTIL_NEXT_ROTATION",
    "ClusterRef",
    "Consumer",
    "Credential",
    "CsiDelivery",
    "Day",
    "Delivery",
    "Endpoint",
    "FlexibleServerEndpoint",
    "Inventory",
    "LoadBalancerEndpoint",
    "Login",
    "Part",
    "PasswordCopies",
    "SecretLayout",
    "SecretPair",
    "SignIn",
    "Strategy",
    "ValidUntil",
    "Window",
    "WorkloadKind",
    "WorkloadRef",
    "find_oddity",
    "load_inventory",
]
