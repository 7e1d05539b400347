"""Logging: unlogged messages cost little.

Replaces `log.debug` while the level is above DEBUG (it is called some ten times for a route, and
calls three functions to check the level), and the functions of `announce attributes` and `withdraw
attributes`, which build a line with the whole route before they check. The log is the same.

Upstream: main has the same calls. To be proposed: pass functions to `log_message`, as to `log`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.logger:_log": {
        "5.0.15": "052d72734cb9f89db111c941683a4889944f4a96f48db9f7b836a1d77efc99ae",
    },
    "exabgp.logger:log": {
        "5.0.15": "d26cc64c8c09f69035a7f5698be6a26293cfc0533a97b04b7171a74892b5b0ca",
    },
    "exabgp.logger.option:option": {
        "5.0.15": "81ea0758f428b793dad1956778b72d22fa37cdbc4689f0b0def93727d6cd8d71",
    },
    "exabgp.reactor.api:API": {
        "5.0.15": "9d6bc07757ef9708f56812ecb88963d1f7ebbbf49387aef53e3d0901f161f3c1",
    },
    "exabgp.reactor.api.command.announce:announce_attributes": {
        "5.0.15": "576c0115f8832656fc864e969b894e79ca675ed397ac971708ac7d71fb5417f1",
    },
    "exabgp.reactor.api.command.announce:withdraw_attribute": {
        "5.0.15": "c6a46d63b1eae29d739c69a54873a1d7d8efc817a91ff0680f8982bf0b3d0311",
    },
}


def _install() -> None:
    _log_no_debug()
    _print_routes_on_request()


def _log_no_debug() -> None:
    from exabgp.logger import _log, log
    from exabgp.logger.option import option

    stock_init, stock_debug = _log.init, log.debug

    def init(env: Any) -> None:
        stock_init(env)
        log.debug = stock_debug if option.logit.get("DEBUG") else staticmethod(debug)

    def debug(message: Any, source: str = "", level: str = "DEBUG") -> None:
        if level != "DEBUG" or not callable(message):
            stock_debug(message, source, level)

    _log.init = staticmethod(init)


def _print_routes_on_request() -> None:
    from exabgp.bgp.message import Action
    from exabgp.reactor.api.command.command import Command

    announce = _command(Action.ANNOUNCE)
    withdraw = _command(Action.WITHDRAW)
    for name in ("attribute", "attributes"):
        Command.callback["text"][f"announce {name}"] = announce
        Command.callback["text"][f"withdraw {name}"] = withdraw


def _command(action: Any) -> Callable[..., bool]:
    from exabgp.bgp.message import Action
    from exabgp.reactor.api.command import announce

    is_announce = action == Action.ANNOUNCE

    def command(self: Any, reactor: Any, service: str, line: str, _use_json: bool) -> bool:
        def callback() -> Iterator[bool]:
            try:
                descriptions, words = announce.extract_neighbors(line)
                peers = announce.match_neighbors(reactor.peers(service), descriptions)
                if not peers:
                    yield refused(f"no neighbor matching the command : {words}")
                    return
                changes = self.api_attributes(words, peers)
                if not changes:
                    yield refused(f"command could not parse route in : {words}")
                    return
                for change in changes:
                    change.nlri.action = action
                    is_done = reactor.configuration.inject_change(peers, change)
                    if is_announce:
                        _note("route added to", peers, change)
                    elif is_done:
                        _note("route removed from", peers, change)
                    else:
                        self.log_failure(_line("route not found on", peers, change))
                    yield False
                reactor.processes.answer_done(service)
            except (ValueError, IndexError):
                yield refused("issue parsing the route")

        def refused(why: str) -> bool:
            self.log_failure(why)
            reactor.processes.answer_error(service)
            return True

        reactor.asynchronous.schedule(service, line, callback())
        return True

    return command


def _line(what: str, peers: Sequence[str], change: Any) -> str:
    return f"{what} {', '.join(peers)} : {change.extensive()}"


def _note(what: str, peers: Sequence[str], change: Any) -> None:
    from exabgp.logger import log

    log.info(lambda: _line(what, peers, change), "processes", "INFO")


REPLACEMENT = Replacement("quiet", MADE_FOR, _install)
