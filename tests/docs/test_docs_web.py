"""Names in docs/api.md, docs/metrics.md and docs/examples: those that exist, no more and no
less."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.places import ROOT
from support.speaker import state
from support.web_bench import HV7, ROUTER, TRUTH, Bench

from rsfilter.config.build import FleetConfig
from rsfilter.config.database import parse_url
from rsfilter.fleet.supervisor import Supervisor
from rsfilter.rtr.caches import CacheAddress, CacheStatus
from rsfilter.web.endpoints import ENDPOINTS
from rsfilter.web.event_stream import KIND_NAMES

DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"


class Caches:
    """One RTR cache, as its status shows it."""

    is_fresh = True

    def status(self) -> list[CacheStatus]:
        address = CacheAddress("192.0.2.50", 8282)
        counts = (address, "established", True, True, 1.0, 7, 42, 500, 0, 0)
        return [CacheStatus(*counts, 3600, 90.0, False, 0, 0, None, 0)]


class Watcher:
    error = None


@pytest.fixture
async def exposition(tmp_path: Path) -> str:
    """The metrics of a filter with everything configured."""
    bench = Bench(tmp_path, truth={**TRUTH, "metadata": {"generated": "2026-11-22T10:00:00Z"}})
    bench.running.caches = Caches()  # type: ignore[assignment]
    bench.running.watcher = Watcher()  # type: ignore[assignment]
    fleet = FleetConfig("site-a", parse_url("postgresql://rs1@127.0.0.1/rsfilter"))
    bench.running.fleet = Supervisor(fleet, tmp_path)
    bench.feed(state(ROUTER, 65200, "up"))
    bench.announces(HV7, 65007, "203.0.113.1/32", "203.0.113.17/32")
    async with bench.client() as client:
        await client.get("/api/v1/truth")
        return (await (await client.http.get("/metrics")).read()).decode()


def families(exposition: str) -> dict[str, str]:
    """Type by name, as a query names it."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for family in text_string_to_metric_families(exposition)
    }


def test_every_metric_is_documented_and_no_other(exposition: str) -> None:
    rows = re.findall(
        r"^\| `((?:rsfilter|process)_\w+)`[^|]*\| (\w+) \|",
        (DOCS / "metrics.md").read_text(),
        re.MULTILINE,
    )
    assert dict(rows) == families(exposition)


def test_every_endpoint_is_documented_and_no_other() -> None:
    text = (DOCS / "api.md").read_text()
    rows = re.findall(r"^\| `(GET|POST) ([^`?]+)`", text, re.MULTILINE)
    paths = {(e.method, e.path.replace("{address}/{length}", "{prefix}")) for e in ENDPOINTS}
    assert set(rows) == paths
    for kind in KIND_NAMES:
        assert f"`{kind}`" in text


def expressions(value: Any) -> Iterator[str]:
    """Every `expr` in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            yield value["expr"]
        for item in value.values():
            yield from expressions(item)
    elif isinstance(value, list):
        for item in value:
            yield from expressions(item)


def known(expression: str, names: dict[str, str]) -> bool:
    """Every metric in the expression is one of ours."""
    used = set(re.findall(r"(?:rsfilter|process)_\w+", expression))
    parts = {f"{name}{end}" for name in names for end in ("", "_bucket", "_sum", "_count")}
    return bool(used) and used <= parts


def test_the_dashboard_uses_metrics_that_exist(exposition: str) -> None:
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    requested = [each for each in expressions(dashboard) if not each.startswith("up{")]
    assert len(requested) >= 10
    assert [text for text in requested if not known(text, families(exposition))] == []


def test_the_alerts_use_metrics_that_exist(exposition: str) -> None:
    text = (EXAMPLES / "prometheus-rules.yml").read_text()
    requested = re.findall(r"^ +expr: (.+)$", text, re.MULTILINE)
    assert len(requested) >= 8
    ours = [expression for expression in requested if not expression.startswith("up{")]
    assert [each for each in ours if not known(each, families(exposition))] == []


def test_each_alert_has_a_runbook() -> None:
    """Its runbook is a heading in the manual, and no heading is of an alert that is not there."""
    rules = (EXAMPLES / "prometheus-rules.yml").read_text()
    alerts = re.findall(r"^ +- alert: (\w+)$", rules, re.MULTILINE)
    assert len(alerts) >= 10
    runbooks = re.findall(r"^ +runbook_url: https://\S+/operations/#(\w+)$", rules, re.MULTILINE)
    assert runbooks == [alert.lower() for alert in alerts]
    _, _, manual = (DOCS / "operations.md").read_text().partition("\n## Alarms\n")
    assert re.findall(r"^### (\w+)$", manual, re.MULTILINE) == alerts


def test_each_alert_names_its_instance() -> None:
    rules = (EXAMPLES / "prometheus-rules.yml").read_text()
    summaries = re.findall(r"^ +summary: (.+)$", rules, re.MULTILINE)
    assert [text for text in summaries if "$labels.instance" not in text] == []


def promtool(*arguments: str, stdin: str = "") -> str:
    """Run promtool; it has to be content."""
    done = subprocess.run(
        ["promtool", *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_likes_the_metrics(exposition: str) -> None:
    promtool("check", "metrics", stdin=exposition)


def test_promtool_likes_the_alerts() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(EXAMPLES / "prometheus-rules.yml"))


def test_the_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", str(Path(__file__).parent / "prometheus-rules-test.yml"))
