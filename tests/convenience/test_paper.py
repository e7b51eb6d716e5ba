"""Certificates as PDF: the names as they are in the register, variant characters and all (IPAmj Mincho)."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from simulators.convenience.certificates import Pdf, render
from simulators.convenience.world import NAMES, Holder
from tests.convenience.kit import Ends

pytest.importorskip("weasyprint")
pypdf = pytest.importorskip("pypdf")
FONT = "IPAmjMincho"


def has_font() -> bool:
    try:
        found = subprocess.run(["fc-list", ":family=IPAmjMincho"], capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return False
    return bool(found.stdout.strip())


needs_font = pytest.mark.skipif(not has_font(), reason="Debian package fonts-ipamj-mincho is not installed")


def glyphs(pdf: bytes) -> set[int]:
    """The glyphs that are drawn, by their numbers in the font (Identity-H)."""
    drawn: set[int] = set()
    for page in pypdf.PdfReader(io.BytesIO(pdf)).pages:
        for operands, operator in pypdf.generic.ContentStream(page.get_contents(), None).operations:
            if operator not in (b"Tj", b"TJ"):
                continue
            for part in operands[0] if operator == b"TJ" else operands:
                raw = getattr(part, "original_bytes", b"")
                drawn |= {int.from_bytes(raw[place : place + 2]) for place in range(0, len(raw), 2)}
    return drawn


def rendered(name: str) -> bytes:
    data = {**Holder(1).data_change(), "resident_record_copy_data/name": name}
    return render(1, "1", data, {"request": "r", "card": "c", "person": "p", "type": "1"})


@needs_font
@pytest.mark.thorough
@pytest.mark.flow("F5-1")
def test_variants_of_a_character_are_drawn_with_glyphs_of_their_own() -> None:
    """葛󠄂 and 葛󠄀 differ in nothing but the variation selector: the page must show it, or somebody has the wrong name."""
    from fontTools.ttLib import TTFont

    file = subprocess.run(["fc-match", "-f", "%{file}", FONT], capture_output=True, text=True, check=True, timeout=20).stdout
    font = TTFont(file)
    variants = {
        (base, selector): name
        for table in font["cmap"].tables
        if table.format == 14
        for selector, pairs in table.uvsDict.items()
        for base, name in pairs
    }
    plain = font.getBestCmap()
    pages = {}
    for name in ("葛\U000e0100", "葛\U000e0101", "葛\U000e0102"):
        wanted = variants.get((ord(name[0]), ord(name[1]))) or plain[ord(name[0])]
        pages[name] = font.getGlyphID(wanted)
        drawn = glyphs(rendered(name))
        assert pages[name] in drawn, name
    assert len(set(pages.values())) >= 2  # the font has them apart


@needs_font
@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.flow("F5-1")
async def test_two_hundred_certificates_as_pdf(ends: Ends) -> None:
    """Each the right one, with the name of its holder in the font of the register, and nobody else's."""
    await ends.issuing.stop()
    ends.issuing = ends.town.issuing_system(Pdf())
    ends.issuing.start()
    right = 0
    for number in range(200):
        holder = Holder(21 + number % 18)
        kind = "1234"[number % 4] if holder.here else "123"[number % 3]
        end = await ends.ask(holder, kind, deadline_s=60.0)
        if end.kind != "printed":
            assert end.code == "no-answer-in-time", end  # a busy machine takes more than a second a page
            continue
        right += 1
        reader = pypdf.PdfReader(io.BytesIO(end.body))
        assert f"request={end.request}" in reader.metadata["/Keywords"]
        text = "".join(page.extract_text() for page in reader.pages)
        if kind in "12":
            assert holder.name[0:2] in text
            assert {each[3] for each in NAMES if each != holder.name and each[3] != holder.name[3]}.isdisjoint(text)
        fonts = {str(each["/BaseFont"]) for page in reader.pages for each in (f.get_object() for f in page["/Resources"]["/Font"].values())}
        assert any(FONT in each for each in fonts), fonts
    assert right >= 180
    assert ends.town.pairing().ok


def test_nothing_is_fetched_for_a_certificate(tmp_path: Path) -> None:
    from simulators.convenience.certificates import _nothing

    with pytest.raises(ValueError, match="no address"):
        _nothing("https://example.invalid/")
