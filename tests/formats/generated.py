"""Writes what is generated out of the catalogue, the packaged schemas and the pages in ``docs/catalogue``: ``python -m
tests.formats.generated``. Tests hold the files against it."""

from __future__ import annotations

from pathlib import Path

from message_formats import catalogue, documentation, schema_text

FOLDER = Path(schema_text.__file__).parent / "xsd"
PAGES = Path(__file__).resolve().parents[2] / "docs" / "catalogue"


def pages() -> dict[str, str]:
    """File names and texts of the pages that are kept in the repository; ``renkei format docs`` writes HTML besides."""
    return {name: text for name, text in documentation.pages().items() if name.endswith(".md")}


def wanted() -> dict[str, str]:
    """File names and texts of all packaged schemas."""
    texts = {"types.xsd": schema_text.shared_types()}
    for message_type in catalogue.all_types():
        texts[f"{message_type.name}.xsd"] = schema_text.schema(message_type)
    return texts


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in wanted().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
