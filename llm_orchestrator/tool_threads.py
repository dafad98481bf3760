"""Functions that block, on threads of their own.

Why not `asyncio.to_thread`: a function that never returns would keep one of its few threads for
good, which name lookups need as well, and would hold up the end of the process.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Threads:
    def __init__(self, most: int) -> None:
        """
        Args:
            most: At a time. A function that was given up counts until it returns.
        """
        self._free = asyncio.Semaphore(most)

    async def run(self, function: Callable[[], Any]) -> Any:
        """What the function returns or raises. Waits for a thread; a cancelled wait leaves the
        function to itself."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def settle(result: Any, error: BaseException | None) -> None:
            self._free.release()
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)

        def work() -> None:
            result: Any = None
            failed: BaseException | None = None
            try:
                result = context.run(function)
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                failed = error if not isinstance(error, StopIteration) else RuntimeError("stopped")
            except BaseException as error:  # noqa: BLE001 - sys.exit() in a tool ends the tool
                failed = RuntimeError(type(error).__name__)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, result, failed)

        threading.Thread(target=work, name="tool", daemon=True).start()
        return await done
