"""SOAP 1.1 with WS-Addressing 1.0, shared by the adapters: zeep reads the WSDL, a compiled template builds, lxml reads.

zeep is asked what a message looks like and never whether to trust one. It loads packaged files only. Because it takes about half a
millisecond for a record, the way of every message uses a template compiled from what zeep built once (:mod:`adapters.soap.template`); the
tests hold both against each other byte for byte.
"""
