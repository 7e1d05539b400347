"""Families of metrics from plain values, each under the name `rsfilter_NAME`."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


def value(name: str, text: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(f"rsfilter_{name}", text, value=float(value))


def total(name: str, text: str, value: float) -> Metric:
    """Return a counter without labels."""
    return CounterMetricFamily(f"rsfilter_{name}", text, value=float(value))


def gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """Return a gauge with one label."""
    family = GaugeMetricFamily(f"rsfilter_{name}", text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), float(value))
    return family


def counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    """Return a counter with one label."""
    family = CounterMetricFamily(f"rsfilter_{name}", text, labels=(label,))
    for key, value in sorted(values.items()):
        family.add_metric((key,), value)
    return family
