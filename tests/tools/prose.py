"""List what a notebook's text and code owe to the house style (CONTRIBUTING.md).

    python -m tests.tools.prose              every notebook
    python -m tests.tools.prose 03 06_head   these (a beginning of the name is enough)
    python -m tests.tools.prose --count      how many findings each notebook has

Found are: asserts without a message; code lines wider than 110 columns; paragraphs of more than 120 words;
headings that do not begin their cell; a median of more than 8 code lines a cell; and phrases that read like a
translation, in prose, docstrings, comments and messages. Each line says the cell's number (from 0), its id,
why and what to write, and the words.
"""
import argparse
import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator

from tests.tools import notebooks

WIDEST, MOST_WORDS, MEDIAN = 110, 120, 8
UNIT = (r"(?:symbol|dimension|token|image|picture|step|row|column|line|level|class|epoch|batch|seed|position"
        r"|pixel|value|number|file|sample|parameter|layer|block|head|word|process|lesson|notebook|call)")
# what to look for, what to write, or why it is not liked
PHRASES = [(re.compile(pattern), advice) for pattern, advice in [
    (rf"(?i)\b(?:nats?|bits?|bytes?|numbers?|values?|levels|rows?|columns|images|pictures|steps|tokens|dimensions"
     rf"|seconds|minutes|ms|s|indices|index|vectors?|names?|texts?|lines?|one|two|three|four|\d+)"
     rf" an? {UNIT}\b",
     "write 'per': nats per symbol, one per dimension"),
    (r"(?i)(?<!there )(?<!There )\b(?:is|are|was|were) no "
     r"(?!longer\b|more\b|less\b|fewer\b|\w+er\b|one\b|different\b|such\b|surprise\b|accident\b|exaggeration\b|secret\b"
     r"|coincidence\b|guarantee\b)[A-Za-z]", "write 'is not a', 'are not'"),
    (r"(?i)\b(?:stand|stands|stood|standing) "
     r"(?:in (?!for\b)|beside|behind|next|above|below|under|there\b|here\b|at\b|on\b)",
     "write 'is in', 'appears beside'"),
    (r"(?m)(?:^|(?<=[.!?:] ))(?:So|And so|That) (?:it|they|we|he|she) (?:is|are|does|do|did|was|were)\."
     r"|(?m:^)(?:It|They|Both|This|That) (?:is|are|does|do|did|was|were)\.", "say what was seen"),
    (r"(?i)\b(?:whoever|somebody|nobody|anybody)\b", "write you, we, the model, no model"),
    (r"(?i)\bother \w+ than\b|\banother \w+ than\b|\b(?:is|are) (?:others|another one)\b",
     "write 'different from', 'differ'"),
    (r"(?i)\bin small(?=[.,;:)]|\s+(?:and|but|what|is|of)\b)", "write 'at small scale'"),
    (r"(?i)\bon the average(?! of)", "write 'on average'"),
    (r"(?i)\bto and fro\b", "write 'back and forth'"),
    (r"(?i)\b(?:twice|thrice) of\b", "write 'twice it'"),
    (r"(?i)\bdear(?:er|est|ly)?\b", "write 'expensive', 'costly'"),
    (r"(?:^|(?<=[.!?] )|(?<=\n))(?:Measured|Printed|Seen|Shown|Compared|Not shown):"
     r"|\b(?:Printed|Measured|Shown|Drawn|Plotted) (?:is|are)\b|\bNot so (?:the|a|an|its|our)\b",
     "write a sentence with subject and verb"),
    (r"(?i)\b(?:court|courts|jury)\b|\b(?:the|its|a|what) prices?\b(?! in )"
     r"|\bpay(?:s|ing)? for it\b|\bpaid for\b",
     "write the plain term (cost, measure) instead of the metaphor"),
    (r"(?i)\bhas to pay\b|\bhave to pay\b", "write 'costs'"),
    (r"(?:^|[.,;:] |\b(?:that|if|what|as|so|then|how|and|which) )[Oo]ne (?:knows|sees|has|can|gets|needs)\b",
     "write you or we"),
    (r"(?i)\b(?:all|both) what\b", "write 'all that'"),
    (r"(?i)\bthe same as like\b|\bas like\b", "write 'like' or 'as'"),
]]
IN_BRACKETS = re.compile(r"(?:(?<=[.!?] )|(?<=[.!?*]\n)|^)\([A-Z][^()]{25,}[.!?]\)(?=\s|$)", re.M)
# honest uses: the words around a finding, or a notebook with the beginning of the reason
ALLOWED = [
    "~nobody",   # a user's name in a path
]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.prose",
                                     description="List what notebooks owe to the house style.")
    parser.add_argument("names", nargs="*", help="notebooks, or beginnings of their names; none: all")
    parser.add_argument("--count", action="store_true", help="only how many findings each notebook has")
    options = parser.parse_args(arguments)
    known = notebooks.names()
    wanted = [name.removesuffix(".ipynb").rpartition("/")[2] for name in options.names]
    if missing := [name for name in wanted if not any(one.startswith(name) for one in known)]:
        parser.error(f"no notebook begins with {missing[0]!r}; there are {', '.join(known)}")
    total = 0
    for name in known:
        if wanted and not any(name.startswith(one) for one in wanted):
            continue
        found = findings(notebooks.read(name), lesson=name[0].isdigit())
        total += len(found)
        print(f"{name}: {len(found)} findings")
        if not options.count:
            print("".join(f"  {line}\n" for line in found), end="")
    return 1 if total else 0


