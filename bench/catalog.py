"""The made-up catalog that servers are compared on, and what is asked of it.

Book and authors follow from a book's number alone, so that every answer can be checked.
"""

import csv
import json
import os.path
import re
from dataclasses import dataclass
from typing import Callable

ADJECTIVES = "Amber Bitter Crooked Drowned Early Faded Gentle Hollow".split()
NOUNS = "Anchor Bridge Candle Desert Engine Forest Glacier House".split()
GIVEN_NAMES = "Anna Bruno Chiara David Elif Finn Greta Hugo Ines Jonas".split()
FAMILY_NAMES = "Abel Bauer Costa Duran Engel Fabre Gruber Hansen Ito Jung".split()
AUTHORS = 20_000
PAGE = 50
NEW_PAGES = 321
# What stands in an expected answer for a value that no formula tells.
TIME, NEW_ID = "<time>", "<id>"
PATTERNS = {TIME: r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", NEW_ID: r"\d+"}


def title(number):
    return f"{ADJECTIVES[number % 8]} {NOUNS[number // 8 % 8]}, Volume {number}"


def pages(number):
    return 40 + number * 6131 % 970


def authors(number):
    """One, two or three, in their order."""
    return [author(each) for each in author_numbers(number)]


def author_numbers(number):
    return [(number * 37 + place * 6673) % AUTHORS for place in range(1 + number % 3)]


def author(number):
    return f"{GIVEN_NAMES[number % 10]} {FAMILY_NAMES[number // 10 % 10]} {number}"


def write(path, books):
    """The catalog as a file to import."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("title", "authors", "pages"))
        for number in range(1, books + 1):
            rows.writerow((title(number), ", ".join(authors(number)), pages(number)))


# What the database must have after the import: a line of this for each book.
STORED = """
SELECT book.id, title, pages, string_agg(name, ', ' ORDER BY position)
FROM book JOIN book_author ON book_id = book.id JOIN author ON author.id = author_id
GROUP BY book.id ORDER BY book.id"""


def stored(number):
    return f"{number}|{title(number)}|{pages(number)}|{', '.join(authors(number))}"


@dataclass(frozen=True)
class Workload:
    """One thing to ask, of the service by GraphQL and of the floor by REST. `{id}` stands for a number
    by chance. The answers are the same, to the byte."""

    name: str
    what: str
    graphql: tuple
    rest: tuple
    # The answer for a number.
    answer: Callable[[int], str]

    def is_right(self, number, answer):
        pattern = re.escape(self.answer(number))
        for placeholder, value in PATTERNS.items():
            pattern = pattern.replace(re.escape(placeholder), value)
        return re.fullmatch(pattern, answer) is not None

    def beginning(self):
        """What the answers for all numbers begin with: all of it, if they are the same."""
        common = os.path.commonprefix([self.answer(1), self.answer(2)])
        return re.split("|".join(PATTERNS), common)[0]


def post(path, **body):
    return "POST", path, compact(body)


def operation(query, /, **variables):
    name = re.match(r"\w+ (\w+)", query)[1]
    return post("/graphql", query=query, operationName=name, variables=variables)


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def data(**fields):
    return compact({"data": fields})


def one_book(number):
    return data(book={
        "id": f"book_{number}", "title": title(number), "pages": pages(number), "createdAt": TIME,
    })


def first_books(_):
    return page_from(1)


def page_from(first):
    return data(books={"nodes": [
        {
            "id": f"book_{number}",
            "title": title(number),
            "authors": [{"name": name} for name in authors(number)],
        }
        for number in range(first, first + PAGE)
    ]})


def new_book(number):
    return data(createBook={"id": f"book_{NEW_ID}", "title": new_title(number)})


def new_title(number):
    return f"Bench {number}"


CREATE = Workload(
    name="create",
    what="create a book",
    graphql=operation(
        "mutation Create($title: String!, $pages: Int!) "
        "{ createBook(input: {title: $title, pages: $pages}) { id title } }",
        title=new_title("{id}"), pages=NEW_PAGES,
    ),
    rest=post("/books", title=new_title("{id}"), pages=NEW_PAGES),
    answer=new_book,
)
WORKLOADS = (
    Workload(
        name="book",
        what="a book by its id",
        graphql=operation(
            "query BookById($id: ID!) { book(id: $id) { id title pages createdAt } }", id="book_{id}"
        ),
        rest=("GET", "/books/{id}", ""),
        answer=one_book,
    ),
    Workload(
        name="books",
        what=f"the first {PAGE} books with their authors",
        graphql=operation(
            "query Nested($first: Int!) { books(first: $first) { nodes { id title authors { name } } } }",
            first=PAGE,
        ),
        rest=("GET", f"/books?first={PAGE}", ""),
        answer=first_books,
    ),
    CREATE,
)
