"""One line of ExaBGP's JSON API -> one `Message`. Never raises, never guesses.

Owns the envelope: dialect, neighbor and kind of message. `wire` has the members of each;
`attributes` and `nlri` read the inside of an update. Reads the API of ExaBGP 5.0, and of 4.2
(`dialect_42`): the same facts become the same events. Three things in a line must be trustworthy,
and are therefore never taken from text that a host chooses (a shutdown communication, a hostname
capability, a community's rendering):

- The neighbor and its AS are read at their places in the parsed structure. The line is decoded
whole, an object with a repeated name is refused, and text inside a string stays inside it. - The
same holds for "direction". A search for its bytes would be a little cheaper than decoding the
envelope, which leaves the message itself untouched, but a host could mislead it. - `done` and
`error` are replies only if they are the whole line.

A line that is cut, garbled or of an unknown version is `Skipped` as a whole, because half of an
UPDATE is not an UPDATE. Only inside a well-formed line does one bad part leave the others valid
(see `nlri.announced` and `attributes.parse`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from msgspec import UNSET, Raw

from rsfilter.exabgp import attributes, capabilities, dialect_42, nlri, wire
from rsfilter.exabgp.messages import (
    Ignored,
    Message,
    RefreshRequest,
    Reply,
    Sent,
    SentEndOfRib,
    SentUpdate,
    ShowLine,
    Shutdown,
    Skipped,
)
from rsfilter.routing.events import (
    EndOfRib,
    RefreshMark,
    SessionDown,
    SessionUp,
    Update,
)
from rsfilter.routing.model import UNICAST, Address, Announcement, Route, RouteKey
from rsfilter.util.strict_json import repeated_names

MAX_LINE_OCTETS = 16 << 20
"""Longest line that is decoded.

An UPDATE has 65,535 octets at most (RFC 8654). The worst JSON for one, all default routes under
two next hops, is some 3.5 MB; `show neighbor json` for 8,000 neighbors is a line of about 7 MB.
"""

MAX_REASON = 200
"""Characters of a `down` reason that are kept (`SessionDown.reason`)."""

DIALECTS = {dialect_42.API: dialect_42.SERIES, "5": "5.0"}
"""ExaBGP's series for the first number of the API version: "4.0.1" is 4.2, "5.0.0" is 5.0."""

_FAMILIES = frozenset(UNICAST.values())

_COPY = b'"direction": "send", "message": { "update": {'
_HEAD_OCTETS = 1024
"""Octets within which a line names its neighbor and its direction."""

_AFI_SAFI = {b"\x00\x01\x01": "ipv4 unicast", b"\x00\x02\x01": "ipv6 unicast"}

_UPDATE = 2
"""The message type code of UPDATE (RFC 4271 section 4.1), "category" in a raw copy."""

_RAW_END_OF_RIB = re.compile(
    rb"\0\0\0(?:\x06[\x80-\x8f]\x0f|\x07[\x90-\x9f]\x0f\0)\x03(...)\Z", re.DOTALL
)
"""An UPDATE that is one MP_UNREACH_NLRI without NLRI, its length in one octet or in two."""

_SENT = Sent()
_SHUTDOWN = Shutdown()
_BAD_SHAPE = Skipped("bad_shape")
_NOT_JSON = Skipped("not_json")
_REPLIES: dict[bytes, Message] = {b"done": Reply(ok=True), b"error": Reply(ok=False)}

_HEAD = re.compile(rb'\{ ?"exabgp": ?"(\d{1,3}\.[\d.]{1,16})", ?"time": ?(\d{1,12}(?:\.\d{1,9})?),')
"""Beginning of every JSON line. No host chooses any of this text."""

_RELEASE = re.compile(
    r'exabgp (\d{1,3}\.[\w.+-]{1,64})\Z|\{ ?"version": ?"(\d{1,3}\.[\w.+-]{1,64})", ?"application"'
)
"""Its answers to `version` and to `system version`."""

