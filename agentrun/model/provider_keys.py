"""Keys of providers in the environment, under the names that their own documentation uses."""

from __future__ import annotations

from agentrun._core.credentials import first_variable
from agentrun.model.model import Provider

VARIABLES: dict[str, tuple[str, ...]] = {
    Provider.OpenAI.value: ("OPENAI_API_KEY",),
    Provider.Anthropic.value: ("ANTHROPIC_API_KEY",),
    Provider.BaiChuan.value: ("BAICHUAN_API_KEY",),
    Provider.DeepSeek.value: ("DEEPSEEK_API_KEY",),
    Provider.Gemini.value: ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    Provider.HunYuan.value: ("HUNYUAN_API_KEY",),
    Provider.MiniMax.value: ("MINIMAX_API_KEY",),
    Provider.MoonShot.value: ("MOONSHOT_API_KEY",),
    Provider.Spark.value: ("SPARK_API_KEY",),
    Provider.StepFun.value: ("STEP_API_KEY", "STEPFUN_API_KEY"),
    Provider.Tongyi.value: ("DASHSCOPE_API_KEY",),
    Provider.WenXin.value: ("QIANFAN_API_KEY",),
    Provider.Yi.value: ("YI_API_KEY",),
    Provider.ZhiPuAI.value: ("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    # Servers of one's own, which may ask for a key.
    "vllm": ("VLLM_API_KEY",),
    "sglang": ("SGLANG_API_KEY",),
    "lmdeploy": ("LMDEPLOY_API_KEY",),
    "ollama": ("OLLAMA_API_KEY",),
}
# They answer without one too.
KEYLESS = ("vllm", "sglang", "lmdeploy", "ollama")
# What is sent for a key where none is needed; OpenAI clients insist on one.
NO_KEY = "none"


def provider_key(provider: str | None) -> str:
    """The key for a provider, empty when the environment has none; never the key of another provider."""
    found = first_variable(VARIABLES.get(provider or "", ()))
    return found or (NO_KEY if provider in KEYLESS else "")
