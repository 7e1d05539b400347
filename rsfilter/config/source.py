"""The file of the configuration: which one it is, and its text."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISREG

from rsfilter.config.model import ConfigError

DEFAULT_PATH = Path("rsfilter.toml")
SYSTEM_PATH = Path("/etc/rsfilter/rsfilter.toml")

DEFAULT_HELP = f"./{DEFAULT_PATH}, then {SYSTEM_PATH}"
"""The configuration used without -c, for help texts."""

MAX_FILE_SIZE = 16 * 1024 * 1024
"""Octets. A hundred thousand neighbors, each listed, take a quarter of it."""


def default_path() -> Path:
    """Return the path of the configuration used without -c; it may not exist."""
    return SYSTEM_PATH if SYSTEM_PATH.exists() and not DEFAULT_PATH.exists() else DEFAULT_PATH


def read_config(path: Path, *, hint: str = "") -> str:
    """Read the text of a file. Raises ConfigError if it cannot be a configuration. `hint`: advice
    if the file does not exist; a running filter knows its file already."""
    try:
        if not S_ISREG(path.stat().st_mode):  # before open, which waits for ever on a pipe
            raise ConfigError([f"{path}: is not a regular file{hint}"])
        with path.open("rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}{hint}"]) from None
    if len(content) > MAX_FILE_SIZE:
        raise ConfigError([f"{path}: larger than {MAX_FILE_SIZE} octets"])
    try:
        return content.decode("utf-8-sig")  # TOML 1.1: a byte order mark is ignored
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: octet {error.start} is not UTF-8"]) from None
