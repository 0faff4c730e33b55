"""Lines of batches whose key has a budget: they hold at it, over all of the key's batches, and go on by themselves."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from app import budgets, clock, errors, spending, used_windows
from app.api_keys import ApiKeys
from app.batches import accounts
from app.batches.feeder import Feeder
from app.batches.record import BatchStatus, Hold
from app.batches.store import Batches
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.ids import OWNER
from app.jobs import transitions
from app.jobs.store import Jobs
from app.outcome import COST_HEADER, WAY_HEADER, Outcome
from app.usage import Used
from app.ways import Way
from app.webhooks.endpoints import Endpoints
from app.webhooks.events import BATCH_HELD
from app.webhooks.outbox import Outbox
from tests.integration.batches.conftest import Night, line
from tests.integration.batches.test_held import costing, drain, held
from tests.integration.jobs.conftest import new_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from app.batches.record import BatchRecord
    from app.spending import Sums

WORKERS = 16
#: by which the windows of these tests reset
REPORT_AT = float(int(clock.now()))


def start(night: Night, count: int, owner: str = "ann", **fields: Any) -> BatchRecord:
    """A batch of that key's."""
    return night.start([line(f"c{n}") for n in range(count)], owner=owner, **fields)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key's budget is known at the next look, not a second later."""
    monkeypatch.setattr(accounts, "KEYS_SECONDS", 0.0)


@pytest.fixture
def keys(night: Night) -> ApiKeys:
    return ApiKeys(night.connection)


@pytest.fixture
def sixteen(night: Night) -> Iterator[Night]:
    """A night in which as many lines may be in flight as sixteen workers have."""
    night.feeder.close()
    settings = replace(night.settings, batch_in_queue=WORKERS)
    feeder = Feeder(night.connection, settings)
    yield Night(night.connection, settings, night.batches, feeder)
    feeder.close()


def spent(keys: ApiKeys, name: str = "ann") -> float:
    key = keys.get(name)
    assert key is not None
    return keys.standings([key])[0][0].used


def test_a_budget_of_a_key_holds_all_its_batches_and_no_other_s(night: Night, keys: ApiKeys) -> None:
    keys.create("ann", budget="2/month")
    mine, other = start(night, 6), start(night, 3, "bob")
    second = start(night, 6)
    for _ in range(4):
        mine = drain(night, mine)
    mine, second, other = (night.look(one) for one in (mine, second, other))
    assert other.status is BatchStatus.COMPLETED
    assert (mine.held, second.held) == (Hold.KEY_BUDGET, Hold.KEY_BUDGET)
    assert (mine.completed + second.completed, spent(keys)) == (4, 2.0)
    assert (mine.failed, second.failed, night.queued()) == (0, 0, [])


def test_a_key_whose_budget_is_raised_goes_on_by_itself(night: Night, keys: ApiKeys) -> None:
    keys.create("ann", budget="1/day")
    batch = drain(night, start(night, 6))
    assert (batch.held, batch.completed) == (Hold.KEY_BUDGET, 2)
    keys.change("ann", budget="1.4/day")
    assert held(night, batch).held == Hold.KEY_BUDGET
    keys.change("ann", budget="50/day")
    batch = drain(night, batch)
    assert (batch.status, batch.completed, batch.held) == (BatchStatus.COMPLETED, 6, "")


def test_a_new_day_goes_on_by_itself(night: Night, keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.create("ann", budget="1/day")
    batch = drain(night, start(night, 6, completion_window="7d"))
    assert batch.held == Hold.KEY_BUDGET
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + 86400)
    batch = drain(night, batch)
    assert (batch.held, batch.completed) == (Hold.KEY_BUDGET, 4)


def test_a_budget_below_what_is_spent_holds_at_once_and_what_waits_is_not_sent(night: Night, keys: ApiKeys) -> None:
    """What a worker has runs on; what waits in the queue goes back to its file."""
    batch = drain(night, start(night, 2))
    batch = start(night, 12)
    night.answer()
    batch = night.look(batch)
    lease, _ = night.take()
    assert night.queued()
    keys.create("ann", budget="1/month")
    batch = held(night, batch)
    assert (batch.held, night.queued()) == (Hold.KEY_BUDGET, [])
    transitions.publish(night.connection, night.settings, lease, costing(0.5))
    batch = held(night, batch)
    assert (batch.completed, batch.failed, batch.held) == (2, 0, Hold.KEY_BUDGET)


