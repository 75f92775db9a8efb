"""What is rotated: credentials by name, their layouts, endpoints, clusters and consumers. Names only, never values."""

from infra.credentials.consumers import (
    Consumer,
    CsiDelivery,
    Delivery,
    ExternalConsumer,
    ExternalSecretDelivery,
    Reload,
    SecretDelivery,
    WorkloadKind,
    WorkloadRef,
    in_cluster,
)
from infra.credentials.credential import (
    NO_GRACE,
    SUFFIXES,
    UNTIL_NEXT_ROTATION,
    Credential,
    PasswordCopies,
    Strategy,
    ValidUntil,
)
from infra.credentials.derived import DerivedSecret
from infra.credentials.encodings import Encoding
from infra.credentials.endpoints import (
    ClusterIpEndpoint,
    ClusterRef,
    Endpoint,
    FlexibleServerEndpoint,
    HostEndpoint,
    LoadBalancerEndpoint,
    SignIn,
    Tls,
)
from infra.credentials.inventory import Inventory, load_inventory
from infra.credentials.layouts import (
    ConnectionString,
    JsonSecret,
    Layout,
    PasswordAlone,
    SecretLayout,
    SecretPair,
)
from infra.credentials.login import Login, Part, find_oddity
from infra.credentials.passwords import CharacterSet, PasswordRule
from infra.credentials.problems import Problem
from infra.credentials.schedule import Day, Window

__all__ = [
    "NO_GRACE",
    "SUFFIXES",
    "UNTIL_NEXT_ROTATION",
    "CharacterSet",
    "ClusterIpEndpoint",
    "ClusterRef",
    "ConnectionString",
    "Consumer",
    "Credential",
    "CsiDelivery",
    "Day",
    "Delivery",
    "DerivedSecret",
    "Encoding",
    "Endpoint",
    "ExternalConsumer",
    "ExternalSecretDelivery",
    "FlexibleServerEndpoint",
    "HostEndpoint",
    "Inventory",
    "JsonSecret",
    "Layout",
    "LoadBalancerEndpoint",
    "Login",
    "Part",
    "PasswordAlone",
    "PasswordCopies",
    "PasswordRule",
    "Problem",
    "Reload",
    "SecretDelivery",
    "SecretLayout",
    "SecretPair",
    "SignIn",
    "Strategy",
    "Tls",
    "ValidUntil",
    "Window",
    "WorkloadKind",
    "WorkloadRef",
    "find_oddity",
    "in_cluster",
    "load_inventory",
]
