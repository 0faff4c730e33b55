"""A Redis that is reached by TLS, with a CA of one's own, as Debian's server has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from app.connection import connect, connect_blocking
from chaos.stack import free_port
from chaos.until import PATIENCE_SECONDS, wait_until
from ops.supervisor import child
from ops.supervisor.errors import StackError
from ops.supervisor.redis_server import check_external
from tests.needs import needs
from tests.secure_redis import FILES, SecureRedis

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "distinct-7d1f"


@pytest.fixture(scope="module")
def server() -> Iterator[SecureRedis]:
    needs("redis-server")
    needs("openssl")
    found = SecureRedis(PASSWORD, has_tls=True)
    try:
        found.start()
        yield found
    finally:
        found.close()


def test_each_kind_of_connection(server: SecureRedis) -> None:
    """For short commands and for those that wait; the rights that docs/deploy.md names suffice for both."""
    check_external(server.url)
    with connect(server.url) as client, connect_blocking(server.url) as waiting:
        client.rpush("nightshift:test", "1")
        assert waiting.blmove("nightshift:test", "rq:test", 1) == b"1"
    assert server.refused() == []


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (("?ssl_ca_certs=", "?ssl_check_hostname=1#"), "ssl_ca_certs=FILE"),
        (("ca.pem", "none.pem"), "Look at the files"),
        (("ca.pem", "server.key"), "Look at the files"),
        (("127.0.0.1", "localhost"), "mismatch"),
        (("rediss", "redis"), "write rediss://"),
        ((PASSWORD, "wrong"), "invalid username-password"),
        (("nightshift:", "few:"), "docs/deploy.md has the rights"),
    ],
)
def test_what_is_wrong_is_named(server: SecureRedis, change: tuple[str, str], advice: str) -> None:
    """With what to do about it, and without the password."""
    with server.admin as admin:
        admin.execute_command("ACL", "SETUSER", "few", "on", f">{PASSWORD}", "+ping", "+time", "+client")
    url = server.url.replace(*change)
    with pytest.raises(StackError) as refused:
        check_external(url.partition("?")[0] if change[0] == "rediss" else url)
    assert advice in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_by_a_sentinel(server: SecureRedis) -> None:
    """It is asked by TLS, and so is the server that it names; the files of the URL hold for both."""
    port = free_port()
    lines = [f"port 0\ntls-port {port}\nbind 127.0.0.1\ntls-auth-clients no\ntls-replication yes"]
    lines += [f"tls-{name}-file {server.directory / file}" for name, file in FILES.items()]
    lines += [
        f"sentinel monitor night 127.0.0.1 {server.port} 1",
        "sentinel auth-user night admin",
        "sentinel auth-pass night admin",
    ]
    config = server.directory / "sentinel.conf"
    config.write_text("\n".join(lines) + "\n")
    command = [shutil.which("redis-server") or "", str(config), "--sentinel"]
    process = subprocess.Popen(
        child.command(command) if sys.platform == "linux" else command, stdout=subprocess.DEVNULL
    )
    try:
        login = f"nightshift:{PASSWORD}@127.0.0.1:{port}"
        url = f"rediss+sentinel://{login}/night?ssl_ca_certs={server.ca}"

        def answers() -> bool:
            try:
                check_external(url)
            except StackError:
                return False
            return True

        wait_until(answers, "the Sentinel's word of its primary")
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
