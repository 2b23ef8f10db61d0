"""The changes a mutant is made by: one operator, comparison, constant or condition of a module, or one step left out.

Left alone: annotations, decorators, docstrings, branches that end in `assert_never`, and text outside functions: the
names of states and timers, which tests take from the same place.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import CodeType

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
NOT_CHANGED = {"annotation", "returns", "decorator_list", "bases", "type_params", "ctx", "pattern"}
LEFT_OUT = "(left out)"

Place = tuple[ast.AST, str, int | None]
"""A node's parent, the field of it, and the place in the field's list."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`function`: the outermost one that the change lies in, by its qualified name; empty outside functions. `name`: of
    it, or else of what is defined. `first` and `last`: the lines of the statement that is changed. `time`: from the
    second on for the same change again under the same name.
    """

    line: int
    first: int
    last: int
    function: str
    name: str
    change: str
    place: Place = field(repr=False)
    new: ast.AST | None = field(repr=False)
    time: int = 1

    @property
    def key(self) -> str:
        """Names the mutant as long as its function and its text stay, wherever its line goes."""
        return f"{self.name}: {self.change}" + (f" (time {self.time})" if self.time > 1 else "")


@dataclass(frozen=True, slots=True)
class Around:
    """Where in a module a node is: its outermost function, the classes about it, its statement's name and lines."""

    function: str = ""
    classes: tuple[str, ...] = ()
    name: str = "module"
    first: int = 0
    last: int = 0


def mutants(tree: ast.Module) -> list[Mutant]:
    """Returns a module's mutants in the order of its lines."""
    found = [mutant for place, around in _children(tree, Around()) for mutant in _walk(place, around)]
    times: Counter[str] = Counter()
    numbered = []
    for mutant in sorted(found, key=lambda mutant: mutant.line):
        times[mutant.key] += 1
        numbered.append(replace(mutant, time=times[mutant.key]))
    return numbered


@contextmanager
def changed(mutant: Mutant) -> Iterator[None]:
    """Changes the tree that the mutant came from, and changes it back."""
    parent, name, index = mutant.place
    new = [] if mutant.new is None else [mutant.new]
    if index is None:
        before = getattr(parent, name)
        setattr(parent, name, mutant.new)
    else:
        before = list(getattr(parent, name))
        getattr(parent, name)[index : index + 1] = new
    try:
        yield
    finally:
        setattr(parent, name, before)


def compiled(tree: ast.Module, mutant: Mutant, file: str) -> CodeType:
    with changed(mutant):
        return compile(ast.fix_missing_locations(tree), file, "exec")


def _children(node: ast.AST, around: Around) -> Iterator[tuple[Place, Around]]:
    for name, value in ast.iter_fields(node):
        if name in NOT_CHANGED or (name == "keywords" and isinstance(node, ast.ClassDef)):
            continue
        # A function's defaults are computed where it is defined.
        inner = _entered(node, around) if name == "body" else around
        if isinstance(value, ast.AST):
            yield (node, name, None), inner
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield (node, name, index), inner


def _entered(node: ast.AST, around: Around) -> Around:
    match node:
        case ast.ClassDef() if not around.function:
            return replace(around, classes=(*around.classes, node.name))
        case ast.FunctionDef() | ast.AsyncFunctionDef() if not around.function:
            return replace(around, function=around.name)
        case _:
            return around


def _at(place: Place) -> ast.AST:
    parent, name, index = place
    value = getattr(parent, name)
    node = value if index is None else value[index]
    assert isinstance(node, ast.AST)
    return node


def _walk(place: Place, around: Around) -> Iterator[Mutant]:
    node = _at(place)
    if _is_left_alone(node):
        return
    if isinstance(node, ast.match_case):
        around = replace(around, name=f"{around.name}, {_short(node.pattern)}")
    if isinstance(node, ast.stmt):
        body = getattr(node, "body", None)
        last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
        around = replace(around, name=_name(node, around), first=node.lineno, last=last)
    for where, new, told in _changes(place, node, around):
        line = getattr(node, "lineno", around.first)
        yield Mutant(line, around.first, around.last, around.function, around.name, told, where, new)
    for inner, inside in _children(node, around):
        yield from _walk(inner, inside)


