from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app import notify_settings
from app.errors import ErrorReply
from app.secret_values import secrets_of
from app.settings import Settings, SettingsError

MAIL = "mailto://user:secret@example.com?to=a@example.com,b@example.com"
CHAT = "tgram://123456789:a-secret-token/42/"


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n"])
def test_several_urls(between: str) -> None:
    """With white space or commas between; commas in a URL are its own. Children read the same."""
    found = Settings.from_environment({"NIGHTSHIFT_NOTIFY": f"{MAIL}{between}{CHAT}"})
    assert found.notify == (MAIL, CHAT)
    assert Settings.from_environment(found.to_environment()).notify == (MAIL, CHAT)


def test_no_url_is_shown() -> None:
    """Not in an error, in the settings' text or in a line of the log: a URL holds tokens."""
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({"NIGHTSHIFT_NOTIFY": f"{CHAT} no-url-but-a-secret"})
    assert "secret" not in str(error.value) and "number 2" in str(error.value)
    settings = Settings(notify=(CHAT,))
    assert "secret" not in repr(settings)
    assert CHAT in secrets_of(settings)
    assert "secret" not in notify_settings.mark(CHAT) + notify_settings.scheme(CHAT)


@pytest.mark.parametrize(
    ("allowed", "urls", "is_taken"),
    [
        ((), ["tgram://t/1"], False),
        (("tgram://",), ["tgram://t/1"], True),
        (("tgram://",), ["TGRAM://t/1"], True),
        (("tgram://",), ["json://10.0.0.1/"], False),
        (("tgram://",), ["tgram://t/1", "json://10.0.0.1/"], False),
        (("ntfys://ntfy.example.com/",), ["ntfys://ntfy.example.com/mine"], True),
        (("ntfys://ntfy.example.com/",), ["ntfys://ntfy.example.com.evil.example/mine"], False),
        (("ntfys://ntfy.example.com/",), ["ntfys://ntfy.example.com/../mine"], False),
        (("ntfys://ntfy.example.com",), ["ntfys://ntfy.example.com/mine"], True),
        (("ntfys://ntfy.example.com",), ["ntfys://ntfy.example.com.evil.example/mine"], False),
        (("ntfys://ntfy.example.com",), ["ntfys://ntfy.example.com@evil.example/mine"], False),
        (("ntfys://ntfy.example.com/",), ["ntfys://ntfy.example.com/mine,json://10.0.0.1/"], False),
        (("ntfys://ntfy.example.com/",), ["ntfys://ntfy.example.com/mine;json://10.0.0.1/"], False),
        (("json://hook.example.com:",), ["json://hook.example.com:8080/mine"], True),
        (("json://hook.example.com:",), ["json://hook.example.com:8080@evil.example/"], False),
        (("json://hook.example.com:",), ["json://hook.example.com:a@evil.example/"], False),
        (("json://hook.example.com:",), ["json://hook.example.com/mine"], False),
        (("msteams://",), ["msteams://a/b/c/d?template=/etc/passwd"], False),
        (("tgram://",), ["tgram://t/1"] * 6, False),
        ((), [], True),
    ],
)
def test_what_clients_may_name(allowed: Any, urls: Any, is_taken: bool) -> None:
    """What the operator's prefixes allow, without options: these can name files here, and other hosts."""
    if is_taken:
        notify_settings.check_clients(urls, allowed)
        return
    with pytest.raises(ErrorReply) as refused:
        notify_settings.check_clients(urls, allowed)
    assert refused.value.status == 400 and "10.0.0.1" not in refused.value.message


def test_a_time_of_day() -> None:
    """The last one, through summer time; of this machine where no zone is named."""

    def last(text: str, *moment: int) -> datetime:
        at = datetime(*moment, tzinfo=UTC)  # type: ignore[misc,arg-type]
        return datetime.fromtimestamp(notify_settings.read_time(text).last(at.timestamp()), UTC)

    assert last("07:00 Europe/Berlin", 2026, 7, 1, 5, 0) == datetime(2026, 7, 1, 5, 0, tzinfo=UTC)
    assert last("07:00 Europe/Berlin", 2026, 7, 1, 4, 59) == datetime(2026, 6, 30, 5, 0, tzinfo=UTC)
    assert last("07:00 Europe/Berlin", 2026, 12, 1, 12, 0) == datetime(2026, 12, 1, 6, 0, tzinfo=UTC)
    assert notify_settings.read_time("7:30").zone is None
    for wrong in ("25:00", "07:60", "seven", "07:00 Nowhere/Else", "07:00 ../../etc/passwd"):
        with pytest.raises(SettingsError, match="NIGHTSHIFT_NOTIFY_DIGEST"):
            Settings.from_environment({"NIGHTSHIFT_NOTIFY_DIGEST": wrong})
