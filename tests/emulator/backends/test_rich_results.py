from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tests.emulator.backends.executing import execute, new_context, results

pytestmark = pytest.mark.asyncio(loop_scope="module")
PNG = b"\x89PNG"


def images(entries: list[dict[str, Any]]) -> list[bytes]:
    return [base64.b64decode(entry["data"]["image/png"]) for entry in entries if "image/png" in entry.get("data", {})]


async def data(client: httpx.AsyncClient, code: str) -> dict[str, Any]:
    """All forms of the result."""
    found: dict[str, Any] = (await execute(client, code))["result"]["data"]
    return found


@pytest.mark.parametrize(
    ("method", "form", "kind", "travels"),
    [
        ("_repr_html_", "'<b>x</b>'", "text/html", "<b>x</b>"),
        ("_repr_markdown_", "'**x**'", "text/markdown", "**x**"),
        ("_repr_latex_", "'$x$'", "text/latex", "$x$"),
        ("_repr_svg_", "'<svg/>'", "image/svg+xml", "<svg/>"),
        ("_repr_png_", "b'\\x89PNG'", "image/png", base64.b64encode(PNG).decode()),
        ("_repr_jpeg_", "b'\\xff\\xd8'", "image/jpeg", base64.b64encode(b"\xff\xd8").decode()),
        ("_repr_json_", "{'x': [1, None]}", "application/json", {"x": [1, None]}),
        ("_repr_mimebundle_", "{'text/html': 'b', 'x/y': 'z'}", "x/y", "z"),
    ],
)
async def test_a_value_shows_itself_as_in_a_notebook(
    client: httpx.AsyncClient, method: str, form: str, kind: str, travels: Any
) -> None:
    code = f"class A:\n    def {method}(self, *a, **k): return {form}\n    def __repr__(self): return 'A'\nA()"
    found = await data(client, code)
    assert found[kind] == travels
    assert found["text/plain"] == "A"


async def test_a_form_that_fails_leaves_the_others(client: httpx.AsyncClient) -> None:
    code = "class A:\n    def _repr_html_(self): 1/0\n    def __repr__(self): return 'A'\nA()"
    assert await data(client, code) == {"text/plain": "A"}


async def test_displayed_values_come_in_order_with_their_forms(client: httpx.AsyncClient) -> None:
    code = "from IPython.display import HTML, Markdown\ndisplay(HTML('<i>')); display(Markdown('*m*'))\n'last'"
    shown = [entry for entry in await results(client, code) if entry["type"] == "result"]
    assert [entry.get("display", False) for entry in shown] == [True, True, False]
    assert shown[0]["data"]["text/html"] == "<i>"
    assert shown[1]["data"]["text/markdown"] == "*m*"
    assert shown[2]["text"] == "'last'"


async def test_what_is_no_json_becomes_null(client: httpx.AsyncClient) -> None:
    code = "from IPython.display import JSON\nJSON({'a': float('nan'), 'b': {1, 2}.__class__})"
    found = (await data(client, code))["application/json"]
    assert found["a"] is None
    assert isinstance(found["b"], str)


async def test_too_large_data_is_named_and_left_out(client: httpx.AsyncClient) -> None:
    found = await data(client, "from IPython.display import HTML\nHTML('x' * 20_000_000)")
    assert "text/html" not in found
    assert "text/html of 20000000 bytes is too large" in found["text/plain"]


async def test_a_data_frame_comes_as_data(client: httpx.AsyncClient) -> None:
    found = await data(client, "import pandas as pd\npd.DataFrame({'n': [0.1, None], 's': ['x', 'y']})")
    table = found["application/vnd.dataresource+json"]
    assert "<table" in found["text/html"]
    assert [field["name"] for field in table["schema"]["fields"]] == ["index", "n", "s"]
    assert table["data"] == [{"index": 0, "n": 0.1, "s": "x"}, {"index": 1, "n": None, "s": "y"}]
    assert table["truncated"] is False


async def test_a_long_data_frame_is_cut_and_says_so(client: httpx.AsyncClient) -> None:
    found = await data(client, "import pandas as pd\npd.DataFrame({'n': range(1500)})")
    table = found["application/vnd.dataresource+json"]
    assert (len(table["data"]), table["truncated"]) == (1000, True)


async def test_a_data_frame_that_is_no_plain_table_has_its_other_forms(client: httpx.AsyncClient) -> None:
    found = await data(client, "import pandas as pd\npd.DataFrame([[1, 2]], columns=['a', 'a'])")
    assert "text/html" in found


async def test_charts_come_at_the_end_of_the_execution(client: httpx.AsyncClient) -> None:
    code = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2]);"
    *_, chart, _ = await results(client, code)
    assert chart["display"] is True
    assert images([chart])[0].startswith(PNG)
    assert chart["data"]["image/svg+xml"].lstrip().startswith("<?xml")


async def test_show_separates_charts_and_closes_them(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    code = "import matplotlib.pyplot as plt\nfor n in (1, 2):\n    plt.plot([n]); plt.show(); print(n)"
    entries = await results(client, code, contextId=context)
    assert len(images(entries)) == 2
    assert not [entry for entry in entries if entry["type"] == "stderr"]
    assert (await execute(client, "plt.get_fignums()", contextId=context))["result"]["text"] == "[]"


async def test_a_chart_that_is_the_result_comes_once(client: httpx.AsyncClient) -> None:
    code = "%matplotlib inline\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1])\nfig"
    entries = await results(client, code)
    assert len(images(entries)) == 1
    assert "display" not in next(entry for entry in entries if entry["type"] == "result")


async def test_programs_get_their_usual_backend(client: httpx.AsyncClient) -> None:
    script = "import matplotlib; print(matplotlib.get_backend().lower())"
    assert (await execute(client, f"!python3 -c '{script}' 2>&1"))["stdout"]["text"].strip().endswith(("agg", "lib'"))


async def test_a_semicolon_hides_the_value(client: httpx.AsyncClient) -> None:
    assert "result" not in await execute(client, "1 + 1;")
    assert "result" in await execute(client, "1 + 1  # really;")
