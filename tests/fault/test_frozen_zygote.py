"""A zygote that is stopped from outside: what is in memory goes on, what is not waits, and the worker still ends."""

import os
import signal
from typing import Any

import pytest

from protocol.errors import ErrorCode, ProtocolError
from tests.fault.programs.lab import CONTEXT, MODEL


def test_a_worker_whose_zygote_is_stopped_serves_what_is_in_memory_and_ends_in_bounded_time(
    make_daemon: Any, model_root: Any
) -> None:
    model = model_root.add("ledger", MODEL, CONTEXT)
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_DRAIN_GRACE_SECONDS": "0.5"})
    with daemon.client() as client:
        run_key = client.create_run(model).run_key
        other = client.create_run(model).run_key
        (zygote,) = client.worker_status()["zygotes"]
        os.kill(zygote["pid"], signal.SIGSTOP)

        assert client.call_operation(run_key, "post", ["a", 1]) == [1, 1]
        for type_, fields in (("create_run", {"model_file": model}), ("evict_run", {"run_key": other})):
            with pytest.raises(ProtocolError) as failure:
                client.request(type_, **fields, deadline_seconds=0.3)
            assert failure.value.code is ErrorCode.DEADLINE_EXCEEDED
        assert client.call_operation(run_key, "post", ["b", 1]) == [2, 2]

    family = daemon.descendants()
    assert daemon.stop() == 0
    assert daemon.survivors(family) == []
    assert "ending their zygotes" in daemon.logged()
