"""The variables that lead unmodified clients into the lab, and how a shell takes them over."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from lab.control.options import OPERATOR_CLIENT_ID, SUBSCRIPTION_ID, TENANT_ID

SERVER_DOMAIN = "postgres.database.azure.com"

NO_PROXY = "localhost,127.0.0.1,127.0.0.0/8,::1"
"""What is reached directly. httpx and urllib compare whole names, so 127.0.0.1 is there beside its network."""

LAB_DOMAINS = ("microsoftonline.com", "graph.microsoft.com", "azure.com", "azure.net", "windows.net", "169.254.169.254")
"""What the lab answers for, and nobody else may."""


def proxy_variables(proxy_url: str, ca_bundle: Path) -> dict[str, str]:
    """The variables of one speaker: its own proxy, and the authorities that it trusts.

    Every HTTP library reads others of them: requests REQUESTS_CA_BUNDLE, httpx, aiohttp and Go SSL_CERT_FILE, curl
    CURL_CA_BUNDLE; curl reads http_proxy in lower case alone.
    """
    return {
        "HTTPS_PROXY": proxy_url,
        "HTTP_PROXY": proxy_url,
        "https_proxy": proxy_url,
        "http_proxy": proxy_url,
        "NO_PROXY": NO_PROXY,
        "no_proxy": NO_PROXY,
        "REQUESTS_CA_BUNDLE": str(ca_bundle),
        "SSL_CERT_FILE": str(ca_bundle),
        "CURL_CA_BUNDLE": str(ca_bundle),
    }


def add_no_proxy(variables: Mapping[str, str], caller: Mapping[str, str]) -> dict[str, str]:
    """Add what the caller reaches directly to the lab's NO_PROXY, in both spellings.

    Entries that hold one of the lab's hosts are left out. They are common where private endpoints or managed
    identities are used, and would lead a command past the lab to the real Azure.
    """
    values = (variables["NO_PROXY"], caller.get("NO_PROXY", ""), caller.get("no_proxy", ""))
    entries = [entry.strip() for value in values for entry in value.split(",")]
    kept = ",".join(dict.fromkeys(entry for entry in entries if entry and not _leads_past_lab(entry)))
    return {**variables, "NO_PROXY": kept, "no_proxy": kept}


def _leads_past_lab(entry: str) -> bool:
    host = entry.lower().lstrip("*.").partition(":")[0]
    if not host or host.startswith("169.254."):
        return entry != "::1"
    return any(f".{host}".endswith(f".{domain}") or domain.endswith(f".{host}") for domain in LAB_DOMAINS)


def operator_variables(client_secret: str, kubeconfig: Path, front_address: str) -> dict[str, str]:
    """The variables of the person at the keyboard, beside the proxy: who they are and where things are."""
    return {
        "AZURE_TENANT_ID": TENANT_ID,
        "AZURE_CLIENT_ID": OPERATOR_CLIENT_ID,
        "AZURE_CLIENT_SECRET": client_secret,
        "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION_ID,
        "KUBECONFIG": str(kubeconfig),
        "KEYTURN_RESOLVE": f"*.{SERVER_DOMAIN}:5432:{front_address}:5432",
    }


def exports(variables: Mapping[str, str]) -> str:
    """Lines that a POSIX shell evaluates: `eval "$(python -m lab env)"`."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
