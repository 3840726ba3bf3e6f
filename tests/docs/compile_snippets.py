"""Compiles every block of C (as C99) and C++ (as C++17) that README and docs/ show, against the public headers.

compile_snippets.py SOURCE_FOLDER C_COMPILER CXX_COMPILER
"""

import subprocess
import sys

import snippets

# What a reader would not call an error: a snippet need not use all it has.
_FLAGS = ["-fsyntax-only", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wno-unused-variable", "-Wno-unused-but-set-variable"]
_LANGUAGES = {"c": ["-x", "c", "-std=c99"], "cpp": ["-x", "c++", "-std=c++17"]}


def program(blocks):
    """One function with the blocks' statements, their #include lines before it. Messages name the page's lines."""
    top, body = [], ["void snippet(void);", "void snippet(void) {"]
    for block in blocks:
        body.append(block.given)
        body.append(f'#line {block.line} "{block.page}"')
        for line in block.code.splitlines():
            include = line.startswith("#include")
            if include:
                top.append(line)
            body.append("" if include else line)
    # C's blocks leave out what every C program that uses librtjit begins with.
    top = top or ["#include <rtjit.h>", "#include <stdio.h>"]
    return "\n".join([*top, *body, "}", ""])


def compile_page(source, page, language, compiler):
    """How many blocks there are; None when the compiler refuses them."""
    found = snippets.blocks(page, language)
    if not found:
        return 0
    command = [compiler, *_LANGUAGES[language], *_FLAGS, f"-I{source}/runtime/include", "-"]
    finished = subprocess.run(command, input=program(found), capture_output=True, text=True)
    if finished.returncode == 0:
        return len(found)
    print(finished.stderr)
    return None


def main(source, c_compiler, cxx_compiler):
    failed, compiled = 0, 0
    for page in snippets.pages(source):
        for language, compiler in (("c", c_compiler), ("cpp", cxx_compiler)):
            count = compile_page(source, page, language, compiler)
            failed += count is None
            compiled += count or 0
    print(f"{compiled} blocks compiled, {failed} pages with errors")
    # A page that loses its blocks to a change of this script must not pass.
    return 1 if failed or compiled < 4 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
