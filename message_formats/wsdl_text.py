"""WSDL 1.1 and envelope schemas written out of the SOAP profiles (:mod:`message_formats.profiles`).

Packaged (``wsdl/``), so that parties and tools can have them as files; a test holds the files against this module. Document/literal with
one element in each Body, SOAP 1.1 over HTTPS, WS-Addressing 1.0 actions, one declared fault. Two services in each: what we call at the
party (first: tools that take the first service get that one), and ``…Gateway``, what the party calls at us.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from message_formats import catalogue
from message_formats.profiles import Operation, Profile

_DISCLAIMER_JA = "（本プロジェクト独自。非公開の外部インターフェイス仕様への準拠を主張しない）"
_DISCLAIMER_EN = "Ours: no conformity with the restricted specification is claimed."
_EACH_JA = "（要求の各件につき1件、順不同）。duplicateは受付済みの送達識別子で、最初の回答を繰り返すことを示す"
_EACH_EN = ", in any order; duplicate: the delivery id was taken before, and this is its first answer again"
_BINDING = "SOAP 1.1, document/literal, WS-Addressing 1.0, HTTPS with mutual TLS."

_DELIVERY_ID = """  <xs:simpleType name="DeliveryId">
    <xs:annotation>
      <xs:documentation xml:lang="ja">送達識別子（再送でも同一）</xs:documentation>
      <xs:documentation xml:lang="en">Id of a delivery, the same for every attempt at it</xs:documentation>
    </xs:annotation>
    <xs:restriction base="xs:string">
      <xs:minLength value="1"/><xs:maxLength value="64"/><xs:pattern value="[0-9A-Za-z_.:\\-]*"/>
    </xs:restriction>
  </xs:simpleType>
  <xs:simpleType name="ReasonCode">
    <xs:annotation>
      <xs:documentation xml:lang="ja">理由コード（値・氏名等を含まない）</xs:documentation>
      <xs:documentation xml:lang="en">Code of a reason; never a value of a message</xs:documentation>
    </xs:annotation>
    <xs:restriction base="xs:string">
      <xs:minLength value="1"/><xs:maxLength value="40"/><xs:pattern value="[0-9A-Za-z\\-]*"/>
    </xs:restriction>
  </xs:simpleType>"""

_RECEIPT = """  <xs:complexType name="Receipt">
    <xs:annotation>
      <xs:documentation xml:lang="ja">accepted：受け付けて保存した、rejected：何も反映しない（codeに理由）</xs:documentation>
      <xs:documentation xml:lang="en">accepted: taken and stored; rejected: without any effect, and code says why</xs:documentation>
    </xs:annotation>
    <xs:attribute name="deliveryId" type="p:DeliveryId" use="required"/>
    <xs:attribute name="duplicate" type="xs:boolean" use="required"/>
    <xs:attribute name="outcome" use="required">
      <xs:simpleType>
        <xs:restriction base="xs:string"><xs:enumeration value="accepted"/><xs:enumeration value="rejected"/></xs:restriction>
      </xs:simpleType>
    </xs:attribute>
    <xs:attribute name="code" type="p:ReasonCode"/>
  </xs:complexType>"""

_FAULT = """  <xs:element name="Fault">
    <xs:annotation>
      <xs:documentation xml:lang="ja">SOAPフォールトの詳細。要求全体が拒否され、何も反映されていない場合のコード</xs:documentation>
      <xs:documentation xml:lang="en">Detail of a SOAP fault: the call as a whole was refused, and nothing had an effect</xs:documentation>
    </xs:annotation>
    <xs:complexType>
      <xs:attribute name="code" use="required">
        <xs:simpleType><xs:restriction base="xs:string">
          <xs:minLength value="1"/><xs:maxLength value="40"/><xs:pattern value="[a-z0-9\\-]*"/>
        </xs:restriction></xs:simpleType>
      </xs:attribute>
    </xs:complexType>
  </xs:element>"""

_MUNICIPALITY = """          <xs:attribute name="municipality">
            <xs:annotation>
              <xs:documentation xml:lang="ja">相手市町村（送信時は宛先、受信時は発信元）</xs:documentation>
              <xs:documentation xml:lang="en">The municipality at the other end: addressee, or sender of what comes</xs:documentation>
            </xs:annotation>
            <xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="[0-9]{6}"/></xs:restriction></xs:simpleType>
          </xs:attribute>"""

_DIGEST = """          <xs:attribute name="digest" use="required">
            <xs:annotation>
              <xs:documentation xml:lang="ja">要素のバイト列のSHA-256（16進小文字）</xs:documentation>
              <xs:documentation xml:lang="en">SHA-256 of the element's bytes, lower-case hexadecimal</xs:documentation>
            </xs:annotation>
            <xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="[0-9a-f]{64}"/></xs:restriction></xs:simpleType>
          </xs:attribute>"""


def schema(profile: Profile) -> str:
    """The envelope schema of a profile: request and response elements of all operations, and the fault's detail."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:p="{profile.namespace}"',
        *(f'           xmlns:{each.name}="{each.schema}"' for each in profile.message_types),
        f'           targetNamespace="{profile.namespace}" elementFormDefault="qualified" version="1.0">',
        _documented(f"{profile.name_ja}{_DISCLAIMER_JA}", f"{profile.name_en}. {_DISCLAIMER_EN}", 1),
        *(f'  <xs:import namespace="{each.schema}" schemaLocation="../xsd/{each.name}.xsd"/>' for each in profile.message_types),
        _DELIVERY_ID,
    ]
    if any(operation.answer is None for operation in profile.operations):
        lines.append(_RECEIPT)
    for operation in profile.operations:
        lines += [_request(operation), _response(operation)]
    return "\n".join([*lines, _FAULT, "</xs:schema>"]) + "\n"


