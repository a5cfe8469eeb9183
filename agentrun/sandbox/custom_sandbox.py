"""A sandbox from an image of one's own: what is inside, only its maker knows."""

from __future__ import annotations

from agentrun._core.api import segment
from agentrun.config import Config
from agentrun.sandbox.model import TemplateType
from agentrun.sandbox.sandbox import Sandbox


class CustomSandbox(Sandbox):
    """A sandbox from an image of one's own, reached over HTTP at its base URL."""

    type_of_template = TemplateType.CUSTOM

    def get_base_url(self, config: Config | None = None) -> str:
        """The URL below which the image's own server answers; calls must be signed as for the data plane."""
        base = Config.with_configs(self._settings(config)).get_data_endpoint()
        return f"{base}/sandboxes/{segment(self.label)}"
