"""What containers' health checks run: `python -IS check.py URL` ends with 0 if the URL answers 200.

It runs every few seconds in each container: by a socket alone it costs a quarter of what `urllib.request` does, which
loads e-mail, TLS and the rest first.
"""

import socket
import sys

TIMEOUT_S = 4.0


def problem(url: str) -> str | None:
    """Why `url` (http://HOST:PORT/PATH) does not answer 200; None if it does."""
    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.partition(":")
    # 1.0: the server closes the connection behind its answer.
    request = f"GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError as error:
        return f"{url}: {error}"
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split()[1:2]
    if status == [b"200"]:
        return None
    return f"{url} answers {b' '.join(status).decode() or 'nothing'}: {body[:500].decode(errors='replace')}"


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1]))