def test_a_held_batch_is_told_once_with_its_reason(night: Night, keys: ApiKeys) -> None:
    Endpoints(night.connection).create("mine", "http://127.0.0.1/", [BATCH_HELD], owner="ann")
    keys.create("ann", budget="1/month")
    drain(night, start(night, 6, metadata={"callback_url": "http://127.0.0.1/hook"}))
    events = [json.loads(stored.event.body) for stored in Outbox(night.connection).page("pending")]
    assert [(event["type"], event["data"]["reason"]) for event in events] == [(BATCH_HELD, Hold.KEY_BUDGET)] * 2


def test_it_waits_for_no_word(night: Night, keys: ApiKeys) -> None:
    keys.create("ann", budget="1/month")
    batch = drain(night, start(night, 6))
    with pytest.raises(ErrorReply) as refused:
        night.batches.go_on(batch.id)
    assert (refused.value.status, refused.value.code) == (409, ErrorCode.BUDGET_USED_UP)
    # Another budget of its own is taken, and it is held as before.
    assert night.batches.go_on(batch.id, max_cost_usd=60.0).held == Hold.KEY_BUDGET
    night.batches.cancel(batch.id)
    assert held(night, batch).status is BatchStatus.CANCELLED


def test_a_cost_that_nobody_knows_holds_until_tokens_have_a_budget(night: Night, keys: ApiKeys) -> None:
    keys.create("ann", budget="50/month")
    batch = drain(night, start(night, 10), usd=None)
    assert (batch.held, batch.unpriced) == (Hold.KEY_BUDGET, 1)
    keys.change("ann", budget="50/month,72tokens/month")
    batch = drain(night, batch, usd=None)
    assert (batch.held, batch.completed) == (Hold.KEY_BUDGET, 9)


def test_failures_that_were_paid_for_count(night: Night, keys: ApiKeys) -> None:
    keys.create("ann", budget="2/month")
    batch = start(night, 12)
    while night.queued():
        night.answer(Outcome(error=errors.internal(), headers={COST_HEADER: "0.5", WAY_HEADER: "api"}))
        batch = night.look(batch)
    assert (held(night, batch).held, batch.failed, spent(keys)) == (Hold.KEY_BUDGET, 4, 2.0)


@pytest.mark.parametrize("seed", range(3))
def test_under_load_a_budget_is_not_passed_by_more_than_what_was_in_flight(
    sixteen: Night, keys: ApiKeys, seed: int
) -> None:
    """Several batches of one key at once, of lines that cost more and more: sixteen workers end them in any order."""
    night, chance = sixteen, random.Random(seed)
    keys.create("ann", budget="1/month")
    batches = [start(night, 100) for _ in range(3)]
    total, cost, most, over = 0.0, 0.001, 0, 0.0
    running: list[Any] = []
    while True:
        while night.queued() and len(running) < WORKERS:
            running.append(night.take())
        if not running:
            break
        most = max(most, len(running))
        if total < 1:
            # What is in flight when the budget is met: nothing starts after that.
            over = len(running)
        for _ in range(chance.randint(1, len(running))):
            lease, _record = running.pop(chance.randrange(len(running)))
            cost *= 1.01
            total += round(cost, 6)
            transitions.publish(night.connection, night.settings, lease, costing(round(cost, 6)))
        night.feeder.run_once()
    batches = [held(night, one) for one in batches]
    assert most == WORKERS
    assert {one.held for one in batches} == {Hold.KEY_BUDGET}
    assert total == pytest.approx(spent(keys))
    assert 0.9 < total <= 1 + over * cost
    assert sum(one.completed for one in batches) < 300


def test_lines_that_cost_the_same_use_no_more_than_the_budget(sixteen: Night, keys: ApiKeys) -> None:
    """Whatever is in flight at its end was reserved for, over all batches."""
    night = sixteen
    keys.create("ann", budget="1/month")
    batches = [start(night, 20) for _ in range(3)]
    while night.queued():
        for lease, _ in [night.take() for _ in night.queued()]:
            transitions.publish(night.connection, night.settings, lease, costing(0.05))
        night.feeder.run_once()
    assert {held(night, one).held for one in batches} == {Hold.KEY_BUDGET}
    assert spent(keys) == pytest.approx(1.0)


def test_what_is_left_is_given_once_though_several_batches_may_go_on(sixteen: Night, keys: ApiKeys) -> None:
    """Lines of one batch that were fed at a look are reserved for when the next batch is fed."""
    night = sixteen
    batches = [start(night, 20) for _ in range(2)]
    while min(night.batches.require(one.id).completed for one in batches) < 2:
        night.answer(costing(0.5))
        night.feeder.run_once()
    keys.create("ann", budget="0.1/month")
    batches = [held(night, one) for one in batches]
    assert ([one.held for one in batches], night.queued()) == ([Hold.KEY_BUDGET] * 2, [])
    keys.change("ann", budget=f"{spent(keys) + 2:g}/month")
    held(night, batches[0])
    assert len(night.queued()) == 4


