"""Runs the calls of server-side tools: several at a time, each with a limit; what goes wrong
with one is its result, so that the model can say so or try something else."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from llm_orchestrator import metrics, tool_results
from llm_orchestrator.engine import Request, Tool, ToolCall, ToolMode
from llm_orchestrator.tool_threads import Threads
from llm_orchestrator.tools import ServerTool

MOST_CALLS = 16
"""Of one message of a model; the others are told so."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    timeout_s: float = 10.0
    """Of one call."""

    max_output_bytes: int = 16 << 10
    max_rounds: int = 5
    """How often the model may see results and call again, in one response."""

    max_threads: int = 32
    """For functions that are not async, over all responses."""


@dataclass(frozen=True, slots=True)
class _Result:
    text: str
    outcome: str
    """ok, failed, timeout or refused."""


class Toolbox:
    """The server-side tools that are enabled."""

    def __init__(self, tools: Iterable[ServerTool] = (), limits: Limits | None = None) -> None:
        self._tools: Mapping[str, ServerTool] = {tool.offer.name: tool for tool in tools}
        self.limits = limits or Limits()
        self._threads = Threads(self.limits.max_threads)

    def hidden_from(self, request: Request) -> frozenset[str]:
        """The tools whose calls the caller does not see: all but those with a name that the
        caller gave to a tool of its own. Its own is then the one that is called."""
        return frozenset(self._tools) - {tool.name for tool in request.tools}

    def offered(self, request: Request, hidden: Collection[str]) -> tuple[Tool, ...]:
        """What to add to the tools of a request. A choice that the caller restricts is between
        its own tools."""
        if request.tool_choice.mode is not ToolMode.AUTO:
            return ()
        return tuple(tool.offer for name, tool in self._tools.items() if name in hidden)

    async def run(self, calls: Sequence[ToolCall], limit_s: float | None) -> dict[str, str]:
        """The results, by the calls' ids.

        Args:
            limit_s: Of all of them, if that is less than the limit of one; None for none.
        """
        most_s = self.limits.timeout_s
        if limit_s is not None:
            most_s = min(most_s, limit_s)
        async with asyncio.TaskGroup() as tasks:
            running = {
                call.call_id: tasks.create_task(self._run(call, most_s, i), name="tool")
                for i, call in enumerate(calls)
            }
        return {call_id: task.result() for call_id, task in running.items()}

    async def _run(self, call: ToolCall, limit_s: float, index: int) -> str:
        began_s = time.monotonic()
        outcome = "cancelled"
        try:
            result = await self._result(call, limit_s, index)
            outcome = result.outcome
        finally:
            took_s = time.monotonic() - began_s
            metrics.TOOL_CALLS.labels(call.name, outcome).inc()
            metrics.TOOL_SECONDS.labels(call.name).observe(took_s)
            about = {"tool": call.name, "call_id": call.call_id, "outcome": outcome}
            log.info("tool called", extra=about | {"took_ms": round(took_s * 1000)})
        return tool_results.bounded(result.text, self.limits.max_output_bytes)

    async def _result(self, call: ToolCall, limit_s: float, index: int) -> _Result:
        if index >= MOST_CALLS:
            return _refused(f"At most {MOST_CALLS} tools are called at a time; call it again.")
        tool = self._tools[call.name]
        try:
            arguments = json.loads(call.arguments_json or "{}")
            if not isinstance(arguments, dict):
                return _refused("The arguments are no JSON object.")
            work = _bound(tool.call, arguments)
        except (ValueError, TypeError, RecursionError) as error:
            return _refused(f"The arguments do not fit: {error}")
        try:
            async with asyncio.timeout(limit_s) as limit:
                returned = await (work() if tool.is_async else self._threads.run(work))
                if inspect.isawaitable(returned):
                    returned = await returned
            return _Result(tool_results.text_of(returned), "ok")
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
                raise  # not the tool's: we are
            if isinstance(error, TimeoutError) and limit.expired():
                late = f"The tool did not return within {limit_s:.3g} s."
                return _Result(tool_results.error(late), "timeout")
            told = f"The tool failed: {type(error).__name__}: {error}"
            return _Result(tool_results.error(told), "failed")


def _refused(why: str) -> _Result:
    return _Result(tool_results.error(why), "refused")


def _bound(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[[], Any]:
    """
    Raises:
        TypeError: an argument is missing, or is one too many.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # built in: it will say so itself
        return partial(function, **arguments)
    signature.bind(**arguments)
    return partial(function, **arguments)
