"""A hub of its own for a benchmark: an embedded PostgreSQL with articles and places, thrown away afterwards."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hub.db.embedded import EmbeddedServer
from hub.db.migrate import upgrade
from hub.db.session import Database
from hub.locations import Location, store_locations
from hub.sync.feed import declare_feed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.erp_pages import Books

_ARTICLES = """
WITH named AS (
    INSERT INTO item (sku, name, unit, category)
    SELECT external_id, 'Article ' || external_id, 'EA', 'L001'
    FROM unnest(%s::text[]) WITH ORDINALITY AS given(external_id, position) ORDER BY position
    RETURNING id, sku)
INSERT INTO external_reference (system, kind, external_id, our_id) SELECT %s, 'item', sku, id FROM named
"""


@contextmanager
def scratch_server() -> Iterator[str]:
    """Yield the URL of a migrated database in a PostgreSQL of its own."""
    # Not in a private directory: as root the server runs as another user, who must get there.
    directory = Path(tempfile.mkdtemp(prefix="oneshelf-bench-", dir="/var/tmp"))
    directory.chmod(0o755)
    server = EmbeddedServer(directory / "postgres")
    try:
        with closing(Database(server.url)) as database:
            upgrade(database)
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def scratch_hub(books: Books) -> Iterator[str]:
    """Yield the URL of a hub that knows the articles and places of some books, and no stock yet."""
    with scratch_server() as url, closing(Database(url)) as database:
        with database.driver() as connection, connection.transaction():
            store_locations(connection, [_place(books, number) for number in range(books.places)])
            declare_feed(connection, books.system, stale_after_seconds=3600)
            connection.execute(_ARTICLES, ([books.article(number) for number in range(books.articles)], books.system))
        yield url


def _place(books: Books, number: int) -> Location:
    return Location(
        code=f"PLACE{number:03}",
        name=f"Place {number}",
        kind="store",
        stock_from=books.system,
        erp_codes={books.system: books.place(number)},
        sellable_online=True,
        pickup=True,
        time_zone="Asia/Shanghai",
    )
