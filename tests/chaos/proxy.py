"""A TCP proxy that drops connections: before the request, in the middle of it, or in the middle of the answer."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BLOCK = 4096


class Proxy:
    """Forwards connections to a port of this machine until it is closed.

    Args:
        target: the port.
        share: of the connections that are dropped.
        seed: which ones, and after how many bytes.
    """

    def __init__(self, target: int, share: float, seed: int) -> None:
        self._target, self._share, self._dice = target, share, random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.dropped = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                drops = self._dice.random() < self._share
                budget = self._dice.randrange(3000) if drops else None
                self.dropped += drops
                threading.Thread(target=self._serve, args=(client, budget), daemon=True).start()

    def _serve(self, client: socket.socket, budget: int | None) -> None:
        """Forwards both ways; after `budget` bytes of either both ends find the connection reset."""
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=30)
        except OSError:
            client.close()
            return
        back = threading.Thread(target=_forward, args=(server, client, budget), daemon=True)
        back.start()
        _forward(client, server, budget)
        back.join()
        for end in (client, server):
            end.close()


def _forward(source: socket.socket, sink: socket.socket, budget: int | None) -> None:
    with suppress(OSError):
        while block := source.recv(_BLOCK):
            if budget is not None and len(block) > budget:
                sink.sendall(block[:budget])
                break
            sink.sendall(block)
            budget = None if budget is None else budget - len(block)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def dropping(target: int, share: float = 0.2, seed: int = 0) -> Iterator[Proxy]:
    """Gives a proxy in front of the port `target`."""
    proxy = Proxy(target, share, seed)
    try:
        yield proxy
    finally:
        proxy.close()
