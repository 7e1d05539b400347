"""The command line: parses, dispatches, and turns errors into messages and exit codes.

What a command does is in its room. Results go to stdout, which belongs to ExaBGP while `run`
runs; errors and logs go to stderr.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rsfilter import __version__, arguments, check, impact
from rsfilter.arguments import Subparsers
from rsfilter.audit import commands as audit_commands
from rsfilter.commands import fleet
from rsfilter.config import DEFAULT_PATH, ConfigError, load_config
from rsfilter.exabgp import commands as exabgp_commands
from rsfilter.exabgp.render import RenderError
from rsfilter.exit_codes import FAILED, GOOD, INTERRUPTED, INVALID
from rsfilter.plain import PlainFormatter, clean_lines, write_anything
from rsfilter.rpki import commands as truth_commands
from rsfilter.rpki.truth import TruthError
from rsfilter.terminal import clean
from rsfilter.web import commands as web_commands
from rsfilter.web.client import ClientError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and answers with its exit code. Usage errors raise SystemExit(2)."""
    args = _parsed(argv)
    write_anything()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.INFO, handlers=[handler])
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it logs every change of a file
    try:
        code: int = args.handler(args)
        sys.stdout.flush()
    except ClientError as error:
        sys.stderr.write(f"rsfilter {args.command}: {clean(str(error))}\n")
        return FAILED
    except (ConfigError, TruthError, RenderError) as error:
        sys.stderr.write(clean_lines(f"{error}\n"))
        return INVALID
    except BrokenPipeError:
        # Who read the output has gone. Nothing may be written at exit, or Python complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        sys.stderr.write(clean_lines(f"rsfilter {args.command}: {_message(error)}\n"))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        is_file = any(word.endswith(".toml") for word in unknown)
        hint = "; name the configuration with -c FILE" if is_file else ""
        parser.error(f"{args.command} does not take {clean(' '.join(unknown))}{hint}")
    return args


def _message(error: OSError) -> str:
    """What failed and why, without the number, and with the file's name as it was given."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rsfilter",
        description="The route-server filter behind ExaBGP for hosts that speak BGP.",
        epilog="Exit codes: 0 good, 1 failed, 2 usage, configuration or truth invalid, "
        "3 impact found losses.",
    )
    parser.add_argument("--version", action="version", version=f"rsfilter {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more, to stderr")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument(
        "-c",
        "--config",
        type=Path,
        default=DEFAULT_PATH,
        metavar="FILE",
        help="the configuration (default: ./%(default)s)",
    )
    _add_run(commands, configured)
    check.add_arguments(commands, configured)
    _add_replay(commands, configured)
    _add_explain(commands, configured)
    truth_commands.add_arguments(commands)
    exabgp_commands.add_arguments(commands, configured)
    exabgp_commands.add_speaker_arguments(commands)
    impact.add_arguments(commands)
    web_commands.add_arguments(commands)
    audit_commands.add_arguments(commands)
    fleet.add(commands)
    _add_completion(commands)
    return parser


def _add_run(commands: Subparsers, configured: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "run",
        parents=[configured],
        help="the process that ExaBGP starts",
        description="Filters: reads ExaBGP's JSON lines from stdin, writes commands to stdout, "
        "logs to stderr. ExaBGP starts it; it ends with ExaBGP.",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="record all that comes in, for replay; a FILE that is there becomes FILE.1",
    )
    parser.set_defaults(handler=_run)


WORK_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What they do by default is to kill."""

SHORTEST_LIFE_S = 15.0
"""Of a filter that cannot run. ExaBGP gives up at the sixth exit within 64 s; this makes four."""


def _run(args: argparse.Namespace) -> int:
    # Whoever sends one of these means a filter at work: until it is, they wait (`service`).
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WORK_SIGNALS)
    from rsfilter.exabgp.pipe import leave_a_reader, linger
    from rsfilter.service import run

    started = time.monotonic()
    _last_reader = leave_a_reader(0)  # there as long as we are
    try:
        return run(load_config(args.config), args.record)
    except Exception as error:
        if isinstance(error, ConfigError):
            sys.stderr.write(clean_lines(f"{error}\n"))
            code = INVALID
        else:
            logging.getLogger(__name__).critical("the filter cannot run", exc_info=True)
            code = FAILED
        linger(0, started + SHORTEST_LIFE_S)
        return code
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _add_replay(commands: Subparsers, configured: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "replay",
        parents=[configured],
        help="run over recorded lines, without ExaBGP",
        description="Does what run would have done over recorded lines, in recorded time, and "
        "prints the commands. The same recording always gives the same commands and audit log.",
    )
    parser.add_argument(
        "lines", nargs="+", type=Path, metavar="LINES", help="a recording, or lines of ExaBGP"
    )
    parser.add_argument(
        "--audit",
        type=Path,
        required=True,
        metavar="DIR",
        help="where the audit log of the replay goes: never the running filter's",
    )
    parser.add_argument(
        "--vrps", type=Path, metavar="FILE", help="VRPs in place of the RTR caches' (JSON)"
    )
    parser.set_defaults(handler=_replay)


def _replay(args: argparse.Namespace) -> int:
    from rsfilter.replay import replay

    return replay(load_config(args.config), args.lines, audit=args.audit, vrps=args.vrps)


def _add_explain(commands: Subparsers, configured: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "explain",
        parents=[configured],
        help="the verdict on a route, and why",
        description="Judges one route by the data of this moment: each check, the verdict, and "
        "the VRPs that decided.",
    )
    parser.add_argument(
        "prefix", type=arguments.prefix, metavar="PREFIX", help="what is announced: 203.0.113.7"
    )
    parser.add_argument(
        "--asn", type=arguments.asn, required=True, metavar="N", help="the host's ASN"
    )
    parser.add_argument(
        "--neighbor",
        type=arguments.address,
        metavar="ADDRESS",
        help="the host's session address (default: the one that truth binds to the ASN, else one "
        "of the host group with this ASN, else an assumed one)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=_explain)


def _explain(args: argparse.Namespace) -> int:
    from rsfilter.explain import explain

    return explain(args)


def _add_completion(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "completion",
        help="what makes the shell complete commands",
        description="bash: rsfilter completion bash > /etc/bash_completion.d/rsfilter; "
        "zsh: rsfilter completion zsh > a directory of $fpath, as _rsfilter",
    )
    parser.add_argument("shell", choices=["bash", "zsh"], metavar="{bash,zsh}")
    parser.set_defaults(handler=_completion)


def _completion(args: argparse.Namespace) -> int:
    import shtab

    sys.stdout.write(shtab.complete(_parser(), args.shell) + "\n")
    return GOOD
