"""The faults that are put into a module: mutmut's operators, and three of our own, at every place of the code."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, islice

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

__all__ = ["Mutant", "mutants_of"]

_NOT_RUN = (
    m.Annotation()
    | m.Decorator()
    | m.Import()
    | m.ImportFrom()
    | m.Expr(value=m.SimpleString() | m.ConcatenatedString())  # docstrings
    | m.Assign(targets=[m.AssignTarget(target=m.Name("__all__"))])
    | m.AnnAssign(annotation=m.Annotation(m.Name("TypeAlias")))
    | m.If(test=m.Name("TYPE_CHECKING"))
)
"""What does nothing when the code runs, or nothing but name things."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A module with one fault.

    Attributes:
        id: of the fault; it stays where other lines of the module change.
        line: where it is, from 1.
        scope: the function or class around it.
        before: the code there.
        after: what stands there instead.
        source: of the whole module.
    """

    id: str
    line: int
    scope: str
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.id} line {self.line}, {self.scope or 'module'}: {self.before}  ->  {self.after}"


def mutants_of(source: str, *, within: tuple[str, ...] = ()) -> Iterator[Mutant]:
    """Yield the mutants of a module.

    Args:
        source: its text.
        within: names of functions and classes, dotted from the module's; where given, faults are put into these alone.
    """
    wrapper = MetadataWrapper(cst.parse_module(source))
    module, places = wrapper.module, wrapper.resolve(WhitespaceInclusivePositionProvider)
    starts = [0, *accumulate(len(line) for line in source.splitlines(keepends=True))]
    seen = Counter[tuple[str, str, str]]()
    for node, scope, decides in _places(module, ""):
        if within and not any(f"{scope}.".startswith(f"{name}.") for name in within):
            continue
        first, last = (starts[place.line - 1] + place.column for place in (places[node].start, places[node].end))
        for changed in (*_changes(node), *_negations(node if decides else None)):
            before, after = (" ".join(module.code_for_node(code).split()) for code in (node, changed))
            mutated = source[:first] + module.code_for_node(changed) + source[last:]
            if mutated == source or not _compiles(mutated):
                continue
            told = scope, before, after
            seen[told] += 1
            identity = hashlib.sha256("\0".join((*told, str(seen[told]))).encode()).hexdigest()[:8]
            line = places[node].start.line
            yield Mutant(id=identity, line=line, scope=scope, before=before, after=after, source=mutated)


def _places(node: cst.CSTNode, scope: str, *, decides: bool = False) -> Iterator[tuple[cst.CSTNode, str, bool]]:
    """Yield each node whose code runs, with the names around it, and whether it is a condition."""
    if m.matches(node, _NOT_RUN):
        return
    if isinstance(node, cst.FunctionDef | cst.ClassDef):
        scope = f"{scope}.{node.name.value}".removeprefix(".")
    is_cast = m.matches(node, m.Call(func=m.Name("cast")))
    if not is_cast and not isinstance(node, cst.Module | cst.BaseCompoundStatement):  # what these hold is changed
        yield node, scope, decides
    if isinstance(node, cst.Raise):  # its sentence is for the tests of sentences
        return
    for child in [cst.ensure_type(node, cst.Call).args[1]] if is_cast else node.children:
        yield from _places(child, scope, decides=isinstance(node, cst.If | cst.CompIf) and child is node.test)


def _changes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield what may stand in the place of a node."""
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            yield from islice(operator(node), 1 if operator is operator_string else None)
    if isinstance(node, cst.Raise) or (isinstance(node, cst.Expr) and isinstance(node.value, cst.Call)):
        yield cst.Pass()
    if isinstance(node, cst.FormattedStringText):
        yield node.with_changes(value=f"XX{node.value}")


def _negations(condition: cst.CSTNode | None) -> Iterator[cst.CSTNode]:
    if isinstance(condition, cst.BaseExpression):
        inner = condition.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield cst.UnaryOperation(operator=cst.Not(), expression=inner)


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True
