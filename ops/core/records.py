"""Frozen dataclasses that cost an agent's start next to nothing.

The standard library compiles source for each dataclass and imports `inspect`: a quarter of the CPU of an agent's start.
These have methods in common instead. To readers, type checkers and the functions of `dataclasses` they are dataclasses.
What an agent imports before it knows its verb uses them. A class with many instances is quicker with the library's.
"""

from __future__ import annotations

__all__ = ["asdict", "dataclass", "field", "is_dataclass", "replace", "required"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import asdict, dataclass, field, is_dataclass, replace

    def required(kind: type) -> frozenset[str]:
        """Return the fields of a dataclass that have no default."""

else:

    class _Factory:
        """A default that is made anew for each instance."""

        def __init__(self, make):
            self.make = make

    _NONE = object()

    def field(*, default_factory):
        """Return a default that is made anew for each instance."""
        return _Factory(default_factory)

    def dataclass(*, frozen, order=False):
        """Return what makes a class a frozen dataclass."""
        if not frozen:
            raise TypeError("only a frozen class can be one of these")
        return lambda kind: _prepared(kind, order)

    def is_dataclass(kind):
        """Return whether a class is one of these or of the standard library's."""
        return hasattr(kind, "__record__") or hasattr(kind, "__dataclass_fields__")

    def required(kind):
        """Return the fields of a dataclass that have no default."""
        known = _fields(kind)
        if "__record__" in vars(kind):
            return frozenset(name for name, default in known.items() if default is _NONE)
        from dataclasses import MISSING

        plain = {name: one for name, one in known.items() if one.default is MISSING}
        return frozenset(name for name, one in plain.items() if one.default_factory is MISSING)

    def replace(record, /, **changes):
        """Return a copy with other values."""
        return type(record)(**{**_shallow(record), **changes})

    def asdict(record):
        """Return its values by name, those of records within it likewise."""
        return {name: _plain(value) for name, value in _shallow(record).items()}

    def _shallow(record):
        return {name: getattr(record, name) for name in _fields(type(record))}

    def _fields(kind):
        """Return the fields of a class; one of the standard library may have been made of one of these."""
        for base in kind.__mro__:
            if "__record__" in vars(base):
                return base.__record__
            if "__dataclass_fields__" in vars(base):
                return base.__dataclass_fields__
        raise TypeError(f"{kind.__name__} is no dataclass")

    _PLAIN = (str, int, float, type(None))

    def _plain(value):
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, dict):
            return {_plain(key): _plain(one) for key, one in value.items()}
        if isinstance(value, (tuple, list)):
            plain = [_plain(one) for one in value]
            return type(value)(*plain) if hasattr(value, "_fields") else type(value)(plain)
        return asdict(value) if is_dataclass(value) else value

    def _prepared(kind, order):
        """Return the class with its fields' defaults by name as `__record__`, its bases' before its own."""
        known = {}
        for base in reversed(kind.__mro__[1:]):
            known.update(vars(base).get("__record__", ()))
        for name, hint in vars(kind).get("__annotations__", {}).items():
            if str(hint).startswith("ClassVar"):
                continue
            known[name] = vars(kind).get(name, _NONE)
            if isinstance(known[name], _Factory):
                delattr(kind, name)
        kind.__record__ = known
        kind.__match_args__ = tuple(known)
        kind.__dataclass_fields__ = _AsDataclass("__dataclass_fields__")
        kind.__dataclass_params__ = _AsDataclass("__dataclass_params__")
        for methods in (_Methods, _Order) if order else (_Methods,):
            for name in methods.NAMES:
                if name not in vars(kind) or vars(kind)[name] is None:  # a class that has __eq__ has None for __hash__
                    setattr(kind, name, vars(methods)[name])
        return kind

    class _AsDataclass:
        """What the functions of `dataclasses` look for in a class: made when one of them does."""

        def __init__(self, name):
            self._name = name

        def __get__(self, instance, owner):
            import dataclasses

            names = {"__annotations__": dict.fromkeys(owner.__record__, "object")}
            for name, default in owner.__record__.items():
                if isinstance(default, _Factory):
                    names[name] = dataclasses.field(default_factory=default.make)
                elif default is not _NONE:
                    names[name] = default
            made = getattr(dataclasses.dataclass(frozen=True)(type(owner.__name__, (), names)), self._name)
            setattr(owner, self._name, made)  # once: it takes longer than all that is asked for with it
            return made

    class _Methods:
        """What all of these classes have."""

        NAMES = ("__init__", "__setattr__", "__delattr__", "__repr__", "__eq__", "__hash__")

        def __init__(self, *given, **named):
            known, values = self.__record__, self.__dict__
            if len(given) > len(known):
                raise TypeError(f"{type(self).__name__} takes {len(known)} values, {len(given)} were given")
            values.update(zip(known, given))
            for name in named:
                if name in values:
                    raise TypeError(f"{type(self).__name__} got {name!r} twice")
                if name not in known:
                    raise TypeError(f"{type(self).__name__} has no {name!r}")
            values.update(named)
            for name in known.keys() - values if len(values) < len(known) else ():
                value = known[name]
                if value is _NONE:
                    raise TypeError(f"{type(self).__name__} misses {name!r}")
                values[name] = value.make() if isinstance(value, _Factory) else value
            check = getattr(self, "__post_init__", None)
            if check is not None:
                check()

        def __setattr__(self, name, value):
            from dataclasses import FrozenInstanceError

            raise FrozenInstanceError(f"cannot assign to field {name!r}")

        def __delattr__(self, name):
            from dataclasses import FrozenInstanceError

            raise FrozenInstanceError(f"cannot delete field {name!r}")

        def __repr__(self):
            shown = ", ".join(f"{name}={value!r}" for name, value in _shallow(self).items())
            return f"{type(self).__qualname__}({shown})"

        def __eq__(self, other):
            return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

        def __hash__(self):
            return hash(_values(self))

    class _Order:
        """What those that have an order have more."""

        NAMES = ("__lt__", "__le__", "__gt__", "__ge__")

        def __lt__(self, other):
            return _values(self) < _values(other) if type(other) is type(self) else NotImplemented

        def __le__(self, other):
            return _values(self) <= _values(other) if type(other) is type(self) else NotImplemented

        def __gt__(self, other):
            return _values(self) > _values(other) if type(other) is type(self) else NotImplemented

        def __ge__(self, other):
            return _values(self) >= _values(other) if type(other) is type(self) else NotImplemented

    def _values(record):
        return tuple(_shallow(record).values())
