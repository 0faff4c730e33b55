"""One primary, replicas and three Sentinels on loopback, ended with the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from chaos.stack import free_port
from chaos.until import wait_until
from ops.supervisor import child
from ops.supervisor.redis_server import find_binary

SERVICE = "night"
#: silence after which a primary is taken for gone, milliseconds
DOWN_AFTER = 1000


@dataclass
class Failover:
    """Started by `start`. Servers are known by their ports; the first is the primary."""

    replicas: int = 2
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nightshift-failover-")))
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    sentinels: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """For `REDIS_URL`."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinels)}/{SERVICE}"

    def start(self) -> None:
        """Until the replicas follow, and the Sentinels know them and each other."""
        first, *others = (free_port() for _ in range(1 + self.replicas))
        for port in (first, *others):
            argv = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._own(port))]
            argv += ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
            argv += ["--replicaof", f"127.0.0.1 {first}"] if port != first else []
            self.servers[port] = self._run(argv)
        wait_until(
            lambda: self._info(first, "replication").get("connected_slaves") == self.replicas, "the replicas", 30
        )
        for port in [free_port() for _ in range(3)]:
            config = self._own(port) / "sentinel.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\nsentinel monitor {SERVICE} 127.0.0.1 {first} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}\nsentinel failover-timeout {SERVICE} 5000\n"
            )
            self.sentinels[port] = self._run([str(config), "--sentinel"])
        wait_until(lambda: all(map(self._is_complete, self.sentinels)), "the Sentinels")

    @property
    def primary(self) -> int:
        """The port of the server that the Sentinels call so."""
        with Redis(port=next(iter(self.sentinels))) as asked:
            return int(asked.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def close(self) -> None:
        """End all of them."""
        for process in (*self.sentinels.values(), *self.servers.values()):
            process.kill()
            process.wait(120)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _is_complete(self, port: int) -> bool:
        found = self._info(port, "sentinel").get("master0", {})
        return (found.get("status"), found.get("slaves"), found.get("sentinels")) == ("ok", self.replicas, 3)

    def _info(self, port: int, section: str) -> dict[str, Any]:
        try:
            with Redis(port=port) as asked:
                found: dict[str, Any] = asked.info(section)
                return found
        except RedisError:
            return {}

    def _own(self, port: int) -> Path:
        path = self.directory / str(port)
        path.mkdir(exist_ok=True)
        return path

    def _run(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        argv = [str(find_binary()), *arguments]
        return subprocess.Popen(child.command(argv) if sys.platform == "linux" else argv, stdout=subprocess.DEVNULL)
