"""One Engine.IO connection as Muster runs it, on python-engineio's ordinary road.

Written for python-engineio 4.15.1. A new socket's class is changed to this one before anything is read
from it (see `upstream`). Replaced are, with what was wrong:

* socket.py:12 `poll` gives up after a ping's time, so a node that was paused loses all its clients.
* socket.py:65 `send` looks for a ping timeout by the wall clock: `upstream` looks, by the monotonic one.
* socket.py:111 a POST with a broken packet is logged and lost, one with more than 16 packets too.
* socket.py:120 `close` may wait for ever for a client that does not read.
* socket.py:138 a pong's deadline runs by the wall clock.
* socket.py:144 any handshake, with compression; a failed one leaves its socket behind.
* socket.py:156 a broken packet leaves a task and a socket behind, a failed upgrade a silent client.
"""

from __future__ import annotations

import time
from typing import Any

import engineio.exceptions
import engineio.packet
import engineio.payload
import engineio.socket

from service.transport.upstream.websocket import WholeSocket, tame

Packet = engineio.packet.Packet
#: Packets of one long-polling request; their bytes are bounded by `max_frame_bytes`.
MAX_POSTED_PACKETS = 10_000
#: Packets of one client handled before other tasks get a turn.
TURN_PACKETS = 64


class NodeSocket(engineio.socket.Socket):  # type: ignore[misc]
    """`server.muster` is the `EngineConnections` it belongs to."""

    connected: bool  #: the handshake is over (these two are Engine.IO's)
    upgraded: bool  #: it is a websocket
    #: Socket.IO sid in namespace `/` once connected there.
    sid_here = ""
    #: Attachments of a refused packet that are still to come.
    swallow = 0
    #: Monotonic seconds since when this connection is without a Socket.IO one, when it is.
    opened_s = 0.0
    _raw: WholeSocket | None = None
    _turn = 0

    # --- out

    def send(self, pkt: Any) -> None:
        if self.closed:
            raise engineio.exceptions.SocketIsClosedError
        self.queue.put(pkt)

    def _send_ping(self) -> None:
        self.server.sleep(self.server.ping_interval)
        if not self.closing and not self.closed:
            self.last_ping = time.monotonic()
            self.send(Packet(engineio.packet.PING))

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """End the connection; whoever still reads or writes it is cut off soon after. Never waits."""
        if self.closed or self.closing:
            return
        super().close(wait=False, abort=abort, reason=reason)
        self.server.muster.linger(self)

    def cut(self) -> None:
        """End the transport at once. Harmless when it has ended."""
        if self._raw is not None:
            self._raw.abort()

    def poll(self) -> list[Any]:
        """The next burst to send; nothing at the end. Waits as long as it takes: pings come in time."""
        packets = [self.queue.get()]
        if packets[0] is None:
            return []
        empty = self.server.get_queue_empty_exception()
        try:
            while (packet := self.queue.get(block=False)) is not None:
                packets.append(packet)
        except empty:
            pass
        return packets

    # --- in

    def take(self, encoded: str | bytes) -> None:
        """Take one packet as it came; what is none is answered and dropped."""
        self._turn += 1
        if self._turn >= TURN_PACKETS:
            self._turn = 0
            self.server.sleep(0)
        try:
            packet = Packet(encoded_packet=encoded)
            self.receive(packet)
        except engineio.exceptions.SocketIsClosedError:
            pass
        except (ValueError, TypeError, LookupError, engineio.exceptions.UnknownPacketError):
            self.server.muster.incoming.refuse(self, None, "packet", "This is no Engine.IO packet.")

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take the packets of one long-polling request; it is answered with 200 in any case."""
        muster = self.server.muster
        try:
            length = int(environ.get("CONTENT_LENGTH") or 0)
        except ValueError:
            length = -1
        if length < 0:
            raise engineio.exceptions.EngineIOError("no length")
        if length > self.server.max_http_buffer_size:
            self.queue.put(Packet(engineio.packet.MESSAGE, muster.incoming.refuse_size()[1:]))
            return
        try:
            body = environ["wsgi.input"].read(length).decode("utf-8")
            if body.startswith("d="):  # JSONP
                body = engineio.payload.urllib.parse.parse_qs(body)["d"][0]
        except (ValueError, LookupError):
            muster.incoming.refuse(self, None, "packet", "The body should be text in UTF-8.")
            return
        encoded = body.split("\x1e", MAX_POSTED_PACKETS)
        if len(encoded) > MAX_POSTED_PACKETS:
            muster.incoming.refuse(
                self, None, "packet", "There are too many packets in one request."
            )
            encoded.pop()
        for one in encoded:
            self.take(one)

    # --- websocket

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        is_new: bool = not self.connected
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # no compression
        try:
            if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
                return self.server._bad_request("Websocket version 13 is needed.")
            return super()._upgrade_websocket(environ, start_response)
        except Exception:  # noqa: BLE001  a handshake that the library does not understand
            return self.server._bad_request()
        finally:
            _end_requests(environ)
            if is_new:
                self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)

    def _websocket_handler(self, ws: Any) -> list[bytes]:
        muster = self.server.muster
        is_new: bool = not self.connected
        raw = tame(
            ws,
            max_bytes=self.server.max_http_buffer_size,
            refusal=lambda: muster.incoming.refuse_size(),
            give_way=lambda: self.server.sleep(0),
            new_event=self.server.create_event,
        )
        try:
            if not is_new and not self._upgrade(ws):
                return []
            self._raw = raw
            self.connected = self.upgraded = True
            self.upgrading = False
            writer = self.server.start_background_task(self._write_all, ws)
            reason = self._read_all(ws)
            self.close(wait=False, abort=True, reason=reason)
            writer.join()
        finally:
            raw.abort()
        return []

    def _upgrade(self, ws: Any) -> bool:
        """Move from polling to this websocket; False when the client did not go through with it."""
        self.upgrading = True
        try:
            if ws.wait() != "2probe":
                return False
            ws.send("3probe")
            self.queue.put(Packet(engineio.packet.NOOP))  # ends the poll that waits
            return bool(ws.wait() == "5") and not self.closed
        except Exception:  # noqa: BLE001  whatever the library raises: polling goes on
            return False
        finally:
            self.upgrading = False

    def _read_all(self, ws: Any) -> str:
        """Take all packets until the connection ends; why it did."""
        while True:
            try:
                encoded = ws.wait()
            except Exception:  # noqa: BLE001  whatever the library raises is an end
                return str(self.server.reason.TRANSPORT_CLOSE)
            if encoded is None:
                return str(self.server.reason.TRANSPORT_CLOSE)
            self.take(encoded)

    def _write_all(self, ws: Any) -> None:
        """Send what comes into the queue until its end, then close the websocket."""
        try:
            while True:
                ready = self.poll()
                if not ready:
                    break
                for packet in ready:
                    ws.send(packet.encode())
        except Exception:  # noqa: BLE001, S110  the connection ended, or the client is long dead
            pass
        finally:
            try:
                ws.close()
            except Exception:  # noqa: BLE001  it was closed already
                self.cut()


def _end_requests(environ: dict[str, Any]) -> None:
    """Read no further HTTP requests from a connection that was a websocket.

    simple-websocket works on a copy of the descriptor, so gevent's server would take what the client
    still sends for requests (gevent/pywsgi.py:770 stops when its reader is closed).
    """
    if "eventlet.input" not in environ:
        body = environ["wsgi.input"]
        getattr(body, "rfile", body).close()
