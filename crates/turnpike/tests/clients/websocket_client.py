"""Talks to a WebSocket echo server through an HTTP proxy, and prints what came back as JSON.

usage: websocket_client.py connect|upgrade PROXY_URL ws://HOST:PORT/PATH MESSAGE...

`connect` tunnels through CONNECT, as browsers do. `upgrade` sends the handshake to the proxy in absolute form, as clients do that
treat ws:// like http://.
"""

import asyncio
import base64
import json
import socket
import sys
from urllib.parse import urlsplit

from websockets.asyncio.client import connect


async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def through_upgrade(proxy: str, url: str, messages):
    at = urlsplit(proxy)
    credentials = base64.b64encode(f"{at.username}:{at.password}".encode())
    target = urlsplit(url)
    connection = socket.create_connection((at.hostname, at.port), timeout=20)
    near, far = socket.socketpair()
    far_reader, far_writer = await asyncio.open_connection(sock=far)
    proxy_reader, proxy_writer = await asyncio.open_connection(sock=connection)

    async def outward():
        head = await far_reader.readuntil(b"\r\n\r\n")
        line, rest = head.split(b"\r\n", 1)
        method, path, version = line.split(b" ")
        absolute = f"http://{target.netloc}".encode() + path
        proxy_writer.write(b" ".join([method, absolute, version]) + b"\r\n")
        proxy_writer.write(b"Proxy-Authorization: Basic " + credentials + b"\r\n" + rest)
        await proxy_writer.drain()
        await pump(far_reader, proxy_writer)

    tasks = [asyncio.ensure_future(outward()), asyncio.ensure_future(pump(proxy_reader, far_writer))]
    try:
        async with connect(url, sock=near, proxy=None) as socket_:
            return await echo(socket_, messages)
    finally:
        for task in tasks:
            task.cancel()


async def through_connect(proxy: str, url: str, messages):
    async with connect(url, proxy=proxy) as socket_:
        return await echo(socket_, messages)


async def echo(socket_, messages):
    answers = []
    for message in messages:
        await socket_.send(message)
        answers.append(await asyncio.wait_for(socket_.recv(), 20))
    return answers


def main() -> None:
    way, proxy, url, *messages = sys.argv[1:]
    run = through_connect if way == "connect" else through_upgrade
    print(json.dumps(asyncio.run(run(proxy, url, messages))))


main()
