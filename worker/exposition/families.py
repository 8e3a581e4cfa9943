"""Metrics as Prometheus has them, under one prefix.

Names keep to Prometheus' conventions: base units, ``_total`` for what only grows (which the library adds).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from worker.metering import BOUNDS_SECONDS, Histogram

_BOUNDS: Final = [*map(str, BOUNDS_SECONDS), "+Inf"]


@dataclass(frozen=True, slots=True)
class Families:
    """Makes metrics whose names begin with ``prefix``. Each is given its name, what it tells, and its values."""

    prefix: str

    def info(self, name: str, text: str, facts: dict[str, str]) -> Metric:
        """Facts that stay, as labels."""
        return InfoMetricFamily(self.prefix + name, text, facts)

    def gauge(self, name: str, text: str, value: float) -> Metric:
        """A value that goes up and down."""
        return GaugeMetricFamily(self.prefix + name, text, value)

    def counter(self, name: str, text: str, value: float) -> Metric:
        """A value that only grows."""
        return CounterMetricFamily(self.prefix + name, text, value)

    def gauges(self, name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
        """One gauge for each tuple of words, in the order of the labels."""
        family = GaugeMetricFamily(self.prefix + name, text, labels=labels)
        for words, value in values.items():
            family.add_metric(words, value)
        return family

    def counters(self, name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
        """One counter for each tuple of words, in the order of the labels."""
        family = CounterMetricFamily(self.prefix + name, text, labels=labels)
        for words, value in values.items():
            family.add_metric(words, value)
        return family

    def histogram(self, name: str, text: str, histogram: Histogram) -> Metric:
        """Durations."""
        return HistogramMetricFamily(self.prefix + name, text, _buckets(histogram), histogram.total_seconds)

    def histograms(self, name: str, text: str, label: str, histograms: Mapping[str, Histogram]) -> Metric:
        """Durations, for each word of one label."""
        family = HistogramMetricFamily(self.prefix + name, text, labels=(label,))
        for word, histogram in histograms.items():
            family.add_metric((word,), _buckets(histogram), histogram.total_seconds)
        return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Upper ends and how many were not above them."""
    return list(zip(_BOUNDS, itertools.accumulate(histogram.counts), strict=True))