def _name(node: ast.stmt, around: Around) -> str:
    """Returns the qualified name of what a statement outside functions defines."""
    match node:
        case _ if around.function:
            return around.name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return ".".join((*around.classes, name))
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return ".".join((*around.classes, name))
        case _:
            return around.name


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr():
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            return True
        case ast.Import() | ast.ImportFrom() | ast.Assert():
            return True
        case _:
            return False


Change = tuple[Place, ast.AST | None, str]


def _changes(place: Place, node: ast.AST, around: Around) -> Iterator[Change]:
    if not _is_all_of_an_if(place):
        for new in _replacements(node, in_function=bool(around.function)):
            yield place, new, _told(node, new)
    match node:
        case ast.If() | ast.IfExp():
            yield from _decided(node, "test", (True, False))
        case ast.While() | ast.match_case(guard=ast.expr()):
            name = "guard" if isinstance(node, ast.match_case) else "test"
            yield from _decided(node, name, (True, False) if name == "guard" else (False,))
        case ast.comprehension():
            for index, test in enumerate(node.ifs):
                yield (node, "ifs", index), None, f"if {ast.unparse(test)} -> {LEFT_OUT}"
        case ast.BoolOp():
            for index, value in enumerate(node.values):
                told = f"{_short(node)} -> without {_short(value)}"
                yield place, _without(node, index), told
        case ast.Call() if around.function:
            for index, keyword in enumerate(node.keywords):
                if keyword.arg is not None:
                    yield (node, "keywords", index), None, f"{_short(node.func)}({_short(keyword)}) -> {LEFT_OUT}"
        case _:
            return


def _is_all_of_an_if(place: Place) -> bool:
    """Says whether a step is left out as well by never taking the condition that it stands under."""
    parent, name, _ = place
    return isinstance(parent, ast.If) and name == "body" and len(parent.body) == 1 and not parent.orelse


def _decided(node: ast.AST, name: str, values: tuple[bool, ...]) -> Iterator[Change]:
    test = getattr(node, name)
    if not isinstance(test, ast.Constant):
        for value in values:
            yield (node, name, None), ast.copy_location(ast.Constant(value), test), f"if {_short(test)} -> if {value}"


def _without(node: ast.BoolOp, index: int) -> ast.expr:
    rest = [value for place, value in enumerate(node.values) if place != index]
    return rest[0] if len(rest) == 1 else ast.copy_location(ast.BoolOp(node.op, rest), node)


def _replacements(node: ast.AST, *, in_function: bool) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            for index, op in enumerate(node.ops):
                for other in COMPARISONS[type(op)]:
                    ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
                    yield ast.Compare(node.left, ops, node.comparators)
        case ast.BinOp() if type(node.op) in OPERATORS and (in_function or not isinstance(node.op, ast.BitOr)):
            yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
        case ast.AugAssign() if type(node.op) in OPERATORS:
            yield ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.UnaryOp(op=ast.USub()):
            yield node.operand
        case ast.Constant():
            yield from _other_constants(node, in_function=in_function)
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            yield ast.Call(ast.copy_location(ast.Name(FUNCTIONS[name], ast.Load()), node), node.args, node.keywords)
        case ast.Raise() | ast.Continue():
            yield ast.Pass() if isinstance(node, ast.Raise) else ast.Break()
        case ast.Break():
            yield ast.Continue()
        case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield()):
            yield ast.Pass()
        case _:
            return


def _other_constants(node: ast.Constant, *, in_function: bool) -> Iterator[ast.AST]:
    match node.value:
        case bool():
            yield ast.Constant(not node.value)
        case int() | float():
            yield ast.Constant(node.value + 1)
        case str() if in_function and node.value:
            yield ast.Constant(f"XX{node.value}")
        case _:
            return


def _short(node: ast.AST, length: int = 100) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _told(old: ast.AST, new: ast.AST) -> str:
    return f"{_short(old)} -> {_short(ast.copy_location(new, old))}"
