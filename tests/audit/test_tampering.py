"""Whoever can write the ledger, or an export, is found out: each way of touching the record by a finding of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit import queries
from gateway.audit.canonical import Block, Row, build, line
from gateway.audit.checkpoint import Checkpoint, Signed, Signer, fingerprint
from gateway.audit.export import CHAIN, CHECKPOINTS, block_text, read_checkpoints, stamped, write
from gateway.audit.outside import read_file
from gateway.audit.sources import ExportSource, LedgerSource
from gateway.audit.verify import Given, Report, verify
from gateway.security.keys import Kind
from tests.audit.kit import Record, codes

pytestmark = [pytest.mark.rule("R22"), pytest.mark.invariant("I8"), pytest.mark.thorough]

CHANGED = "UPDATE audit_entry SET detail = '{}' WHERE id = :id"
DELETED = "DELETE FROM audit_entry WHERE id = :id"
INSERTED = (
    "INSERT INTO audit_entry (id, at, kind, actor, detail, block) "
    "VALUES ('ffffffffffffffffffffffffffffffff', 1793664000.5, 'provided', 'nobody', '{}', :block)"
)


# ---- in the ledger ---------------------------------------------------------------------------------------------------------------------


async def test_a_changed_entry(record: Record) -> None:
    await record.fill()
    victim = record.ids(3)[1]
    record.tamper(CHANGED, id=victim)
    [found] = record.verify().findings
    assert (found.code, found.block, found.entry) == ("entry-changed", 3, victim)


@pytest.mark.parametrize(
    "column", ["at = at + 0.0000003", "kind = 'other'", "actor = 'other'", "message_id = NULL", "party = 'p'", "delivery_id = 'd'"]
)
async def test_any_column_of_an_entry(small: Record, column: str) -> None:
    record = small
    await record.fill(3)
    record.tamper(f"UPDATE audit_entry SET {column} WHERE id = :id", id=record.ids(2)[0])
    assert codes(record.verify()) == [("entry-changed", 2)]


async def test_a_deleted_entry(record: Record) -> None:
    await record.fill()
    victim = record.ids(2)[0]
    record.tamper(DELETED, id=victim)
    [found] = record.verify().findings
    assert (found.code, found.block, found.entry) == ("entry-deleted", 2, victim)


async def test_an_inserted_entry(record: Record) -> None:
    await record.fill()
    record.tamper(INSERTED, block=4)
    [found] = record.verify().findings
    assert (found.code, found.block, found.entry) == ("entry-inserted", 4, "f" * 32)


async def test_one_entry_for_another(record: Record) -> None:
    await record.fill()
    record.tamper(DELETED, id=record.ids(4)[0])
    record.tamper(INSERTED, block=4)
    assert codes(record.verify()) == [("entry-deleted", 4), ("entry-inserted", 4)]


async def test_an_entry_that_says_it_is_in_another_block(record: Record) -> None:
    await record.fill()
    record.tamper("UPDATE audit_entry SET block = 2 WHERE id = :id", id=record.ids(4)[0])
    assert codes(record.verify()) == [("entry-reordered", 4)]


async def test_an_entry_that_is_to_be_chained_once_more(record: Record) -> None:
    await record.fill()
    record.tamper("UPDATE audit_entry SET block = NULL WHERE id = :id", id=record.ids(2)[0])
    assert codes(record.verify()) == [("entry-reordered", 2)]
    await record.chainer.once(reason="test")
    assert ("entry-reordered", 2) in codes(record.verify())


async def test_a_block_whose_leaves_were_changed_with_its_entry(record: Record) -> None:
    await record.fill()
    victim = record.ids(3)[1]
    record.tamper(CHANGED, id=victim)
    [block] = record.ledger.engine.read_here(lambda c: queries.blocks(c, 2, 1))
    rebuilt = build(record.rows(block), after=None, chain="x", at=block.at)
    record.tamper("UPDATE audit_block SET leaves = :leaves WHERE number = 3", leaves="\n".join(rebuilt.leaves))
    assert codes(record.verify()) == [("block-changed", 3)]


async def test_a_block_made_anew_alone(small: Record) -> None:
    """Entry, leaves and digest fit together; only the block after it still names the old one."""
    await small.fill()
    small.tamper(CHANGED, id=small.ids(3)[1])
    [before, block] = small.ledger.engine.read_here(lambda c: queries.blocks(c, 1, 2))
    rebuilt = build(small.rows(block), after=before, chain="x", at=block.at)
    statement = "UPDATE audit_block SET leaves = :leaves, digest = :digest WHERE number = 3"
    small.tamper(statement, leaves="\n".join(rebuilt.leaves), digest=rebuilt.digest)
    assert codes(small.verify()) == [("block-changed", 3)]


async def test_a_deleted_block(record: Record) -> None:
    await record.fill()
    for victim in record.ids(3):
        record.tamper(DELETED, id=victim)
    record.tamper("DELETE FROM audit_block WHERE number = 3")
    assert codes(record.verify()) == [("block-deleted", 3)]


async def test_blocks_that_changed_places(record: Record) -> None:
    await record.fill()
    for old, new in ((2, 99), (3, 2), (99, 3)):
        record.tamper("UPDATE audit_block SET number = :new WHERE number = :old", old=old, new=new)
    found = {code for code, _ in codes(record.verify())}
    assert found == {"block-changed", "entry-reordered"}


async def test_the_end_cut_off_is_seen_by_what_is_outside(record: Record) -> None:
    await record.fill(5)
    for statement in (
        "DELETE FROM audit_entry WHERE block > 3",
        "DELETE FROM audit_block WHERE number > 3",
        "DELETE FROM audit_checkpoint WHERE block > 3",
    ):
        record.tamper(statement)
    assert record.verify(outside=False).ok, "this is why checkpoints are also written outside the ledger"
    assert codes(record.verify()) == [("chain-truncated", 4)]


async def test_everything_gone(record: Record) -> None:
    await record.fill(2)
    for table in ("audit_entry", "audit_block", "audit_checkpoint"):
        record.tamper(f"DELETE FROM {table}")
    assert codes(record.verify()) == [("chain-truncated", 1)]


async def rewrite(record: Record, number: int) -> None:
    """Change an entry of a block and make all blocks from there to the end anew, as somebody would who knows the format."""
    record.tamper(CHANGED, id=record.ids(number)[0])
    read = record.ledger.engine.read_here
    [before] = read(lambda c: queries.blocks(c, number - 2, 1)) if number > 1 else [None]
    for block in read(lambda c: queries.blocks(c, number - 1, 1000)):
        before = build(record.rows(block), after=before, chain=(await record.state()).chain or "", at=block.at)
        record.tamper(
            "UPDATE audit_block SET previous = :p, digest = :d, leaves = :l WHERE number = :n",
            p=before.previous, d=before.digest, l="\n".join(before.leaves), n=block.number,
        )  # fmt: skip


async def test_a_chain_made_anew_from_the_middle_is_a_fork_of_what_was_signed(record: Record) -> None:
    await record.fill(5)
    await rewrite(record, 3)
    assert codes(record.verify()) == [("chain-forked", 3)]


async def test_a_chain_made_anew_and_signed_by_another_key(record: Record) -> None:
    await record.fill(5)
    await rewrite(record, 3)
    stranger = Signer("x", record.keys.get(Kind.AUDIT, record.keys.rotate(Kind.AUDIT)).secret)
    state = await record.state()
    assert state.head is not None
    forged = stranger.sign(
        Checkpoint(
            number=6, chain=state.chain or "", instance="test", reason="interval", block=5, digest=state.head.digest,
            total=state.head.total, at="2026-11-23T00:00:00Z", previous=record.given()[-1].signed.digest, key=stranger.public,
        )
    )  # fmt: skip
    given = [*record.given(outside=False)[:2], *record.given(outside=False)[5:], Given(signed=forged, origin="ledger")]
    report = verify(LedgerSource(record.ledger.engine.read_here), given, trusted=[fingerprint(record.given()[0].signed.read().key)])
    assert {"checkpoint-key", "checkpoint-missing"} <= {code for code, _ in codes(report)}


async def test_a_checkpoint_whose_text_was_changed(record: Record) -> None:
    await record.fill(3)
    record.tamper("UPDATE audit_checkpoint SET text = replace(text, 'instance test', 'instance best') WHERE number = 2")
    assert [each.code for each in record.verify().findings] == ["checkpoint-signature"]


async def test_a_checkpoint_taken_out_everywhere(record: Record) -> None:
    await record.fill(4)
    record.tamper("DELETE FROM audit_checkpoint WHERE number = 2")
    stanzas = record.outside.read_text().split("\n\n")
    record.outside.write_text("\n\n".join(each for each in stanzas if not each.startswith("renkei audit checkpoint 2\n")))
    assert [(each.code, each.checkpoint) for each in record.verify().findings] == [("checkpoint-missing", 2)]


@pytest.mark.thorough
@given(st.data())
def test_no_other_row_gives_the_same_line(data: st.DataObject) -> None:
    """Also not one whose detail is cut so that its end passes for other members: a line can be taken apart from both ends."""
    texts = st.text(st.sampled_from('a"\\,:{}id'), max_size=6)
    maybe = st.none() | texts
    pieces = ['{"a":1}', ',"id":"x"', ',"kind":"y"', ',"message":null', ',"party":null', "}", "{", '"', "\\"]
    details = st.lists(st.sampled_from(pieces), max_size=5).map("".join)
    rows = st.builds(
        Row,
        id=texts,
        at=st.just(1.5),
        kind=texts,
        actor=texts,
        message_id=maybe,
        delivery_id=maybe,
        party=maybe,
        detail=details,
        block=st.none(),
    )
    one, other = data.draw(rows), data.draw(rows)
    assert (one == other) == (line(one) == line(other))
    # the strongest try: the same bytes, cut elsewhere
    cut = data.draw(st.integers(0, len(one.detail)))
    assert line(one._replace(detail=one.detail[:cut])) != line(one) or cut == len(one.detail)


# ---- in an export ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def exported(small: Record, tmp_path: Path) -> Path:
    record = small
    await record.fill(5)
    folder = tmp_path / "export"
    source = LedgerSource(record.ledger.engine.read_here)
    found = stamped(record.ledger.engine.read_here(queries.checkpoints))
    write(folder, (block_text(block, rows) for block, rows in source.blocks()), found)
    shutil.copy(record.outside, tmp_path / "kept-elsewhere.txt")
    return folder


def read(folder: Path) -> Report:
    given = [Given(signed=each.signed, origin="export") for each in read_checkpoints(folder)]
    given += [Given(signed=each, origin="outside") for each in read_file(folder.parent / "kept-elsewhere.txt")]
    return verify(ExportSource(folder / CHAIN), given)


def edit(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Change the list of blocks of an export."""
    text = (folder / CHAIN).read_text(encoding="utf-8")
    blocks = [f"block {each}" for each in text.removeprefix("block ").split("\nblock ")]
    blocks = [each if each.endswith("\n") else each + "\n" for each in blocks]
    (folder / CHAIN).write_text("".join(change(blocks)), encoding="utf-8")


