"""Requests that are written straight to a connection of the pool."""

import asyncio
from types import SimpleNamespace

from aiohttp import ClientConnectionError
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from sessions_app.gateways.core.direct import DirectAnswer


async def test_who_reads_a_body_learns_that_it_was_closed():
    closed = []
    protocol = BaseProtocol(asyncio.get_running_loop())
    protocol.connection_made(asyncio.Transport())
    content = StreamReader(protocol, 2**16)
    connection = SimpleNamespace(close=lambda: closed.append(True), protocol=None)
    answer = DirectAnswer(connection, SimpleNamespace(code=200, headers={}, raw_headers=()), content)
    reading = asyncio.ensure_future(answer.content.readany())
    await asyncio.sleep(0)
    answer.close()
    await asyncio.sleep(0)
    assert isinstance(reading.exception(), ClientConnectionError)
    assert closed == [True]
    answer.close()