def _request(operation: Operation) -> str:
    most = operation.records
    attributes = ['          <xs:attribute name="deliveryId" type="p:DeliveryId" use="required"/>']
    if operation.addressed:
        attributes.append(_MUNICIPALITY)
    if operation.digest:
        attributes.append(_DIGEST)
    later_ja = f"。回答は後で {operation.later} による" if operation.later else ""
    later_en = f"; the answer comes later, by {operation.later}" if operation.later else ""
    ja, en = f"{operation.name_ja}（1件から{most}件）{later_ja}", f"{operation.name_en}, 1 to {most} records{later_en}"
    if most == 1:
        ja, en = f"{operation.name_ja}（1件）{later_ja}", f"{operation.name_en}, one record{later_en}"
    inner = [
        "        <xs:complexType>",
        f"          <xs:sequence>{_reference(operation.type)}</xs:sequence>",
        *attributes,
        "        </xs:complexType>",
    ]
    record = [f'      <xs:element name="Record"{_most(most)}>', *inner, "      </xs:element>"]
    return _element(f"{operation.name}Request", _documented(ja, en, 2), record, "Record", "deliveryIdOnce")


def _response(operation: Operation) -> str:
    if operation.answer is None:
        documented = _documented(f"受領結果{_EACH_JA}", f"One receipt for each record{_EACH_EN}", 2)
        result = [f'      <xs:element name="Result" type="p:Receipt"{_most(operation.records)}/>']
    else:
        documented = _documented(f"回答{_EACH_JA}", f"One answer for each record{_EACH_EN}", 2)
        result = [
            f'      <xs:element name="Result"{_most(operation.records)}>',
            "        <xs:complexType>",
            f"          <xs:sequence>{_reference(operation.answer)}</xs:sequence>",
            '          <xs:attribute name="deliveryId" type="p:DeliveryId" use="required"/>',
            '          <xs:attribute name="duplicate" type="xs:boolean" use="required"/>',
            "        </xs:complexType>",
            "      </xs:element>",
        ]
    return _element(f"{operation.name}Response", documented, result, "Result", "resultOnce")


def _element(name: str, documented: str, members: Iterable[str], member: str, unique: str) -> str:
    return "\n".join(
        [
            f'  <xs:element name="{name}">',
            documented,
            "    <xs:complexType><xs:sequence>",
            *members,
            "    </xs:sequence></xs:complexType>",
            f'    <xs:unique name="{unique}Of{name}"><xs:selector xpath="p:{member}"/><xs:field xpath="@deliveryId"/></xs:unique>',
            "  </xs:element>",
        ]
    )


def _reference(name: str) -> str:
    return f'<xs:element ref="{name}:{catalogue.root_name(name)}"/>'


