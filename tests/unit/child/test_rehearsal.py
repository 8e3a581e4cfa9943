import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

COMPARED = """
import os, sys, threading
def look():
    return (dict(os.environ), sys.path[:], [f for f in sys.meta_path], sys.stdout, "rehearsed" in sys.modules)
from worker.child import main, stage
real = main.rehearse
def watched(serve):
    answered = []
    before = look()
    def counted(*arguments):
        try:
            serve(*arguments)
        except BaseException as error:
            answered.append(type(error).__name__)
            raise
    try:
        real(counted)
    finally:
        os.write(1, repr((look() == before, answered, threading.active_count())).encode())
main.rehearse = watched
entry = main.prepare()
stage = entry.args[0]
os.write(1, repr((stage.bridge.records, stage.encoder.max_bytes, stage.output.muted, "worker" in sys.modules)).encode())
"""


def test_a_rehearsal_plays_to_the_end_of_its_script_and_leaves_the_process_as_it_was() -> None:
    done = subprocess.run(
        [sys.executable, "-s", "-P", "-c", COMPARED],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "(True, ['PeerGoneError'], 1)({}, 0, False, False)"
    assert done.stderr == ""
