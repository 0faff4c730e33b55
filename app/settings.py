"""All settings, their checks, and the variables that they are read from. Everything else is given a frozen `Settings`.

Each field's comment holds its meaning and its unit: `scripts/settings-table` makes the table of them in docs/settings.md.
"""

from __future__ import annotations

import re
from dataclasses import Field, dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from app import budgets, environment, notify_settings, price_file, storage_url, usage_shares, ways, window
from app.usage_shares import Shares
from app.ways import LoginName, Step, Way

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.budgets import Budget

#: scheme, host, port, as browsers write the header `Origin`
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")


class SettingsError(ValueError):
    """A setting is wrong. The message names it, its value, and what it takes: it is shown to the user as it is."""


#: refused fields that change nothing but what an answer is like, or what comes beside it: see `ignore_fields`
IGNORABLE_FIELDS = frozenset(
    {"logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "prediction"}
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a process. A field `x_y` is read from `NIGHTSHIFT_X_Y` unless its metadata names another.

    What is a secret, or may have one in it (a URL with a login), says `secret` in its metadata and is left out of the repr: it is struck
    out of every log line (`app.secret_values`), and quoted in no error.
    """

    #: where state lives: Redis' files, secrets, the workers' private directories
    data_dir: Path = field(default_factory=lambda: environment.home_path("~/.nightshift"))
    #: where the bytes of files and batches are: `file:///DIRECTORY`, or an object store that several machines share, `s3://BUCKET/PREFIX`,
    #: `gs://` or `az://`, which needs the extra `storage` ([storage](storage.md)); empty: `batches` in the data dir
    storage: str = field(default="", metadata={"read": storage_url.read})
    #: `redis://`, `rediss://` or `unix://` of a server of your own, or `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB`;
    #: without it one is started under the data dir
    redis_url: str | None = field(default=None, metadata={"env": "REDIS_URL", "secret": True}, repr=False)
    #: replicas of a Redis of your own that must have a request before it is accepted, and an outcome before it counts
    wait_replicas: int = 0
    #: the address to listen on; any but a loopback one needs API keys
    host: str = "127.0.0.1"
    #: the API's port; 0: any that is free
    port: int = 8204
    #: how many workers `nightshift up` and `nightshift worker` start; each runs one request at a time
    workers: int = 2
    #: comma-separated keys that clients send as `Authorization: Bearer KEY`; none: loopback only
    api_keys: tuple[str, ...] = field(default=(), metadata={"secret": True}, repr=False)
    #: comma-separated origins, e.g. `https://app.example.com`, whose pages' scripts may ask `/v1/` and read the answers (CORS)
    cors_origins: tuple[str, ...] = ()
    #: `whsec_` + base64; signs callbacks. When not set it is made at the first start, kept in the data dir, and shared by a Redis of your own
    webhook_secret: str | None = field(default=None, metadata={"secret": True}, repr=False)
    #: comma-separated host names that callbacks may go to although they are not public addresses
    callback_allowed_hosts: tuple[str, ...] = ()
    #: the ways to Claude in the order in which they are used, each with its login and how much it may spend, if you like, e.g.
    #: `cli:subscription,api:api_key:20usd/day`: `cli`, its command line as long-lived processes, for any login; `api`, the
    #: Messages API itself, which needs `ANTHROPIC_API_KEY` and no process; `batches`, Message Batches ([ways](ways.md))
    ways: tuple[Step, ...] = field(default=(Step(Way.CLI),), metadata={"read": ways.read})
    #: TOML file with your own prices, USD per million tokens, a table for each model ([cost](cost.md#prices)); they go before
    #: Anthropic's list prices
    prices: Path | None = None
    #: JSON object from model names that clients send to Claude's, e.g. {"gpt-4o": "opus", "gpt-*": "sonnet"}: adds to
    #: [those that are known](requests.md#models), and goes before them
    model_map: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: the Claude model that answers for every name that is not known; empty: those are a 404
    default_model: str = ""
    #: `temperature` and `top_p` that a model refuses: `ignore` them, and name them in `x-nightshift-ignored`, or `error`, a 400
    unsupported_sampling: Literal["ignore", "error"] = "ignore"
    #: comma-separated fields that are ignored and named where they would be a 400: of `logprobs`, `top_logprobs`, `logit_bias`,
    #: `presence_penalty`, `frequency_penalty` and `prediction`
    ignore_fields: tuple[str, ...] = ()
    #: further Claude model ids for `GET /v1/models`; any `claude-…` id is passed on, listed or not
    models: tuple[str, ...] = ()

    #: `reset`: one conversation is wiped before the next request; `process`: each request has a process of its own
    isolation: Literal["reset", "process"] = "reset"
    #: Claude processes that a worker keeps warm, each for another full model id, depth of thinking or set of functions
    warm_processes: int = 2
    #: `speed`; or `frugal`: two fifths less memory for a Claude process that has worked for a while, and some 10 ms more CPU a turn. Only
    #: with versions of the CLI that are known to take it: `nightshift doctor` says so
    memory: Literal["speed", "frugal"] = "speed"
    #: a Claude process is recycled after this number of turns (± jitter)
    max_turns: int = 500
    #: a Claude process is recycled after its turn when the resident memory of its tree passes this, MiB
    max_rss_mb: int = 1024
    #: a Claude process is ended at once, and its job requeued, when its tree passes this, MiB; 0: twice the above
    hard_rss_mb: int = 0
    #: a Claude process that has been idle this long is recycled, seconds; 0: never
    max_idle_seconds: float = 3600.0
    #: an attempt is ended when Claude sends nothing for this time, seconds
    stall_seconds: float = 300.0
    #: the most runs of a job when Claude answers with a server error
    max_attempts: int = 5
    #: how often a job may take its worker down with it before it is dead-lettered
    max_worker_deaths: int = 3

    #: how often a job is tried while a usage limit lasts, for limits that are raised or reset early, seconds
    limit_probe_seconds: float = 1800.0
    #: share of a subscription's usage windows, 0 to 1, at which what a window holds waits for its reset: `0.8` for each, or one for
    #: each, e.g. `five_hour=0.8,seven_day_opus=0.5`; 0: use all of it
    stop_at_utilization: Shares = field(default_factory=Shares, metadata={"read": usage_shares.read})
    #: whether work goes on by itself after a usage limit (`auto`), or waits for `nightshift resume` (`manual`)
    resume: Literal["auto", "manual"] = "auto"
    #: how often it is tried whether Claude's login works again, seconds
    login_probe_seconds: float = 30.0
    #: how long clients wait for a worker that can serve while there is none, since workers are restarted; then 503, seconds
    no_worker_grace_seconds: float = 10.0

    #: how long a request waits and runs when the client does not say, seconds
    request_timeout_seconds: float = 600.0
    #: how many clients may wait at once in one API process; must be below `api_threads`
    max_waiting: int = 500
    #: threads of the API process
    api_threads: int = 600
    #: requests in the queue; beyond it 429
    max_queued: int = 10_000
    #: body of a request, bytes
    max_body_bytes: int = 32 * 1024 * 1024
    #: an image that a request names by its https address, bytes
    max_image_bytes: int = 5 * 1024 * 1024
    #: what Claude answers to a request, as JSON, bytes
    max_result_bytes: int = 32 * 1024 * 1024
    #: how long a client's place is kept after it hung up, for its own retry to join, seconds
    abandon_grace_seconds: float = 10.0
    #: how long outcomes are kept, seconds
    result_ttl_seconds: int = 24 * 3600
    #: how long an answer is kept for the same request of the same key ([cost](cost.md#a-cache-of-answers)), e.g. `12h`, `7d`; 0: not at all
    answer_cache: float = field(default=0.0, metadata={"read": environment.duration})
    #: answers that are kept so, bytes in Redis; beyond it the oldest go
    answer_cache_bytes: int = 64 * 1024 * 1024

    #: requests in one batch
    max_batch_lines: int = 50_000
    #: an uploaded file, bytes
    max_file_bytes: int = 200 * 1024 * 1024
    #: lines of all batches that wait in the queue or run; 0: four for each worker that lives
    batch_in_queue: int = 0
    #: workers of all that live which never take batch lines, kept for interactive requests; the same on all machines
    reserve: int = 0
    #: `on`: spread batch lines over the time until a subscription's usage window resets, instead of using it up at once
    pace: bool = False
    #: when batch lines may start, e.g. `22:00-07:00 Europe/Berlin`; empty: always
    batch_window: str = ""
    #: what all keys together may use before no further batch line starts: US dollars or tokens a night, day or month, e.g. `20/night`
    #: or `2000000tokens/day`, or a share of a subscription's usage window in each night, e.g. `40%five_hour`, or several with commas
    #: between ([nights](cost.md#budgets)); empty: any amount
    budget: tuple[Budget, ...] = field(default=(), metadata={"read": budgets.read_house})

    #: where messages are sent when a batch is done, waits or fails: URLs of [Apprise](notifications.md), with spaces between; needs the
    #: extra `notify`
    notify: tuple[str, ...] = field(
        default=(), metadata={"read": notify_settings.read_urls, "secret": True}, repr=False
    )
    #: when the last day's batches are summed up in a message, e.g. `07:00 Europe/Berlin`; empty: never
    notify_digest: str = ""
    #: a message says so when more than this share of a batch's requests that have ended failed, 0 to 1; 0: never
    notify_failed_share: float = 0.1
    #: what addresses of pages in messages begin with, e.g. `https://nightshift.example.com`; empty: messages have none
    notify_links: str = ""
    #: attach the [morning report](morning-report.md) where the service takes files; errors in it may quote an answer
    notify_report: bool = False
    #: comma-separated: what the URLs begin with that clients may name for their own batches, e.g. `tgram://`
    #: ([who may](notifications.md#messages-for-one-batch)); empty: none
    notify_from_clients: tuple[str, ...] = ()

    #: a worker that has not renewed its lease for this time is taken for dead, seconds
    lease_seconds: float = 10.0
    #: how often a worker renews its lease, seconds
    beat_seconds: float = 2.0

    #: how long a stopping worker lets its job run before it is requeued, seconds
    stop_grace_seconds: float = 5.0
    #: how long processes that `nightshift restart` replaces may take to finish what they have begun, seconds
    restart_grace_seconds: float = 600.0

    #: wait for a callback's receiver, seconds
    callback_timeout_seconds: float = 15.0
    #: processes that deliver callbacks
    callback_workers: int = 1
    #: `on`: `nightshift up` keeps this machine awake while a batch has requests left (`systemd-inhibit`, `caffeinate`)
    keep_awake: bool = False

    #: answers come from the simulated Messages API that `nightshift up --offline` starts
    offline: bool = False
    #: the kind of login that `--offline` plays; a `subscription` has usage limits
    offline_login: Literal["api_key", "subscription"] = "api_key"
    #: where OpenTelemetry's spans go by OTLP over HTTP, e.g. `http://127.0.0.1:4318`; needs the extra `otel`
    otlp_endpoint: str | None = field(
        default=None, metadata={"env": "OTEL_EXPORTER_OTLP_ENDPOINT", "secret": True}, repr=False
    )
    #: log lines for people (`human`) or for programs (`json`)
    log_format: Literal["human", "json"] = "human"
    #: the least that is logged: `warning` and `error` leave out requests, `debug` adds each batch line that completed
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    #: log the beginnings of prompts and answers, too
    log_content: bool = False
    #: pid of the supervisor whose tree `/health` measures; set by `nightshift` for its children
    supervisor_pid: int | None = None

    #: what Claude's processes get of the environment, see `environment.CLAUDE_ENVIRONMENT`
    claude_environment: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), metadata={"env": None}, repr=False
    )
    #: the user's own Claude config dir, whose login is used when no key or token is set
    claude_home: Path = field(default_factory=lambda: environment.home_path("~/.claude"), metadata={"env": None})

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Read the settings; `overrides` (from the command line) win. Raises `SettingsError`."""
        environ = environment.variables() if environ is None else environ
        values: dict[str, Any] = {}
        for f in fields(cls):
            name = _variable(f)
            if name is not None and environ.get(name, "") != "":
                try:
                    read = f.metadata.get("read")
                    values[f.name] = read(environ[name]) if read else environment.parse(environ[name], str(f.type))
                except (ways.WaysError, storage_url.StorageUrlError) as error:
                    raise SettingsError(f"{name} {error}.") from error
                except ValueError as error:
                    if f.metadata.get("secret"):  # the reason may quote it, too
                        raise SettingsError(f"{name} is not understood{_shown(error)}.") from None
                    raise SettingsError(f"{name}={environ[name]!r} is not understood: {error}") from error
        values["claude_environment"] = MappingProxyType(environment.for_claude(environ))
        if home := environ.get("CLAUDE_CONFIG_DIR"):
            values["claude_home"] = environment.home_path(home)
        values.update({k: v for k, v in overrides.items() if v is not None})
        try:
            settings = cls(**values)
        except ValueError as error:
            raise SettingsError(f"NIGHTSHIFT_DATA_DIR or CLAUDE_CONFIG_DIR is needed: {error}.") from error
        settings._check()
        return settings._with_checked_ways()

    def _check(self) -> None:
        if self.max_waiting >= self.api_threads:
            raise SettingsError(
                f"NIGHTSHIFT_MAX_WAITING is {self.max_waiting}; it must be below NIGHTSHIFT_API_THREADS"
                f" ({self.api_threads}), or health checks would starve behind waiting clients."
            )
        for origin in self.cors_origins:
            if not _ORIGIN.fullmatch(origin):
                raise SettingsError(
                    f"NIGHTSHIFT_CORS_ORIGINS: {origin!r} is no origin. An origin is what browsers send, such as"
                    " https://app.example.com or http://localhost:3000: no path, no *."
                )
        if self.warm_processes < 1:
            raise SettingsError("NIGHTSHIFT_WARM_PROCESSES must be 1 at least: the one that answers is one of them.")
        if 0 < self.hard_rss_mb < self.max_rss_mb:
            raise SettingsError("NIGHTSHIFT_HARD_RSS_MB must not be below NIGHTSHIFT_MAX_RSS_MB.")
        if self.lease_seconds < 2 * self.beat_seconds:
            raise SettingsError("NIGHTSHIFT_LEASE_SECONDS must be at least twice NIGHTSHIFT_BEAT_SECONDS.")
        if unknown := set(self.ignore_fields) - IGNORABLE_FIELDS:
            raise SettingsError(
                f"NIGHTSHIFT_IGNORE_FIELDS names {', '.join(sorted(unknown))}; it takes {', '.join(sorted(IGNORABLE_FIELDS))}."
            )
        self._check_what_is_read()

    def _check_what_is_read(self) -> None:
        if self.prices is not None:
            try:
                price_file.read(self.prices)
            except price_file.PriceFileError as error:
                raise SettingsError(f"NIGHTSHIFT_PRICES={str(self.prices)!r} {error}.") from error
        if self.notify_digest:
            try:
                notify_settings.read_time(self.notify_digest)
            except ValueError as error:
                raise SettingsError(f"NIGHTSHIFT_NOTIFY_DIGEST={self.notify_digest!r} {error}.") from error
        if self.notify_failed_share > 1:
            raise SettingsError("NIGHTSHIFT_NOTIFY_FAILED_SHARE takes 0 to 1.")
        if wrong := [one for one in self.notify_from_clients if "://" not in one]:
            raise SettingsError(
                f"NIGHTSHIFT_NOTIFY_FROM_CLIENTS: {wrong[0]!r} is no beginning of a URL, such as tgram://."
            )
        if self.batch_window:
            try:
                window.parse(self.batch_window)
            except window.WindowError as error:
                raise SettingsError(f"NIGHTSHIFT_BATCH_WINDOW={self.batch_window!r} {error}.") from error

    def _with_checked_ways(self) -> Settings:
        """Offline, with the login that each way plays: several at once may have different ones."""
        if not self.offline:
            return self
        cli = LoginName.SUBSCRIPTION if self.offline_login == "subscription" else LoginName.API_KEY
        played = {Way.CLI: (cli, LoginName.SUBSCRIPTION, LoginName.API_KEY)}
        steps = []
        for step in self.ways:
            first, *others = played.get(step.way, (LoginName.API_KEY,))
            if step.login and step.login not in (first, *others):
                raise SettingsError(f"NIGHTSHIFT_WAYS names `{step}`; --offline plays {LoginName.API_KEY} for it.")
            steps.append(replace(step, login=step.login or first))
        if self.offline_login == "subscription" and all(step.way is not Way.CLI for step in steps):
            raise SettingsError(
                f"NIGHTSHIFT_WAYS={environment.spell(self.ways)} needs an API key,"
                " and NIGHTSHIFT_OFFLINE_LOGIN=subscription plays none."
            )
        return replace(self, ways=tuple(steps)) if len(steps) > 1 else self

    @property
    def way(self) -> Way:
        """The first way that workers go."""
        return ways.ways_of_workers(self.ways)[0]

    @property
    def worker_ways(self) -> tuple[Way, ...]:
        """All ways that workers go, in the ladder's order."""
        return tuple(step.way for step in self.ways if step.way in ways.OF_WORKERS)

    def step(self, way: str) -> Step | None:
        """The ladder's step of that way; None: it is off."""
        return next((step for step in self.ways if step.way == way), None)

    def only(self, step: Step) -> Settings:
        """Settings with that way alone: what its engine is made with."""
        return replace(self, ways=(step,))

    @property
    def hardest_rss_mb(self) -> int:
        """`hard_rss_mb`, or its default when it is 0."""
        return self.hard_rss_mb or 2 * self.max_rss_mb

    def to_environment(self) -> dict[str, str]:
        """The variables that make a child process read the same settings (the login's are inherited as they are)."""
        values = {_variable(f): getattr(self, f.name) for f in fields(self)}
        return {n: environment.spell(value) for n, value in values.items() if n is not None and value is not None}


def _shown(error: ValueError) -> str:
    """The reason, if it says of itself that it quotes nothing."""
    return f": it {error}" if isinstance(error, notify_settings.UrlsError) else ""


def variables() -> set[str]:
    """The names of all variables that settings are read from."""
    return {name for f in fields(Settings) if (name := _variable(f)) is not None}


def _variable(f: Field[Any]) -> str | None:
    """The variable that a field is read from; None when there is none of its own."""
    name: str | None = f.metadata.get("env", f"NIGHTSHIFT_{f.name.upper()}")
    return name
