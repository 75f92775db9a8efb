"""One request on its way: who asks, what for, and how the answer is to look."""

import json
from dataclasses import dataclass, field

from aiohttp import web

from lab.cluster.api.errors import ApiError, unsupported_media_type
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json
from lab.cluster.api.patches.ownership import Manager
from lab.cluster.api.requests import RequestInfo
from lab.cluster.api.rest.forms import Form, encode
from lab.cluster.api.rest.writes import Write
from lab.cluster.api.schema import protobuf
from lab.cluster.api.schema.decoding import conform, parse, refuse
from lab.cluster.api.schema.types import META, Schema, built_in
from lab.cluster.api.security.users import User
from lab.cluster.api.store import Stored

READABLE = ("application/json", "application/yaml", protobuf.MEDIA_TYPE)
_MANAGER_LENGTH = 128


@dataclass
class Call:
    """A request with what is known about it.

    Args:
        request: as it came.
        info: what it asks for.
        user: who asks.
        warnings: told in the answer's headers.
    """

    request: web.Request
    info: RequestInfo
    user: User
    warnings: list[str] = field(default_factory=list)

    @property
    def form(self) -> Form:
        """The form in which objects are answered."""
        return Form.of(self.request.headers.get("Accept", ""), self.request.query.get("includeObject", ""))

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored."""
        return bool(self.request.query.get("dryRun"))

    @property
    def media_type(self) -> str:
        """The body's type, without parameters."""
        return self.request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()

    def write(self, operation: str = "Update") -> Write:
        """How this request writes."""
        agent = self.request.headers.get("User-Agent", "").partition("/")[0]
        name = self.request.query.get("fieldManager") or agent or "unknown"
        manager = Manager(name[:_MANAGER_LENGTH], operation, self.info.subresource)
        return Write(manager, self.info.subresource, self.dry_run)

    async def body(self, schema: Schema, kind: str) -> Json:
        """The object in the body.

        Args:
            schema: what is expected, for protobuf.
            kind: the same, for messages.

        Raises:
            ApiError: 415 for other formats, 400 if it cannot be read.
        """
        # A custom resource has no protobuf form.
        readable = READABLE if schema.ref else READABLE[:-1]
        if self.media_type not in readable:
            raise unsupported_media_type(readable)
        return self._parsed(await self.request.read(), schema, kind)

    async def options_body(self) -> Json:
        """The DeleteOptions in the body of a request that may have none."""
        raw = await self.request.read()
        schema = built_in()[META + "DeleteOptions"]
        return self._parsed(raw, schema, "DeleteOptions") if raw.strip() else {}

    def _parsed(self, raw: bytes, schema: Schema, kind: str) -> Json:
        if self.media_type == protobuf.MEDIA_TYPE:
            return protobuf.decode(raw, schema)
        return parse(raw, self.media_type, kind)

    async def fitted(self, schema: Schema, kind: str) -> Json:
        """The object in the body, kept to what its schema knows."""
        return self.fit_schema(schema, await self.body(schema, kind), kind, "v1")

    def fit(self, kind: Kind, obj: Json) -> Json:
        """Keep what the kind's schema knows; the rest is refused, told or ignored as asked.

        Raises:
            ApiError: 400 for ill-typed fields, and for unknown ones when validation is strict.
        """
        return self.fit_schema(kind.schema, obj, kind.kind, kind.version)

    def fit_schema(self, schema: Schema, obj: Json, kind: str, version: str) -> Json:
        """`fit` for an object that is no resource of its own, as a Scale."""
        decoded = conform(schema, obj, kind, version)
        if self._validation == "Strict":
            refuse(decoded.problems, kind, version)
        if self._validation == "Warn":
            self.warnings += decoded.problems
        return decoded.obj

    @property
    def _validation(self) -> str:
        return self.request.query.get("fieldValidation") or "Warn"

    def answer(self, stored: Stored, status: int = 200) -> web.Response:
        """An object as the response."""
        return self.raw(self.form.one(stored), status)

    def json(self, value: object, status: int = 200) -> web.Response:
        """Any JSON value as the response."""
        return self.raw(encode(value), status)

    def raw(self, body: bytes, status: int = 200) -> web.Response:
        """Bytes of JSON as the response."""
        response = web.Response(body=body, status=status, content_type="application/json")
        for warning in self.warnings:
            response.headers.add("Warning", f"299 - {json.dumps(warning)}")
        return response


def failure(error: ApiError) -> web.Response:
    """A failure as the response."""
    headers = {}
    seconds = (error.details or {}).get("retryAfterSeconds")
    if seconds:
        headers["Retry-After"] = str(seconds)
    body = encode(error.status())
    return web.Response(body=body, status=error.code, content_type="application/json", headers=headers)
