"""The contrast of every pair of colours that meet on the page, in both themes, by WCAG 2.2."""

import re
from functools import cache
from pathlib import Path

import pytest

STYLE = Path(__file__).resolve().parent.parent.parent / "copytrading" / "static" / "dashboard" / "dashboard.css"
TEXT, GRAPHICS = 4.5, 3.0
"""Level AA: text, and what is no text but has to be seen."""

TEXTS = [
    *((ink, ground) for ink in ("ink", "soft", "accent") for ground in ("card", "ground", "off-ground")),
    *((tone, f"{tone}-ground") for tone in ("good", "warn", "bad")),
    *((tone, "card") for tone in ("good", "warn", "bad", "on-bar")),
    *(("on-button", button) for button in ("pause", "pause-over", "resume", "resume-over")),
    ("on-bar", "off-ground"),
]
SHAPES = [(tone, "card") for tone in ("p50", "p90", "p99", "accent", "bad", "executed", "failed")]
BARS = [(text, bar) for text in ("ink", "on-bar") for bar in ("skipped", "failed")]
BAR_OPACITY = 0.2

Colour = tuple[float, float, float]


@cache
def colours(theme: str) -> dict[str, Colour]:
    """The custom properties of a theme; the dark one changes those of the light one."""
    style = STYLE.read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    if theme == "dark":
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark))
    return {name: (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)) for name, text in found.items()}


def luminance(colour: Colour) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground", "least"), [*((*pair, TEXT) for pair in TEXTS), *((*pair, GRAPHICS) for pair in SHAPES)]
)
def test_colours_that_meet_can_be_told_apart(theme: str, ink: str, ground: str, least: float) -> None:
    found = colours(theme)
    assert contrast(found[ink], found[ground]) >= least


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "bar"), BARS)
def test_words_on_a_bar_can_be_read(theme: str, text: str, bar: str) -> None:
    found = colours(theme)
    ground = tuple(b * BAR_OPACITY + c * (1 - BAR_OPACITY) for b, c in zip(found[bar], found["card"], strict=True))
    assert contrast(found[text], (ground[0], ground[1], ground[2])) >= TEXT
    assert f"opacity: {BAR_OPACITY};" in STYLE.read_text(encoding="utf-8")


def test_contrast_is_that_of_the_standard() -> None:
    assert round(contrast((0, 0, 0), (255, 255, 255)), 2) == 21
    assert round(contrast((0x76, 0x76, 0x76), (255, 255, 255)), 2) == 4.54


def test_no_colour_stands_outside_the_themes() -> None:
    style = STYLE.read_text(encoding="utf-8")
    outside = re.sub(r":root \{.*?\}", "", style, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?![\w-]*\s*\{)", outside) == []
