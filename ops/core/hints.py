"""A class's annotations as types: what `typing.get_type_hints` returns, also on 3.9, which cannot evaluate `X | Y`.

An agent's start does without `typing`, which takes a tenth of its CPU: so nothing here imports it but 3.9's own way.
"""

from __future__ import annotations

import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNION: Any = getattr(types, "UnionType", ())


def hints_of(kind: type) -> dict[str, Any]:
    """Return the types of a class's annotated attributes, those of its bases first."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        names = vars(sys.modules[base.__module__])
        for name, hint in vars(base).get("__annotations__", {}).items():
            text = getattr(hint, "__forward_arg__", hint)  # of a named tuple's field
            found[name] = _evaluated(text, names) if isinstance(text, str) else hint
    return found


def is_union(hint: Any) -> bool:
    """Return whether a type is one of several: `X | Y`, `Union[X, Y]` or `Optional[X]`."""
    return isinstance(hint, _UNION) or getattr(hint, "__origin__", None) is _of_typing("Union")


def is_any(hint: Any) -> bool:
    """Return whether a type stands for all of them."""
    return hint is _of_typing("Any")


def _of_typing(name: str) -> Any:
    """Return what `typing` calls so; what nothing else is where nobody has imported it."""
    return getattr(sys.modules.get("typing"), name, hints_of)


def _evaluated(text: str, names: dict[str, Any]) -> Any:
    """Return the type that an annotation of our own source stands for."""
    if "Any" in text:  # its module has imported the name for readers alone
        from typing import Any

        names = {**names, "Any": Any}
    if sys.version_info >= (3, 10):
        hint = eval(text, names)
    else:
        hint = rewritten(text, names)
    return type(None) if hint is None else hint


def rewritten(text: str, names: dict[str, Any]) -> Any:
    """Return the same where the interpreter has no `X | Y`: each becomes `Union[X, Y]`."""
    import ast
    from typing import Union

    class Unions(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
            self.generic_visit(node)
            return ast.Call(ast.Name("__union__", ast.Load()), [node.left, node.right], [])

    tree = ast.fix_missing_locations(Unions().visit(ast.parse(text, mode="eval")))
    return eval(compile(tree, "<annotation>", "eval"), {**names, "__union__": lambda one, other: Union[one, other]})
