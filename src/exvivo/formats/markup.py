"""XML of gate files, opened so that it can reach nothing: no entities, no network, no document type."""

from lxml import etree

from exvivo.errors import InputError, fault


def parse_markup(raw: bytes, where: str, expected: str) -> etree._Element:
    """Outermost element of an XML file; comments and processing instructions are left out.

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
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]  # the stubs do not know it
        raise InputError(fault(where, "the file declares a document type", "none: it could name other files", "Take the DOCTYPE line out"))
    return root
