"""Types of command-line arguments that several commands share. Errors show the correct form."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from pathlib import Path
from typing import TypeAlias

from rsfilter.config.source import DEFAULT_HELP, default_path
from rsfilter.routing.model import BITS, Address, Prefix
from rsfilter.rpki.document import read_asn

Subparsers: TypeAlias = "_SubParsersAction[ArgumentParser]"
"""Type of argparse's subparsers, which has no public name."""


def asn(text: str) -> int:
    """An ASN, as `65001` or `AS65001`."""
    try:
        return read_asn(text)
    except ValueError:
        raise ArgumentTypeError(f"invalid ASN {text!r}: write 65001 or AS65001") from None


def count(text: str) -> int:
    """Parse a number from 0 on."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ArgumentTypeError(f"invalid number {text!r}: 0 to 999999999")
    return int(text)


def prefix(text: str) -> str:
    """A well-formed prefix, or an address for its host route; as it was written."""
    found = Prefix.parse(any_prefix(text))
    if found.length > BITS[found.family]:
        raise ArgumentTypeError(f"{text!r} has an impossible length")
    if hint := host_bits(text):
        raise ArgumentTypeError(hint)
    return text


def host_bits(text: str) -> str:
    """Describe what a prefix with host bits may mean; empty if it has none."""
    found = Prefix.parse(text)
    if found.is_well_formed or found.length > BITS[found.family]:
        return ""
    network = found.masked(found.length)
    return f"{text!r} has host bits set; the network is {network}, the address {found.address}"


def any_prefix(text: str) -> str:
    """A prefix that may have host bits, or an address; as it was written."""
    try:
        Prefix.parse(text)
    except ValueError:
        example = "such as 203.0.113.0/28 or 203.0.113.7"
        raise ArgumentTypeError(f"invalid prefix or address {text!r}, {example}") from None
    return text


def address(text: str) -> str:
    """An address, as it was written."""
    try:
        Address.parse(text)
    except ValueError:
        raise ArgumentTypeError(f"invalid address {text!r}, such as 198.51.100.1") from None
    return text


def configured() -> ArgumentParser:
    """Return the argument that names the configuration."""
    parser = ArgumentParser(add_help=False)
    add_config(parser)
    return parser


def add_config(parser: ArgumentParser) -> None:
    """Add -c, for commands that need a configuration."""
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=default_path(),
        metavar="FILE",
        help=f"the configuration (default: {DEFAULT_HELP})",
    )


def printing() -> ArgumentParser:
    """Return the argument that chooses between a table and JSON."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser
