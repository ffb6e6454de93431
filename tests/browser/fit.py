"""Whether all of the call page fits its window."""

from __future__ import annotations

from playwright.async_api import Page

__all__ = ["misfits_of"]

MISFITS = """() => {
  const wrong = [];
  const { scrollWidth, clientWidth, scrollHeight, clientHeight } = document.documentElement;
  if (scrollWidth > clientWidth) wrong.push(`the page is ${scrollWidth} wide`);
  if (scrollHeight > clientHeight) wrong.push(`the page is ${scrollHeight} high`);
  const isScrolledTo = (one) => {
    const box = one.closest("#scroll, dialog, .panel-body, .notice, .question");
    return box !== null && box.scrollHeight > box.clientHeight;
  };
  const top = document.querySelector("dialog:modal, :popover-open") ?? document;
  const controls = [...top.querySelectorAll("button, select, input, textarea, summary")]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }));
  const places = controls.map((one) => [one, one.getBoundingClientRect()]);
  for (const [one, box] of places) {
    const name = one.id || one.className || one.tagName;
    if (box.width < 24 || box.height < 24) wrong.push(`${name} is ${box.width}x${box.height}`);
    if (isScrolledTo(one)) continue;
    if (box.left < 0 || box.right > innerWidth || box.top < 0 || box.bottom > innerHeight) {
      wrong.push(`${name} is outside: ${[box.left, box.top, box.right, box.bottom]}`);
    }
    if (one.scrollWidth > one.clientWidth + 1 && one.tagName === "BUTTON") {
      wrong.push(`${name} is cut off`);
    }
    for (const [other, its] of places) {
      if (other === one || isScrolledTo(other)) continue;
      const apart = its.left >= box.right - 1 || its.right <= box.left + 1 ||
        its.top >= box.bottom - 1 || its.bottom <= box.top + 1;
      if (!apart) wrong.push(`${name} lies over ${other.id}`);
    }
  }
  const room = document.getElementById("scroll").clientHeight;
  const news = [...document.querySelectorAll("#notice, #question")];
  const isCalm = news.every((one) => one.hidden);
  if (room < 48 && isCalm) wrong.push(`${room} px are left for the conversation`);
  return wrong;
}"""


async def misfits_of(page: Page) -> list[str]:
    """What is cut off, lies over another or is too small to be hit, in words; none of it: []."""
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
    wrong: list[str] = await page.evaluate(MISFITS)
    return wrong
