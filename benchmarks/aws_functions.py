"""Runs AWS's rotation functions as they are, in a virtual environment of their own. No part of the project is imported.

Usage: aws_functions.py FOLDER, with {host, port, username, password} of an administrator as JSON on the first line of
standard input. Each further line is `single` or `alternating`: a rotation, whose times are printed as JSON. Secrets
Manager is moto in this process, so it costs no request over a network; PostgreSQL is real.
"""

import importlib
import importlib.util
import json
import logging
import os
import secrets
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDERS = {
    "single": "SecretsManagerRDSPostgreSQLRotationSingleUser",
    "alternating": "SecretsManagerRDSPostgreSQLRotationMultiUser",
}
REGION, ACCOUNT = "us-east-1", "123456789012"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
IN_DATABASE = ("setSecret", "testSecret")
VARIABLES = {
    "SECRETS_MANAGER_ENDPOINT": f"https://secretsmanager.{REGION}.amazonaws.com",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}


class TimedConnection:
    """A connection that tells how long it was open.

    Args:
        connection: the connection of AWS's function.
        begun: when it was asked for.
        note: is told the seconds when it is closed.
    """

    def __init__(self, connection: Any, begun: float, note: Callable[[float], None]) -> None:
        self._connection, self._begun, self._note = connection, begun, note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def close(self) -> None:
        self._connection.close()
        self._note(time.perf_counter() - self._begun)


class Function:
    """One of AWS's functions, and a secret that it rotates.

    Args:
        path: its file.
        client: of Secrets Manager.
        secret: the secret's id.
    """

    def __init__(self, path: Path, client: Any, secret: str) -> None:
        spec = importlib.util.spec_from_file_location(path.parent.name, path)
        assert spec is not None
        assert spec.loader is not None
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.client, self.secret, self.seconds = client, secret, 0.0
        self._connect = self.module.get_connection
        self.module.get_connection = self._get_connection

    def rotate(self) -> dict[str, float]:
        """Rotate, and return how many milliseconds each part took."""
        token, self.seconds = str(uuid.uuid4()), 0.0
        stage_pending(self.secret, token)
        took = {}
        for step in STEPS:
            begun = time.perf_counter()
            self.module.lambda_handler({"SecretId": self.secret, "ClientRequestToken": token, "Step": step}, None)
            took[step] = 1000 * (time.perf_counter() - begun)
        stages = self.client.describe_secret(SecretId=self.secret)["VersionIdsToStages"]
        assert "AWSCURRENT" in stages[token], stages
        return {
            "database": 1000 * self.seconds,
            "set and test": sum(took[step] for step in IN_DATABASE),
            "all": sum(took.values()),
        }

    def _get_connection(self, told: dict[str, Any]) -> Any:
        """As the function's own, but timed, until it is closed or refused."""
        begun = time.perf_counter()
        connection = self._connect(told)
        if connection:
            return TimedConnection(connection, begun, self._note)
        self._note(time.perf_counter() - begun)
        return None

    def _note(self, seconds: float) -> None:
        self.seconds += seconds


def stage_pending(secret: str, token: str) -> None:
    """Give a secret the empty pending version with which Secrets Manager begins a rotation; moto only calls Lambdas."""
    backend = importlib.import_module("moto.secretsmanager.models").secretsmanager_backends[ACCOUNT][REGION]
    version = {"createdate": int(time.time()), "version_id": token, "version_stages": ["AWSPENDING"]}
    backend.secrets[secret].versions[token] = version


def make_login(module: Any, told: dict[str, Any], name: str) -> dict[str, Any]:
    """Make a login role, and return the secret's content for it."""
    password = secrets.token_hex(16)
    connection = module.connect(**told, database="postgres", sslmode="disable")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD %s", (password,))
    connection.commit()
    connection.close()
    return {"username": name, "password": password}


def main() -> None:
    """Serve rotations until standard input ends."""
    os.environ.update(VARIABLES)
    told = json.loads(sys.stdin.readline())
    with importlib.import_module("moto").mock_aws():
        client = importlib.import_module("boto3").client("secretsmanager")
        where = {"engine": "postgres", "host": told["host"], "port": told["port"], "ssl": False}
        administrator = {**where, "username": told["username"], "password": told["password"]}
        arn = client.create_secret(Name="administrator", SecretString=json.dumps(administrator))["ARN"]
        pgdb = importlib.import_module("pgdb")
        options = {"host": told["host"], "port": told["port"], "user": told["username"], "password": told["password"]}
        functions = {}
        for kind, folder in FOLDERS.items():
            content = {**where, **make_login(pgdb, options, f"aws_{kind}"), "masterarn": arn}
            secret = client.create_secret(Name=kind, SecretString=json.dumps(content))["ARN"]
            functions[kind] = Function(Path(sys.argv[1], folder, "lambda_function.py"), client, secret)
        logging.getLogger().setLevel(logging.CRITICAL)
        for line in sys.stdin:
            print(json.dumps(functions[line.strip()].rotate()), flush=True)


if __name__ == "__main__":
    main()
