"""XML of gate files, opened so that it can reach nothing: no entities, no network, no document type that says anything."""

import io
from dataclasses import dataclass

from lxml import etree

from exvivo.errors import InputError, fault


def parse_markup(raw: bytes, where: str, expected: str, *, bare_type: bool = False) -> etree._Element:
    """Outermost element of an XML file; comments and processing instructions are left out.

    Parameters
    ----------
    raw : the file
    where : what messages call it
    expected : what it should have been
    bare_type : whether a document type that only names the outermost element is allowed, as FlowJo 9 writes it

    Raises
    ------
    InputError : no XML, or a document type, which could name other files or blow up
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_pis=True,
        remove_comments=True,
    )
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as problem:
        raise InputError(fault(where, f"this is no XML: {problem.msg}", expected)) from problem
    if not _harmless(root.getroottree(), bare_type=bare_type):
        raise InputError(fault(where, "the file declares a document type", "none: it could name other files", "Take the DOCTYPE line out"))
    return root


@dataclass(frozen=True, slots=True)
class Outermost:
    """Local name of the outermost element of an XML file, and the FlowJo version that it tells."""

    name: str
    version: str


def outermost(raw: bytes) -> Outermost | None:
    """What kind of XML a file is, from its first element alone; None when it is no XML."""
    try:
        opening = etree.iterparse(io.BytesIO(raw), events=("start",), resolve_entities=False, no_network=True, load_dtd=False)
        _, element = next(iter(opening))
    except (etree.XMLSyntaxError, StopIteration):
        return None
    return Outermost(etree.QName(element).localname, str(element.get("flowJoVersion") or ""))


def _harmless(document: etree._ElementTree, *, bare_type: bool) -> bool:
    """No document type, or one that only repeats the name of the outermost element, without address or declarations."""
    declared = document.docinfo.internalDTD
    if declared is None:
        return True
    told: str = document.docinfo.doctype  # type: ignore[attr-defined]  # the stubs do not know it
    bare = told.removeprefix("<!DOCTYPE").removesuffix(">").strip() == document.getroot().tag
    return bare_type and bare and not [*declared.iterentities(), *declared.iterelements()]  # type: ignore[attr-defined]
