"""What each finding of a verification means, in English and Japanese. The codes are stable; ``docs/audit.md`` lists them."""

from __future__ import annotations

from typing import Final

FINDINGS: Final[dict[str, tuple[str, str]]] = {
    "entry-changed": ("an entry is not what it was when it was chained", "記録が連鎖時の内容と異なります（改変）"),
    "entry-deleted": ("an entry of a block is gone", "ブロックの記録が失われています（削除）"),
    "entry-inserted": ("an entry that its block does not know", "ブロックにない記録があります（挿入）"),
    "entry-reordered": ("an entry stands in another place than where it was chained", "記録の位置が連鎖時と異なります（並べ替え）"),
    "block-changed": ("a block is not what it was", "ブロックが改変されています"),
    "block-deleted": ("blocks are missing", "ブロックが欠けています（削除）"),
    "block-reordered": ("blocks stand in another order than their numbers", "ブロックの順序が番号と異なります（並べ替え）"),
    "block-malformed": ("a part of the export is no block", "書き出しの一部がブロックの形をしていません"),
    "chain-truncated": (
        "the end of the chain is missing: a signed checkpoint names a later block",
        "連鎖の末尾が失われています（切り詰め）",
    ),
    "chain-forked": ("there are two versions of the chain", "連鎖が二通りあります（分岐）"),
    "checkpoint-changed": ("a checkpoint does not follow the one before", "チェックポイントが前のものに続いていません"),
    "checkpoint-missing": ("checkpoints are missing", "チェックポイントが欠けています"),
    "checkpoint-signature": ("a checkpoint is not signed by the key that it names", "チェックポイントの署名が正しくありません"),
    "checkpoint-key": ("a checkpoint is signed by a key that is not to be trusted", "信頼できない鍵による署名です"),
    "checkpoint-malformed": ("this is not a checkpoint", "チェックポイントの形をしていません"),
    "audit-timestamp": ("a time stamp is not valid for its checkpoint", "タイムスタンプがチェックポイントと一致しません"),
}
