"""The whole machine: `Pipeline.apply` takes each input and returns what follows from it.

`service` applies inputs in real time and `replay` in recorded time. The same inputs at the same
moments give byte-identical commands and the same audit.
"""

from __future__ import annotations

from rsfilter.audit.record import Auditable, ServiceEvent
from rsfilter.config.model import Config
from rsfilter.exabgp.unsettled import Unsettled
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.pipeline.inputs import (
    Configured,
    Input,
    Lines,
    Moment,
    RtrGone,
    RtrRead,
    TruthRead,
)
from rsfilter.pipeline.outputs import (
    DataInForce,
    HostsAbsent,
    LineNotUnderstood,
    Notice,
    Outputs,
    ReleaseKnown,
    ResyncProblem,
)
from rsfilter.routing.events import DataReplaced, DrainRequested, GuardReleased, GuardRestored
from rsfilter.routing.guard import Records

STOP = "stop"
"""The note after which nothing comes in."""

SKIPPED_EVERY_S = 60.0
"""Seconds between two notices of lines that were not understood: a host may cause any number."""


class Pipeline:
    """Sources of validation data and the filter, behind one door."""

    def __init__(self, config: Config) -> None:
        self.sources = Sources.of(config)
        self.filter = Filter(config, self.sources.nothing)
        self._commands: list[bytes] = []
        self._notices: list[Notice] = []
        self._notes: list[Auditable] = []
        self._is_release_known = False
        self._are_absent_known = False
        self._resync_problems = 0
        self._skipped_at = 0.0
        """Time from which another line that is not understood is worth a notice."""

    def apply(self, what: Input, moment: Moment) -> Outputs:
        """Take in one input and return what follows from it."""
        match what:
            case Lines():
                self._lines(what, moment)
            case TruthRead():
                self._replace(self.sources.truth_loaded(what.truth, what.prepared), moment)
            case RtrRead():
                event = self.sources.rtr_changed(what.snapshot, what.reason, what.prepared)
                self._replace(event, moment)
            case RtrGone():
                self._replace(self._gone(what), moment)
            case ServiceEvent():
                self._note(what, moment)
            case _:
                self._request(what, moment)
        return self._outputs(moment)

    def next_timer(self) -> float | None:
        """Time of the pipeline's clock at which `Lines` are due even if there are none."""
        return self.filter.next_timer()

    @property
    def next_expiry(self) -> float | None:
        """Last second, since the epoch, of the truth's entry that expires first; `Lines` are due
        after it."""
        return self.sources.next_expiry

    def take_records(self) -> Records:
        """Return what became of accepted, held and lost routes since the last call."""
        return self.filter.take_records()

    def _lines(self, what: Lines, moment: Moment) -> None:
        self._replace(self.sources.expire_truth(moment.time), moment)
        for line in what.lines:
            self.filter.line(line, moment.now)
        self._flush(moment)

    def _gone(self, what: RtrGone) -> DataReplaced | None:
        if what.why == "expired":
            return self.sources.rtr_expired()
        return self.sources.give_up_waiting()

    def _replace(self, event: DataReplaced | None, moment: Moment) -> None:
        if event is None:
            return
        self._notices.append(DataInForce(event.source, event.detail))
        self.filter.data_replaced(event, moment.now)
        self._flush(moment)

    def _note(self, what: ServiceEvent, moment: Moment) -> None:
        if what.event == STOP:
            self.filter.end(moment.now)
        self._notes.append(what)

    def _request(
        self,
        what: Configured | GuardReleased | DrainRequested | GuardRestored | Unsettled,
        moment: Moment,
    ) -> None:
        """Take in a request of the operator, or what an earlier process left."""
        match what:
            case Configured():
                self.filter.configured(what.config, moment.now, is_forced=what.is_forced)
            case GuardReleased():
                self.filter.guard_released(what, moment.now)
            case DrainRequested():
                self.filter.drain(what.on, what.by, moment.now, what.source)
            case GuardRestored():
                self.filter.guard_restored(what, moment.now)
            case Unsettled():
                self.filter.unsettled_before(what, moment.now)
                return  # nothing follows yet
        self._flush(moment)

    def _flush(self, moment: Moment) -> None:
        self._commands += self.filter.commands(moment.now)

    # What leaves -------------------------------------------------------------------------------

    def _outputs(self, moment: Moment) -> Outputs:
        self._notice_changes()
        skipped = self.filter.lines.take_skipped()
        if skipped and moment.now >= self._skipped_at:
            self._skipped_at = moment.now + SKIPPED_EVERY_S
            self._notices.append(LineNotUnderstood(skipped[-1].why, skipped[-1].beginning))
        commands, self._commands = self._commands, []
        notices, self._notices = self._notices, []
        notes, self._notes = self._notes, []
        return Outputs(
            commands,
            [*self.filter.take_audit(), *notes],
            notices,
            skipped,
            self.filter.unsettled,
            self.filter.record_haste,
            self.filter.engine.is_revalidating,
            self.filter.is_shut_down,
            self.filter.lines.unsupported,
        )

    def _notice_changes(self) -> None:
        if not self._is_release_known and self.filter.lines.release:
            self._is_release_known = True
            self._notices.append(ReleaseKnown(self.filter.lines.release))
        if not self._are_absent_known and self.filter.deferral.is_over:
            self._are_absent_known = True
            self._notices.append(HostsAbsent(self.filter.deferral.awaited))
        problems = self.filter.resync.problems
        if problems.total() != self._resync_problems:
            self._resync_problems = problems.total()
            self._notices.append(ResyncProblem(problems.copy()))