def _most(records: int) -> str:
    return f' maxOccurs="{records}"' if records > 1 else ""


def _documented(ja: str, en: str, depth: int) -> str:
    pad = "  " * depth
    return (
        f'{pad}<xs:annotation><xs:documentation xml:lang="ja">{escape(ja)}</xs:documentation>'
        f'<xs:documentation xml:lang="en">{escape(en)}</xs:documentation></xs:annotation>'
    )


def wsdl(profile: Profile) -> str:
    """The WSDL of a profile, which imports its envelope schema from beside it."""
    services = [
        (profile.name, profile.address, [each for each in profile.operations if each.outbound]),
        (f"{profile.name}Gateway", f"https://renkei-gateway.invalid/soap/{profile.profile}", [e for e in profile.operations if e.inbound]),
    ]
    services = [service for service in services if service[2]]
    about = f"{profile.name_en} ({profile.name_ja}). {_BINDING} {_DISCLAIMER_EN}"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"',
        '                  xmlns:wsam="http://www.w3.org/2007/05/addressing/metadata" xmlns:xs="http://www.w3.org/2001/XMLSchema"',
        f'                  xmlns:p="{profile.namespace}" targetNamespace="{profile.namespace}" name="{profile.name}">',
        f"  <wsdl:documentation>{escape(about)}</wsdl:documentation>",
        "  <wsdl:types>",
        f'    <xs:schema targetNamespace="{profile.namespace.rpartition(":")[0]}:wsdl:{profile.version}">',
        f'      <xs:import namespace="{profile.namespace}" schemaLocation="{profile.profile}.xsd"/>',
        "    </xs:schema>",
        "  </wsdl:types>",
    ]
    for operation in profile.operations:
        for part in ("Request", "Response"):
            name = operation.name + part
            lines.append(f'  <wsdl:message name="{name}"><wsdl:part name="body" element="p:{name}"/></wsdl:message>')
    lines.append(f'  <wsdl:message name="{profile.name}Fault"><wsdl:part name="fault" element="p:Fault"/></wsdl:message>')
    for name, _, operations in services:
        lines += _port_type(profile, name, operations)
    for name, _, operations in services:
        lines += _binding(profile, name, operations)
    for name, address, _ in services:
        lines += [
            f'  <wsdl:service name="{name}">',
            f'    <wsdl:port name="{name}Port" binding="p:{name}Binding"><soap:address location={quoteattr(address)}/></wsdl:port>',
            "  </wsdl:service>",
        ]
    return "\n".join([*lines, "</wsdl:definitions>"]) + "\n"


def _port_type(profile: Profile, name: str, operations: Iterable[Operation]) -> list[str]:
    lines, fault = [f'  <wsdl:portType name="{name}Port">'], f"{profile.name}Fault"
    for each in operations:
        request, response = profile.action(each.name), profile.action(each.name, "Response")
        lines += [
            f'    <wsdl:operation name="{each.name}">',
            f"      <wsdl:documentation>{escape(f'{each.name_ja} / {each.name_en}')}</wsdl:documentation>",
            f'      <wsdl:input message="p:{each.name}Request" wsam:Action="{request}"/>',
            f'      <wsdl:output message="p:{each.name}Response" wsam:Action="{response}"/>',
            f'      <wsdl:fault name="{fault}" message="p:{fault}" wsam:Action="{profile.fault_action}"/>',
            "    </wsdl:operation>",
        ]
    return [*lines, "  </wsdl:portType>"]


def _binding(profile: Profile, name: str, operations: Iterable[Operation]) -> list[str]:
    fault = f"{profile.name}Fault"
    lines = [
        f'  <wsdl:binding name="{name}Binding" type="p:{name}Port">',
        '    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>',
    ]
    for each in operations:
        lines += [
            f'    <wsdl:operation name="{each.name}">',
            f'      <soap:operation soapAction="{profile.action(each.name)}" style="document"/>',
            '      <wsdl:input><soap:body use="literal"/></wsdl:input>',
            '      <wsdl:output><soap:body use="literal"/></wsdl:output>',
            f'      <wsdl:fault name="{fault}"><soap:fault name="{fault}" use="literal"/></wsdl:fault>',
            "    </wsdl:operation>",
        ]
    return [*lines, "  </wsdl:binding>"]
