"""What is rotated: credentials by name, their layouts, endpoints, clusters and consumers. Names only, never values."""

from infra.credentials.consumers import (
    Consumer,
    CsiDelivery,
    Delivery,
    ExternalConsumer,
    Reload,
    SecretDelivery,
    WorkloadKind,
    WorkloadRef,
)
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
from infra.credentials.layouts import (
    ConnectionString,
    JsonSecret,
    Layout,
    Login,
    Part,
    PasswordAlone,
    SecretLayout,
    SecretPair,
    find_oddity,
)
from infra.credentials.problems import Problem
from infra.credentials.schedule import Day, Window

__all__ = [
    "NO_GRACE",
    "UNTIL_NEXT_ROTATION",
    "ClusterRef",
    "ConnectionString",
    "Consumer",
    "Credential",
    "CsiDelivery",
    "Day",
    "Delivery",
    "Endpoint",
    "ExternalConsumer",
    "FlexibleServerEndpoint",
    "Inventory",
    "JsonSecret",
    "Layout",
    "LoadBalancerEndpoint",
    "Login",
    "Part",
    "PasswordAlone",
    "PasswordCopies",
    "Problem",
    "Reload",
    "SecretDelivery",
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
