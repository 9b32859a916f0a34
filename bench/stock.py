"""Fills a database with the made-up catalog as the importer does, which would take a quarter of an hour for
a million books. A few books are imported as well, and have to come to the same."""

import csv
import re
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

import catalog
from programs import Failure, environment, fill, tell

# Books that are also imported, for comparison.
COMPARED = 1000
# When the books were entered.
ENTERED = "2026-01-01T00:00:00.000000+00:00"
# No look at foreign keys.
FAST = (
    "SET session_replication_role = replica",
    "SET maintenance_work_mem = '512MB'",
)
CACHE_KB = 1_000_000
# What there must be, in both databases, whatever the numbers of the authors are.
CONTENT = (
    "SELECT id, title, title_key, pages, isbn13, published_year, language, version FROM book ORDER BY id",
    "SELECT name, name_key FROM author ORDER BY name_key",
    "SELECT book_id, position, name FROM book_author JOIN author ON id = author_id ORDER BY book_id, position",
)


@dataclass
class Sqlite:
    """A file."""

    path: Path

    SEARCH = (
        "SELECT book_id, place, title, authors FROM book_search_place JOIN book_search ON book_search.rowid = place "
        "ORDER BY book_id"
    )
    TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '*_search_*'"

    @property
    def url(self):
        return f"sqlite://{self.path}?mode=rwc"

    def rows(self, sql):
        with sqlite3.connect(self.path) as connection:
            return connection.execute(sql).fetchall()

    def load(self, books):
        connection = sqlite3.connect(self.path)
        connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        with connection:
            for table, columns, rows in (*tables(books), *self.search(books)):
                places = ", ".join("?" * len(columns))
                connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    @staticmethod
    def search(books):
        rows = sorted((len(title) << 40 | number, " ".join(title), " ".join(authors)) for number, title, authors in words(books))
        yield "book_search_place", ("book_id", "place"), ((row[0] & (1 << 40) - 1, row[0]) for row in rows)
        yield "book_search", ("rowid", "title", "authors"), rows


@dataclass
class Postgres:
    """A database of the cluster."""

    database: object
    folder: Path

    SEARCH = "SELECT id, search_document, title_words FROM book ORDER BY id"
    TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"

    @property
    def url(self):
        return self.database.url

    def rows(self, sql):
        return self.database.sql(sql).splitlines()

    def load(self, books):
        file = self.folder / "table.csv"
        for table, columns, rows in tables(books):
            if table == "book":
                columns, rows = self.searchable(columns, rows, books)
            with file.open("w", newline="") as output:
                csv.writer(output).writerows(rows)
            self.database.sql(*FAST, f"\\copy {table} ({', '.join(columns)}) FROM '{file}' CSV")
        file.unlink()
        for table in ("book", "author"):
            self.database.sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
        self.database.sql(*FAST, "VACUUM ANALYZE", "CHECKPOINT")

    @staticmethod
    def searchable(columns, rows, books):
        """The books with their search entries, which are columns of theirs."""

        def document(title, authors):
            return " ".join([f"'{word}':1A" for word in title] + [f"'{word}':1B" for word in authors])

        entries = ((document(title, authors), len(title)) for _, title, authors in words(books))
        return (*columns, "search_document", "title_words"), (row + entry for row, entry in zip(rows, entries))


def words(books):
    """Each book's number, and the words of its title and of its authors."""
    for number in range(1, books + 1):
        yield number, split(catalog.title(number)), split(" ".join(catalog.authors(number)))


def split(text):
    return re.findall(r"\w+", text.lower())


def tables(books):
    """The tables that both databases have alike, each with its columns and rows."""
    numbers = range(1, books + 1)
    authors = {each for number in numbers for each in catalog.author_numbers(number)}
    names = ((each + 1, catalog.author(each)) for each in sorted(authors))
    yield "author", ("id", "name", "name_key"), ((id, name, name.lower()) for id, name in names)
    titles = ((number, catalog.title(number)) for number in numbers)
    yield "book", ("id", "title", "title_key", "pages", "created_at", "updated_at"), (
        (number, title, title.lower(), catalog.pages(number), ENTERED, ENTERED) for number, title in titles
    )
    yield "book_author", ("book_id", "author_id", "position"), (
        (number, each + 1, place)
        for number in numbers
        for place, each in enumerate(catalog.author_numbers(number))
    )


def stock(program, store, books):
    """Fills an empty database."""
    tell(f"entering {books:,} books in {type(store).__name__}")
    migrate(program, store)
    store.load(books)


def migrate(program, store):
    done = subprocess.run(
        [program, "migrate", "up"], env=environment({"DATABASE_URL": store.url}), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Failure(f"the migration failed: {done.stderr}")


def compare(program, stocked, imported, folder):
    """That filling two empty databases either way comes to the same."""
    stock(program, stocked, COMPARED)
    books = folder / "books.csv"
    catalog.write(books, COMPARED)
    fill(program, books, imported.url)
    for sql in (*CONTENT, stocked.SEARCH):
        if stocked.rows(sql) != imported.rows(sql):
            raise Failure(f"the importer does otherwise than bench/stock.py: {sql}")
    if sizes(stocked) != sizes(imported):
        raise Failure("the importer fills other tables than bench/stock.py")


def sizes(store):
    names = [row[0] if isinstance(row, tuple) else row for row in store.rows(store.TABLES)]
    return {name: store.rows(f'SELECT count(*) FROM "{name}"') for name in names}
