"""Every link of README and docs/ to a file of the repository, or to a heading on a page, leads somewhere.

check_links.py SOURCE_FOLDER
"""

import pathlib
import re
import sys

import snippets

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(page):
    """As GitHub makes them of headings: small letters, no punctuation, dashes for blanks."""
    headings = (heading.replace("`", "").lower() for heading in _HEADING.findall(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in headings}


def broken_links(page):
    for number, line in enumerate(page.read_text().splitlines(), 1):
        for path, anchor in _LINK.findall(line):
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                yield f"{page}:{number}: {path} is not there"
            elif anchor and anchor not in anchors(file):
                yield f"{page}:{number}: {path or page.name} has no heading #{anchor}"


def main(source):
    pages = snippets.pages(source)
    broken = [line for page in pages for line in broken_links(page)]
    links = sum(len(_LINK.findall(page.read_text())) for page in pages)
    print("\n".join([*broken, f"{links} links, {len(broken)} broken"]))
    return 1 if broken or links < 50 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
