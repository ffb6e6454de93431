"""Markdown of text answers: what it becomes, and that hostile text becomes nothing else."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.blank_page import open_blank_page
from tests.browser.chromium import CallPage, hold_timeouts
from tests.browser.stand_in_server import StandInServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(120)]

SET_UP = """async () => {
  const { Markdown, plainText } = await import("/page/markdown.js");
  globalThis.xss = "untouched";
  globalThis.plainText = plainText;
  globalThis.Markdown = Markdown;
  globalThis.render = (...texts) => {
    globalThis.drawn?.remove();
    globalThis.drawn = document.createElement("div");
    document.querySelector("section").append(drawn);
    const markdown = new Markdown(drawn);
    for (const text of texts) markdown.show(text);
    return drawn;
  };
}"""

OUTLINE = """(text) => {
  const outline = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    const inside = [...node.childNodes].map(outline).join("");
    const name = node.localName;
    return name === "br" || name === "hr" ? `<${name}>` : `<${name}>${inside}</${name}>`;
  };
  return [...render(text).childNodes].map(outline).join("");
}"""
"""The elements without their attributes; to be compared, never to be parsed."""

OFFENCES = """(texts) => {
  const allowed = {
    p: ["dir", "class"], h3: ["dir"], h4: ["dir"], h5: ["dir"], h6: ["dir"], strong: [], em: [],
    del: [], code: [], pre: ["dir", "tabindex"], ul: ["dir"], ol: ["dir", "start"], li: ["class"],
    input: ["type", "disabled", "checked", "aria-label"], blockquote: ["dir"], hr: [], br: [],
    table: ["dir"], thead: [], tbody: [], tr: [], th: ["scope", "class"], td: ["class"],
    div: ["class", "role", "tabindex", "aria-label"], span: [],
    button: ["class", "type", "title", "aria-label"], svg: ["viewBox", "aria-hidden"],
    path: ["d"], a: ["href", "target", "rel"],
  };
  const classes = /^(plain|task|code|code-bar|table|copy|align-(left|center|right))$/;
  const offences = [];
  for (const text of texts) {
    const say = (what) => offences.push([text, what]);
    for (const element of render(text).querySelectorAll("*")) {
      const name = element.localName;
      if (!(name in allowed)) say(name);
      for (const { name: attribute, value } of element.attributes) {
        if (!allowed[name]?.includes(attribute)) say(`${name} ${attribute}`);
        if (attribute === "class" && !classes.test(value)) say(`class ${value}`);
      }
      if (name === "a") {
        if (!/^(https?|mailto):$/.test(element.protocol)) say(element.href);
        if (element.target !== "_blank") say("target");
        if (element.rel !== "noopener noreferrer nofollow") say("rel");
        if (element.querySelector("a")) say("a link in a link");
      }
      if (name === "svg" && !element.closest("button.copy")) say("svg");
    }
  }
  return offences;
}"""

XSS = [
    "<script>window.xss = 1</script>",
    "a <script>window.xss = 1</script> b",
    "<SCRIPT\n>window.xss = 1</SCRIPT\n>",
    "<img src=x onerror=window.xss=1>",
    'a <img src="https://evil.example/x.png" onerror="window.xss=1"> b',
    "<svg onload=window.xss=1><script>window.xss=1</script></svg>",
    "<svg><animate onbegin=window.xss=1 attributeName=x dur=1s>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.xss=1>",
    "<iframe srcdoc='<script>parent.xss=1</script>'></iframe>",
    "<details open ontoggle=window.xss=1>x</details>",
    "<a href='javascript:window.xss=1'>a</a>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example><button>x</button></form>",
    "<!-- --!><img src=x onerror=window.xss=1> -->",
    "<![CDATA[<img src=x onerror=window.xss=1>]]>",
    "<div\n\n<img src=x onerror=window.xss=1>\n\n</div>",
    "&lt;img src=x onerror=window.xss=1&gt;",
    "&#60;script&#62;window.xss=1&#60;/script&#62;",
    "[a](javascript:window.xss=1)",
    "[a](JaVaScRiPt:window.xss=1)",
    "[a](javascript&colon;window.xss=1)",
    "[a](javascript&#58;window.xss=1)",
    "[a](&#106;&#97;vascript&#x3a;window.xss=1)",
    "[a](&#x6A;avascript:window.xss=1)",
    "[a](<java\tscript:window.xss=1>)",
    "[a](<java&#10;script:window.xss=1>)",
    "[a](<java&Tab;script:window.xss=1>)",
    "[a](\x01javascript:window.xss=1)",
    "[a](< \u00a0javascript:window.xss=1>)",
    "[a](java\u200bscript:window.xss=1)",
    "[a](javascript\\:window.xss=1)",
    "[a](javascript://example.org/%0Awindow.xss=1)",
    "[a](vbscript:msgbox)",
    "[a](data:text/html,<script>window.xss=1</script>)",
    "[a](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[a](blob:https://example.org/x)",
    "[a](file:///etc/passwd)",
    "[a](//evil.example/x)",
    "[a](/api/calls)",
    "[a](view-source:https://example.org)",
    "[a](https://bank.example@evil.example/)",
    "[a](https://example.org 'title\" onclick=window.xss=1')",
    '[a](https://example.org/"onclick="window.xss=1)',
    "[a](https://example.org/'onmouseover='window.xss=1)",
    "![a](javascript:window.xss=1)",
    "![a](https://evil.example/pixel.png)",
    '![a" onerror="window.xss=1](https://evil.example/pixel.png)',
    "![a](data:image/svg+xml,<svg onload=window.xss=1>)",
    "[![a](https://evil.example/pixel.png)](javascript:window.xss=1)",
    "[![a](javascript:window.xss=1)](https://example.org)",
    "[a [b](https://example.org) c](https://example.org)",
    "<javascript:window.xss=1>",
    "<JAVASCRIPT:window.xss=1>",
    "<data:text/html,x>",
    "<https://example.org/><img src=x onerror=window.xss=1>",
    "[a]\n\n[a]: javascript:window.xss=1",
    "[a][b]\n\n[b]: <java\tscript:window.xss=1> 'x'",
    "![a][b]\n\n[b]: https://evil.example/pixel.png",
    "[__proto__]\n\n[__proto__]: javascript:window.xss=1",
    "[constructor][toString]",
    '```"><img src=x onerror=window.xss=1>\n</code></pre><script>window.xss=1</script>\n```',
    "`<img src=x onerror=window.xss=1>`",
    "|<img src=x onerror=window.xss=1>|[a](javascript:window.xss=1)|\n|-|-|\n|<svg onload=a>|b|",
    "- [ ] <input onfocus=window.xss=1 autofocus>",
    "# <img src=x onerror=window.xss=1>",
    "> <script>window.xss=1</script>",
    "<plaintext>",
    "\x00<img src=x onerror=window.xss=1>",
    "www.example.org/<script>window.xss=1</script>",
    "javascript:window.xss=1",
    "a@example.org<img src=x onerror=window.xss=1>",
]

FRAGMENTS = [
    *XSS,
    *("*", "**", "_", "~~", "`", "```", "```js\n", "\n", "\n\n", " ", "    ", "\t", "\\", "&amp;"),
    *(
        "> ",
        "- ",
        "1. ",
        "- [x] ",
        "# ",
        "###### ",
        "---\n",
        "===\n",
        "|",
        "|-|-|\n",
        "[",
        "]",
        "(",
    ),
    *(
        ")",
        "](",
        "![",
        "<",
        ">",
        "<b>",
        "</b>",
        "<!--",
        "-->",
        "<a ",
        '"',
        "'",
        ":",
        "http://",
        "@",
    ),
    *(
        "javascript:",
        "[a]: ",
        "word",
        "Ωμέγα",
        "مرحبا",
        "😀",
        "\u202e",
        "\x00",
        "\ud7ff",
        "&#x",
        ";",
    ),
]

HOSTILE = {
    "brackets": "[",
    "emphasis": "*a_",
    "quotations": ">",
    "lists": "- ",
    "numbered lists": "1. ",
    "tags": '<a b="',
    "exclamation marks": "!",
    "addresses": "http://a.b((((",
    "headings": "#\n",
    "underlined headings": "a\n=\n",
    "tables": "|a|b\n|-|-\n",
    "fences": "```\n",
    "lazy quotations": "> a\n>> b\n",
    "lines": "\n",
    "one word": "abcdefgh",
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opened(browser: Browser) -> AsyncIterator[CallPage]:
    """One page for all, with the module imported: each text is drawn in place of the one before."""
    body = "<main><section></section></main>"
    async with StandInServer() as server, open_blank_page(browser, server, body) as blank:
        page = CallPage(blank)
        await blank.evaluate(SET_UP)
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def page(opened: CallPage) -> AsyncIterator[CallPage]:
    """At the end of each test nothing has run and nobody else was asked for anything."""
    yield opened
    assert await opened.page.evaluate("globalThis.xss") == "untouched"
    assert not [one for one in opened.requests if "evil" in one or "example" in one]


async def outline(page: CallPage, text: str) -> str:
    shown: str = await page.page.evaluate(OUTLINE, text)
    return shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One\nline.\n\nTwo.", "<p>One\nline.</p><p>Two.</p>"),
        ("a  \nb", "<p>a<br>b</p>"),
        ("# A\n\n## B\n\n###### C", "<h3>A</h3><h4>B</h4><h6>C</h6>"),
        (
            "*a* **b** ~~c~~ `d`",
            "<p><em>a</em> <strong>b</strong> <del>c</del> <code>d</code></p>",
        ),
        ("- a\n- b\n  - c", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
        ("> a\n\nb", "<blockquote><p>a</p></blockquote><p>b</p>"),
        ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
        ("1 < 2 &amp; 3 &#62; 2 &unknown; \\*", "<p>1 < 2 & 3 > 2 &unknown; *</p>"),
        ("`&amp;`", "<p><code>&amp;</code></p>"),
        ("<b>six</b>", "<p><b>six</b></p>"),
        ("a<br>b", "<p>a<br>b</p>"),
        (
            "|a|b|\n|-|-|\n|1|*2*|",
            "<div><table><thead><tr><th>a</th><th>b</th></tr></thead>"
            "<tbody><tr><td>1</td><td><em>2</em></td></tr></tbody></table></div>",
        ),
        ("[a](https://example.org)", "<p><a>a</a></p>"),
        ("[a](javascript:x)", "<p>a</p>"),
        ("![A map](https://example.org/a.png)", "<p><a>A map</a></p>"),
    ],
)
async def test_markdown_becomes_elements(page: CallPage, text: str, expected: str) -> None:
    assert await outline(page, text) == expected


async def test_raw_html_is_shown_as_it_was_written(page: CallPage) -> None:
    text = "<div onclick='x()'>a</div>"
    assert await page.page.evaluate("(text) => render(text).textContent", text) == text
    assert await page.page.evaluate("drawn.querySelector('div')") is None


async def test_link_opens_elsewhere_and_tells_nothing(page: CallPage) -> None:
    """Its character references are resolved, as a browser does in an attribute."""
    link: dict[str, Any] = await page.page.evaluate(
        """() => {
          const { href, target, rel } = render("[a](https://a.example/?b=1&amp;c=2)")
            .querySelector("a");
          return { href, target, rel };
        }"""
    )
    assert link == {
        "href": "https://a.example/?b=1&c=2",
        "target": "_blank",
        "rel": "noopener noreferrer nofollow",
    }


async def test_list_starts_at_its_number_and_tasks_are_ticked(page: CallPage) -> None:
    shown = await page.page.evaluate(
        """() => {
          const drawn = render("3. a\\n4. b\\n\\n- [x] c\\n- [ ] d");
          const boxes = [...drawn.querySelectorAll("input")];
          return [drawn.querySelector("ol").start,
            boxes.map(({ checked, disabled, ariaLabel }) => [checked, disabled, ariaLabel])];
        }"""
    )
    assert shown == [3, [[True, True, "Done"], [False, True, "To do"]]]


async def test_code_names_its_language_and_can_be_copied(page: CallPage) -> None:
    context = page.page.context
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.page.evaluate("render('```python\\nprint(1 < 2)\\n```').textContent")
    assert await page.page.locator(".code-bar span").inner_text() == "python"
    assert await page.page.locator(".code pre").inner_text() == "print(1 < 2)"
    async with hold_timeouts(page.page):
        await page.page.get_by_role("button", name="Copy code").click()
        await page.page.get_by_role("button", name="Copied").wait_for()
    assert await page.page.evaluate("navigator.clipboard.readText()") == "print(1 < 2)"


async def test_growing_text_keeps_the_blocks_that_are_done(page: CallPage) -> None:
    """Only the block that grows is made anew, and what it ends as is what it is at once."""
    pieces = [
        "# Ti",
        "tle\n\nA *par",
        "agraph*.\n\n- one\n",
        "- two\n\n```js\nlet a",
        " = 1;\n```\n",
    ]
    kept = await page.page.evaluate(
        """(pieces) => {
          const element = document.createElement("div");
          const markdown = new Markdown(element);
          let text = "";
          const kept = [];
          for (const piece of pieces) {
            const before = [...element.children];
            text += piece;
            markdown.show(text);
            kept.push(before.filter((one) => one.parentNode === element).length);
          }
          return [kept, element.isEqualNode(render(text))];
        }""",
        pieces,
    )
    assert kept == [[0, 0, 1, 2, 3], True]


async def test_definition_that_comes_last_mends_the_links_before_it(page: CallPage) -> None:
    count = (
        "() => render('[a]\\n\\nb', '[a]\\n\\nb\\n\\n[a]: https://c.example').querySelector('a')"
    )
    href = await page.page.evaluate(f"({count})().href")
    assert href == "https://c.example/"


@pytest.mark.parametrize("text", ["مرحبا", "- مرحبا", "> مرحبا", "# مرحبا", "|مرحبا|\n|-|"])
async def test_words_from_right_to_left_give_their_block_the_direction(
    page: CallPage, text: str
) -> None:
    script = """(text) => {
      const innermost = [...render(text).querySelectorAll("*")].at(-1);
      return getComputedStyle(innermost).direction;
    }"""
    assert await page.page.evaluate(script, text) == "rtl"


async def test_markup_is_not_read_out(page: CallPage) -> None:
    text = "# Six\n\nIt is **six**, see [this](https://a.example)."
    assert (
        await page.page.evaluate("(text) => plainText(text)", text) == "Six\n\nIt is six, see this."
    )


async def test_cells_and_items_are_apart_when_they_are_read_aloud(page: CallPage) -> None:
    """A screen reader must not run them together."""
    text = "| Train | Leaves |\n| --- | --- |\n| IC 523 | 08:09 |\n\n- Book\n- Go"
    spoken = await page.page.evaluate("(text) => plainText(text)", text)
    assert spoken == "Train, Leaves\nIC 523, 08:09\n\nBook\nGo"


# -- hostile text --------------------------------------------------------------------------


async def test_hostile_markup_makes_no_element_that_is_not_expected(page: CallPage) -> None:
    """No other element, no other attribute, no other scheme; nothing is loaded or run."""
    texts = [*XSS, "\n\n".join(XSS), " ".join(XSS)]
    assert await page.page.evaluate(OFFENCES, texts) == []
    await page.page.wait_for_load_state("networkidle")


async def test_random_mixes_make_no_element_that_is_not_expected(page: CallPage) -> None:
    seed = random.randrange(2**32)
    source = random.Random(seed)
    texts = ["".join(source.choices(FRAGMENTS, k=source.randint(2, 30))) for _ in range(600)]
    assert await page.page.evaluate(OFFENCES, texts) == [], seed


async def test_random_text_ends_the_same_however_it_came(page: CallPage) -> None:
    """Shown piece by piece, it looks as if it had come whole."""
    seed = random.randrange(2**32)
    source = random.Random(seed)
    mixes = [source.choices(FRAGMENTS, k=source.randint(2, 8)) for _ in range(300)]
    different = await page.page.evaluate(
        """(mixes) => mixes.filter((pieces) => {
          const grown = render(...pieces.map((_, index) => pieces.slice(0, index + 1).join("")));
          return !grown.isEqualNode(render(pieces.join("")));
        })""",
        mixes,
    )
    assert different == [], seed


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_text_of_the_longest_message_is_bounded(page: CallPage, unit: str) -> None:
    """However it is built, it becomes a bounded number of elements, and its end is shown."""
    size = 256 * 1024
    end = " the end"
    text = (unit * (size // len(unit) + 1))[: size - len(end)] + end
    shown = await page.page.evaluate(
        """(text) => {
          const drawn = render(text);
          const { length } = drawn.textContent;
          return [drawn.querySelectorAll("*").length, length, drawn.textContent.slice(-8)];
        }""",
        text,
    )
    elements, characters, last = shown
    assert elements <= 4_500
    assert characters >= size - 64 * 1024  # from there on it is no markdown
    assert last == end
