"""Functions whose code is replaced where they stand, so that whoever holds one calls the other code."""

import importlib
import inspect
from types import CodeType, FunctionType
from typing import Any


def replace_code(module: str, function: str, code: CodeType) -> None:
    """Gives a function the code that it has in the changed module. Raises KeyError when there is no such function."""
    found = function_of(module, function)
    if found is None:
        raise KeyError(f"{module}.{function}")
    found.__code__ = _code_of(code, function)


def function_of(module: str, function: str) -> FunctionType | None:
    """Returns a function by its qualified name, none where its code alone cannot be replaced."""
    found: Any = importlib.import_module(module)
    for name in function.split("."):
        found = inspect.getattr_static(found, name, None)
    if isinstance(found, property):
        found = found.fget
    elif isinstance(found, staticmethod | classmethod):
        found = found.__func__
    return found if isinstance(found, FunctionType) and _stands_alone(found.__code__) else None


def _stands_alone(code: CodeType) -> bool:
    """Returns whether nothing of it is bound elsewhere: no variables of an outer function, and no inner one, of which
    those that it has returned already would keep their code.
    """
    inner = [each.co_name for each in code.co_consts if isinstance(each, CodeType)]
    return not code.co_freevars and all(name.startswith("<") for name in inner)


def _code_of(code: CodeType, function: str) -> CodeType:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_qualname == function:
                return constant
            if function.startswith(f"{constant.co_qualname}."):
                return _code_of(constant, function)
    raise KeyError(function)
