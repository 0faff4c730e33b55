"""What deploy/ has for Prometheus and Grafana: loaded by Prometheus' own tool, and asking only for what `/metrics` tells."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.services import EXTENSION
from app import counters, supervisors, worker_status
from app.settings import Settings
from app.worker_status import WorkerState, WorkerStatus
from tests.needs import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
#: labels that Prometheus adds, or that make a histogram's buckets
_ITS_OWN = {"instance", "job", "le"}


@pytest.fixture
def scraped(redis_url: str) -> Iterator[dict[str, set[str]]]:
    """What `/metrics` tells of a whole that has a worker and has done something: samples by name, with their labels."""
    app = create_app(Settings(redis_url=redis_url))
    here = app.extensions[EXTENSION]
    supervisors.announce(here.connection, supervisors.of_this_process(Settings(), supervisors.Part.UP))
    worker_status.write(here.connection, WorkerStatus(name="h-1-worker-1-abcdef", state=WorkerState.IDLE))
    pipe = here.connection.pipeline()
    counters.add(pipe, counters.REQUESTS, "/v1/chat/completions", "sonnet", "completed")
    counters.add(pipe, counters.TOKENS, "input", "sonnet")
    counters.add(pipe, counters.COST, "sonnet")
    pipe.execute()
    told: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(app.test_client().get("/metrics").text):
        for sample in family.samples:
            told.setdefault(sample.name, set()).update(sample.labels)
    yield told
    here.waiting.stop()
    here.connection.close()


def queries() -> list[str]:
    """The dashboard's, with Grafana's variables filled in."""
    dashboard: Any = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    found += [one["expr"] for one in dashboard["annotations"]["list"]]
    return [expr.replace("$__rate_interval", "1m").replace("$instance", ".*") for expr in found]


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run([needs("promtool"), *map(str, arguments)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_loads_them() -> None:
    """The configuration, with the rules that it names."""
    assert "1 rule files found" in promtool("check", "config", DEPLOY / "prometheus.yml")


def test_each_alert_fires_for_its_cause() -> None:
    """And for no other; none does on a quiet night."""
    promtool("test", "rules", Path(__file__).with_name("alerts.test.yml"))
    tested = Path(__file__).with_name("alerts.test.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)", (DEPLOY / "alerts.yml").read_text())
    assert [name for name in alerts if f'"{name}"' not in tested] == []


def test_the_dashboards_queries_are_promql(tmp_path: Path) -> None:
    """Each is understood by Prometheus."""
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(queries())]
    path = tmp_path / "rules.json"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


def test_they_ask_for_what_there_is(scraped: dict[str, set[str]]) -> None:
    """No name of a metric and no label in an alert or a panel that `/metrics` does not have."""
    alerts = re.findall(r"expr: (\|\n(?: {10}.*\n)+|.*\n)", (DEPLOY / "alerts.yml").read_text())
    variable = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["templating"]["list"][1]
    labels = set().union(*scraped.values()) | _ITS_OWN
    asked = [*alerts, *queries(), variable["definition"]]
    assert len(asked) > 40
    for expr in asked:
        if "ALERTS" in expr:
            continue
        names = set(re.findall(r"nightshift_\w+", expr))
        assert names - scraped.keys() == set(), expr
        grouped = re.findall(r"(?:by|on|without|group_left) \(([^)]*)\)", expr)
        matched = re.findall(r"[{,]\s*(\w+)\s*(?:=|!=|=~|!~)\"", expr)
        assert {*matched, *(one for group in grouped for one in re.split(r",\s*", group))} - labels == set(), expr
