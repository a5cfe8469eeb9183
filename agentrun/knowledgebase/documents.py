"""The documents of a knowledge base in the index of the local platform, which stands in for its provider."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from agentrun._core.api import DataAPI, segment
from agentrun.config import Config
from agentrun.errors import AgentRunError, HTTPError, InvalidInputError
from agentrun.knowledgebase.extensions import DOCUMENTS
from agentrun.knowledgebase.model import Document

# What is read of a folder.
TEXT_FILES = (".md", ".rst", ".txt")


class DocumentsAPI(DataAPI):
    """The calls about documents; on the cloud they raise UnsupportedError."""

    def __init__(self, knowledge_base_name: str, config: Config | None = None) -> None:
        super().__init__("knowledgebases", knowledge_base_name, "documents", config=config)
        self.knowledge_base_name = knowledge_base_name

    async def add(self, documents: Iterable[Document]) -> dict[str, Any]:
        """Put documents into the index; answers them without their texts, and where they are searched."""
        return await self._asked("POST", body={"documents": [each.to_wire() for each in documents]})

    async def list(self) -> dict[str, Any]:
        """The documents without their texts."""
        return await self._asked("GET")

    async def delete(self, document_id: str) -> dict[str, Any]:
        """Take a document out of the index; answers what it was."""
        return await self._asked("DELETE", f"/{segment(document_id)}", label=document_id)

    async def _asked(self, method: str, path: str = "", label: str | None = None, **options: Any) -> dict[str, Any]:
        try:
            return cast("dict[str, Any]", await self._call(method, path, **options))
        except HTTPError as error:
            raise self._problem(error, label) from error

    def _problem(self, error: HTTPError, document_id: str | None) -> AgentRunError:
        if DOCUMENTS.is_unknown_to(error):
            return DOCUMENTS.unsupported(error)
        if document_id and error.message.startswith("document "):
            return error.to_resource_error("Document", document_id)
        return error.to_resource_error("KnowledgeBase", self.knowledge_base_name)


def documents_of(given: Iterable[Document | Mapping[str, Any] | str | Path]) -> Iterator[Document]:
    """Documents in all forms that users may give: texts, fields, files, folders; raises InvalidInputError."""
    if isinstance(given, (str, Path, Mapping, Document)):
        raise InvalidInputError("documents must be a list", field="documents", hint="Put [...] around a single one")
    for each in given:
        if isinstance(each, Path):
            yield from _of_path(each)
        elif isinstance(each, str):
            yield Document(text=each)
        elif isinstance(each, Mapping):
            yield Document(**each)
        else:
            yield each


def _of_path(path: Path) -> Iterator[Document]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    texts = [file for file in files if file.suffix.lower() in TEXT_FILES] if path.is_dir() else files
    if not texts:
        raise InvalidInputError(
            f"{path} has no files that end in {', '.join(TEXT_FILES)}", field="documents", hint="Name files one by one"
        )
    yield from (_of_file(file, file.relative_to(path) if path.is_dir() else Path(file.name)) for file in texts)


def _of_file(file: Path, name: Path) -> Document:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file} cannot be read as text: {error}", field="documents") from error
    return Document(text=text, id=name.as_posix(), title=name.as_posix(), metadata={"file_name": name.as_posix()})
