"""Attacks on XML readers and broken Japanese encodings: inputs that every reader of ours must refuse, or read, without harm."""

from __future__ import annotations

from message_formats import samples

NAME = "identity-information-update"
GOOD = samples.message(NAME).to_bytes()
_ROOT = GOOD[: GOOD.index(b">") + 1]
_REST = GOOD[GOOD.index(b">") + 1 :]
_XSI = b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '


def _lol(depth: int, width: int) -> bytes:
    entities = b'<!ENTITY a0 "lol">' + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * width) for n in range(1, depth))
    return b"<!DOCTYPE lol [" + entities + b"]><lol>&a%d;</lol>" % (depth - 1)


def attacks() -> list[bytes]:
    """Well-known attacks, each in the smallest form that would work on a careless reader."""
    return [
        _lol(10, 10),
        b'<!DOCTYPE a [<!ENTITY x "' + b"A" * 50_000 + b'">]><a>' + b"&x;" * 5_000 + b"</a>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY x PUBLIC "-" "http://127.0.0.1:9/">]><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]><a/>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
        b"<!doctype a><a/>",
        b'<?xml version="1.0" standalone="no"?><!DOCTYPE a SYSTEM "x"><a/>',
        b'<?xml version="1.0" encoding="UTF-7"?>+ADw-a/+AD4-',
        b'<?xml version="1.1"?>' + GOOD,
        b'<?xml version="1.0" encoding="UTF-8" encoding="EUC-JP"?>' + GOOD,
        b'<?xml-stylesheet href="http://127.0.0.1:9/"?>' + GOOD,
        GOOD.replace(b"<sex>2", b'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname"/><sex>2'),
        _ROOT + b"<a>" * 100_000,
        _ROOT + b"<a>" * 200 + b"</a>" * 200 + _REST,
        _ROOT[:-1] + b"".join(b' a%d=""' % n for n in range(20_000)) + b">" + _REST,
        _ROOT[:-1] + b"".join(b' xmlns:a%d="urn:%d"' % (n, n) for n in range(20_000)) + b">" + _REST,
        _ROOT[:-1] + b' a="1" a="2">' + _REST,
        _ROOT[:-1] + _XSI + b'xsi:schemaLocation="urn:x http://127.0.0.1:9/x.xsd">' + _REST,
        _ROOT[:-1] + _XSI + b'xsi:noNamespaceSchemaLocation="file:///etc/hostname">' + _REST,
        GOOD.replace(b"<sex>", b"<sex" + _XSI + b'xsi:type="sex">'),
        GOOD.replace(b"<sex>", b"<sex" + _XSI + b'xsi:nil="true">'),
        GOOD.replace(b"<sex>2", b"<sex>&#x110000;"),
        GOOD.replace(b"<sex>2", b"<sex>&#0;"),
        GOOD.replace(b"<sex>2", b"<sex>&#xD800;"),
        GOOD.replace(b"<sex>2", b"<sex>&#65534;"),
        GOOD.replace(b"<sex>2", b"<sex>" + b"2" * 3_000_000),
        GOOD.replace(b"<sex>2", b"<sex>" + b"<![CDATA[2]]>" * 10_000),
        GOOD.replace(b"<sex>2", b"<sex><![CDATA[2"),
        GOOD.replace(b"<sex>2", b"<sex>]]>2"),
        GOOD.replace(b"<sex>2", b"<s\x00ex>2"),
        GOOD.replace(b"<sex>2</sex>", b"<sex>2</sex\x00>"),
        GOOD.replace(b"sex>", b"a:sex>"),
        GOOD.replace(b':1"', b':1&#32;"'),
        b"\x4c\x6f\xa7\x94" + GOOD.decode().encode("cp037", "replace"),
        GOOD.decode().encode("utf-16-le"),
        GOOD.decode().encode("utf-16-be"),
        GOOD.decode().encode("utf-32"),
        b"\xff\xfe" + GOOD,
        b"\xfe\xff" + GOOD.decode().encode("utf-16-be")[:-1],
        b"\xff\xfe" + "<!DOCTYPE a><a/>".encode("utf-16-le"),
        b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD,
        b"",
        b"<",
        b"\x00" * 1000,
        b"<?xml",
        b"\n" * 100_000 + GOOD,
        GOOD * 3,
        GOOD + b"x",
    ]


def broken_encodings() -> list[bytes]:
    """Japanese text in encodings that are wrong, mixed, cut in two or forbidden."""
    text = "見本　葛\U000e0102髙𠮷﨑ｶﾞ～〜－−"
    pieces = [
        text.encode("cp932", "replace"),
        text.encode("euc_jp", "replace"),
        text.encode("iso2022_jp", "replace"),
        text.encode("shift_jis_2004", "replace"),
        "見本".encode()[:-1],
        "見本".encode()[1:],
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xed\xa0\xbd\xed\xb8\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\x80",
        b"\xff",
        b"\x1b$B",
        b"\x8e\xb1",
        "\U000e0102".encode(),
        "見\U000e0102\U000e0103".encode(),
        "\ufeff見本".encode(),
        "\u202e見本".encode(),
        "\x85\u2028".encode(),
        "\U00100000".encode(),
        "\ufa19".encode(),
        "か\u3099".encode(),
    ]
    declared = [
        b'<?xml version="1.0" encoding="%s"?>' % name for name in (b"Shift_JIS", b"EUC-JP", b"ISO-2022-JP", b"Windows-31J", b"UTF-16")
    ]
    made = [GOOD.replace("見本".encode(), piece) for piece in pieces]
    made += [
        mark + GOOD.decode().encode(codec, "replace")
        for mark, codec in zip(declared, ("cp932", "euc_jp", "iso2022_jp", "cp932", "utf-8"), strict=True)
    ]
    return made