def lines(block: str) -> tuple[str, list[str]]:
    at = block.index("{")
    return block[:at], block[at:].splitlines(keepends=True)


def test_an_untouched_export(exported: Path) -> None:
    report = read(exported)
    assert report.ok, report.findings
    assert (report.entries, report.signed_to) == (20, 5)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (lambda head, rows: head + rows[0].replace('"actor":"tester"', '"actor":"nobody"') + "".join(rows[1:]), "entry-changed"),
        (lambda head, rows: head + "".join(rows[1:]), "entry-deleted"),
        (lambda head, rows: head + "".join([*rows, rows[0].replace(rows[0].split('"id":"')[1][:32], "e" * 32)]), "entry-inserted"),
        (lambda head, rows: head + "".join([*rows, rows[0]]), "entry-inserted"),
        (lambda head, rows: head + rows[1] + rows[0] + "".join(rows[2:]), "entry-reordered"),
        (lambda head, rows: head.replace("total ", "total 1", 1) + "".join(rows), "block-changed"),
        (lambda head, rows: head.replace("entries ", "entris ", 1) + "".join(rows), "block-malformed"),
    ],
)
def test_one_block_of_an_export(exported: Path, what: Callable[[str, list[str]], str], expected: str) -> None:
    edit(exported, lambda blocks: [*blocks[:2], what(*lines(blocks[2])), *blocks[3:]])
    found = codes(read(exported))
    if expected == "block-malformed":
        assert found == [("block-malformed", None), ("block-deleted", 3)]
    else:
        assert found == [(expected, 3)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda b: [b[0], b[1], b[3], b[4]], [("block-deleted", 3)]),
        (lambda b: [b[0], b[2], b[1], b[3], b[4]], [("block-reordered", 2)]),
        (lambda b: b[:3], [("chain-truncated", 4)]),
        (lambda b: [*b[:3], b[2].replace('"number":0', '"number":9'), *b[3:]], [("entry-changed", 3), ("chain-forked", 3)]),
        (lambda b: [], [("chain-truncated", 1)]),
    ],
)
def test_the_blocks_of_an_export(exported: Path, change: Callable[[list[str]], list[str]], expected: list[tuple[str, int]]) -> None:
    edit(exported, change)
    assert codes(read(exported)) == expected


