import protocol
import worker
from pkg.inner import deep
from worker.tasks import task

try:
    import worker.channel
    found = "worker.channel"
except ModuleNotFoundError as error:
    found = error.name

names = [worker.NAME, protocol.NAME, task(), deep()]


def inner_fail():
    return deep(1)


def worker_operation():
    return task()
