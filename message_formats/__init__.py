"""Message formats of a Japanese municipality's resident register: usable without the gateway, no I/O beyond packaged data.

The way in is :func:`message_formats.reading.read` (bytes → typed message or one :class:`~message_formats.errors.FormatError`), the way
out :func:`message_formats.writing.write` (items → checked message). Files: :mod:`message_formats.batch` (XML),
:mod:`message_formats.records` with :mod:`message_formats.layouts` (CSV, fixed length). What there is: :mod:`message_formats.catalogue`,
:mod:`message_formats.codes`, :mod:`message_formats.identifiers`, :mod:`message_formats.dates`, :mod:`message_formats.characters`. See
``docs/message-formats.md``.
"""
