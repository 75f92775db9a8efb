"""JSON answers without spaces, as Azure writes them."""

import json
from collections.abc import Mapping
from functools import partial

from aiohttp import web

_dumps = partial(json.dumps, separators=(",", ":"))


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with a JSON body."""
    return web.json_response(body, status=status, headers=headers, dumps=_dumps)
