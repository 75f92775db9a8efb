"""automations.yaml on a real server: each alarm reaches a webhook within a minute, and what is well pages nobody."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import Event
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Running
from prefect_server import wait_until_it_answers

from tasks.reports.events import PAGED
from testing.labs import ROOT

FIRES_SECONDS = 60
SHORT = {"keyturn: approval still waits": 10, "keyturn: no rotation": 10, "keyturn: the fleet stands still": 10}
"""What of these takes hours, made short for the test."""
ZOMBIE_SECONDS = 10
FILE = yaml.safe_load((ROOT / "automations.yaml").read_text())["automations"]


def test_every_bad_verdict_pages_and_every_alarm_uses_the_pager() -> None:
    by_name = {automation["name"]: automation for automation in FILE}
    expected = {f"keyturn.credential.{word}" for word in PAGED}
    assert set(by_name["keyturn: bad verdict"]["trigger"]["expect"]) == expected
    for name, automation in by_name.items():
        assert automation["description"]
        kinds = {action["type"] for action in automation["actions"]}
        assert kinds == {"change-flow-run-state" if name == "keyturn: zombie run" else "send-notification"}


class Pager:
    """A webhook on loopback that keeps what it is sent."""

    def __init__(self) -> None:
        self.subjects, pager = list[str](), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                pager.subjects.append(json.loads(body)["subject"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def pager() -> Iterator[Pager]:
    made = Pager()
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path, unused_port: int) -> Iterator[str]:
    """A server of its own: the tests' other one evaluates no triggers."""
    url = f"http://127.0.0.1:{unused_port}/api"
    env = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    env |= {"PREFECT_API_URL": "", "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S"}
    argv = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(unused_port)]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
        try:
            wait_until_it_answers(url, process)
            with temporary_settings({PREFECT_API_URL: url}):
                yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


@pytest.fixture
def unused_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as listener:
        return listener.server_port


def make_automations(pager: Pager, folder: Path, url: str) -> None:
    """Make the file's automations as people do, but with short times."""
    data = {"subject": "{{subject}}", "body": "{{body}}"}
    block = CustomWebhookNotificationBlock(name="pager", url=pager.url, method="POST", json_data=data)
    block_id = block.save("pager")
    text = (ROOT / "automations.yaml").read_text().replace("PAGER_BLOCK_ID", str(block_id))
    made = yaml.safe_load(text)["automations"]
    for automation in made:
        automation["trigger"]["within"] = SHORT.get(automation["name"], automation["trigger"]["within"])
        if automation["name"] == "keyturn: zombie run":
            automation["trigger"]["within"] = ZOMBIE_SECONDS
    (folder / "mine.yaml").write_text(yaml.safe_dump({"automations": made}))
    argv = [sys.executable, "-m", "prefect", "automation", "create", "--from-file", str(folder / "mine.yaml")]
    done = subprocess.run(argv, env={**os.environ, "PREFECT_API_URL": url}, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr


def emit(client: SyncPrefectClient, event: str, resource: str, follows: Event | None = None, **related: str) -> Event:
    """Send an event as a flow does."""
    tags = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in related.values()]
    made = Event(
        occurred=datetime.now(UTC),
        event=event,
        resource={"prefect.resource.id": resource, "prefect.resource.name": resource.rpartition(".")[2]},
        related=tags,
        follows=follows.id if follows else None,
        payload={"message": "told", "name": "x", "seen": "y", "rotation_id": "r1"},
    )
    client.request("POST", "/events", json=[made.model_dump(mode="json")])
    return made


def credential_event(client: SyncPrefectClient, name: str, *words: str) -> None:
    last: Event | None = None
    for word in words:
        last = emit(client, f"keyturn.credential.{word}", f"keyturn.credential.{name}", last)


def make_run(client: SyncPrefectClient, *tags: str) -> FlowRun:
    run = client.create_flow_run(flow(lambda: None, name="rotate"), name="orders-db: rotate", tags=list(tags))
    client.set_flow_run_state(run.id, Running(), force=True)
    return run


def wait_for(what: str | Callable[[], str], look: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + FIRES_SECONDS, threading.Event()
    while not look():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        pause.wait(0.5)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_alarms_fire_within_a_minute_and_nothing_else_does(server: str, pager: Pager, tmp_path: Path) -> None:
    make_automations(pager, tmp_path, server)
    with get_client(sync_client=True) as client:
        # What is well: a planned, an answered and a finished rotation, and runs of somebody else.
        credential_event(client, "well-db", "planned", "started", "published", "nothing_to_do")
        credential_event(client, "answered-db", "approval_requested", "declined")
        other, good = make_run(client, "somebody-else"), make_run(client, "keyturn")
        client.set_flow_run_state(other.id, Crashed(), force=True)
        client.set_flow_run_state(good.id, Completed(), force=True)
        # What is not.
        for word in PAGED:
            credential_event(client, f"{word}-db", word)
        credential_event(client, "late-db", "overdue", "near_expiry", "drifted")
        credential_event(client, "asking-db", "approval_requested")
        credential_event(client, "silent-db", "rotated")
        emit(client, "keyturn.fleet.all_well", "keyturn.fleet.fleet")
        dead, cancelled, zombie = (make_run(client, "keyturn") for _ in range(3))
        client.set_flow_run_state(dead.id, Crashed(message="gone"), force=True)
        client.set_flow_run_state(cancelled.id, Cancelled(), force=True)
        died = "keyturn: crashed, late or cancelled: orders-db: rotate"
        wait_for("the events of the runs", lambda: pager.subjects.count(died) == 2)
        emit(client, "prefect.flow-run.heartbeat", f"prefect.flow-run.{zombie.id}", tag="keyturn")

        bad = [f"keyturn: bad verdict: {word}-db" for word in PAGED]
        late = ["keyturn: overdue, near expiry or drifted: late-db"] * 3
        asked = [f"keyturn: approval requested: {name}-db" for name in ("answered", "asking")]
        runs = [died] * 3
        silent = ["keyturn: approval still waits", "keyturn: no rotation", "keyturn: the fleet stands still"]
        expected = sorted((*bad, *late, *asked, *runs, *silent))
        wait_for(
            lambda: f"of {expected}, came {pager.subjects}", lambda: not Counter(expected) - Counter(pager.subjects)
        )
        state = client.read_flow_run(zombie.id).state
        assert state is not None
        assert (state.is_crashed(), state.message) == (True, "Its heartbeats stopped.")
        credential_event(client, "last-db", "overdue")
        last = "keyturn: overdue, near expiry or drifted: last-db"
        wait_for("the last alarm", lambda: last in pager.subjects)
    assert sorted(pager.subjects) == sorted([*expected, last])
