"""Requests about the profiles of runs: start a run, look at its profile, change or delete it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from protocol.errors import ErrorCode
from protocol.profiles import DecideAction, DeleteRun, GetProfile, StartRun, UpdateProfile
from worker.channel import pack
from worker.clock import now_us
from worker.errors import CapacityError, RequestError
from worker.log.base import Creation, StoredRequest
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.supervisor.access import StateAccess, stored_answer
from worker.supervisor.courses import Courses, already
from worker.supervisor.decisions import Decisions
from worker.supervisor.expiry import Expiry
from worker.supervisor.flights import Flight
from worker.supervisor.host import RunHost
from worker.supervisor.profile_views import profile_view
from worker.supervisor.records import live_record
from worker.supervisor.run_requests import RunRequests
from worker.supervisor.starts import Start, Starts, run_digest
from worker.supervisor.views import shown_status
from worker.telemetry import Logger
from worker.waiting import Gates

COURSES: Final = 10_000
"""Runs that may take their course at once, those that wait for a process included."""
ProfileRequest = StartRun | GetProfile | UpdateProfile | DeleteRun | DecideAction
Body = dict[str, Any]


class ProfileRequests:
    """Serves them; one object for the whole worker."""

    def __init__(
        self,
        access: StateAccess,
        runs: RunRequests,
        *,
        starts: Starts,
        courses: Courses,
        expiry: Expiry,
        log: Logger,
    ) -> None:
        self._access = access
        self._runs = runs
        self._stores = access.stores
        self._under_way = access.under_way
        self._starts = starts
        self._courses = courses
        self._expiry = expiry
        self._log = log
        self._decisions = Decisions(access)
        self._gates = Gates()

    async def serve(self, flight: Flight, request: ProfileRequest) -> Body:
        """The body of the reply."""
        match request:
            case StartRun():
                return await self.start(flight, request)
            case GetProfile():
                return await self.get(request)
            case UpdateProfile():
                return await self.update(flight, request)
            case DeleteRun():
                return await self.delete(flight, request)
            case DecideAction():
                return await self._decisions.serve(flight, request)

    async def start(self, flight: Flight, request: StartRun) -> Body:
        """``{run, created}`` of a run that takes its course from now on, or of the one that has the ``run_id``.

        Raises:
            RequestError: REQUEST_ID_REUSED for the ``run_id`` of a run that was started otherwise; as ``Starts.of``.
            CapacityError: too many runs take their course.
        """
        if request.run_id is None:
            return await self._started(flight, request)
        async with self._gates.of((request.project_name, request.run_id)):
            found = await self._find(request.project_name, request.run_id)
            if found is None:
                return await self._started(flight, request)
        profile, record = await self._read(found)
        self._permit(request, record)
        if profile.request_digest != run_digest(request):
            raise already(found)
        return await self._answer(request, found, created=False)

    async def _started(self, flight: Flight, request: StartRun) -> Body:
        stored = self._access.stored(flight, None)
        if stored is not None:
            return await self._repeated(request, stored)
        if len(self._under_way) >= COURSES:
            message = f"{COURSES} runs that were started have not come to rest"
            raise CapacityError(message, limit="courses", used=len(self._under_way), allowed=COURSES)
        await self._judge_parent(request)
        start = await self._starts.of(request, flight)
        flight.check()
        await self._create(flight, request, start)
        self._log.info(
            "run started",
            run_key=start.record.run_key,
            model_file=start.record.model_file,
            request_id=request.request_id,
        )
        self._courses.begin(start.record.run_key)
        self._expiry.wake()
        return await self._answer(request, start.record.run_key, created=True, known=start)

    async def _judge_parent(self, request: StartRun) -> None:
        """Whether the parent that a request names is a run of its project.

        Raises:
            RequestError: RUN_NOT_FOUND.
        """
        parent = request.parent
        if parent is not None:
            record = await self._stores.of(parent).get(parent)
            if record is None or record.project != request.project_name:
                message = f"parent: there is no run {parent}"
                raise RequestError(ErrorCode.RUN_NOT_FOUND, message, path="parent", run_key=parent)

    async def _create(self, flight: Flight, request: StartRun, start: Start) -> None:
        record, profile = start.record, start.profile
        store = self._stores.ephemeral if record.ephemeral else self._stores.durable
        answer = _started(profile, record, profile_view(profile, record, live=False), created=True)
        stored = StoredRequest(request.request_id, record.run_key, flight.digest, result=pack(answer))
        if record.ephemeral:
            self._stores.mark_ephemeral(record.run_key)
        await store.create(Creation(record, (), metadata=start.metadata, request=stored, profile=profile))

    async def _repeated(self, request: StartRun, stored: StoredRequest) -> Body:
        """The answer that was given, with the run as it is by now, where it is still there."""
        try:
            return await self._answer(request, stored.run_key, created=True)
        except RequestError as error:
            if error.code is not ErrorCode.RUN_NOT_FOUND:
                raise
            return stored_answer(stored)

    async def _answer(
        self, request: StartRun, run_key: str, *, created: bool, known: Start | None = None
    ) -> Body:
        """The run as it was just made, or as it is after the time that the caller waits for it."""
        if known is not None and not request.wait_seconds:
            view = profile_view(known.profile, known.record, live=False)
            return {"result": _started(known.profile, known.record, view, created=True)}
        await self._under_way.ended(run_key, request.wait_seconds or 0)
        profile, record = await self._read(run_key)
        return {"result": _started(profile, record, await self._view(run_key), created=created)}

    async def get(self, request: GetProfile) -> Body:
        """The profile of a run."""
        run_key = request.run_key
        if run_key is None:
            run_key = await self._find(request.project_name, request.run_id or "")
            if run_key is None:
                message = f"there is no run of the id {request.run_id}"
                raise RequestError(ErrorCode.RUN_NOT_FOUND, message, run_id=request.run_id)
        await self._access.locate(request, run_key)
        if request.wait_seconds:
            await self._under_way.ended(run_key, request.wait_seconds)
        return {"result": await self._view(run_key)}

    async def update(self, flight: Flight, request: UpdateProfile) -> Body:
        """The profile, changed."""
        run_key = request.run_key
        async with self._access.table.gate(run_key):
            stored = self._access.stored(flight, run_key)
            if stored is not None:
                return stored_answer(stored)
            host, record = await self._access.locate(request, run_key)
            at_us = now_us()
            changed = replace(record, last_modified_us=at_us)

            def edit(profile: RunProfile) -> RunProfile:
                return edited(profile, request, at_us)

            def view(profile: RunProfile) -> Body:
                return profile_view(profile, changed, live=host is not None and host.live)

            store = self._stores.with_events_of(run_key)
            stored = StoredRequest(request.request_id, run_key, flight.digest)
            profile = await store.update_profile(
                run_key, edit, stored, lambda new: pack(view(new)), at_us=at_us
            )
            if host is not None:
                host.record = replace(host.record, last_modified_us=at_us)
        self._expiry.wake()
        return {"result": view(profile)}

    async def delete(self, flight: Flight, request: DeleteRun) -> Body:
        """Nothing is left of the run, and of its process."""
        run_key = request.run_key
        stored = self._access.stored(flight, None)
        if stored is not None:
            return stored_answer(stored)
        await self._access.locate(request, run_key)
        await self._under_way.stop(run_key)
        answer = {"run_key": run_key}
        done = StoredRequest(request.request_id, "", flight.digest, result=pack(answer))
        await self._runs.delete(flight, run_key, done)
        return {"result": answer}

    async def _find(self, project: str, run_id: str) -> str | None:
        found = await self._stores.durable.find_run_id(project, run_id)
        if found is None:
            found = await self._stores.ephemeral.find_run_id(project, run_id)
        return found

    async def _read(self, run_key: str) -> tuple[RunProfile, RunRecord]:
        profile = await self._stores.of(run_key).read_profile(run_key)
        record = await self._stores.get(run_key)
        if profile is None:
            raise RequestError(ErrorCode.RUN_NOT_FOUND, f"there is no run {run_key}", run_key=run_key)
        host = self._access.table.get(run_key)
        # A change of the status moves the stored row alone.
        return profile, record if host is None else live_record(host.record, record)

    async def _view(self, run_key: str) -> Body:
        profile, record = await self._read(run_key)
        metadata = await self._stores.of(run_key).read_metadata(run_key)
        host: RunHost | None = self._access.table.get(run_key)
        live = host is not None and host.live
        status = shown_status(None if host is None else host.run.state, profile.status)
        return {
            **profile_view(profile, record, live=live),
            "status": status.value,
            "metadata": metadata,
            "entry_points": self._entry_points(record),
        }

    def _entry_points(self, record: RunRecord) -> dict[str, str | None] | None:
        """The operations that the model's context names for data, prompts and the result; None: it cannot be read."""
        try:
            model = self._access.births.catalogs.of(record.project).find(record.model_file)
            context, _ = model.effective_context(None)
        except RequestError:
            return None
        run = context.run
        return {"start": run.start, "prompt": run.prompt, "result": run.result}

    def _permit(self, request: StartRun, record: RunRecord) -> None:
        """Who starts a run that is there looks at it."""
        look = GetProfile(
            type="get_profile", request_id=request.request_id, run_key=record.run_key, actor=request.actor
        )
        self._access.permit(look, record)