_TEXT_REPLY = re.compile(rb"[0-9A-Za-z:][ !#-~]*\Z")
"""A line of text from `show`: printable, and without the quotation marks of a torn JSON line."""

_ADMINISTRATIVE = re.compile(dialect_42.DOWN_REASON + r"notification received \(6,[239]\)")
"""Cease received with Administrative Shutdown, Peer De-configured (RFC 4486) or Hard Reset
(RFC 8538); anchored, since text that the peer chose may follow."""

_UNKNOWN_PEER_AS = re.compile(rb'"asn": \{ "local": \d+, "peer": None \}')
"""Output of ExaBGP 5.0 for a neighbor with `peer-as auto`: Python, not JSON."""

_NO_NUMBER = re.compile(rb'("(?:[^"\\]++|\\.)*+(?:"|\Z))|-?(?:NaN|Infinity)')
"""A string, or what 5.0 prints for a bandwidth of BGP-LS that is no number: Python, not JSON. A
string that never ends is read once."""

_decode_line = msgspec.json.Decoder(wire.Line).decode
_decode_received = msgspec.json.Decoder(wire.Received).decode
_decode_copied = msgspec.json.Decoder(wire.Copied).decode
_decode_sent = msgspec.json.Decoder(wire.UpdateBody).decode


def decode(line: bytes) -> Message:
    """Decode `line`, without its newline. A line without a certain meaning is `Skipped`."""
    if len(line) > MAX_LINE_OCTETS:
        return Skipped("too_long")
    if not line.isascii() and not _is_utf8(line):
        return Skipped("not_utf8")
    if line[:1] != b"{":
        return _decode_reply(line)
    try:
        return _decode_envelope(line, _decode_line(line))
    except msgspec.ValidationError:
        return _decode_misfit(line)
    except (msgspec.DecodeError, RecursionError):
        return _decode_repaired(line)


def may_wait(line: bytes) -> bool:
    """Return whether the line seems to be a copy of a sent UPDATE without consequences, so that
    decoding it can wait. A hint only: `decode` determines the kind of a line."""
    return line.find(_COPY, 0, _HEAD_OCTETS) >= 0


def line_time(line: bytes) -> float | None:
    """Return the time at which ExaBGP wrote a JSON line, in seconds since the epoch; None for any
    other line."""
    head = _HEAD.match(line)
    return float(head[2]) if head else None


def dialect(line: bytes) -> str | None:
    """Return the ExaBGP series that wrote a JSON line, from `DIALECTS`; None for any other line.

    All lines of one ExaBGP agree, so the first result identifies the speaker.
    """
    version = api_version(line)
    return DIALECTS.get(version.partition(".")[0]) if version else None


def release(message: Message) -> str | None:
    """Return ExaBGP's release from its answer to `version`, or to `system version`, which is what
    series 6 understands; None for any other message."""
    found = _RELEASE.match(message.text) if isinstance(message, ShowLine) else None
    return found[1] or found[2] if found else None


def api_version(line: bytes) -> str | None:
    """Return the version in a JSON line; None for any other line. It does not identify the release:
    main's "4.0.1" is an API of series 6."""
    head = _HEAD.match(line)
    return head[1].decode() if head else None


def _decode_envelope(line: bytes, envelope: wire.Line) -> Message:
    if envelope.exabgp.partition(".")[0] not in DIALECTS:
        return Skipped("unknown_dialect")
    neighbor = envelope.neighbor
    apart = () if neighbor is UNSET else (neighbor.message, neighbor.open)
    if repeated_names(line, envelope, *apart):
        return Skipped("repeated_key")
    handler = _HANDLERS.get(envelope.type)
    if handler is None:
        return Skipped("unknown_type")
    if neighbor is UNSET:
        is_end = envelope.type == "notification" and envelope.notification == "shutdown"
        return _SHUTDOWN if is_end else _BAD_SHAPE
    try:
        address = Address.parse(neighbor.address.peer)
    except ValueError:
        return _BAD_SHAPE
    return handler(envelope.type, address, neighbor)


