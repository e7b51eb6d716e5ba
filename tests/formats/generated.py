"""Writes what is generated out of the packaged data: schemas, WSDL, and the pages in ``docs/catalogue``: ``python -m
tests.formats.generated``. Tests hold the files against it."""

from __future__ import annotations

from pathlib import Path

from message_formats import catalogue, documentation, profiles, schema_text, wsdl_text

PACKAGE = Path(schema_text.__file__).parent
PAGES = Path(__file__).resolve().parents[2] / "docs" / "catalogue"


def pages() -> dict[str, str]:
    """File names and texts of the pages that are kept in the repository; ``renkei format docs`` writes HTML besides."""
    return {name: text for name, text in documentation.pages().items() if name.endswith(".md")}


def wanted() -> dict[str, str]:
    """Paths within the package and texts of all schemas and WSDL."""
    texts = {"xsd/types.xsd": schema_text.shared_types()}
    for message_type in catalogue.all_types():
        texts[f"xsd/{message_type.name}.xsd"] = schema_text.schema(message_type)
    for name in profiles.names():
        texts[f"wsdl/{name}.wsdl"] = wsdl_text.wsdl(profiles.get(name))
        texts[f"wsdl/{name}.xsd"] = wsdl_text.schema(profiles.get(name))
    return texts


if __name__ == "__main__":
    for name, text in wanted().items():
        (PACKAGE / name).parent.mkdir(exist_ok=True)
        (PACKAGE / name).write_text(text, encoding="utf-8")
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
