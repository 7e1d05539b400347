"""Absent hosts, and by how many route servers each is seen. No clock, no database."""

from __future__ import annotations

from rsfilter.fleet.ledger import Ledger, Record
from rsfilter.fleet.sightings import Sighting, seen_here, sightings
from rsfilter.fleet.state import MAX_NAME, MAX_SEEN, AbsentHost, GroupState, Heartbeat, Peer

HV1, HV2 = "198.51.100.1", "198.51.100.2"


def ledger(*records: Record) -> Ledger:
    made = Ledger("key", lambda neighbor: "g" if neighbor.startswith("198.51.100.") else "")
    for record in records:
        made.apply(record, 0.0)
    return made


def absent(neighbor: str, host: str = "hv", prefix: str = "") -> Record:
    return Record(0, "absent", neighbor=neighbor, host=host, prefix=prefix)


def up(neighbor: str) -> Record:
    return Record(0, "session_up", neighbor=neighbor)


def peer(instance: str, state: Heartbeat, age: float = 0.0) -> Peer:
    return Peer(instance, age, state, None)


def heartbeat(*absent: str, seen: tuple[str, ...] = (), group: str = "g") -> Heartbeat:
    hosts = [AbsentHost(neighbor, "hv", group) for neighbor in absent]
    return Heartbeat(absent=hosts, seen=list(seen), groups=[GroupState(group, group, "p")])


def test_the_log_names_absent_hosts() -> None:
    made = ledger(absent(HV1, "h" * 200), absent(HV2), absent(HV2, prefix="203.0.113.1/32"))
    assert made.absent == {
        HV1: AbsentHost(HV1, "h" * MAX_NAME, "g"),
        HV2: AbsentHost(HV2, "hv", "g"),
    }
    made.apply(Record(0, "present", neighbor=HV2, prefix="203.0.113.1/32"), 0.0)
    assert set(made.absent) == {HV1, HV2}
    made.apply(Record(0, "present", neighbor=HV1), 0.0)
    assert set(made.absent) == {HV2}
    made.apply(Record(0, "start"), 0.0)
    assert made.absent == {}


def test_what_others_miss_is_seen_here_if_its_session_is_up() -> None:
    made = ledger(up(HV1), Record(0, "session_down", neighbor=HV2))
    missing = peer("rs2", heartbeat(HV1, HV2, "198.51.100.3"))
    assert seen_here(made, ["g"], [missing]) == [HV1]
    assert seen_here(made, ["another"], [missing]) == []
    assert seen_here(made, ["g"], [missing._replace(age=999.0)]) == []
    # Its session is up with another ASN than truth has.
    made.apply(absent(HV1), 0.0)
    assert seen_here(made, ["g"], [missing]) == []


def test_what_a_hostile_instance_calls_absent_is_bounded() -> None:
    names = [f"198.51.100.{n % 256}:{n}" for n in range(3000)]
    made = ledger(*map(up, names))
    assert len(seen_here(made, ["g"], [peer("rs2", heartbeat(*names))])) == MAX_SEEN


def test_each_absent_host_is_counted_once() -> None:
    found = list(
        sightings(
            [
                peer("rs2", heartbeat(HV1, HV2)),
                peer("rs1", heartbeat(HV2, seen=(HV1,))),
                peer("rs3", heartbeat("198.51.100.9"), age=999.0),
                peer("rs4", heartbeat(group="another")),
                peer("rs5", heartbeat()),  # does not know of HV1: neither absent, nor up
            ]
        )
    )
    assert found == [
        Sighting(HV2, "hv", ("rs1", "rs2"), (), 3),
        Sighting(HV1, "hv", ("rs2",), ("rs1",), 3),
    ]