def _decode_update(_kind: str, address: Address, neighbor: wire.Neighbor) -> Message:
    raw = neighbor.message
    if raw is UNSET:
        return _BAD_SHAPE
    if neighbor.direction == "send":
        return _decode_copy(address, raw)
    if neighbor.direction != "receive":
        return _BAD_SHAPE
    message = _decode_received(raw)
    update = message.update
    if repeated_names(bytes(raw), message, UNSET if update is UNSET else update.attribute):
        return Skipped("repeated_key")
    if update is not UNSET:
        return _update(address, neighbor.asn.peer, update)
    if message.eor is not UNSET:
        family = message.eor.family
        if family not in _FAMILIES:
            return Ignored("other_family")
        return EndOfRib(address, neighbor.asn.peer, family)
    return _BAD_SHAPE if message.category is UNSET else Ignored("packets")


def _update(address: Address, asn: int, update: wire.UpdateBody) -> Update:
    announced = nlri.announced(address, {} if update.announce is UNSET else update.announce)
    withdrawn = nlri.withdrawn(address, {} if update.withdraw is UNSET else update.withdraw)
    next_hops = announced.next_hops
    if update.attribute is UNSET and not update.announce:
        return Update(address, asn, (), nlri.with_meant(withdrawn))
    text = b"{}" if update.attribute is UNSET else bytes(update.attribute)
    path = attributes.parse(text)
    if path.is_treated_as_withdraw:
        next_hops = dict.fromkeys((*next_hops, *withdrawn), ())
        withdrawn = tuple(next_hops)  # if the keys below differ from these only in spare bits
    elif announced.lacks_next_hop:
        problems = [path.malformed] if path.malformed else []
        path = path._replace(malformed=", ".join([*problems, "next-hop missing"]))
    if withdrawn:  # what an UPDATE also announces it does not withdraw (RFC 4271 section 4.3)
        withdrawn = tuple(k for k in nlri.with_meant(withdrawn) if k not in next_hops)
    announcement = attributes.announcement(text)
    routes: list[Route] = []
    last, shared = None, Announcement(address, asn, 0, path, ())
    for key, hops in next_hops.items():
        family = key.prefix.family
        if hops is not last or family != shared.family:
            last, shared = hops, announcement(address, asn, family, path, hops)
        routes.append(Route(key, shared))
    return Update(address, asn, tuple(routes), withdrawn, announced.others)


def _decode_copy(address: Address, raw: Raw) -> Message:
    """A copy of what ExaBGP sent: the End-of-RIB is a barrier, the rest mostly of no interest."""
    message = _decode_copied(raw)
    if message.eor is not UNSET:
        family = message.eor.family
    elif message.category == _UPDATE and message.body is not UNSET:
        family = _raw_end_of_rib(message.body)
    elif message.update is not UNSET:
        return SentUpdate(address, message.update)
    else:
        return _SENT
    if repeated_names(bytes(raw), message):
        return Skipped("repeated_key")
    return SentEndOfRib(address, family) if family in _FAMILIES else _SENT


def routes_sent(sent: SentUpdate) -> list[RouteKey]:
    """Return the routes that a sent UPDATE announces, and then those that it withdraws."""
    try:
        update = _decode_sent(sent.update)
    except msgspec.DecodeError:
        return []
    announced = nlri.announced(sent.neighbor, {} if update.announce is UNSET else update.announce)
    withdrawn = nlri.withdrawn(sent.neighbor, {} if update.withdraw is UNSET else update.withdraw)
    return [*announced.next_hops, *withdrawn]


def _raw_end_of_rib(body: str) -> str:
    """The family whose End-of-RIB the UPDATE `body` ("0x…") is, empty when it is none.

    RFC 4724 section 2: nothing at all for IPv4 unicast, otherwise an MP_UNREACH_NLRI (RFC 4760)
    without NLRI and nothing else.
    """
    try:
        octets = bytes.fromhex(body.removeprefix("0x"))
    except ValueError:
        return ""
    if octets == bytes(4):
        return "ipv4 unicast"
    unreach = _RAW_END_OF_RIB.match(octets)
    return _AFI_SAFI.get(unreach[1], "") if unreach else ""


