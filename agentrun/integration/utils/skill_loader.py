"""The official client's names for skills."""

from __future__ import annotations

from agentrun.integration._skills import SkillDetail, SkillInfo, SkillLoader
from agentrun.integration.builtin.skill import skill_tools

__all__ = ["SkillDetail", "SkillInfo", "SkillLoader", "skill_tools"]
