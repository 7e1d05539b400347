"""`rsfilter render exabgp`: writes the files of ExaBGP and BIRD, once these find them good.
`rsfilter exabgp`: runs ExaBGP."""

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

from rsfilter.arguments import Subparsers
from rsfilter.config import load_config
from rsfilter.exabgp.fanout import render_fanouts
from rsfilter.exabgp.render import CONFIG_NAME, ENVIRONMENT_NAME, Rendered, RenderError, render
from rsfilter.exit_codes import GOOD
from rsfilter.plain import clean
from rsfilter.rpki.truth import load_truth

SPEAKER = (sys.executable, "-P", "-m", "rsfilter.speaker")
"""How we start ExaBGP."""

COMMAND = (sys.executable, "-P", "-m", "rsfilter")
"""How ExaBGP starts us: this Python, and nothing that lies in its working directory."""


def add_arguments(
    commands: Subparsers,
    configured: argparse.ArgumentParser,
) -> None:
    """Adds `render` to the command line."""
    parser = commands.add_parser("render", help="write the files of other programs")
    programs = parser.add_subparsers(dest="program", metavar="PROGRAM", required=True)
    exabgp = programs.add_parser(
        "exabgp",
        parents=[configured],
        help="exabgp.conf and exabgp.env, and bird.conf for a fan-out",
        description="Writes exabgp.conf and exabgp.env from configuration and truth, after "
        "ExaBGP has validated them. Files that would not change are left alone. Start with: "
        "set -a; . DIR/exabgp.env; rsfilter exabgp server DIR/exabgp.conf",
    )
    exabgp.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="made if it is not there"
    )
    exabgp.add_argument(
        "--user",
        type=_user,
        default=_current_user(),
        metavar="NAME",
        help="who ExaBGP and rsfilter become when started as root (default: %(default)s)",
    )
    exabgp.set_defaults(handler=_render)


def add_speaker_arguments(commands: Subparsers) -> None:
    """Adds `exabgp` to the command line."""
    parser = commands.add_parser(
        "exabgp",
        help="ExaBGP itself, with what costs it most replaced",
        description="Runs the ExaBGP that is installed beside rsfilter, in this process. A server "
        "has its costliest functions replaced, each only where it was made for this release; what "
        "is sent and said stays the same. WORDS are ExaBGP's own: server exabgp.conf, "
        "validate exabgp.conf, version.",
    )
    parser.add_argument("--stock", action="store_true", help="replace nothing")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="WORDS", help="for ExaBGP")
    parser.set_defaults(handler=_run_speaker)


def _run_speaker(args: argparse.Namespace) -> int:
    program = ["--stock", "exabgp"] if args.stock else ["exabgp"]
    # In place of this process: signals and the PID are ExaBGP's, and nothing else is loaded.
    os.execv(sys.executable, [*SPEAKER, *program, *args.words])  # noqa: S606 - no shell is wanted


def _user(name: str) -> str:
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        raise argparse.ArgumentTypeError(f"{name!r} is no user of this machine") from None


def _current_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's number without a name
        return "nobody"


def _render(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    truth = load_truth(config.truth.file) if config.truth else None
    rendered = render(config, truth, COMMAND, args.user)
    for warning in rendered.warnings:
        sys.stderr.write(clean(f"warning: {warning}") + "\n")
    fanouts = render_fanouts(config)
    umask = os.umask(0o022)  # `--user` reads what root writes; nothing in it is secret
    try:
        changed = _write(args.output, rendered, fanouts)
    finally:
        os.umask(umask)
    if ENVIRONMENT_NAME in changed:
        sys.stdout.write(f"Restart ExaBGP, in a quiet hour: only then it has {ENVIRONMENT_NAME}.\n")
    elif CONFIG_NAME in changed:
        sys.stdout.write(f"Reload ExaBGP (SIGUSR1): then it has {CONFIG_NAME}.\n")
    for path in sorted(args.output.glob("bird*.conf")) if fanouts else ():
        if path.name not in fanouts:
            text = f"warning: {path}: of another [fanout]; nothing writes it any more, remove it"
            sys.stderr.write(clean(text) + "\n")
    return GOOD


def _write(directory: Path, rendered: Rendered, fanouts: dict[str, str]) -> set[str]:
    """Writes what differs; the names of files that were there before and are other ones now."""
    changed = set()
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".render-", dir=directory) as scratch:
        drafts = {}
        for name, text in (rendered.files | fanouts).items():
            drafts[name] = Path(scratch, name)
            drafts[name].write_text(text, encoding="utf-8")
        validate(drafts[CONFIG_NAME], rendered.environment)
        validate_fanouts([drafts[name] for name in fanouts])
        for name, draft in drafts.items():
            target = directory / name
            was_there = target.exists()
            is_new = not was_there or target.read_bytes() != draft.read_bytes()
            if is_new:
                draft.replace(target)
            if is_new and was_there:
                changed.add(name)
            sys.stdout.write(clean(f"{'wrote' if is_new else 'unchanged'} {target}") + "\n")
    return changed


def validate_fanouts(paths: Sequence[Path]) -> None:
    """Has BIRD read each configuration, where there is a BIRD. Raises RenderError."""
    bird = shutil.which("bird", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if paths and bird is None:
        sys.stderr.write("warning: bird.conf is not validated: BIRD is not installed here\n")
        return
    for path in paths:
        _ask("BIRD", [str(bird), "-p", "-c", str(path)])


def validate(path: Path, environment: Mapping[str, str]) -> None:
    """Has ExaBGP read a configuration as it would at its start. Raises RenderError."""
    if find_spec("exabgp") is None:
        sys.stderr.write("warning: not validated: ExaBGP is not installed beside rsfilter\n")
        return
    _ask("ExaBGP", [sys.executable, "-P", "-m", "exabgp", "validate", str(path)], environment)


def _ask(
    program: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> None:
    """Lets a program read what was rendered for it, with these variables set as well. RenderError
    when it refuses."""
    result = subprocess.run(  # noqa: S603 - no shell; a program that we looked up ourselves
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