def _decode_state(_kind: str, address: Address, neighbor: wire.Neighbor) -> Message:
    asn = neighbor.asn.peer
    if neighbor.state == "up":
        return SessionUp(address, asn)
    if neighbor.state == "connected":
        return Ignored("connected")
    if neighbor.state != "down":
        return _BAD_SHAPE
    text = "" if neighbor.reason is UNSET else neighbor.reason[:MAX_REASON]
    reason = "".join(char if char.isprintable() else " " for char in text)
    return SessionDown(address, asn, reason, bool(_ADMINISTRATIVE.match(reason)))


def _decode_refresh(_kind: str, address: Address, neighbor: wire.Neighbor) -> Message:
    if neighbor.direction == "send":
        return _SENT
    refresh = neighbor.route_refresh
    if refresh is UNSET:
        return _BAD_SHAPE if neighbor.message is UNSET else Ignored("packets")
    family = refresh.family
    if neighbor.direction != "receive" or refresh.subtype not in ("query", "begin", "end"):
        return _BAD_SHAPE
    if family not in _FAMILIES:
        return Ignored("other_family")
    if refresh.subtype == "query":
        return RefreshRequest(address, family)
    return RefreshMark(address, neighbor.asn.peer, family, is_end=refresh.subtype == "end")


def _decode_open(kind: str, address: Address, neighbor: wire.Neighbor) -> Message:
    if neighbor.direction not in ("receive", "send") or neighbor.open is UNSET:
        return _decode_uninteresting(kind, address, neighbor)
    if repeated_names(bytes(neighbor.open), msgspec.json.decode(neighbor.open)):
        return Skipped("repeated_key")
    if neighbor.direction == "send":
        return capabilities.offered(address, neighbor.open)
    return capabilities.opened(address, neighbor.open, neighbor.asn.peer)


def _decode_uninteresting(kind: str, _address: Address, neighbor: wire.Neighbor) -> Message:
    return _SENT if neighbor.direction == "send" else Ignored(kind)


_HANDLERS: dict[str, Callable[[str, Address, wire.Neighbor], Message]] = {
    "update": _decode_update,
    "state": _decode_state,
    "refresh": _decode_refresh,
    "keepalive": _decode_uninteresting,
    "open": _decode_open,
    "notification": _decode_uninteresting,
    "negotiated": _decode_uninteresting,
    "fsm": _decode_uninteresting,
    "signal": _decode_uninteresting,
    "operational": _decode_uninteresting,
}


def _decode_reply(line: bytes) -> Message:
    """A line that is no JSON object: the answer to a command."""
    reply = _REPLIES.get(line)
    if reply is not None:
        return reply
    if _TEXT_REPLY.match(line) or (line[:1] == b"[" and _is_json(line)):
        return ShowLine(line.decode())
    return _NOT_JSON


def _decode_misfit(line: bytes) -> Message:
    """A line that is JSON as far as it was read, but not what a line has to be."""
    try:
        document = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return _NOT_JSON
    if isinstance(document, dict) and "exabgp" not in document:
        return ShowLine(line.decode())
    return _BAD_SHAPE


def _decode_repaired(line: bytes) -> Message:
    """A line that is not JSON: ExaBGP's known faults are mended, nothing else is."""
    if _UNKNOWN_PEER_AS.search(line):
        return Skipped("no_peer_as")
    if dialect(line) == dialect_42.SERIES:
        kinds = dialect_42.REPAIRED_KINDS
        repaired = dialect_42.repaired(line)
    else:
        kinds = frozenset({"update"})
        repaired = _NO_NUMBER.sub(lambda found: found[1] or b"null", line)
    try:
        envelope = _decode_line(repaired)
        if envelope.type not in kinds:
            return _NOT_JSON
        return _decode_envelope(repaired, envelope)
    except (msgspec.DecodeError, RecursionError):
        return _NOT_JSON


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
