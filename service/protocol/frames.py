"""Websocket frames (RFC 6455) of both sides: bytes in, messages out, and back. No I/O.

The sides differ in one thing: what a client sends is masked, what a server sends is not (section 5.1). So
`Parser` takes whether its peer masks, and there is an `encode` for each side. Nothing else here knows which
side it is on.

`Parser.feed` takes whatever piece of the stream arrived and returns all messages that are complete with it.
Sizes are checked as soon as a header is complete, before anything of the payload is kept but the beginning of
a text that is too long (`START_BYTES`). What is incomplete
is kept in one growing buffer, together with the number of bytes it needs, so a stream that comes byte by byte
costs no more than its length; between two messages nothing is kept.

The payload of a small frame is unmasked as one integer operation, which for the size of a device's event is
as fast as an extension in C; that of a large one by translating each of its four byte lanes. No extensions
are negotiated, so reserved bits are errors. Rejected: a parser that hands out frame by frame through calls;
at a few microseconds per event the calls cost more than the parsing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_CODE: Final = 1005
BAD_DATA: Final = 1007
POLICY: Final = 1008
TOO_LARGE: Final = 1009
INTERNAL: Final = 1011

#: The longest payload of a control frame.
MAX_CONTROL_BYTES: Final = 125
#: Of a text that is too long, so much is read: from its beginning, its sender's answer may still be known.
START_BYTES: Final = 256
#: Payloads from here on are unmasked lane by lane: long integers are slow to make.
_LANES_FROM: Final = 8192

_FINAL_TEXT: Final = 0x80 | TEXT
_MASKED: Final = 0x80
#: Bytes before the payload of a small frame: opcode, length, and the key where there is one.
_PLAIN_HEAD: Final = 2
_MASKED_HEAD: Final = 6
#: Bytes of a client's message of one character.
SHORTEST: Final = _MASKED_HEAD + 1


class Control(NamedTuple):
    """A ping, pong or close frame."""

    opcode: int
    payload: bytes


class Fault(NamedTuple):
    """A violation of the protocol by the peer: nothing after it is read."""

    code: int  #: for the close frame
    words: str
    start: bytes = b""  #: of a text that is too long: how it begins


Message = str | bytes | bytearray | Control | Fault

_NOTHING: list[Message] = []


def one_character(data: bytes | bytearray) -> str:
    """Return the text of a client's shortest message, which is `SHORTEST` bytes; "": it is another one.

    A pong of Engine.IO is one, and of all messages the most frequent on a connection that is idle.
    """
    character = data[2] ^ data[6]
    is_text = data[0] == _FINAL_TEXT and data[1] == _MASKED + 1 and character < 128
    return chr(character) if is_text else ""


class Parser:
    """The input of one connection.

    Args:
        max_bytes: the longest message, all its fragments together; at least 125.
        from_client: the peer is a client, and masks; else it is a server, and does not.
    """

    __slots__ = ("_buffer", "_mask", "_max_bytes", "_needed", "_opcode", "_parts")

    def __init__(self, max_bytes: int, *, from_client: bool = True) -> None:
        self._max_bytes = max_bytes
        self._mask = _MASKED if from_client else 0  # the bit of the second byte
        self._buffer: bytearray | None = None  # the beginning of a frame
        self._needed = 0  # bytes of it that are needed to parse on
        self._opcode = 0  # of the message whose fragments are coming, or 0
        self._parts: bytearray | None = None

    @property
    def kept_bytes(self) -> int:
        """Return how many bytes of incomplete messages are kept."""
        return len(self._buffer or b"") + len(self._parts or b"")

    @property
    def is_between(self) -> bool:
        """Return whether what comes next is the beginning of a message."""
        return self._buffer is None and not self._opcode and self._needed >= 0

    def feed(self, data: bytes) -> list[Message]:  # noqa: C901  written out, because it is hot
        """Parse a piece; return the messages complete with it: text as str, binary as bytes.

        Ends with a `Fault` when the peer broke the protocol; afterwards all input is ignored. The list
        belongs to the caller unless it is empty.
        """
        buffer = self._buffer
        if buffer is not None:
            buffer += data
            if len(buffer) < self._needed:
                return _NOTHING
            data = bytes(buffer)
            self._buffer = None
        elif self._needed < 0:
            return _NOTHING
        found: list[Message] = []
        mask = self._mask
        head = _MASKED_HEAD if mask else _PLAIN_HEAD
        size = len(data)
        place = 0
        while True:
            left = size - place
            if left < 2:
                needed = 2
                break
            first = data[place]
            length = data[place + 1] - mask
            start = place + head
            if first != _FINAL_TEXT or length < 0 or length > 125 or self._opcode:
                fault = self._check_kind(first, length)
                if fault is None and first & 0x08 == 0:
                    extra = 0
                    if length >= 126:
                        extra = 2 if length == 126 else 8
                        needed = 2 + extra
                        if left < needed:
                            break
                        length = int.from_bytes(data[place + 2 : place + needed], "big")
                        start += extra
                    fault = self._check_length(length, extra)
                if fault is not None:
                    wanted = self._wanted_start(first, length, fault)
                    end = start + wanted
                    if wanted > 0 and end > size:
                        needed = end - place
                        break
                    if wanted >= 0:
                        fault = self._with_start(fault, data[start - 4 : start], data[start:end])
                    return self._fail(found, fault)
            end = start + length
            if end > size:
                needed = end - place
                break
            payload = (
                data[start:end]
                if not mask
                else apply_mask(data[start - 4 : start], data[start:end])
                if length >= _LANES_FROM
                # `apply_mask`, written out: this line runs for every event
                else (
                    int.from_bytes(data[start:end], "little")
                    ^ int.from_bytes(data[start - 4 : start] * ((length + 3) >> 2), "little")
                ).to_bytes((length + 3) & ~3, "little")[:length]
            )
            place = end
            if first == _FINAL_TEXT:
                try:
                    found.append(payload.decode())
                except UnicodeDecodeError:
                    return self._fail(found, Fault(BAD_DATA, "This is no UTF-8."))
            elif not self._take(first, payload, found):
                return found
        if place < size:
            self._buffer = bytearray(data[place:] if place else data)
            self._needed = needed
        return found

    def take_up(self, data: bytes) -> bytes | None:
        """Return this with what is kept of a frame before it, and keep nothing.

        None: only `feed` can continue with it, because the frame is not complete yet, its message is in fragments, or
        nothing is read any more.
        """
        buffer = self._buffer
        if self._opcode or self._needed < 0:
            return None
        if buffer is None:
            return data
        if len(buffer) + len(data) < self._needed:
            return None
        self._buffer = None
        return bytes(buffer + data)

    def _check_kind(self, first: int, marker: int) -> Fault | None:
        """Return the fault in the first two bytes of a frame, if there is one.

        Args:
            first: the first.
            marker: the seven bits of the length in the second; something else where the mask is not
                as it should be.
        """
        opcode = first & 0x0F
        if first & 0x70:
            return Fault(PROTOCOL_ERROR, "No extension was negotiated.")
        if not 0 <= marker <= 127:
            words = "The frame is masked." if marker > 0 else "The frame is not masked."
            return Fault(PROTOCOL_ERROR, words)
        if opcode > PONG or BINARY < opcode < CLOSE:
            return Fault(PROTOCOL_ERROR, "There is no such opcode.")
        if opcode >= CLOSE:
            if not first & 0x80 or marker > MAX_CONTROL_BYTES:
                return Fault(PROTOCOL_ERROR, "Control frames are short and whole.")
        elif (opcode == 0) != (self._opcode != 0):
            return Fault(PROTOCOL_ERROR, "Fragments are out of order.")
        return None

    def _check_length(self, length: int, written_in: int) -> Fault | None:
        """Return what is wrong with the length of a piece of a message, written in so many bytes of its own."""
        shortest = {0: 0, 2: 126, 8: 65536}[written_in]
        if length < shortest or length >> 63:
            return Fault(PROTOCOL_ERROR, "The length is not written as it should be.")
        if length + (0 if self._parts is None else len(self._parts)) > self._max_bytes:
            return Fault(TOO_LARGE, "The message is too long.")
        return None

    def _wanted_start(self, first: int, length: int, fault: Fault) -> int:
        """Return how much is wanted of a frame, to know how a text begins that is too long; -1 for other faults.

        Only a service wants to know, whose clients send masked frames.
        """
        if not self._mask or fault.code != TOO_LARGE or (self._opcode or first & 0x0F) != TEXT:
            return -1
        return min(length, max(0, START_BYTES - len(self._parts or b"")))

    def _with_start(self, fault: Fault, key: bytes, data: bytes) -> Fault:
        return fault._replace(
            start=bytes((self._parts or b"")[:START_BYTES]) + apply_mask(key, data)
        )

    def _take(self, first: int, payload: bytes | bytearray, found: list[Message]) -> bool:
        """Handle anything but a whole text message; False when it was a fault."""
        opcode = first & 0x0F
        if opcode >= CLOSE:
            found.append(Control(opcode, bytes(payload)))
            return True
        if not first & 0x80:
            if self._parts is None:
                self._opcode, self._parts = opcode, bytearray(payload)
            else:
                self._parts += payload
            return True
        if self._parts is not None:
            self._parts += payload
            opcode, payload = self._opcode, self._parts
            self._opcode, self._parts = 0, None
        if opcode == BINARY:
            found.append(payload)
            return True
        try:
            found.append(payload.decode())
        except UnicodeDecodeError:
            self._fail(found, Fault(BAD_DATA, "This is no UTF-8."))
            return False
        return True

    def _fail(self, found: list[Message], fault: Fault) -> list[Message]:
        self._needed, self._buffer, self._parts = -1, None, None
        found.append(fault)
        return found


def apply_mask(key: bytes, data: bytes) -> bytes | bytearray:
    """Return the payload with its mask, or without it where it had one (RFC 6455, section 5.3).

    Args:
        key: four bytes.
    """
    size = len(data)
    if size < _LANES_FROM:
        return (
            int.from_bytes(data, "little") ^ int.from_bytes(key * ((size + 3) >> 2), "little")
        ).to_bytes((size + 3) & ~3, "little")[:size]
    plain = bytearray(size)
    for lane in range(4):
        plain[lane::4] = data[lane::4].translate(_XORED[key[lane]])
    return plain


_XORED: Final = tuple(bytes(byte ^ key for byte in range(256)) for key in range(256))


def encode(opcode: int, payload: bytes) -> bytes:
    """Encode one whole frame as a server sends it."""
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (0x80 | opcode, size, payload)
    if size < 65536:
        return b"%c~%b%b" % (0x80 | opcode, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (0x80 | opcode, size.to_bytes(8, "big"), payload)


def encode_texts(head: bytes, payloads: list[bytes]) -> bytes:
    """Encode several text frames, each with this before its payload, at half of what `encode` takes for each."""
    most = 125 - len(head)
    return b"".join(
        [
            b"\x81%c%b%b" % (len(head) + len(payload), head, payload)
            if len(payload) <= most
            else encode(TEXT, head + payload)
            for payload in payloads
        ]
    )


def encode_masked(opcode: int, payload: bytes, key: bytes) -> bytes:
    """Encode one whole frame as a client sends it.

    Args:
        key: four bytes, others for every frame.
    """
    size = len(payload)
    rest = key + apply_mask(key, payload)
    if size < 126:
        return b"%c%c%b" % (0x80 | opcode, _MASKED | size, rest)
    if size < 65536:
        return b"%c\xfe%b%b" % (0x80 | opcode, size.to_bytes(2, "big"), rest)
    return b"%c\xff%b%b" % (0x80 | opcode, size.to_bytes(8, "big"), rest)


def close_frame(code: int, words: str = "") -> bytes:
    """Return the frame with which a server begins or answers a close; see `close_payload`."""
    return encode(CLOSE, close_payload(code, words))


def close_payload(code: int, words: str = "") -> bytes:
    """Return what a close frame carries; `NO_CODE` stands for none."""
    if code == NO_CODE:
        return b""
    reason = words.encode()[: MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return code.to_bytes(2, "big") + reason


def closing_code(payload: bytes) -> int | Fault:
    """Return the code of the peer's close frame; `NO_CODE` when it has none."""
    if not payload:
        return NO_CODE
    if len(payload) == 1:
        return Fault(PROTOCOL_ERROR, "Half a close code.")
    code = int.from_bytes(payload[:2], "big")
    # 1004 to 1006 and 1015 never go over the wire; 1016 to 2999 are reserved (section 7.4).
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        return Fault(PROTOCOL_ERROR, "There is no such close code.")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return Fault(BAD_DATA, "The reason is no UTF-8.")
    return code
