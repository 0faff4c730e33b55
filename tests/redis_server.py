"""A private Redis for tests: the wheel's program on a Unix socket, in memory only, ended with the tests."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from chaos.until import PATIENCE_SECONDS, wait_until
from ops.supervisor import child
from ops.supervisor.redis_server import find_binary

__all__ = ["RedisForTests", "wait_until"]


class RedisForTests:
    """Started by `start`, any number of times; the socket's path stays the same."""

    def __init__(self) -> None:
        # A Unix socket's path may have 108 bytes: pytest's own directories are too deep.
        self.directory = Path(tempfile.mkdtemp(prefix="nightshift-redis-"))
        self.socket = self.directory / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For clients: `unix://...`."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Until it answers. On Linux it ends with the tests' process, however that ends."""
        argv = [str(find_binary()), "--port", "0", "--unixsocket", str(self.socket)]
        argv += ["--save", "", "--dir", str(self.directory)]
        if sys.platform == "linux":
            argv = child.command(argv)
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        wait_until(self._answers, "an answer of Redis")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Until it is gone."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def close(self) -> None:
        """Stop it and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with Redis(unix_socket_path=str(self.socket)) as client:
                return bool(client.ping())
        except RedisError:
            return False
