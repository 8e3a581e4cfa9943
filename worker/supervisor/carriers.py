"""How a delivery gets to its target: a web address, a function that a provider serves, or a handler model's operation.

What answers is a stranger in each case: whatever it does costs this attempt, and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from protocol.messages import CallOperation, Request
from protocol.profiles import StartRun
from worker.channel import ANSWERED, unpack
from worker.errors import WorkerError
from worker.runs.deliveries import Delivery
from worker.runs.digests import json_text
from worker.runs.targets import web_address
from worker.settings import Settings
from worker.supervisor.courier import NotDeliveredError
from worker.supervisor.providers import PendingCall, Providers
from worker.supervisor.status_targets import allowed_networks, is_handler_model
from worker.supervisor.webhook_secrets import SecretsError, read_secrets

if TYPE_CHECKING:
    from worker.supervisor.webhook import Webhooks

Ask = Callable[[Request], Awaitable[dict[str, Any]]]
"""Has the worker serve a request of its own; gives the reply map."""
ModelOf = Callable[[str], Awaitable[str]]
"""The model file of a run."""
RUN_ID_BYTES: Final = 16
FINAL_CODES: Final = frozenset({"OPERATION_FAILED", "UNENCODABLE_VALUE", "RESULT_TOO_LARGE"})
"""Outcomes that are stored with the request: asked again, the operation is not performed again."""


def handler_run_id(model_file: str) -> str:
    """The run id of the one run, in each project, of a handler model."""
    return f"status-handler.{blake2b(model_file.encode(), digest_size=RUN_ID_BYTES).hexdigest()}"


class Carriers:
    """Carries deliveries; ``ask`` serves requests of the worker's own."""

    def __init__(self, settings: Settings, providers: Providers, ask: Ask, model_of: ModelOf) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._providers = providers
        self._ask = ask
        self._model_of = model_of
        self._webhooks: Webhooks | None = None

    async def carry(self, delivery: Delivery, attempt: int) -> None:
        """Make one attempt.

        Raises:
            NotDeliveredError: it failed.
        """
        function = delivery.target.get("function")
        if function is None:
            await self._post(delivery, attempt)
        elif is_handler_model(function["service"]):
            await self._handle(delivery, function["service"], function["function"])
        else:
            await self._call(delivery, function["service"], function["function"], attempt)

    async def _post(self, delivery: Delivery, attempt: int) -> None:
        if self._webhooks is None:
            # Half a second of imports, which who posts nothing does not pay for, and nobody waits for.
            webhooks = await asyncio.to_thread(_imported_webhooks)
            self._webhooks = webhooks(
                allowed_networks(self._settings), self._settings.delivery_timeout_seconds
            )
        try:
            secrets = read_secrets(self._settings.delivery_secrets)
        except SecretsError as error:
            raise NotDeliveredError(f"cannot be signed: {error}") from error
        body = json_text(delivery.payload(attempt)).encode()
        await self._webhooks.post(
            web_address(delivery.target["webhook"]), delivery.delivery_id, body, secrets
        )

    async def _call(self, delivery: Delivery, service: str, name: str, attempt: int) -> None:
        told: asyncio.Future[tuple[str, bytes]] = self._loop.create_future()

        def done(status: str, value: bytes) -> None:
            if not told.done():
                told.set_result((status, value))

        call = PendingCall(
            call_id=delivery.delivery_id,
            service=service,
            version=None,
            body=await self._message(delivery, service, name, attempt),
            room=self._settings.callback_bytes,
            ends_at=self._loop.time() + self._settings.delivery_timeout_seconds,
            done=done,
        )
        try:
            self._providers.ask(call)
            status, value = await told
        finally:
            self._providers.abandon(call)
        if status != ANSWERED:
            error = unpack(value)
            raise NotDeliveredError(f"{error['code']}: {error['message']}")

    async def _model_file(self, delivery: Delivery) -> str:
        try:
            return await self._model_of(delivery.run_key)
        except WorkerError as error:  # the run was deleted meanwhile, or the log cannot be read
            raise NotDeliveredError(str(error)) from error

    async def _message(self, delivery: Delivery, service: str, name: str, attempt: int) -> dict[str, Any]:
        body = {
            "version": 1,
            "type": "function_call",
            "call_id": delivery.delivery_id,
            "service": service,
            "name": name,
            "arguments": [delivery.payload(attempt)],
            "run_key": delivery.run_key,
            "model_file": await self._model_file(delivery),
            "request_id": delivery.delivery_id,
        }
        return {**body, "project": delivery.project} if delivery.project else body

    async def _handle(self, delivery: Delivery, model_file: str, operation: str) -> None:
        """Call a handler model's operation; once, because its request id stays until somebody redelivers."""
        project = delivery.project or None
        started = await self._answered(
            StartRun(
                type="start_run",
                request_id=delivery.delivery_id,
                model_file=model_file,
                run_id=handler_run_id(model_file),
                name=f"status handler {model_file}",
                project=project,
            )
        )
        request_id = f"{delivery.delivery_id}:{delivery.round}"
        call = CallOperation(
            type="call_operation",
            request_id=request_id,
            run_key=started["run"]["run_key"],
            name=operation,
            arguments=[delivery.payload(delivery.round + 1)],
            project=project,
        )
        await self._answered(call)

    async def _answered(self, request: Request) -> Any:
        """The result of a request of the worker's own.

        Raises:
            NotDeliveredError: it failed.
        """
        reply = await self._ask(request)
        if not reply["ok"]:
            error = reply["error"]
            message = f"{error['code']}: {error['message']}"
            raise NotDeliveredError(message, final=error["code"] in FINAL_CODES)
        return reply["result"]


def _imported_webhooks() -> "type[Webhooks]":
    from worker.supervisor.webhook import Webhooks  # noqa: PLC0415 - as above

    return Webhooks
