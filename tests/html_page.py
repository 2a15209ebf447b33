"""A page as tests read it: whether it is whole, and whether it needs anything from elsewhere."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Notes what is open, and every address and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "data"}:
                self.addresses.append(str(value))
            if name == "id":
                self.ids.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check_alone(text: str) -> Page:
    """Asserts that a page is whole and fetches nothing."""
    page = Page(text)
    assert page.open == []
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.addresses)
    # W3C names stand in SVG as names, not as addresses to be fetched.
    links = {link for link in re.findall(r"https?://[^\"' ]+", text) if "w3.org" not in link}
    assert links == set()
    assert "<script" not in text
    assert len(page.ids) == len(set(page.ids))
    return page
