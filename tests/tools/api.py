"""Pages of the API reference, written from the modules' source: nothing is imported.

A module's names come from its `__all__`; signatures from the syntax tree; what a parameter means from the
comment beside it; the lesson's cell from the line `# %% ../nbs/LESSON.ipynb #CELL` above the definition.
"""
import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.tools import notebooks

CELL = re.compile(r"# %% \.\./nbs/(\w+)\.ipynb #(\w+)")
COMMENT = re.compile(r"(?:^|\s)#\s*(?!type:|noqa)(.*?)\s*$")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    "A module as its text says it."
    name: str
    lines: list[str]
    tree: ast.Module
    exported: list[str] = field(default_factory=list)

    @property
    def doc(self) -> str:
        return " ".join((ast.get_docstring(self.tree) or "").split())

    @property
    def contains(self) -> str:
        "What is inside, as the second sentence of the docstring says."
        return re.split(r"(?<=[.?!])\s+", self.doc, maxsplit=1)[-1]

    def definitions(self) -> dict[str, ast.stmt]:
        "The exported names in the order of the file, with the statements that define them."
        found = {}
        for node in self.tree.body:
            for name in names_of(node):
                if name in self.exported:
                    found[name] = node
        return found

    def comment(self, line: int) -> str:
        "The comment at the end of a line (counted from 1), or nothing; strings with a # are not comments."
        text = re.sub(r"\"[^\"]*\"|'[^']*'", lambda match: "_" * len(match[0]), self.lines[line - 1])
        match = COMMENT.search(text)
        return self.lines[line - 1][match.start(1):match.end(1)] if match else ""

    def cell(self, node: ast.stmt) -> tuple[str, str] | None:
        "Notebook and id of the cell that a definition was exported from."
        for line in reversed(self.lines[:node.lineno]):
            if match := CELL.match(line):
                return match[1], match[2]
        return None


def names_of(node: ast.stmt) -> list[str]:
    "The names that a statement of a module defines."
    if isinstance(node, Function | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def read_module(path: Path) -> Module:
    "A module's names and text."
    text = path.read_text(encoding="utf-8")
    module = Module(path.stem, text.splitlines(), ast.parse(text))
    for node in module.tree.body:
        if names_of(node) == ["__all__"]:
            module.exported = ast.literal_eval(node.value)
    return module


def modules(root: Path = notebooks.ROOT) -> list[Module]:
    "All modules that notebooks export, by name."
    paths = sorted((root / "tokenbridge").glob("*.py"))
    return [read_module(path) for path in paths if not path.stem.startswith("_")]


# ---- Markdown

def plain(text: str) -> str:
    "A comment or a docstring as Markdown: words in backticks stay, everything else is taken literally."
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    escaped = lambda part: re.sub(r"([\\*_<>\[\]|$#{}^~])", r"\\\1", part)
    safe = [part.replace("|", "\\|") if part.startswith("`") else escaped(part) for part in parts]
    return "".join(safe)


def code(text: str) -> str:
    "Source text as inline code for a cell of a table."
    return f"`{text}`".replace("|", "\\|") if text else ""


def table(rows: list[tuple[str, str, str, str]], first: str = "parameter") -> list[str]:
    "A table of parameters or fields; a column without any entry is left out."
    if not rows:
        return []
    head = (first, "type", "default", "meaning")
    keep = [at for at in range(4) if at == 0 or any(row[at] for row in rows)]
    line = lambda row: "| " + " | ".join(row[at] or " " for at in keep) + " |"
    return ["", line(head), "|" + " --- |" * len(keep), *map(line, rows), ""]


def parameters(module: Module, node: Function) -> list[tuple[str, str, str, str]]:
    "Name, type, default and comment of each parameter, and of the result."
    arguments, rows = node.args, []
    plain_ones = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain_ones) - len(arguments.defaults)) + list(arguments.defaults)
    everything = [*zip(plain_ones, defaults), *([(arguments.vararg, None)] if arguments.vararg else []),
                  *zip(arguments.kwonlyargs, arguments.kw_defaults),
                  *([(arguments.kwarg, None)] if arguments.kwarg else [])]
    stars = {id(arguments.vararg): "*", id(arguments.kwarg): "**"}
    for argument, default in everything:
        if argument.arg in ("self", "cls"):
            continue
        end = default.end_lineno if default is not None else argument.end_lineno
        alone = sum(other.lineno == argument.lineno for other, _ in everything) == 1
        said = module.comment(end) if alone or argument is everything[-1][0] else ""
        rows.append((code(stars.get(id(argument), "") + argument.arg),
                     code(ast.unparse(argument.annotation)) if argument.annotation else "",
                     code(ast.unparse(default)) if default is not None else "", plain(said)))
    if node.returns is not None and (said := module.comment(node.returns.end_lineno)):
        one_line = node.returns.end_lineno == node.lineno and len(everything) > 0
        rows += [] if one_line and rows and rows[-1][3] == plain(said) else [
            ("*returns*", code(ast.unparse(node.returns)), "", plain(said))]
    return rows if any(row[3] for row in rows) else []


def fields(module: Module, node: ast.ClassDef) -> list[tuple[str, str, str, str]]:
    "Name, type, default and comment of each annotated field of a class."
    return [(code(item.target.id), code(ast.unparse(item.annotation)),
             code(ast.unparse(item.value)) if item.value else "", plain(module.comment(item.end_lineno)))
            for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            and not item.target.id.startswith("_")]


