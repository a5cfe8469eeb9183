"""The hub: what it lists is what there is, looking costs nothing, and the small tools do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentrun.errors import ConfigError, InvalidInputError, ToolError
from agentrun.integration import hub
from agentrun.integration.hub.retrieval import LocalIndex, Passage, passages
from agentrun.integration.hub.web_search import SearchResult
from agentrun.integration.utils import CommonToolSet, Tool
from tests.unit.modes import both_modes, drive


class Nothing:
    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        return [SearchResult(f"{query} {number}", "https://example.com", "") for number in range(count)]


def options(name: str, folder: Path) -> dict[str, Any]:
    """What a set of the hub needs."""
    needed: dict[str, dict[str, Any]] = {
        "filesystem": {"root": folder, "writable": True},
        "sandbox": {"template_name": "python"},
        "web_search": {"provider": Nothing()},
        "retrieval": {"retriever": LocalIndex(["text"])},
    }
    return needed.get(name, {})


def by_name(tools: CommonToolSet) -> dict[str, Tool]:
    return {tool.name: tool for tool in tools.tools()}


@pytest.mark.parametrize("entry", hub.entries(), ids=lambda entry: entry.name)
def test_the_index_tells_the_tools_that_there_are(entry: hub.Entry, tmp_path: Path) -> None:
    tools = hub.get(entry.name, **options(entry.name, tmp_path)).tools()
    assert [tool.name for tool in tools] == list(entry.tools)
    assert all(tool.description and tool.parameters["type"] == "object" for tool in tools)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("convert time zones", "time"),
        ("read a web page", "fetch"),
        ("edit files", "filesystem"),
        ("run code", "sandbox"),
        ("refund", "alipay.payment"),
        ("generate a picture", "model_studio.images"),
        ("transcribe audio", "model_studio.speech"),
        ("subscription", "alipay.subscription"),
    ],
)
def test_the_hub_is_searched_by_words(query: str, name: str) -> None:
    assert name in [entry.name for entry in hub.search(query, 2)]


def test_importing_and_searching_the_hub_loads_none_of_the_tools() -> None:
    code = (
        "import sys\nfrom agentrun.integration import hub\nhub.search('time')\n"
        "loaded = [name for name in sys.modules if name.startswith('agentrun.integration.hub.')]\n"
        "print(loaded, 'httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "['agentrun.integration.hub._index'] False"


def test_a_name_that_is_not_there_and_options_that_do_not_fit_are_told() -> None:
    with pytest.raises(InvalidInputError, match="Did you mean filesystem"):
        hub.get("file_system")
    with pytest.raises(InvalidInputError, match="'colour'"):
        hub.get("time", colour=1)
    for name in ("web_search", "retrieval", "sandbox"):
        with pytest.raises(InvalidInputError, match=r"For example|template_name"):
            hub.get(name)


# Time


def test_times_are_converted_between_zones() -> None:
    convert = by_name(hub.get("time"))["convert_time"]
    told = convert(time="2026-07-01T09:30", from_time_zone="Europe/Berlin", to_time_zone="Asia/Shanghai")
    assert told["to"] == {
        "time": "2026-07-01T15:30:00+08:00",
        "time_zone": "Asia/Shanghai",
        "weekday": "Wednesday",
        "utc_offset": "+08:00",
        "daylight_saving_time": False,
    }
    assert told["from"]["daylight_saving_time"] is True
    with_offset = convert(time="2026-07-01T09:30:00Z", from_time_zone="Europe/Berlin", to_time_zone="UTC")
    assert with_offset["from"]["time"] == "2026-07-01T11:30:00+02:00"


def test_a_time_that_clocks_leave_out_is_the_one_that_they_show() -> None:
    convert = by_name(hub.get("time"))["convert_time"]
    told = convert(time="2026-03-29T02:30", from_time_zone="Europe/Berlin", to_time_zone="UTC")
    assert (told["from"]["time"], told["to"]["time"]) == ("2026-03-29T03:30:00+02:00", "2026-03-29T01:30:00+00:00")


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", ""])
def test_a_zone_that_is_none_is_told(zone: str) -> None:
    error = by_name(hub.get("time"))["now"].outcome({"time_zone": zone}).error
    assert isinstance(error, InvalidInputError)
    assert error.field == "time_zone"


# Files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "a.md").write_text("one\ntwo\nthree\n")
    (root / "b.bin").write_bytes(b"\xff\xfe")
    (tmp_path / "secret.txt").write_text("hunter2")
    (root / "leak").symlink_to(tmp_path / "secret.txt")
    (root / "out").symlink_to(tmp_path)
    (root / "inner").symlink_to(root / "docs")
    os.mkfifo(root / "pipe")
    return root


@both_modes
def test_files_are_listed_read_searched_and_changed(mode: str, folder: Path) -> None:
    tools = by_name(hub.get("filesystem", root=folder, writable=True))

    def call(tool: str, /, **arguments: Any) -> Any:
        return drive(mode, tools[tool].call_async(**arguments))

    listed = {entry["path"]: entry["kind"] for entry in call("list_files", depth=3)["found"]}
    assert listed["docs/a.md"] == "file"
    assert (listed["leak"], listed["out"], listed["pipe"]) == ("link", "link", "other")
    assert "out/secret.txt" not in listed
    assert call("read_file", path="docs/a.md", start_line=2, lines=1)["content"] == "two\n"
    assert call("read_file", path="inner/a.md")["lines_in_file"] == 3
    assert call("search_files", text="two")["found"] == [{"path": "docs/a.md", "line": 2, "text": "two"}]
    assert call("search_files", name="*.md")["found"] == ["docs/a.md"]
    call("write_file", path="new/deep/c.txt", content="hello")
    call("write_file", path="new/deep/c.txt", content=" world", append=True)
    assert call("edit_file", path="new/deep/c.txt", old_text="world", new_text="you")["line"] == 1
    assert (folder / "new/deep/c.txt").read_text() == "hello you"
    call("delete_file", path="new/deep/c.txt")
    assert not (folder / "new/deep/c.txt").exists()


@pytest.mark.parametrize(
    "path", ["../secret.txt", "leak", "out/secret.txt", "docs/../../secret.txt", "/etc/passwd", "a\0b", "out/../../x"]
)
def test_nothing_leads_out_of_the_folder(folder: Path, path: str) -> None:
    tools = by_name(hub.get("filesystem", root=folder, writable=True))
    for name, more in (("read_file", {}), ("write_file", {"content": "x"}), ("delete_file", {}), ("list_files", {})):
        outcome = tools[name].outcome({"path": path, **more})
        assert isinstance(outcome.error, InvalidInputError), name
        assert outcome.error.field == "path"
        assert "hunter2" not in outcome.text
    assert (folder.parent / "secret.txt").read_text() == "hunter2"


def test_what_is_no_text_file_is_told(folder: Path) -> None:
    tools = by_name(hub.get("filesystem", root=folder, most_bytes=10))
    for path, said in (
        ("b.bin", "no text"),
        ("pipe", "no file"),
        ("docs", "no file"),
        ("nope", "No such file"),
        ("docs/a.md", "14 bytes"),
    ):
        outcome = tools["read_file"].outcome({"path": path})
        assert isinstance(outcome.error, ToolError)
        assert said in outcome.text
        assert str(folder) not in outcome.text


def test_an_edit_must_be_clear(folder: Path) -> None:
    edit = by_name(hub.get("filesystem", root=folder, writable=True))["edit_file"]
    for old in ("o", "", "absent"):
        assert "exactly once" in edit.outcome({"path": "docs/a.md", "old_text": old, "new_text": "x"}).text


def test_a_folder_that_is_not_writable_has_no_tool_that_writes(folder: Path) -> None:
    tools = hub.get("filesystem", root=folder)
    assert set(by_name(tools)) == {"list_files", "read_file", "search_files"}
    assert set(by_name(tools.with_hooks())) == {"list_files", "read_file", "search_files"}
    with pytest.raises(ConfigError, match="no folder"):
        hub.get("filesystem", root=folder / "nope")


# Retrieval


@both_modes
def test_a_local_index_finds_passages(mode: str) -> None:
    documents = {"cats.md": "Cats purr.\n\nCats sleep all day.", "dogs.md": "Dogs bark at the postman."}
    retrieve = by_name(hub.get("retrieval", retriever=LocalIndex(documents, longest=20)))["retrieve"]
    found = drive(mode, retrieve.call_async(query="why do dogs bark", top_k=1))
    assert (found[0]["source"], found[0]["text"]) == ("dogs.md", "Dogs bark at the")
    assert drive(mode, retrieve.call_async(query="sleeping"))[0]["text"] == "Cats sleep all day."
    assert drive(mode, retrieve.call_async(query="quantum")) == []


def test_texts_are_cut_at_empty_lines_and_nothing_is_lost() -> None:
    text = "a b c\n\n" + "word " * 100 + "\n\nend"
    pieces = passages(text, 50)
    assert all(len(piece) <= 50 for piece in pieces)
    assert "".join(pieces).replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")
    assert passages("x" * 120, 50) == ["x" * 50, "x" * 50, "x" * 20]


def test_a_retriever_of_ones_own_is_asked() -> None:
    class Own:
        async def retrieve(self, query: str, top_k: int) -> Sequence[Passage]:
            return [Passage(query, float(top_k), "own")]

    tools = hub.get("retrieval", retriever=Own(), description="What the manual says.")
    assert tools.tools()[0].description == "What the manual says."
    assert tools.tools()[0](query="a", top_k=2) == [{"text": "a", "score": 2.0, "source": "own"}]
