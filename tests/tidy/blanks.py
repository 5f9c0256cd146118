"""No blank line between the declarations at a block's head and its first statement."""
import re
import sys

TYPE = r"(?:const |static |unsigned |struct |enum |union |volatile |_Atomic )*\w+[ *]+"
DECLARATION = re.compile(
    rf"\s+(?!return\b|goto\b|else\b|case\b){TYPE}(?:const )?\*?(?:\w+(?:\[[^\]]*\])*\s*[=;,\[]|\(\*\w+\)\()")
BLOCK = re.compile(r"\{\s*(/\*.*\*/\s*)?$")
NOT_CODE = re.compile(r"=\s*\{\s*$|^\s*(typedef |struct |enum |union )+\w*\s*\{")
END = re.compile(r";\s*(/\*.*\*/)?\s*$")


def blank_lines(lines):
    """Yields the index of each blank line that follows the declarations of a block."""
    for start, line in enumerate(lines):
        if not BLOCK.search(line) or NOT_CODE.search(line):
            continue
        at = start + 1
        while at < len(lines) and DECLARATION.match(lines[at]):
            while not END.search(lines[at]):
                at += 1
            at += 1
        table = lines[at - 1].strip().startswith("};")  # a table may stand apart
        if start + 1 < at < len(lines) and not lines[at] and not table:
            yield at


bad = False
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        for at in blank_lines(file.read().split("\n")):
            print(f"{path}:{at + 1}: blank line after declarations")
            bad = True
sys.exit(bad)
