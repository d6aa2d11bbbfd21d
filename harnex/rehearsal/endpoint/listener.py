"""The listening socket.

It has a thread for each client, a limit on clients, and a count of the answers being sent.
"""

from __future__ import annotations

import socket
import sys
import threading
from http.server import ThreadingHTTPServer
from typing import Any

MAX_CLIENTS = 256


class Gone(Exception):
    """The client has closed its connection, or the server ends."""


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        self._lock = threading.Lock()
        self.clients = 0
        self.busy = 0
        self.quiet = threading.Event()
        super().__init__(*args)

    def server_bind(self) -> None:
        """Bind as the base class does, without looking up the host's name (that may ask the
        network).
        """
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = self.clients >= MAX_CLIENTS
            self.clients += not full
        if full:
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self.clients -= 1

    def working(self, more: int) -> None:
        """Add `more` to the count of answers that are being sent.

        Connections that are only kept alive do not count.
        """
        with self._lock:
            self.busy += more
            if not self.busy:
                self.quiet.set()
            else:
                self.quiet.clear()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback for a client that went away."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError, Gone)):
            super().handle_error(request, client_address)