def test_lines_that_another_supervisor_feeds_are_reserved_for(sixteen: Night, keys: ApiKeys, tmp_path: Path) -> None:
    """Its batch is of the same key: what is in flight there is none of what is left."""
    night = sixteen
    keys.create("ann", budget="3/month")
    first = start(night, 6)
    night.answer()
    night.answer()
    first = night.look(first)
    there = replace(night.settings, data_dir=tmp_path / "another")
    feeder = Feeder(night.connection, there)
    other = Night(night.connection, there, Batches(night.connection, there), feeder)
    try:
        # Four of the first are in flight, each for half a dollar at most: all that is left.
        assert len(night.queued()) == 4
        second = start(other, 6)
        assert other.look(second).fed == 0
        assert len(night.queued()) == 4
    finally:
        feeder.close()


def test_what_is_spent_interactively_counts(night: Night, keys: ApiKeys) -> None:
    keys.create("ann", budget="1/month")
    Jobs(night.connection, night.settings).submit(replace(new_record(), owner="ann"), {})
    lease, _ = night.take()
    transitions.publish(night.connection, night.settings, lease, costing(0.9))
    batch = drain(night, start(night, 6), usd=0.2)
    # One line of the first few was enough to know.
    assert batch.held == Hold.KEY_BUDGET
    assert batch.completed <= 4


@pytest.fixture
def house(night: Night) -> Iterator[Callable[..., Night]]:
    """Makes a night with settings of its own."""
    made: list[Feeder] = []

    def make(**settings: Any) -> Night:
        for feeder in (night.feeder, *made):
            feeder.close()
        night.connection.delete(night.lease)
        changed = replace(night.settings, **settings)
        made.append(Feeder(night.connection, changed))
        return Night(night.connection, changed, night.batches, made[-1])

    yield make
    for feeder in made:
        feeder.close()


def test_the_house_s_budget_holds_everybody_s_lines(house: Callable[..., Night]) -> None:
    """What is asked for interactively counts, and is not refused."""
    mine = house(budget=budgets.read_house("2/night"))
    Jobs(mine.connection, mine.settings).submit(replace(new_record(), owner="ann"), {})
    transitions.publish(mine.connection, mine.settings, mine.take()[0], costing(0.5))
    batches = [start(mine, 4, "ann"), start(mine, 4, OWNER)]
    for _ in range(3):
        batches = [drain(mine, one) for one in batches]
    assert [one.held for one in batches] == [Hold.HOUSE_BUDGET] * 2
    assert sum(one.completed for one in batches) == 3
    jobs = Jobs(mine.connection, mine.settings)
    jobs.submit(replace(new_record("chatcmpl-2"), owner="ann"), {})
    jobs.cancel("chatcmpl-2")
    # Started again with a higher one it goes on.
    mine = house(budget=budgets.read_house("50/night"))
    for _ in range(3):
        while mine.queued():
            mine.answer(costing(0.5))
        batches = [mine.look(one) for one in batches]
    assert [one.status for one in batches] == [BatchStatus.COMPLETED] * 2


