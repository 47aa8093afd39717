"""Pictures whose texts come from labels: whatever they hold, the file is one picture that says just that."""

from __future__ import annotations

from xml.etree import ElementTree

from starlight_exporter.markdown.svg import NAMESPACE, Drawing

NASTY = '</text><script>alert("1")</script> & "quoted" \'too\' <b>'


def test_texts_cannot_become_elements() -> None:
    drawing = Drawing(100, 50, title=NASTY, description=NASTY)
    drawing.text((1.0, 2.0), NASTY, "quiet")
    text = drawing.to_text()
    assert "<script" not in text
    root = ElementTree.fromstring(text)
    for tag in ("title", "desc", "text"):
        (element,) = root.iter(f"{{{NAMESPACE}}}{tag}")
        assert element.text == NASTY
        assert len(element) == 0


def test_the_same_drawing_is_the_same_text() -> None:
    def drawn() -> str:
        drawing = Drawing(100, 50, title="a", description="b")
        drawing.polyline([(1.04, 2.0), (3.0, 4.55)], "first")
        return drawing.to_text()

    assert drawn() == drawn()
    assert 'points="1,2 3,4.5"' in drawn() or 'points="1,2 3,4.6"' in drawn()
