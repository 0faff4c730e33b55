"""``/_control``: how tests and benchmarks steer the simulator; no part of the Messages API.

``rules``: GET lists, POST appends one rule or a list, PUT replaces all, DELETE removes all; ``rules/{id}``:
DELETE. ``requests``: GET with ``contains``, ``after``, ``limit``; DELETE forgets them. ``stats``: GET.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.request_log import RequestLog
from simulator.rule_book import RuleBook
from simulator.rules import RuleError, parse_rules

#: Requests that one call returns unless it says otherwise.
DEFAULT_LIMIT = 1_000


def routes(rules: RuleBook, log: RequestLog) -> list[Route]:
    """Return the routes that steer ``rules`` and show ``log``."""

    async def on_rules(request: Request) -> Response:
        if request.method == "DELETE":
            rules.clear()
        elif request.method in ("POST", "PUT"):
            try:
                given = parse_rules(await request.body())
            except RuleError as error:
                return JSONResponse({"error": str(error)}, 422)
            ids = rules.replace(given) if request.method == "PUT" else rules.add(given)
            return JSONResponse({"ids": ids}, 201)
        return JSONResponse({"rules": rules.describe()})

    async def on_rule(request: Request) -> Response:
        found = rules.remove(request.path_params["rule_id"])
        return Response(status_code=204 if found else 404)

    async def on_requests(request: Request) -> Response:
        if request.method == "DELETE":
            log.clear()
        query = request.query_params
        try:
            after, limit = int(query.get("after", -1)), int(query.get("limit", DEFAULT_LIMIT))
        except ValueError as error:
            return JSONResponse({"error": f"after and limit are whole numbers: {error}"}, 422)
        return JSONResponse({"requests": log.find(query.get("contains"), after, limit), "dropped": log.dropped})

    async def on_stats(_request: Request) -> Response:
        return JSONResponse(log.stats())

    return [
        Route("/rules", on_rules, methods=["GET", "POST", "PUT", "DELETE"]),
        Route("/rules/{rule_id:int}", on_rule, methods=["DELETE"]),
        Route("/requests", on_requests, methods=["GET", "DELETE"]),
        Route("/stats", on_stats, methods=["GET"]),
    ]