@pytest.mark.parametrize("budget", ["24tokens/night", "24tokens/day", "24tokens/month"])
def test_a_new_night_day_or_month_goes_on_by_itself(
    house: Callable[..., Night], budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = house(budget=budgets.read_house(budget))
    batch = drain(mine, start(mine, 8, completion_window="7d"))
    assert (batch.held, batch.completed) == (Hold.HOUSE_BUDGET, 3)
    real, days = clock.now, {"month": 31}.get(budget.partition("/")[2], 1)
    mine.connection.hset(f"nightshift:batch:{batch.id}", "expires_at", str(real() + 40 * 86400))
    monkeypatch.setattr(clock, "now", lambda: real() + days * 86400)
    batch = drain(mine, batch)
    assert (batch.held, batch.completed) == (Hold.HOUSE_BUDGET, 6)


def test_a_night_begins_when_the_window_opens(house: Callable[..., Night], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was used before does not count, not even in the hour before."""
    now = clock.now()
    opens = now - now % 900
    monkeypatch.setattr(clock, "now", lambda: opens - 60)
    mine = house(budget=budgets.read_house("24tokens/night"))
    use(mine, 1000)
    monkeypatch.setattr(clock, "now", lambda: opens + 60)
    hours = f"{datetime.fromtimestamp(opens, UTC):%H:%M}-{datetime.fromtimestamp(opens + 7200, UTC):%H:%M}"
    mine = house(budget=budgets.read_house("24tokens/night"), batch_window=hours)
    batch = drain(mine, start(mine, 5))
    assert (batch.held, batch.completed) == (Hold.HOUSE_BUDGET, 3)
    mine = house(budget=budgets.read_house("24tokens/night"), batch_window=f"{hours} Etc/GMT+5")
    assert budgets.night_of(mine.settings.batch_window, opens).begins < opens


def test_what_the_house_uses_is_counted_by_quarters_of_an_hour(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over midnight, and each once, whether days that are over are remembered or not."""
    midnight = datetime(2026, 11, 28, tzinfo=UTC).timestamp()
    for number, at in enumerate((-86400, -901, -900, -1, 0, 899, 900, 86399)):
        monkeypatch.setattr(clock, "now", lambda at=at: midnight + at)
        use(night, 10**number)
    past: dict[float, Sums] = {}
    for _ in range(2):
        for since, tokens in ((-900, 11111100), (-901, 11111110), (0, 11110000), (901, 11000000)):
            past = {} if since != -900 else past
            found = spending.of_house(night.connection, midnight + since, midnight + 86399, past)
            assert found.tokens == tokens
    past = {}
    for _ in range(2):
        found = spending.of_house(night.connection, midnight - 900, midnight + 3 * 86400, past)
        assert found.tokens == 11111100
    assert len(past) == 3


def use(night: Night, tokens: int) -> None:
    pipe = night.connection.pipeline()
    spending.count_used(pipe, OWNER, Used(input_tokens=tokens), clock.now())
    pipe.execute()


def report_window(night: Night, used: float, resets_in: float = 3600.0, name: str = "five_hour") -> None:
    """What an answer reports. Always of one window, unless it resets at another time."""
    resets_at = REPORT_AT + resets_in
    used_windows.note(night.connection, Way.CLI, {name: (used, resets_at)})


def test_a_night_uses_its_share_of_a_usage_window(house: Callable[..., Night], monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured from the night's beginning, others' use included; when the window begins anew all of it is the night's."""
    mine = house(budget=budgets.read_house("40%five_hour"))
    report_window(mine, 0.3)
    batch = start(mine, 40)
    report_window(mine, 0.69)
    mine.answer()
    batch = mine.look(batch)
    assert batch.held == ""
    report_window(mine, 0.71)
    mine.answer()
    batch = held(mine, batch)
    assert (batch.held, mine.queued()) == (Hold.HOUSE_BUDGET, [])
    # The next window: 30 per cent of it are used, and nothing is set off.
    report_window(mine, 0.3, 3600 + 5 * 3600)
    batch = held(mine, batch)
    assert batch.held == ""
    report_window(mine, 0.4, 3600 + 5 * 3600)
    mine.answer()
    batch = held(mine, batch)
    assert batch.held == Hold.HOUSE_BUDGET
    real = clock.now
    mine.connection.hset(f"nightshift:batch:{batch.id}", "expires_at", str(real() + 40 * 86400))
    report_window(mine, 0.4, 4 * 86400)
    monkeypatch.setattr(clock, "now", lambda: real() + 86400)
    assert held(mine, batch).held == ""


def test_a_batch_uses_its_share_of_a_usage_window(night: Night) -> None:
    """Measured since it was made; another batch has its own share, or none. A larger share lets it go on, and so does a new window."""
    report_window(night, 0.5)
    mine, other = start(night, 40, metadata={"max_share": "20%five_hour"}), start(night, 40)
    held(night, mine)
    report_window(night, 0.65)
    assert held(night, mine).held == ""
    report_window(night, 0.7)
    assert (held(night, mine).held, night.look(other).held) == (Hold.SHARE, "")
    with pytest.raises(errors.ErrorReply, match="max_share"):
        night.batches.go_on(mine.id)
    night.batches.go_on(mine.id, max_share="30%five_hour")
    assert held(night, mine).held == ""
    report_window(night, 0.8)
    assert held(night, mine).held == Hold.SHARE
    report_window(night, 0.2, 3600 + 5 * 3600)
    assert held(night, mine).held == ""
    assert night.look(mine).failed == 0


def test_a_share_holds_only_what_uses_its_window(house: Callable[..., Night]) -> None:
    mine = house(budget=budgets.read_house("10%seven_day_opus"))
    report_window(mine, 0.1, name="seven_day_opus")
    first = start(mine, 3)
    report_window(mine, 0.5, name="seven_day_opus")
    first = drain(mine, first)
    assert first.status is BatchStatus.COMPLETED
    lines = [line(f"c{n}", model="opus") for n in range(3)]
    assert held(mine, mine.start(lines)).held == Hold.HOUSE_BUDGET


def test_a_window_that_nobody_has_reported_holds_nothing(house: Callable[..., Night]) -> None:
    mine = house(budget=budgets.read_house("40%five_hour"))
    assert drain(mine, start(mine, 3)).status is BatchStatus.COMPLETED
