"""Routes of the service as methods, declared once for `Client` and `AsyncClient`.

`client.datasets.get` of a `Client` returns a dataset; that of an `AsyncClient` must be awaited.
"""

import inspect
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from urllib.parse import quote

from isthmus.records import Record, identifier
from isthmus.transport import Call

if TYPE_CHECKING:
    from isthmus.client import AsyncClient, Client

C = TypeVar("C", "Client", "AsyncClient")
T = TypeVar("T")
R = TypeVar("R", bound=Record)


class Group(Generic[C]):
    """The routes of one kind of object."""

    def __init__(self, client: C) -> None:
        self.client: C = client


class Route(Generic[T]):
    """One route. Parts of the path are positional arguments: ids, or records with an id. Fields are keyword arguments."""

    def __init__(  # noqa: PLR0913  # the parts of a route
        self,
        method: str,
        path: str,
        result: Callable[[Any, Any], T],
        *,
        query: str = "",
        body: str = "",
        repeatable: bool = True,
        idempotent: bool = False,
    ) -> None:
        self.method, self.path, self.repeatable, self.idempotent = method, path, repeatable, idempotent
        self.documentation = f"`{method} {path}`"
        self.query, self.body, self.result = query.split(), body.split(), result
        self.ids = re.findall(r"{(\w+)}", path)
        keywords = [*self.query, *self.body, *(["idempotency_key"] if idempotent else [])]
        positional = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in self.ids]
        keyword = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in keywords]
        self.signature = inspect.Signature([*positional, *keyword])

    @overload
    def __get__(self, group: "Group[Client]", owner: Any = None) -> Callable[..., T]: ...
    @overload
    def __get__(self, group: "Group[AsyncClient]", owner: Any = None) -> Callable[..., Awaitable[T]]: ...
    @overload
    def __get__(self, group: None, owner: Any = None) -> "Route[T]": ...
    def __get__(self, group: Any, owner: Any = None) -> Any:
        if group is None:
            return self

        def method(*arguments: Any, **fields: Any) -> Any:
            return self._start(group.client, self.call(*arguments, **fields))

        method.__doc__, method.__signature__ = self.documentation, self.signature  # type: ignore[attr-defined]
        return method

    def _start(self, client: Any, call: Call[T]) -> Any:
        return client.send(call)

    def call(self, *arguments: Any, **fields: Any) -> Call[T]:
        """Return the request. Raise TypeError for arguments that the route does not have."""
        given = self.signature.bind(*arguments, **fields).arguments
        path = self.path.format(**{name: quote(str(identifier(given[name])), safe="") for name in self.ids})
        headers = {"Idempotency-Key": given.get("idempotency_key") or uuid.uuid4().hex} if self.idempotent else {}
        body = {name: identifier(given[name]) for name in self.body if given.get(name) is not None}
        return Call(
            self.method,
            path,
            self.result,
            query={name: given[name] for name in self.query if name in given},
            body=body if self.body else None,
            headers=headers,
            repeatable=self.repeatable,
        )


class Pages(Generic[R]):
    """All records of a list, page after page: iterate with `for`, or with `async for` of an AsyncClient."""

    def __init__(self, call: Call[dict[str, Any]], record: type[R], client: Any) -> None:
        self._call, self._record, self._client = call, record, client

    def __iter__(self) -> Iterator[R]:
        call: Call[dict[str, Any]] | None = self._call
        while call is not None:
            page = self._client.send(call)
            yield from self._records(page)
            call = self._following(page)

    async def __aiter__(self) -> AsyncIterator[R]:
        call: Call[dict[str, Any]] | None = self._call
        while call is not None:
            page = await self._client.send(call)
            for record in self._records(page):
                yield record
            call = self._following(page)

    def _records(self, page: dict[str, Any]) -> list[R]:
        return [self._record(each, self._client) for each in page["data"]]

    def _following(self, page: dict[str, Any]) -> Call[dict[str, Any]] | None:
        cursor = page.get("next")
        return replace(self._call, query={**self._call.query, "after": cursor}) if cursor else None


class ListRoute(Route[dict[str, Any]], Generic[R]):
    """A route whose responses are pages of records. `limit` is the size of a page."""

    def __init__(self, path: str, record: type[R], query: str = "") -> None:
        super().__init__("GET", path, lambda page, _: page, query=query)
        self.record = record

    def __get__(self, group: Any, owner: Any = None) -> Callable[..., Pages[R]]:  # type: ignore[override]
        method: Callable[..., Pages[R]] = super().__get__(group, owner)
        return method

    def _start(self, client: Any, call: Call[dict[str, Any]]) -> Pages[R]:
        return Pages(call, self.record, client)
