"""The code blocks of a Markdown page, as programs.

All blocks of one language on one page are one program, in their order: what a block declares, later ones may use. What the
reader is to have already stands in a comment before the block, which no page shows when it is rendered:

    <!-- given: void *stream, *x; int64_t tokens; -->
    ```c

For Python it lists names: `<!-- given: w1 s1 x ids -->`.
"""

import pathlib
import re

_BLOCK = re.compile(r"(?:^<!-- given: (?P<given>.*?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block:
    def __init__(self, page, text, match):
        self.page = page
        self.line = text.count("\n", 0, match.start("code")) + 1  # of its first line of code
        self.language = match["language"]
        self.given = match["given"] or ""
        self.code = match["code"]


def pages(source):
    """README and all of docs/."""
    source = pathlib.Path(source)
    return [source / "README.md", source / "python" / "README.md", *sorted((source / "docs").glob("*.md"))]


def blocks(page, language):
    text = page.read_text()
    found = [Block(page, text, match) for match in _BLOCK.finditer(text)]
    if text.count("\n<!-- given:") != sum(bool(block.given) for block in found):
        raise SystemExit(f"{page}: a comment `given:` that has no block of code right after it")
    return [block for block in found if block.language == language]
