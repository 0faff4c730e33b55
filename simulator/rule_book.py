"""The rules in force, and how often each was used."""

import itertools
import random
from typing import Any

from simulator.message_request import MessageRequest
from simulator.rules import Match, Rule


class RuleInForce:
    """A rule with its counters: requests that ``matched`` it and answers that it was ``used`` for."""

    def __init__(self, rule_id: int, rule: Rule) -> None:
        self.id = rule_id
        self.rule = rule
        self.matched = 0
        self.used = 0
        self._random = random.Random(rule.seed)

    def take(self, request: MessageRequest) -> bool:
        """Return whether the rule answers ``request``, and count it."""
        rule = self.rule
        if rule.times is not None and self.used >= rule.times:
            return False
        if not matches(rule.match, request) or not _fits_turn(rule, request):
            return False
        self.matched += 1
        if self.matched <= rule.after:
            return False
        if rule.probability < 1 and self._random.random() >= rule.probability:
            return False
        self.used += 1
        return True

    @property
    def refuses_logins(self) -> bool:
        """Whether it answers that the caller may not ask at all."""
        error = self.rule.respond.error
        return error is not None and error.status in (401, 403)

    def describe(self) -> dict[str, Any]:
        """Return ``{"id", "matched", "used", "rule"}`` for the control API."""
        rule = self.rule.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return {"id": self.id, "matched": self.matched, "used": self.used, "rule": rule}


class RuleBook:
    """The rules in the order in which they were added; the first that fits answers."""

    def __init__(self, rules: list[Rule] | None = None) -> None:
        self._ids = itertools.count(1)
        self._rules: list[RuleInForce] = []
        self.add(rules or [])

    def add(self, rules: list[Rule]) -> list[int]:
        """Append ``rules`` and return their ids."""
        added = [RuleInForce(next(self._ids), rule) for rule in rules]
        self._rules.extend(added)
        return [rule.id for rule in added]

    def replace(self, rules: list[Rule]) -> list[int]:
        """Put ``rules`` in the place of all others and return their ids."""
        self.clear()
        return self.add(rules)

    def clear(self) -> None:
        """Remove every rule."""
        self._rules.clear()

    def remove(self, rule_id: int) -> bool:
        """Remove one rule; return whether it was there."""
        kept = [rule for rule in self._rules if rule.id != rule_id]
        found = len(kept) < len(self._rules)
        self._rules = kept
        return found

    def has(self, rule_id: int) -> bool:
        """Return whether the rule is still in force."""
        return any(rule.id == rule_id for rule in self._rules)

    def take_refused_login(self, headers: dict[str, str]) -> RuleInForce | None:
        """Return the rule that refuses the login of a request with these headers, whatever is in it, and count it as used."""
        unread = MessageRequest({"model": "", "messages": []}, headers)
        return next((rule for rule in self._rules if rule.refuses_logins and rule.take(unread)), None)

    def take(self, request: MessageRequest) -> RuleInForce | None:
        """Return the rule that answers ``request`` and count it as used; None when none fits."""
        return next((rule for rule in self._rules if rule.take(request)), None)

    def describe(self) -> list[dict[str, Any]]:
        """Return the rules with their counters, for the control API."""
        return [rule.describe() for rule in self._rules]


def matches(match: Match, request: MessageRequest) -> bool:
    """Return whether every given field of ``match`` fits ``request``."""
    if match.batches != request.batch_call or match.batched not in (None, request.is_batched):
        return False
    if match.model is not None and match.model != request.model:
        return False
    if match.contains is not None and match.contains not in request.last_user_text:
        return False
    if match.system_contains is not None and match.system_contains not in request.system_text:
        return False
    return all(request.headers.get(name.lower()) == value for name, value in match.header.items())


def _fits_turn(rule: Rule, request: MessageRequest) -> bool:
    """A rule that calls tools is over once their results come back, or it would call them for ever."""
    if not rule.respond.needs_tool_turn:
        return True
    return not any(not result.get("is_error") for result in request.tool_results)
