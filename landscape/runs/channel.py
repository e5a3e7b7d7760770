"""Requests between processes: one method call a message, over TLS in which both sides show the same certificate.

The engine makes the certificate when it starts and keeps it in the store's folder, readable by its owner only: who
can read the store's files may ask, nobody else gets a word. Messages are JSON and bytes; nothing in them is executed.
"""

from __future__ import annotations

import json
import logging
import socket
import socketserver
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from landscape import errors

LONGEST = 1 << 34  # bytes of one part of a message
_LENGTH = struct.Struct(">Q")
log = logging.getLogger(__name__)


def send(sock: socket.socket, message: Any) -> None:
    """Write a message: a JSON value in which bytes may stand anywhere."""
    blobs: list[bytes] = []

    def aside(value):
        if not isinstance(value, bytes):
            raise TypeError(f"a message holds JSON values and bytes, found {type(value).__name__}")
        blobs.append(value)
        return {"__bytes__": len(blobs) - 1}

    text = json.dumps(message, default=aside).encode()
    for part in (text, _LENGTH.pack(len(blobs)), *blobs):
        sock.sendall(_LENGTH.pack(len(part)))
        sock.sendall(part)


def receive(sock: socket.socket) -> Any:
    """Read a message; raises ConnectionError when the other side has closed."""
    text, count = _part(sock), _LENGTH.unpack(_part(sock))[0]
    blobs = [_part(sock) for _ in range(count)]
    return json.loads(text, object_hook=lambda o: blobs[o["__bytes__"]] if o.keys() == {"__bytes__"} else o)


def _part(sock: socket.socket) -> bytes:
    length = _LENGTH.unpack(_exactly(sock, _LENGTH.size))[0]
    if length > LONGEST:
        raise ConnectionError(f"a message part of {length} bytes was announced, at most {LONGEST} are taken")
    return _exactly(sock, length)


def _exactly(sock: socket.socket, length: int) -> bytes:
    data = bytearray()  # grows with what comes: what is announced may never come
    while len(data) < length:
        part = sock.recv(min(length - len(data), 1 << 20))
        if not part:
            raise ConnectionError("the other side has closed the connection")
        data += part
    return bytes(data)


def _prompt(sock: socket.socket) -> None:
    """Small messages go at once, and a peer whose machine has vanished is noticed."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def tls(pem: str, server: bool) -> ssl.SSLContext:
    """A context that shows the certificate in ``pem`` (with its key) and accepts no other from the other side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pem[pem.index("-----BEGIN CERTIFICATE-----") :])
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # made readable by the owner only
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context


class Server(socketserver.ThreadingTCPServer):
    """Answers calls of ``handlers`` from any number of clients, each in a thread of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, pem: str, handlers: dict[str, Callable]):
        super().__init__((host, 0), _Conversation)
        self.handlers, self.last_call, self.calls = handlers, time.monotonic(), 0  # calls being answered now
        self._counting, self._here = threading.Lock(), threading.local()
        self._tls = tls(pem, server=True)
        self.address = f"{host}:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, name="channel", daemon=True).start()

    def line(self) -> socket.socket:
        """The connection of the call that is being answered in this thread."""
        return self._here.line

    def hang_up(self, line: socket.socket) -> None:
        """Close a connection: its client is not heard any more, whatever it is doing."""
        with suppress(OSError):  # it has gone already
            socket.socket.shutdown(line, socket.SHUT_RDWR)  # of the bare socket: another thread reads through TLS

    def get_request(self):
        plain, address = super().get_request()
        _prompt(plain)
        return self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

    def answer(self, method: str, args: list, kwargs: dict) -> dict[str, Any]:
        self._count(1)
        try:
            return answered(self.handlers, method, args, kwargs)
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._counting:
            self.calls, self.last_call = self.calls + more, time.monotonic()

    def handle_error(self, request, client_address) -> None:
        log.exception("a connection broke")


class _Conversation(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        try:
            self.request.settimeout(10)
            self.request.do_handshake()
            self.request.settimeout(None)
        except OSError as error:
            log.warning("refused a client without our certificate: %s", error)
            return
        self.server._here.line = self.request
        try:
            while True:
                method, args, kwargs = receive(self.request)
                send(self.request, self.server.answer(method, args, kwargs))
        except OSError:
            pass  # the client has gone


def answered(handlers: dict[str, Callable], method: str, args: list, kwargs: dict) -> dict[str, Any]:
    """What is sent back for a call: its value, or its error by name. A handler hangs up with a ConnectionError."""
    try:
        return {"value": handlers[method](*args, **kwargs)}
    except errors.LandscapeError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except ConnectionError:
        raise
    except Exception as error:
        log.exception("%s failed", method)
        return {"error": "", "message": f"{type(error).__name__}: {error}"}


class Channel:
    """The client's side. ``call`` may be used by several threads, one at a time gets the line.

    Raises ConnectionError when the other side is gone; the errors of ``landscape.errors`` arrive as what they are.
    """

    def __init__(self, address: str, pem: str, patience: float = 10.0):
        host, _, port = address.rpartition(":")
        self._turn = threading.Lock()
        try:
            plain = socket.create_connection((host, int(port)), timeout=patience)
            _prompt(plain)
            self._socket = tls(pem, server=False).wrap_socket(plain)
            self._socket.settimeout(120)
        except OSError as error:
            raise ConnectionError(f"{address} does not answer: {error}") from None

    @classmethod
    def over(cls, sock: socket.socket, patience: float) -> Channel:
        """A channel over a socket that nobody else can reach: one end of a pair, the other in a child process."""
        channel = cls.__new__(cls)
        channel._turn, channel._socket = threading.Lock(), sock
        sock.settimeout(patience)
        return channel

    def call(self, method: str, *args, **kwargs) -> Any:
        with self._turn:
            try:
                send(self._socket, [method, args, kwargs])
                reply = receive(self._socket)
            except OSError as error:
                self.close()
                raise ConnectionError(f"the engine has gone: {error}") from None
        if "error" in reply:
            raise getattr(errors, reply["error"], RuntimeError)(reply["message"])
        return reply["value"]

    def __getattr__(self, method: str) -> Callable:
        """A method of the other side, so that a channel can stand for the store."""
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda *args, **kwargs: self.call(method, *args, **kwargs)

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()
