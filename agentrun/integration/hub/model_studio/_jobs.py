"""A tool of Model Studio as a row of a table: where it goes, what it takes, which model does it, what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentrun._sandbox_tools.schema import checked
from agentrun.errors import InvalidResponseError
from agentrun.integration._parameter import ToolParameter, schema_of_parameters
from agentrun.integration._tool import Perform, Tool
from agentrun.integration.hub.model_studio._studio import Studio, output_of

TASK_ID = ToolParameter("task_id", "string", "The task's id, as it was told when it began.", required=True)
PROMPT = ToolParameter("prompt", "string", "What it should show, and how.", required=True)
OPTIONAL_PROMPT = ToolParameter("prompt", "string", "What should happen, and how it should look.")
NEGATIVE_PROMPT = ToolParameter("negative_prompt", "string", "What it should not show.")
PROMPT_EXTEND = ToolParameter("prompt_extend", "boolean", "Whether a model may rewrite the prompt into a better one.")
WATERMARK = ToolParameter("watermark", "boolean", "Whether to mark the result as made by a model.")
COUNT = ToolParameter("n", "integer", "How many images to make, 1 to 4.", default=1)
SIZE = ToolParameter("size", "string", "Width and height in pixels, such as 1024*1024.")
RESOLUTION = ToolParameter("resolution", "string", "The resolution, such as 480P, 720P or 1080P.")
DURATION = ToolParameter("duration", "integer", "How long it should be, in seconds.")
AUDIO_URL = ToolParameter("audio_url", "string", "The public address of a sound file to use.")
AUDIO = ToolParameter("audio", "boolean", "Whether to make sound for it; only without audio_url.")


def image_url(description: str = "The public address of the image.") -> ToolParameter:
    """The image that a tool works on."""
    return ToolParameter("image_url", "string", description, required=True)


Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A model at work: `inputs` and `settings` are its arguments, which travel as `input` and as `parameters`.

    `wire_names` are those of inputs that travel under another name; `compose` makes the input where it is no mere
    object of arguments. `result` reads the answer.
    """

    name: str
    description: str
    model: str
    path: str
    inputs: Sequence[ToolParameter]
    settings: Sequence[ToolParameter]
    result: Callable[[Mapping[str, Any]], Result]
    wire_names: Mapping[str, str] = field(default_factory=dict[str, str])
    compose: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    def body(self, studio: Studio, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What travels."""
        given = {spec.name: arguments[spec.name] for spec in self.inputs if spec.name in arguments}
        renamed = {self.wire_names.get(name, name): value for name, value in given.items()}
        settings = {spec.name: arguments[spec.name] for spec in self.settings if spec.name in arguments}
        body = {"model": studio.model_of(self.name, self.model)}
        return {**body, "input": self.compose(given) if self.compose else renamed, "parameters": settings}

    def tool(self, studio: Studio, perform: Callable[[dict[str, Any]], Any], suffix: str = "", said: str = "") -> Tool:
        """A tool that takes the job's arguments."""
        return made(f"{self.name}{suffix}", said or self.description, [*self.inputs, *self.settings], perform)

    def direct(self, studio: Studio) -> Tool:
        """The job as a tool that is answered at once."""

        async def perform(arguments: dict[str, Any]) -> Result:
            return self.result(await studio.call("POST", self.path, body=self.body(studio, arguments)))

        return self.tool(studio, perform)

    def waiting(self, studio: Studio) -> Tool:
        """The job as a tool that begins a task and waits for its end."""

        async def perform(arguments: dict[str, Any]) -> Result:
            begun = await studio.submit(self.path, self.body(studio, arguments))
            return self.result(await studio.finished(self.name, begun["task_id"]))

        return self.tool(studio, perform)

    def submitting(self, studio: Studio) -> Tool:
        """The job as a tool that begins a task and does not wait."""

        async def perform(arguments: dict[str, Any]) -> Result:
            return await studio.submit(self.path, self.body(studio, arguments))

        said = f"{self.description} Begins the task and tells its id; fetch the result later."
        return self.tool(studio, perform, "_submit_task", said)

    def fetching(self, studio: Studio) -> Tool:
        """The tool that tells how a task of this job is, and its result once there is one."""
        name = f"{self.name}_fetch_result"

        async def perform(arguments: dict[str, Any]) -> Result:
            answer = await studio.task(name, arguments["task_id"])
            status = str(output_of(answer).get("task_status"))
            about = {"task_id": arguments["task_id"], "task_status": status}
            return {**about, **(self.result(answer) if status == "SUCCEEDED" else {"video_url": None})}

        return made(name, "Tell how a task is, and its result once it has succeeded.", [TASK_ID], perform)

    def three(self, studio: Studio) -> list[Tool]:
        """The job as a tool that waits, one that begins, and one that fetches."""
        return [self.waiting(studio), self.submitting(studio), self.fetching(studio)]


def made(name: str, description: str, parameters: Sequence[ToolParameter], perform: Perform) -> Tool:
    """A tool whose arguments are checked against what it says of them, with its defaults filled in."""
    schema = schema_of_parameters(parameters)
    defaults = {spec.name: spec.default for spec in parameters if spec.default is not None}

    async def checking(arguments: dict[str, Any]) -> Any:
        return await perform({**defaults, **checked(name, schema, arguments)})

    return Tool(name, description, schema, perform=checking)


def images_of(answer: Mapping[str, Any]) -> Result:
    """The addresses of a task's images; one that failed beside others has its reason in `failed`."""
    listed: list[Mapping[str, Any]] = output_of(answer).get("results") or []
    found: Result = {"results": [each["url"] for each in listed if each.get("url")]}
    failed = [str(each.get("message") or each.get("code")) for each in listed if not each.get("url")]
    return {**found, **({"failed": failed} if failed else {}), "request_id": answer.get("request_id")}


def video_of(answer: Mapping[str, Any]) -> Result:
    """The address of a task's video, and its length in seconds where it is told."""
    output = output_of(answer)
    results: Mapping[str, Any] = output.get("results") or {}
    url = output.get("video_url") or results.get("video_url")
    if not url:
        raise InvalidResponseError("the task succeeded without a video")
    usage: Mapping[str, Any] = answer.get("usage") or {}
    seconds = usage.get("video_duration") or usage.get("duration")
    return {"video_url": url, "video_duration": seconds, "request_id": answer.get("request_id")}
