"""Pods and events as the API server gives them, for diagnoses."""

from typing import Any


def pod(name: str = "db-1", *, uid: str = "u1", waiting: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    state = {"waiting": waiting} if waiting else {"running": {}} if more.pop("running", False) else {}
    containers = [{"name": "db", "image": "postgres:14", "state": state, **more.pop("container", {})}] if state else []
    conditions = [{"type": "Ready", "status": "True" if more.pop("ready", False) else "False"}]
    status = {"phase": "Pending", "conditions": conditions, "containerStatuses": containers, **more.pop("status", {})}
    return {"metadata": {"name": name, "uid": uid, **more.pop("metadata", {})}, "spec": {}, "status": status}


def event(reason: str, message: str, *, uid: str = "u1", at: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {
        "metadata": {"name": f"{reason}-{at}", "creationTimestamp": at},
        "involvedObject": {"kind": "Pod", "uid": uid},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }
