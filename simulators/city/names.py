"""Invented names and places: every one says that it is a sample (見本, 架空, 例示…), with real variant characters among them."""

from __future__ import annotations

STEMS: tuple[tuple[str, str], ...] = (
    ("見本", "みほん"),
    ("架空", "かくう"),
    ("例示", "れいじ"),
    ("試験", "しけん"),
    ("想定", "そうてい"),
    ("模擬", "もぎ"),
    ("仮名", "かめい"),
    ("虚構", "きょこう"),
)

ENDINGS: tuple[tuple[str, str], ...] = (
    ("田", "だ"),
    ("川", "がわ"),
    ("山", "やま"),
    ("本", "もと"),
    ("野", "の"),
    ("村", "むら"),
    ("井", "い"),
    ("木", "き"),
    ("沢", "ざわ"),
    ("島", "じま"),
    ("口", "ぐち"),
    ("原", "はら"),
)

# Variation sequences of the Moji_Joho collection, characters outside JIS X 0213, and a compatibility ideograph that normalisation keeps
# (﨑). About one name in twelve has one.
VARIANT_ENDINGS: tuple[tuple[str, str], ...] = (
    ("葛\U000e0102", "かずら"),
    ("辻\U000e0102", "つじ"),
    ("邉\U000e010f", "べ"),
    ("邊\U000e0108", "べ"),
    ("榊\U000e0102", "さかき"),
    ("髙", "たか"),
    ("𠮷", "よし"),
    ("﨑", "ざき"),
)

MALE: tuple[tuple[str, str], ...] = (
    ("例太", "れいた"),
    ("見太郎", "みたろう"),
    ("試郎", "しろう"),
    ("仮次郎", "かりじろう"),
    ("想一", "そういち"),
    ("模吉", "もきち"),
    ("架人", "かくと"),
    ("虚太", "きょた"),
)

FEMALE: tuple[tuple[str, str], ...] = (
    ("例子", "れいこ"),
    ("見花", "みか"),
    ("試美", "しみ"),
    ("仮奈", "かりな"),
    ("想代", "そうよ"),
    ("模絵", "もえ"),
    ("架織", "かおり"),
    ("虚音", "きょね"),
)

FOREIGN: tuple[tuple[str, str], ...] = (
    ("SAMPLE NGUYEN VAN REI", "サンプル　グエン　ヴァン　レイ"),
    ("SAMPLE LI MIHON", "サンプル　リ　ミホン"),
    ("SAMPLE KIM REIJI", "サンプル　キム　レイジ"),
    ("SAMPLE SANTOS MARIA", "サンプル　サントス　マリア"),
    ("SAMPLE SILVA JOAO", "サンプル　シルバ　ジョアン"),
    ("SAMPLE GURUNG MAYA", "サンプル　グルン　マヤ"),
    ("SAMPLE SMITH ALEX", "サンプル　スミス　アレックス"),
)

CITY = "虚構県架空市"

_TOWN_ENDINGS = ("本町", "台", "新田", "緑町", "が丘", "東町", "西町")
TOWNS: tuple[str, ...] = (*(stem[0] + ending for stem in STEMS[:6] for ending in _TOWN_ENDINGS), "見本葛\U000e0102町", "例示﨑町")

OTHER_CITIES: tuple[tuple[str, str], ...] = (
    ("99305", "虚構県別天市"),
    ("99411", "虚構県隣町"),
    ("98102", "架空府例示市"),
    ("97208", "想定県模擬市"),
    ("96203", "試験道見本市"),
)
