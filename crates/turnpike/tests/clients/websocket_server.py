"""A WebSocket server on 127.0.0.1 that answers each message with its sender's address, a space, and the message.

Prints its port, then serves until its standard input closes.
"""

import asyncio
import sys

from websockets.asyncio.server import serve


async def answer(connection):
    async for message in connection:
        await connection.send(f"{connection.remote_address[0]} {message}")


async def main() -> None:
    async with serve(answer, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
