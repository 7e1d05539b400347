"""`rsfilter render`: writes the files of ExaBGP and BIRD, once these find them good, and prints
those of Alice-LG."""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rsfilter.commands.arguments import Subparsers, configured
from rsfilter.commands.output import GOOD, print_note
from rsfilter.config.build import load_config
from rsfilter.config.passwords import password_files, read_passwords
from rsfilter.edge.socket_memory import memory_warning
from rsfilter.edge.truth_file import truth_of
from rsfilter.render.alice import render_alice
from rsfilter.render.bird import render_fanouts
from rsfilter.render.exabgp import CONFIG_NAME, ENVIRONMENT_NAME, Rendered, RenderError, render
from rsfilter.render.protection import PasswordFiles, redacted
from rsfilter.util.text import clean

COMMAND = (sys.executable, "-P", "-m", "rsfilter")
"""Command with which ExaBGP starts rsfilter: this Python, without files of its working
directory."""


def add(commands: Subparsers) -> None:
    """Add `render` to the command line."""
    parser = commands.add_parser("render", help="write the configuration files of other programs")
    programs = parser.add_subparsers(dest="program", metavar="PROGRAM", required=True)
    exabgp = programs.add_parser(
        "exabgp",
        parents=[configured()],
        help="write exabgp.conf and exabgp.env, and bird.conf for a fan-out",
        description="Writes exabgp.conf and exabgp.env from configuration and truth, after "
        "ExaBGP has validated them. Files that would not change are left alone. Start with: "
        "set -a; . DIR/exabgp.env; rsfilter exabgp server DIR/exabgp.conf",
    )
    exabgp.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="created if missing"
    )
    exabgp.add_argument(
        "--user",
        type=_user,
        default=_current_user(),
        metavar="NAME",
        help="user of ExaBGP and rsfilter when started as root (default: the current user)",
    )
    exabgp.set_defaults(handler=run)
    alice = programs.add_parser(
        "alice",
        parents=[configured()],
        help="print the sections of alice.conf for the looking glass",
        description="Prints the sections with which Alice-LG reads the looking glasses of one or "
        "several route servers: reasons, origin validation and a source for each.",
    )
    alice.add_argument(
        "others",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="configurations of further route servers, such as the others of a fleet",
    )
    alice.set_defaults(handler=run_alice)


def _user(name: str) -> str:
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        raise argparse.ArgumentTypeError(f"unknown user {name!r}") from None


def _current_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's number without a name
        return "nobody"


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter render`; return the exit code."""
    config = load_config(args.config)
    truth = truth_of(config)
    passwords = {path: read_passwords(path) for path in password_files(config)}
    rendered = render(config, truth, COMMAND, args.user, passwords)
    more = memory_warning(rendered.most_passwords)
    for warning in (*rendered.warnings, *([more] if more else [])):
        print_note(clean(f"warning: {warning}"))
    fanouts = render_fanouts(config, passwords)
    umask = os.umask(0o022)  # `--user` reads what root writes
    try:
        changed = _write(args.output, rendered, fanouts, Secrecy(passwords, args.user))
    except RenderError as error:  # of another program, which may quote what it was given
        raise RenderError([redacted(problem, passwords) for problem in error.problems]) from None
    finally:
        os.umask(umask)
    if ENVIRONMENT_NAME in changed:
        sys.stdout.write(f"Restart ExaBGP in a quiet hour: only then it uses {ENVIRONMENT_NAME}.\n")
    elif CONFIG_NAME in changed:
        sys.stdout.write(f"Reload ExaBGP (SIGUSR1): then it uses {CONFIG_NAME}.\n")
    for path in sorted(args.output.glob("bird*.conf")) if fanouts else ():
        if path.name not in fanouts:
            text = f"warning: {path}: of another [fanout]; nothing writes it any more, remove it"
            print_note(clean(text))
    return GOOD


def run_alice(args: argparse.Namespace) -> int:
    """Run `rsfilter render alice`; return the exit code."""
    rendered = render_alice([load_config(path) for path in (args.config, *args.others)])
    for warning in rendered.warnings:
        print_note(clean(f"warning: {warning}"))
    sys.stdout.write(rendered.text)
    return GOOD


class Secrecy(NamedTuple):
    """Owner and mode of files with passwords. Without passwords every user may read them."""

    passwords: PasswordFiles
    user: str
    """User of ExaBGP, who reads its configuration again at a reload."""

    def apply(self, draft: Path, name: str) -> None:
        """Set the owner and the mode of a file that is not in place yet."""
        if not self.passwords or name == ENVIRONMENT_NAME:
            return
        draft.chmod(0o600)
        if name == CONFIG_NAME and os.geteuid() == 0:
            account = pwd.getpwnam(self.user)
            os.chown(draft, account.pw_uid, account.pw_gid)


def _write(
    directory: Path, rendered: Rendered, fanouts: dict[str, str], secrecy: Secrecy
) -> set[str]:
    """Write the files that differ; return the names of those that existed before."""
    changed = set()
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".render-", dir=directory) as scratch:
        drafts = {}
        for name, text in (rendered.files | fanouts).items():
            drafts[name] = Path(scratch, name)
            drafts[name].write_text(text, encoding="utf-8")
            secrecy.apply(drafts[name], name)
        validate(drafts[CONFIG_NAME], rendered.environment)
        validate_fanouts([drafts[name] for name in fanouts])
        for name, draft in drafts.items():
            target = directory / name
            was_there = target.exists()
            is_new = not was_there or _differs(target, draft)
            if is_new:
                draft.replace(target)
            if is_new and was_there:
                changed.add(name)
            sys.stdout.write(clean(f"{'wrote' if is_new else 'unchanged'} {target}") + "\n")
    return changed


def _differs(target: Path, draft: Path) -> bool:
    """Return whether a file has another content, owner or mode than its draft."""
    if target.read_bytes() != draft.read_bytes():
        return True
    was, is_ = target.stat(), draft.stat()
    return is_.st_mode & 0o077 == 0 and (was.st_mode, was.st_uid) != (is_.st_mode, is_.st_uid)


def validate_fanouts(paths: Sequence[Path]) -> None:
    """Check each configuration with BIRD, if BIRD is installed. Raises RenderError."""
    bird = shutil.which("bird", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if paths and bird is None:
        print_note("warning: bird.conf is not validated: BIRD is not installed here")
        return
    for path in paths:
        _check_by("BIRD", [str(bird), "-p", "-c", str(path)])


def validate(path: Path, environment: Mapping[str, str]) -> None:
    """Check a configuration with ExaBGP, as at its start. Raises RenderError."""
    if find_spec("exabgp") is None:
        print_note("warning: not validated: ExaBGP is not installed beside rsfilter")
        return
    _check_by("ExaBGP", [sys.executable, "-P", "-m", "exabgp", "validate", str(path)], environment)


def _check_by(
    program: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> None:
    """Make a program read its rendered files, with these variables set as well. RenderError
    when it refuses."""
    result = subprocess.run(  # noqa: S603 - no shell; the program's path was resolved here
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )
    if result.returncode != 0:
        raise RenderError([f"{program} refuses what was rendered:", result.stderr.strip()])