def findings(notebook: dict, lesson: bool = True) -> list[str]:
    "All that is found in a notebook, one line each."
    found = []
    for number, cell in enumerate(notebook["cells"]):
        if notebooks.for_decks_only(cell):
            continue
        check = {"markdown": markdown_findings, "code": code_findings}.get(cell["cell_type"])
        for reason in check(cell["source"]) if check else ():
            found.append(f"cell {number} ({cell.get('id', '?')}): {reason}")
    sizes = [size for cell in notebooks.code_cells(notebook)
             if (size := notebooks.code_lines(cell["source"]))]
    if lesson and sizes and (median := statistics.median(sizes)) > MEDIAN:
        found.append(f"median of {median:g} code lines a cell, aim {MEDIAN}")
    return found


def markdown_findings(source: str) -> Iterator[str]:
    "Of a markdown cell: headings inside, long paragraphs, phrases."
    text = without_fences(source)
    for line in [line for line in text.splitlines() if line.strip()][1:]:
        if re.match(r"#{1,6} ", line):
            yield f"heading inside the cell: {line[:60]!r}"
    for paragraph in paragraphs(text):
        if (words := len(paragraph.split())) > MOST_WORDS:
            yield f"paragraph of {words} words: {paragraph[:60]!r}"
        yield from phrase_findings(paragraph)
        yield from sentence_findings(paragraph)


def code_findings(source: str) -> Iterator[str]:
    "Of a code cell: wide lines, asserts without a message, phrases in comments and strings."
    for number, line in enumerate(source.splitlines(), 1):
        wide = len(line.replace("from tokenbridge.", "from ."))   # as the module has it
        if wide > WIDEST and not line.startswith("#|"):
            yield f"line {number} has {len(line)} columns: {line.strip()[:50]!r}"
    plain = "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line
                      for line in source.splitlines())
    try:
        tree = ast.parse(plain)
    except SyntaxError:  # a cell of another language (%%bash)
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and node.msg is None:
            yield f"assert without a message: {ast.unparse(node)[:70]!r}"
    for text in code_texts(plain, tree):
        yield from phrase_findings(text)


def code_texts(source: str, tree: ast.AST) -> Iterator[str]:
    "Comments, docstrings and other strings that hold at least two words."
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("#|"):
            yield token.string.lstrip("# ")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield re.sub(r"\s+", " ", node.value)


def without_fences(text: str) -> str:
    "Markdown without code blocks, inline code, formulas, addresses of links, and HTML tags."
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.M | re.S)
    text = re.sub(r"\$\$.*?\$\$", "MATH", text, flags=re.S)
    text = re.sub(r"(?<!\\)\$[^$\n]+\$", "MATH", text)
    text = re.sub(r"`[^`\n]*`", "CODE", text)
    text = re.sub(r"\]\([^)\s]*\)", "]", text)
    return re.sub(r"<[^>\n]+>|https?://\S+", "", text)


def paragraphs(text: str) -> Iterator[str]:
    "Paragraphs, items of lists and cells of tables, each in one line."
    for block in re.split(r"\n\s*\n", text):
        if block.lstrip().startswith("|"):
            cells = [cell.strip() for line in block.splitlines() for cell in line.split("|")]
            yield from (cell for cell in cells if " " in cell)
            continue
        for part in re.split(r"\n(?=\s*(?:[-*+]|\d+\.)\s)", block):
            if line := re.sub(r"\s+", " ", re.sub(r"^\s*>\s?", "", part, flags=re.M)).strip():
                yield re.sub(r"^(?:[-*+]|\d+\.)\s+", "", line)


def phrase_findings(text: str) -> Iterator[str]:
    "Phrases of the table of style in a text."
    for pattern, advice in PHRASES:
        for match in pattern.finditer(text):
            around = text[max(0, match.start() - 25):match.end() + 25]
            if not any(words in around for words in ALLOWED):
                yield f"{advice}: ...{around}..."


def sentence_findings(paragraph: str) -> Iterator[str]:
    "Two colons in a sentence; a whole sentence in parentheses."
    # the colon of a lead-in, a title, a bracket or a quotation does not count
    plain = re.sub(r"\*\*[^*]+\*\*:?|\*[^*]+\*|\([^()]*\)|\"[^\"]*\"", "X", paragraph)
    for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z\"*(])", plain):
        if len(re.findall(r":(?=\s)", sentence)) > 1:
            yield f"two colons in a sentence, write two sentences: {sentence[:90]!r}"
    for match in IN_BRACKETS.finditer(paragraph):
        yield f"a whole sentence in parentheses: {match[0][:90]!r}"


if __name__ == "__main__":
    sys.exit(main())