def _started(profile: RunProfile, record: RunRecord, view: Body, *, created: bool) -> Body:
    """The answer to a start; who is to be told of a run that is not kept learns that this is not, either."""
    answer = {"run": view, "created": created}
    is_told_for_now = record.ephemeral and profile.on_status_change is not None
    return {**answer, "durable": False} if is_told_for_now else answer


def edited(profile: RunProfile, request: UpdateProfile, at_us: int) -> RunProfile:
    """The profile with what a request says of it; scores that it does not give stay."""
    changes: dict[str, Any] = {}
    if request.name is not None:
        changes["name"] = request.name
    if request.tags is not None:
        changes["tags"] = tuple(dict.fromkeys(request.tags))
    if request.evaluation is not None:
        given: Mapping[str, Any] = request.evaluation.model_dump(mode="json", exclude_none=True)
        changes["evaluation"] = {**(profile.evaluation or {}), **given}
    if request.ttl_seconds is not None:
        changes |= {
            "ttl_seconds": request.ttl_seconds,
            "expires_us": at_us + request.ttl_seconds * 1_000_000,
        }
    if request.detach:
        changes["parent"] = None
    actor = request.actor
    if actor is not None and actor.user_key is not None:
        changes["updated_by"] = actor.user_key
    return replace(profile, **changes)
