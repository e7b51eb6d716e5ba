"""Writes the packaged schemas out of the catalogue: ``python -m tests.formats.generated``. A test holds the files against it."""

from __future__ import annotations

from pathlib import Path

from message_formats import catalogue, schema_text

FOLDER = Path(schema_text.__file__).parent / "xsd"


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
