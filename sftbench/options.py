"""Options of components: frozen models whose mistakes are told in one line."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_origin

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from sftbench.errors import RequestError
from sftbench.names import nearest, one_line, shown


class Options(BaseModel):
    """Base of every component's options: frozen, typed, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


T = TypeVar("T")
# Of a million mistakes the first is told, and the others take no memory.
Listed = Annotated[tuple[T, ...], FailFast()]
ModelT = TypeVar("ModelT", bound=BaseModel)


def later_field(default: Any, **limits: Any) -> Any:
    """Return a field that came after values were kept: at its default it is not written.

    So what was written before keeps its id or checksum.

    Args:
        default: Of the field.
        limits: As `pydantic.Field` takes them.
    """
    return Field(default, exclude_if=lambda value: bool(value == default), **limits)


def validate(model: type[ModelT], values: Mapping[str, Any], where: str) -> ModelT:
    """Build `model` from `values`.

    Args:
        model: The pydantic model.
        values: Keys and values as a person wrote them (strings are converted).
        where: What the values belong to, for the message: `strategy 'full'`.

    Raises:
        RequestError: With one line that names the key, the value, and what is allowed; it is
            `about` the key.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        mistake = RequestError(first_mistake(model, error, where))
        mistake.about = error.errors(include_url=False)[0]["loc"]
        raise mistake from None


def first_mistake(model: type[BaseModel], error: ValidationError, where: str) -> str:
    """Return one line about the first mistake in `error`."""
    mistakes = error.errors(include_url=False)
    first = mistakes[0]
    key, owner = _key(model, first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{where} has no option {shown(key)}; {_known(key, owner)}"
    if first["type"] == "missing":
        return f"{where}: option {shown(key)} is missing"
    # Each member of a union has its say on the same value: `a number, or input should be 'auto'`.
    messages = [_message(one["msg"]) for one in mistakes if _key(model, one["loc"])[0] == key]
    message = ", or ".join(dict.fromkeys(messages))
    given = f"{one_line(key)} = {shown(first['input'])}: " if key else ""
    return f"{where}: {given}{one_line(message)}"


def _key(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, type[BaseModel]]:
    """Return the dotted key of a mistake, and the model that its last part is an option of.

    Pydantic puts the member of a union behind the key (`image_size.int`), which nobody wrote.
    """
    owner = model
    for position, part in enumerate(loc):
        field = owner.model_fields.get(str(part))
        annotation = None if field is None else field.annotation
        if get_origin(annotation) in (Union, UnionType):
            loc = loc[: position + 1]
            break
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        if position + 1 < len(loc):
            owner = annotation
    return ".".join(str(part) for part in loc), owner


def _known(key: str, owner: type[BaseModel]) -> str:
    known = sorted(owner.model_fields)
    close = nearest(key.rpartition(".")[2], known)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}options: {', '.join(known) or 'none'}"


def _message(text: str) -> str:
    for label in ("Value error, ", "Assertion failed, "):
        text = text.removeprefix(label)
    return f"{text[:1].lower()}{text[1:]}" or "not allowed"