def test_an_export_cut_off_together_with_its_checkpoints(exported: Path) -> None:
    edit(exported, lambda blocks: blocks[:2])
    stanzas = (exported / CHECKPOINTS).read_text().split("\n\n")
    (exported / CHECKPOINTS).write_text("\n\n".join([*stanzas[:2], ""]))
    assert codes(read(exported)) == [("chain-truncated", 3)]


def test_an_export_made_anew_to_its_end(exported: Path) -> None:
    def again(blocks: list[str]) -> list[str]:
        made: list[str] = []
        before: Block | None = None
        for number, text in enumerate(blocks, start=1):
            if number >= 4:
                text = text.replace('"number":0', '"number":9')  # noqa: PLW2901
            made.append(remake(text, before))
            before = parsed(made[-1])
        return made

    edit(exported, again)
    assert codes(read(exported)) == [("chain-forked", 4)]


def remake(text: str, before: Block | None) -> str:
    """The block with leaves and previous digest made anew for what it holds."""
    from gateway.audit.canonical import leaf

    block, (_, rows) = parsed(text), lines(text)
    leaves = tuple(leaf(row.split('"id":"')[1][:32], row.rstrip("\n").encode()) for row in rows)
    previous = block.previous if before is None else before.digest
    made = Block(
        number=block.number, previous=previous, at=block.at, entries=block.entries, total=block.total, leaves=leaves,
    )  # fmt: skip
    return made.head().decode() + "".join(rows)


def parsed(text: str) -> Block:
    import hashlib

    fields = dict(line.split(" ", 1) for line in text.splitlines()[:5])
    return Block(
        number=int(fields["block"]), previous=bytes.fromhex(fields["previous"]), at=float(fields["at"]), entries=int(fields["entries"]),
        total=int(fields["total"]), leaves=(), digest=hashlib.sha256(text.encode()).digest(),
    )  # fmt: skip


def test_a_signature_in_the_file_outside_that_is_no_base64(exported: Path) -> None:
    kept = exported.parent / "kept-elsewhere.txt"
    kept.write_text(kept.read_text().replace("signature ", "signature A", 1))
    assert {each.code for each in read(exported).findings} == {"checkpoint-signature"}
    assert Signed(text="x", signature=b"").digest
