"""A Redis as people expose one: by TLS with a CA of one's own, and to Nightshift's user with the rights that docs/deploy.md gives it.

The wheel's server knows no TLS: Debian's does. Without that one it is the same by TCP alone.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from chaos.stack import ROOT, free_port
from chaos.until import PATIENCE_SECONDS, wait_until
from ops.supervisor import child
from ops.supervisor.redis_server import find_binary

USER = "nightshift"
#: of TLS: names of options, and of files in the server's directory
FILES = MappingProxyType({"cert": "server.pem", "key": "server.key", "ca-cert": "ca.pem"})
#: `openssl` for each file of a CA, and of a server that has its word for 127.0.0.1
_CERTIFICATES = """
req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2
req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -subj /CN=redis -out server.csr
x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem
"""


def rights() -> str:
    """What docs/deploy.md tells people to paste, after `ACL SETUSER nightshift on >PASSWORD`."""
    (found,) = re.findall(r"ACL SETUSER nightshift on >PASSWORD (.+)", (ROOT / "docs" / "deploy.md").read_text())
    return str(found)


@dataclass
class SecureRedis:
    """`password` is that of Nightshift's user. `start` starts it; `close` ends it and removes what it wrote."""

    password: str
    has_tls: bool
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nightshift-redis-")))
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For `REDIS_URL`."""
        login = f"{USER}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/0"
        return f"rediss://{login}?ssl_ca_certs={self.ca}" if self.has_tls else f"redis://{login}"

    @property
    def ca(self) -> Path:
        """The certificate of the CA."""
        return self.directory / "ca.pem"

    @property
    def admin(self) -> Redis:
        """Who may do everything, by a way that Nightshift does not use."""
        return Redis(unix_socket_path=str(self.directory / "redis.sock"), username="admin", password="admin")

    def start(self) -> None:
        """Until it answers."""
        # DUMP compresses as files are: what is in it is to be found.
        argv = ["--save", "", "--rdbcompression", "no", "--dir", str(self.directory), "--bind", "127.0.0.1"]
        argv += ["--unixsocket", str(self.directory / "redis.sock")]
        argv += ["--user", *["admin", "on", ">admin", "~*", "&*", "+@all"], "--user", "default", "off"]
        if self.has_tls:
            self._make_certificates()
            argv += [
                part for name, file in FILES.items() for part in (f"--tls-{name}-file", str(self.directory / file))
            ]
            argv += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
        else:
            argv += ["--port", str(self.port)]
        binary = shutil.which("redis-server") if self.has_tls else None
        command = [binary or str(find_binary()), *argv]
        self._process = subprocess.Popen(
            child.command(command) if sys.platform == "linux" else command, stdout=subprocess.DEVNULL
        )
        wait_until(self._answers, "an answer of Redis")
        with self.admin as admin:
            admin.execute_command("ACL", "SETUSER", USER, "on", f">{self.password}", *rights().split())

    def refused(self) -> list[dict[str, Any]]:
        """What Nightshift's user was not allowed, of all that it has tried."""
        with self.admin as admin:
            return [dict(one) for one in admin.execute_command("ACL", "LOG")]

    def stop(self) -> None:
        """Until it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def close(self) -> None:
        """Stop it and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _make_certificates(self) -> None:
        (self.directory / "names").write_text("subjectAltName=IP:127.0.0.1")
        for arguments in _CERTIFICATES.strip().splitlines():
            subprocess.run(["openssl", *arguments.split()], cwd=self.directory, check=True, capture_output=True)

    def _answers(self) -> bool:
        try:
            with self.admin as client:
                return bool(client.ping())
        except RedisError:
            return False
