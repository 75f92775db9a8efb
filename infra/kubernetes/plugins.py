"""Credential plugins: the programs that a kubeconfig names in `exec`. Bounded in time, and never with a person's help.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.errors import AuthenticationFailed, Code
from infra.kubernetes.kubeconfig import Context, unusable
from infra.kubernetes.sign_in import Issued

_EXTENSION = "client.authentication.k8s.io/exec"
_LINE_LIMIT = 300
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SECRET = re.compile(r"eyJ[\w-]+(?:\.[\w-]*)*|[\w+=~-]{32,}")
"""A JSON web token, or a word that is as long as one."""


def run_plugin(context: Context, timeout_seconds: float) -> Issued:
    """Run a context's credential plugin and return what it gave.

    Args:
        context: its user has `exec`.
        timeout_seconds: how long the plugin may take.

    Raises:
        AuthenticationFailed: it is not installed, fails, times out, wants a person, or gives nothing.
        InvalidInput: the kubeconfig's `exec` cannot be used.
    """
    plugin: Mapping[str, Any] = context.user["exec"]
    command, version = str(plugin.get("command") or ""), str(plugin.get("apiVersion") or "")
    if not command or not version:
        raise unusable(context.origin, "its exec has no command or no apiVersion")
    if plugin.get("interactiveMode") == "Always":
        raise _failed(command, "it wants to ask a person, and nobody is there")
    found = shutil.which(context.folder / command if os.sep in command else command)
    if found is None:
        raise _failed(command, "it is not installed", str(plugin.get("installHint") or ""))
    argv = [found, *(str(word) for word in plugin.get("args") or [])]
    return _read_credential(command, version, _run(command, argv, _variables(context, plugin), timeout_seconds))


def _variables(context: Context, plugin: Mapping[str, Any]) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        spec["cluster"] = _cluster_info(context)
    info = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": spec}
    own = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or []}
    return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _cluster_info(context: Context) -> dict[str, Any]:
    names = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
    info = {name: context.cluster[name] for name in (*names, "disable-compression") if name in context.cluster}
    for extension in context.cluster.get("extensions") or []:
        if extension.get("name") == _EXTENSION:
            info["config"] = extension.get("extension")
    return info


def _run(command: str, argv: list[str], variables: Mapping[str, str], timeout_seconds: float) -> bytes:
    """Run a plugin in a session of its own: it has no terminal to ask at, and ends with all that it started."""
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=dict(variables), start_new_session=True
        )
    except OSError as error:
        raise _failed(command, f"it cannot be started: {error.strerror}") from None
    try:
        stdout, stderr = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired as expired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise _failed(command, f"it timed out after {timeout_seconds:g} s{_said(expired.stderr)}") from None
    finally:
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
    if process.returncode:
        raise _failed(command, f"it ended with exit code {process.returncode}{_said(stderr)}")
    return stdout


def _read_credential(command: str, version: str, output: bytes) -> Issued:
    try:
        answer = json.loads(output)
        status = answer["status"]
        if (answer["kind"], answer["apiVersion"]) != ("ExecCredential", version):
            raise _failed(command, f"its answer is not an ExecCredential of {version}")
        ends = status.get("expirationTimestamp")
        expires_at = datetime.fromisoformat(ends).timestamp() if ends else None
        token, certificate, key = (
            str(status.get(name) or "") for name in ("token", "clientCertificateData", "clientKeyData")
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _failed(command, "its answer is not an ExecCredential") from None
    if not token and not (certificate and key):
        raise _failed(command, "its answer has no token, and no certificate with its key")
    pair = (certificate.encode(), key.encode()) if certificate and key else None
    return Issued(f"Bearer {token}" if token else "", expires_at, pair)


def _failed(command: str, seen: str, hint: str = "") -> AuthenticationFailed:
    hint = " ".join(hint.split())[:_LINE_LIMIT]
    fix = f"{Code.PLUGIN_FAILED.fix}. Its kubeconfig says: {hint}" if hint else ""
    return AuthenticationFailed(Code.PLUGIN_FAILED, name=Path(command).name, seen=seen, fix=fix)


def _said(stderr: bytes | None) -> str:
    """Return the last line that a plugin wrote, without what may be a token."""
    last = (stderr or b"").decode("utf-8", "replace").strip().rpartition("\n")[2].strip()
    line = _SECRET.sub(lambda word: word[0] if _GUID.fullmatch(word[0]) else "[...]", last)
    return f": {line[:_LINE_LIMIT]}" if line else ""
