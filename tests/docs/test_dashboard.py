"""The dashboard and the alerts, against a real Prometheus that scrapes two filters."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from lab.waiting import eventually
from support.places import ROOT
from support.web_site import BEFORE, running_site

pytestmark = pytest.mark.lab

EXAMPLES = ROOT / "docs" / "examples"
DASHBOARD = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
RULES = yaml.safe_load((EXAMPLES / "prometheus-rules.yml").read_text())

INSTANCES = ("127.77.1.1:8480", "127.77.1.2:8480")

CONFIGURATION = {
    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
    "rule_files": [str(EXAMPLES / "prometheus-rules.yml")],
    "scrape_configs": [{"job_name": "rsfilter", "static_configs": [{"targets": [*INSTANCES]}]}],
}

ELSEWHERE = re.compile(r"rsfilter_(rtr|fleet|hosts_near|hosts_lacking)_")
"""Metrics that these two filters do not have: of RTR caches, of a fleet, of hosts near a limit or
without a capability."""

SELECTOR = re.compile(r"\b(?:rsfilter|process)_\w+(?:\{[^}]*\})?|\bup\{[^}]*\}")


class Prometheus:
    """Answers queries about both filters."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **query: str) -> Any:
        """Return the API's answer. Raises OSError for a query that it does not understand."""
        with urlopen(f"{self._url}/api/v1/{path}?{urlencode(query)}", timeout=20) as answer:
            return json.load(answer)["data"]

    def series(self, expression: str) -> list[dict[str, str]]:
        """The labels of each series of an expression now."""
        return [each["metric"] for each in self.get("query", query=expression)["result"]]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Require that it has scraped both filters often enough for rates."""
    program = shutil.which("prometheus")
    assert program, "make test installs Prometheus"
    place = tmp_path_factory.mktemp("prometheus")
    (place / "prometheus.yml").write_text(json.dumps(CONFIGURATION))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    truth = BEFORE | {"metadata": {"revision": "r1", "generated": "2026-11-22T10:00:00Z"}}
    with contextlib.ExitStack() as site:
        for number, instance in enumerate(INSTANCES):
            (filter_place := place / f"rs{number}").mkdir()
            site.enter_context(running_site(filter_place, listen=instance, truth=truth))
        with open(place / "log", "wb") as log:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={place}/prometheus.yml",
                    f"--storage.tsdb.path={place}/data",
                    f"--web.listen-address={address}",
                ],
                stdout=log,
                stderr=log,
            )
        site.callback(process.wait)
        site.callback(process.kill)
        running = Prometheus(f"http://{address}")

        def probe() -> str | None:
            try:
                rates = running.series('count_over_time(up{job="rsfilter"}[1m]) > 2')
            except OSError as error:
                return f"Prometheus does not answer: {error}"
            return None if len(rates) == len(INSTANCES) else f"it has scraped {rates}"

        eventually(probe, (place / "log").read_text)
        yield running


def substituted(expression: str) -> str:
    """An expression as Grafana sends it."""
    return expression.replace("$instance", ".*").replace("$__rate_interval", "1m")


PANELS = [
    pytest.param(target["expr"], target["legendFormat"], id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]


@pytest.mark.parametrize(("expression", "legend"), PANELS)
def test_a_panel_distinguishes_the_instances(
    prometheus: Prometheus, expression: str, legend: str
) -> None:
    """Its query gives series of both, each with a legend of its own."""
    series = prometheus.series(substituted(expression))
    if ELSEWHERE.search(expression):
        assert series == []
        assert "{{instance}}" in legend
        return
    assert {labels["instance"] for labels in series} == set(INSTANCES)
    if legend:
        legends = [
            re.sub(r"\{\{(\w+)\}\}", lambda m, of=labels: of[m[1]], legend) for labels in series
        ]
        assert len(set(legends)) == len(series), legends


def test_legends_of_a_panel_differ() -> None:
    for panel in DASHBOARD["panels"]:
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(legends)) == len(legends), panel["title"]


def test_the_dashboard_offers_every_instance_to_choose(prometheus: Prometheus) -> None:
    assert set(prometheus.get("label/instance/values")) == set(INSTANCES)
    (variable,) = (v for v in DASHBOARD["templating"]["list"] if v["name"] == "instance")
    metric = re.fullmatch(r"label_values\((\w+), instance\)", variable["definition"])
    assert metric is not None
    assert {labels["instance"] for labels in prometheus.series(metric[1])} == set(INSTANCES)
    one = DASHBOARD["panels"][2]["targets"][0]["expr"].replace("$instance", INSTANCES[0])
    assert [labels["instance"] for labels in prometheus.series(one)] == [INSTANCES[0]]


def test_every_alert_is_evaluated(prometheus: Prometheus) -> None:
    """Prometheus takes all rules; each metric that they read is there for both instances."""

    def probe() -> str | None:
        groups = prometheus.get("rules")["groups"]
        states = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        assert len(states) == sum(len(group["rules"]) for group in RULES["groups"])
        wrong = {name: health for name, health in states.items() if health != "ok"}
        return f"these were not evaluated: {wrong}" if wrong else None

    eventually(probe)
    for group in RULES["groups"]:
        for rule in group["rules"]:
            for selector in SELECTOR.findall(rule["expr"]):
                if not ELSEWHERE.search(selector):
                    found = {labels["instance"] for labels in prometheus.series(selector)}
                    assert found == set(INSTANCES), (rule["alert"], selector)
