"""A flood of requests with unknown tokens. Arguments: a gateway's address and port, a path, source addresses.

Each address keeps as many connections as it can. The script reports once it has some responses, and their
number when its input ends.
"""

import asyncio
import contextlib
import secrets
import ssl
import sys

AT_ONCE, ANSWERED = 60, 10


async def main(port: int, path: str, sources: list[str]) -> None:
    """Send requests until the input ends."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    answers, answered = 0, asyncio.Event()

    async def ask(source: str) -> None:
        nonlocal answers
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context, local_addr=(source, 0)
                )
                head = (
                    f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer"
                    f" sgt_{secrets.token_urlsafe(32)}\r\n\r\n"
                )
                writer.write(head.encode())
                line = await reader.readline()
                answers += line.split()[1:2] == [b"401"]
                if answers >= ANSWERED:
                    answered.set()
                writer.transport.abort()

    asking = [asyncio.create_task(ask(source)) for source in sources for _ in range(AT_ONCE)]
    await answered.wait()
    print("floods", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(answers, flush=True)
    for task in asking:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
