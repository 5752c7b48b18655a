"""A class's annotations as types: what `typing.get_type_hints` returns, also on 3.9, which cannot evaluate `X | Y`."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, ForwardRef, Union

UNIONS = (Union, getattr(types, "UnionType", Union))
"""What `typing.get_origin` says of a union: of `Union[X, Y]`, and of `X | Y` where that is something else."""


def hints_of(kind: type) -> dict[str, Any]:
    """Return the types of a class's annotated attributes, those of its bases first."""
    return typing.get_type_hints(kind) if sys.version_info >= (3, 10) else evaluated(kind)


def evaluated(kind: type) -> dict[str, Any]:
    """Return the same without the interpreter's own `X | Y`."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        names = vars(sys.modules[base.__module__])
        for name, hint in vars(base).get("__annotations__", {}).items():
            text = hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint
            found[name] = _evaluate(text, names) if isinstance(text, str) else hint
    return found


def _evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """Return the type that an annotation of our own source stands for; each `X | Y` of it becomes `Union[X, Y]`."""
    import ast  # 3.9 alone pays for it

    class Unions(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
            self.generic_visit(node)
            return ast.Call(ast.Name("__union__", ast.Load()), [node.left, node.right], [])

    tree = ast.fix_missing_locations(Unions().visit(ast.parse(text, mode="eval")))
    hint = eval(compile(tree, "<annotation>", "eval"), {**names, "__union__": lambda one, other: Union[one, other]})
    return type(None) if hint is None else hint
