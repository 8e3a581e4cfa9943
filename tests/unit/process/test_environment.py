"""The folder of environments, and what an installer says turned into what to do."""

import asyncio
import json
from pathlib import Path

import pytest

from worker.process.environment import EnvironmentFolder, environment_key, installed_packages
from worker.process.installer import PACKAGES, advice_on, disk_bytes
from worker.settings import Settings

KEY = "k" * 32


@pytest.fixture
def folder(tmp_path: Path) -> EnvironmentFolder:
    made = EnvironmentFolder(tmp_path / "environments")
    made.prepare()
    return made


def add_package(folder: Path, name: str, version: str) -> None:
    dist = folder / PACKAGES / f"{name}-{version}.dist-info"
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_the_key_depends_on_what_is_asked_for_not_on_its_order() -> None:
    assert environment_key(["a", "b"], "wheels") == environment_key(["b", "a"], "wheels")
    assert len({environment_key([name], kind) for name in "ab" for kind in ("wheels", "any")}) == 4


def test_an_environment_is_found_when_it_is_finished_and_not_before(folder: EnvironmentFolder) -> None:
    add_package(folder.begin(KEY), "Some_Thing", "1.5")
    assert folder.find(KEY, preloads=False) is None
    folder.finish(KEY, ["some-thing"], keep_record=False)
    found = folder.find(KEY, preloads=False)
    assert found is not None
    assert found.packages == {"some-thing": "1.5"}
    assert found.folders == (str(folder.root / KEY / PACKAGES),)
    assert folder.is_current(found)


def test_one_that_was_built_anew_is_another_one(folder: EnvironmentFolder) -> None:
    for _ in range(2):
        add_package(folder.begin(KEY), "x", "1")
        folder.finish(KEY, ["x"], keep_record=False)
    first = folder.find(KEY, preloads=True)
    add_package(folder.begin(KEY), "x", "1")
    folder.finish(KEY, ["x"], keep_record=False)
    assert first is not None
    assert not folder.is_current(first)


def test_a_record_is_kept_where_it_was_what_was_asked_for(folder: EnvironmentFolder) -> None:
    add_package(folder.begin(KEY), "x", "1")
    folder.finish(KEY, ["x"], keep_record=False)
    before = (folder.root / f"{KEY}.json").read_bytes()
    add_package(folder.begin(KEY), "x", "1")
    folder.finish(KEY, ["x==1"], keep_record=True)
    assert (folder.root / f"{KEY}.json").read_bytes() == before


@pytest.mark.parametrize("record", ("", "{", "[]", "{}", '{"packages": []}', "\x00"))
def test_a_damaged_record_counts_as_none(record: str, folder: EnvironmentFolder) -> None:
    add_package(folder.begin(KEY), "x", "1")
    folder.finish(KEY, ["x"], keep_record=False)
    (folder.root / f"{KEY}.json").write_text(record)
    assert folder.find(KEY, preloads=True) is None
    assert all(isinstance(one, dict) for one in folder.records())


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(folder: EnvironmentFolder) -> None:
    async def look() -> list[bool]:
        async with folder.locked(KEY):
            folder.begin(KEY)
            EnvironmentFolder(folder.root).prepare()
            living = (folder.root / f"{KEY}.building").exists()
        EnvironmentFolder(folder.root).prepare()
        return [living, (folder.root / f"{KEY}.building").exists()]

    assert asyncio.run(look()) == [True, False]


def test_only_one_builds_at_a_time(folder: EnvironmentFolder) -> None:
    inside: list[int] = []
    most: list[int] = []

    async def build(number: int) -> None:
        async with EnvironmentFolder(folder.root).locked(KEY):
            inside.append(number)
            most.append(len(inside))
            await asyncio.to_thread(folder.records)
            inside.remove(number)

    async def crowd() -> None:
        await asyncio.gather(*map(build, range(4)))

    asyncio.run(crowd())
    assert most == [1, 1, 1, 1]


def test_records_tell_what_is_on_disk(folder: EnvironmentFolder) -> None:
    add_package(folder.begin(KEY), "x", "1")
    folder.finish(KEY, ["x"], keep_record=False)
    (told,) = folder.records()
    assert (told["environment"], told["on_disk"], told["packages"], told["requirements"]) == (
        KEY,
        True,
        1,
        ["x"],
    )
    assert told["size_bytes"] > 0
    assert json.dumps(told)


def test_what_is_installed_is_told_by_its_canonical_name(tmp_path: Path) -> None:
    add_package(tmp_path, "Some.Thing", "1.0")
    assert installed_packages([str(tmp_path / PACKAGES)]) == {"some-thing": "1.0"}


def test_empty_files_and_folders_take_room_too(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / str(number)).touch()
    assert disk_bytes(tmp_path) >= 10 * 4096


@pytest.mark.parametrize(
    ("said", "advice"),
    (
        ("error: Failed to fetch: http://x/\n  cause: tcp connect error", "cannot be reached"),
        (
            "error: Request failed after 3 retries\n  cause: error sending request for url",
            "cannot be reached",
        ),
        ("Because x was not found in the package registry and you require x", "there is no such package"),
        ("hint: building\nfrom source is disabled for all packages", "there is no wheel"),
        ("your requirements are unsatisfiable.", "no versions go together"),
        ("error: failed to write: No space left on device (os error 28)", "the disk is full"),
        ("error: something new", "the packages cannot be installed"),
        ("", "the packages cannot be installed"),
    ),
)
def test_what_the_installer_says_becomes_what_to_do(said: str, advice: str) -> None:
    assert advice in advice_on(said, Settings())
