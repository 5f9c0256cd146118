#!/usr/bin/python3
"""What documents name must exist: links, paths, make targets, subcommands, options; and documents stay short.

    tests/tidy/docs.py [FOLDER]

Documents are the Markdown files of the repository and the texts of openapi.yaml. A name counts when it is in backticks or in an
indented block of code. A path is a word that begins with a folder of the top level, or ends like a source or document; {a,b} and *
stand for several. It is looked for from the top folder, from the document's folder and, without a folder, by its name alone."""

import glob
import os
import pathlib
import re
import subprocess
import sys

# A document that outgrows its reader is split, not shortened.
BYTES_MAX = {"README.md": 10000, "core/README.md": 16000, "server/README.md": 16000, "deploy/README.md": 16000, "tests/README.md": 9000}
ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2])
FOREIGN = ("tests/golden/", "tests/fuzz/")  # with documents of others
OF_SOURCES = re.compile(r"[\w./*{},-]+\.(c|h|py|awk|sql|yml|md)")
WORD = r"[a-z][a-z-]*"


def lines_of(command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


FILES = [file for file in lines_of(["git", "ls-files", "--cached", "--others", "--exclude-standard"]) if (ROOT / file).exists()]
NAMES = {os.path.basename(file) for file in FILES}
TOP = {file.split("/")[0] for file in FILES if "/" in file}
DOCUMENTS = [file for file in FILES if file.endswith(".md") and not file.startswith(FOREIGN)] + ["openapi.yaml"]


def text_of(file):
    return (ROOT / file).read_text()


def commands():
    """subcommand -> its own subcommands, from the tables of the program"""
    found = {name: set() for name in re.findall(r'^    \{"(\w+)", sm_cmd_', text_of("server/main.c"), re.M)}
    found["decode-helper"] = set()
    for name in found:
        file = ROOT / f"server/cmd/{name}.c"
        table = re.search(r"struct sm_verb verbs\[\] = \{(.*?)\};", file.read_text(), re.S) if file.exists() else None
        if table:
            found[name] = set(re.findall(rf'\{{"({WORD})"', table[1]))
    return found


def targets():
    return set(re.findall(r"^([a-z][\w-]*):", text_of("Makefile"), re.M))


def anchors(file):
    """The ids that a code hosting page gives to headings."""
    titles = re.findall(r"^#+ (.*)$", text_of(file), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def spans(text):
    """What is in backticks, and the lines of indented blocks of code; of openapi.yaml every line."""
    found = [match[1] for match in re.finditer(r"`([^`\n]+)`", text)]
    return found + [match[1] for match in re.finditer(r"^ {4,}(?:\$ )?(.*)$", text, re.M)]


def expand(word):
    match = re.search(r"\{([^{}]*,[^{}]*)\}", word)
    if not match:
        return [word]
    return [path for part in match[1].split(",") for path in expand(word[:match.start()] + part + word[match.end():])]


def is_path(word):
    first = word.split("/")[0]
    if "/" in word:
        return first in TOP and re.fullmatch(r"[\w./*{},-]+", word) and not re.search(r"NAME|NNNN", word)
    return OF_SOURCES.fullmatch(word) is not None


def exists(path, folder):
    return (path.rstrip("/") in NAMES if "/" not in path else False) or any(
        glob.glob(str(base / path)) for base in (ROOT, ROOT / folder))


def check_links(file, text):
    folder = os.path.dirname(file)
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(folder, path)) if path else file
        if not (ROOT / target).exists():
            yield f"link to {link}: there is no {target}"
        elif anchor and target.endswith(".md") and anchor not in anchors(target):
            yield f"link to {link}: {target} has no such heading"


def check_paths(file, text):
    for word in (word.strip("(),;:.'\"") for span in spans(text) for word in span.split()):
        if is_path(word):
            for path in expand(word):
                if not exists(path, os.path.dirname(file)):
                    yield f"path {path} does not exist"


def check_make(text, known):
    for span in spans(text):
        for words in re.findall(r"(?:^|[;&] *)make ((?:[\w./=\"-]+ ?)+)", span):
            for word in words.split():
                if re.fullmatch(r"[a-z][a-z-]*", word) and word not in known:
                    yield f"make {word}: there is no such target"
                source = re.fullmatch(r"build/\w+/(?:unit|fuzz)/(.*)", word)
                if source and not any((ROOT / "tests" / kind / f"{source[1]}.c").exists() for kind in ("unit", "fuzz")):
                    yield f"make {word}: there is no source of it"


def check_commands(text, known, options):
    for span in spans(text):
        for match in re.finditer(rf"(?:^|[;&(] *)sslmem ({WORD})(?: ({WORD})\b)?([^;|]*)", span):
            name, verb = match[1], match[2]
            if name not in known:
                yield f"sslmem {name}: there is no such subcommand"
            elif verb and known[name] and verb not in known[name]:
                yield f"sslmem {name} {verb}: there is no such subcommand"
        if re.match(rf"sslmem |--{WORD}", span):
            for option in re.findall(rf"(?<!\S)--({WORD})", span):
                if option not in options:
                    yield f"--{option}: there is no such option"


def main():
    bad = []
    for file, limit in BYTES_MAX.items():
        size = len((ROOT / file).read_bytes())
        if size > limit:
            bad.append(f"{file}: {size} bytes, limit is {limit}: each reader has a document of its own")
    known, make = commands(), targets()
    options = {"help", "version"}
    for file in FILES:
        if re.match(r"(server|tests|deploy)/.*\.(c|py)$", file):
            options |= set(re.findall(rf'"(?:--)?({WORD})"', text_of(file)))
    for file in DOCUMENTS:
        text = text_of(file)
        found = [*check_make(text, make), *check_commands(text, known, options), *check_paths(file, text)]
        if file.endswith(".md"):
            found += check_links(file, text)
        bad += [f"{file}: {what}" for what in dict.fromkeys(found)]
    for file in FILES:
        if re.search(r"\.[ch]$", file):
            bad += [f"{file}: {path} does not exist" for path in re.findall(r"(?<![/%\w])[\w/]*README\b(?:\.md)?", text_of(file))
                    if not (ROOT / path).exists()]
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
