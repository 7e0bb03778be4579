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
        mean: bytes after which a connection is dropped, on average; None drops none.
        seed: after how many exactly.
    """

    def __init__(self, target: int, mean: int | None, seed: int) -> None:
        self._target, self._mean, self._dice = target, mean, random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.dropped = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits; closing alone does not
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                budget = None if self._mean is None else self._dice.randrange(2 * self._mean)
                threading.Thread(target=self._serve, args=(client, budget), daemon=True).start()

    def _serve(self, client: socket.socket, budget: int | None) -> None:
        """Forwards both ways; after `budget` bytes of either both ends find the connection reset."""
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=30)
        except OSError:
            client.close()
            return
        back = threading.Thread(target=self._forward, args=(server, client, budget), daemon=True)
        back.start()
        self._forward(client, server, budget)
        back.join()
        for end in (client, server):
            end.close()

    def _forward(self, source: socket.socket, sink: socket.socket, budget: int | None) -> None:
        with suppress(OSError):
            while block := source.recv(_BLOCK):
                if budget is not None and len(block) > budget:
                    sink.sendall(block[:budget])
                    self.dropped += 1
                    break
                sink.sendall(block)
                budget = None if budget is None else budget - len(block)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def dropping(target: int, mean: int | None, seed: int = 0) -> Iterator[Proxy]:
    """Gives a proxy in front of the port `target`."""
    proxy = Proxy(target, mean, seed)
    try:
        yield proxy
    finally:
        proxy.close()