def signature(node: Function, skip_first: bool = False) -> str:
    "Parameters and result on one line, as Python writes them."
    arguments = ast.unparse(node.args)
    if skip_first:
        arguments = re.sub(r"^(self|cls)(, |$)", "", arguments)
    return f"({arguments})" + (f" -> {ast.unparse(node.returns)}" if node.returns is not None else "")


def directive(kind: str, head: str, body: list[str], options: list[str] = (), level: int = 3) -> list[str]:
    "A directive of Sphinx's Python domain; `level` colons, so that it can hold others."
    return [":" * level + f"{{py:{kind}}} {head}", *options, "", *body, ":" * level, ""]


def method(module: Module, node: Function) -> list[str]:
    "A public method of a class."
    marks = {mark.id for mark in node.decorator_list if isinstance(mark, ast.Name)}
    doc = [plain(ast.get_docstring(node) or "")]
    if "property" in marks:
        kind = [f":type: {ast.unparse(node.returns)}"] if node.returns is not None else []
        return directive("property", node.name, doc, kind)
    options = [f":{mark}:" for mark in ("classmethod", "staticmethod") if mark in marks]
    head = node.name + signature(node, skip_first="staticmethod" not in marks)
    return directive("method", head, doc + table(parameters(module, node)), options)


def class_body(module: Module, node: ast.ClassDef) -> tuple[str, list[str]]:
    "A class's signature and what its entry says: fields or the parameters of `__init__`, and the methods."
    functions = [item for item in node.body if isinstance(item, Function)]
    init = next((item for item in functions if item.name == "__init__"), None)
    doc = [plain(ast.get_docstring(node) or "")]
    if bases := [name for base in node.bases if not (name := ast.unparse(base)).startswith("_")]:
        doc += ["", "Bases: " + ", ".join(map(code, bases))]
    rows = fields(module, node)
    body = doc + (table(parameters(module, init)) if init else []) + table(rows, "field")
    for item in functions:
        if not item.name.startswith("_") and ast.get_docstring(item):
            body += method(module, item)
    return signature(init, skip_first=True) if init else "", body


def entry(module: Module, name: str, node: ast.stmt, sections: dict[str, str]) -> list[str]:
    "What the reference says of an exported name."
    where = developed(module, node, sections)
    if isinstance(node, ast.ClassDef):
        head, body = class_body(module, node)
        return directive("class", name + head, where + body, level=4)
    if isinstance(node, Function):
        doc = [plain(ast.get_docstring(node) or "")]
        return directive("function", name + signature(node), where + doc + table(parameters(module, node)))
    value = ast.unparse(node.value) if getattr(node, "value", None) else ""
    said = module.comment(node.lineno) or module.comment(node.end_lineno)
    short = [f":value: {value}"] if 0 < len(value) <= 60 else []
    return directive("data", name, [*where, plain(said)], short)


def developed(module: Module, node: ast.stmt, sections: dict[str, str]) -> list[str]:
    "The link to the cell of the lesson that develops a definition, named by the cell's section."
    found = module.cell(node)
    if found is None or found[1] not in sections:
        return []
    return ["{.developed}", f"Developed in [{plain(sections[found[1]])}](#cell-{found[1]})", ""]


def page(module: Module, titles: dict[str, str], sections: dict[str, str]) -> str:
    "The page of a module; `titles` of notebooks by name, `sections` in words by a cell's id."
    lines = [f"# {module.name}", "", f"> {plain(module.doc)}", "",
             f":::{{py:module}} tokenbridge.{module.name}", ":::", ""]
    source = next((cell[0] for node in module.definitions().values() if (cell := module.cell(node))), None)
    if source in titles:
        lines += [f"Written in [{titles[source]}](../{source}.ipynb). To import: "
                  f"`from tokenbridge.{module.name} import ...`", ""]
    for name, node in module.definitions().items():
        lines += [f"## {plain(name)}", "", *entry(module, name, node, sections)]
    return "\n".join(lines) + "\n"


def overview(all_modules: list[Module], titles: dict[str, str]) -> str:
    "The first page: the modules, in the order of the lessons that write them."
    order = list(titles)
    home = {module.name: next((cell[0] for node in module.definitions().values()
                               if (cell := module.cell(node))), "") for module in all_modules}
    rank = lambda module: (order.index(home[module.name]) if home[module.name] in order else 99, module.name)
    lines = ["# API reference", "",
             "Every exported function and class, with its parameters as the comments beside them say. Each "
             "has a link to the cell that develops it. `VAE`, `Quantizer` and `TokenBridge` can be imported "
             "from `tokenbridge` itself; everything else is imported from its module.", "",
             "| module | what is inside | developed in |", "| --- | --- | --- |"]
    ordered = sorted(all_modules, key=rank)
    for module in ordered:
        inside = plain(re.sub(r"^Contains (.)", lambda match: match[1].upper(), module.contains))
        source = home[module.name]
        lesson = f"[{titles[source]}](../{source}.ipynb)" if source in titles else ""
        lines.append(f"| [{module.name}]({module.name}.md) | {inside} | {lesson} |")
    lines += ["", ":::{toctree}", ":hidden:", "", *(module.name for module in ordered), ":::", ""]
    return "\n".join(lines)
