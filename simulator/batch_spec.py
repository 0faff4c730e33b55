"""What a rule can say of a call of Message Batches, beside an error, a delay and headers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: The calls; a rule's ``match.batches`` names one.
BatchCall = Literal["create", "retrieve", "list", "cancel", "delete", "results"]


class BatchSpec(BaseModel):
    """``respond.batch`` of a rule for one call.

    Any call: ``no_answer`` closes the connection instead of an answer; ``accepted`` says whether the call does its
    work all the same (by default it does, unless the rule has an ``error``). ``fields`` go over those of each batch
    in the answer: another host's ``results_url``, other ``request_counts``, an unknown ``processing_status``.

    ``create`` and ``cancel``: when the batch ends (after ``cancel``: as a canceled one). All that are given must
    hold: ``ends_after_seconds`` since the call, ``ends_after_looks`` (answers to ``retrieve`` and ``list`` that
    still show it unfinished), and, while ``held``, never before the rule is removed. With none it ends at the next look
    after its requests are answered.

    ``create``: ``answers`` is how many requests are answered, the first ones; the others expire, or are canceled.
    ``expires_in_seconds`` replaces the 24 hours.

    ``results``: ``left_out`` is how many of the last lines are not there; ``broken_line`` and ``doubled_line`` are numbers of
    lines, from 0, the one cut in its middle, the other there twice. ``cut_after_lines`` ends the answer in the middle of
    the line after that many, by closing the connection or, with ``cut_in_order``, as if that was all.
    ``unterminated`` leaves out the last line's end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    no_answer: bool = False
    accepted: bool | None = None
    fields: dict[str, Any] = Field(default_factory=dict)

    ends_after_seconds: float = Field(default=0, ge=0)
    ends_after_looks: int = Field(default=0, ge=0)
    held: bool = False
    answers: int | None = Field(default=None, ge=0)
    expires_in_seconds: float | None = Field(default=None, gt=0)

    left_out: int = Field(default=0, ge=0)
    broken_line: int | None = Field(default=None, ge=0)
    doubled_line: int | None = Field(default=None, ge=0)
    cut_after_lines: int | None = Field(default=None, ge=0)
    cut_in_order: bool = False
    unterminated: bool = False
