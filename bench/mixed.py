"""Mixed load, as the open internet has it: readers and writers, mistakes, refused documents, clients
that hang up and clients that are slow. Each answer is checked against what its request deserves."""

import asyncio
import json
import random
import time
from array import array
from collections import Counter

# What a slow client asks for: some hundred kilobytes.
LARGE = """{ books(first: 100) { nodes { id title isbn13 publishedYear language createdAt
  authors { id name books(first: 20) { nodes { id title createdAt } } } } } }"""
NESTED = "{ books(first: 30) { nodes { title authors { name books(first: 3) { nodes { title } } } } } }"
PAGE = """query($after: String) { books(first: 10, after: $after, orderBy: {field: TITLE}) {
  nodes { id title } pageInfo { endCursor hasNextPage } } }"""
CREATE = "mutation($input: CreateBookInput!) { createBook(input: $input) { id version } }"
UPDATE = """mutation($id: ID!, $pages: Int!) {
  updateBook(id: $id, input: {pages: $pages}, expectedVersion: 1) { version } }"""
DELETE = "mutation($id: ID!) { deleteBook(id: $id) }"
SEARCH = "query($words: String!) { search(query: $words, first: 10) { totalCount nodes { title } } }"
WORDS = "love night king river dark house girl war dragon time secret garden last stone world".split()
# What no answer may tell.
INTERNAL = (b"sqlx", b"sqlite", b"postgres", b"SELECT ", b"INSERT ", b".rs:", b"panicked")
# What the service may say to any request when it has too much to do.
BUSY = (503, 504)
SLOW_CLIENTS = 12
PATIENCE = 30


class Wrong(Exception):
    """An answer that the request does not deserve."""


class Connection:
    """A connection that is kept alive and opened anew when it is gone."""

    def __init__(self, address):
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.writer = None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)

    def close(self, hard=False):
        if self.writer:
            self.writer.transport.abort() if hard else self.writer.close()
            self.writer = None

    async def post(self, body, content_type="application/json"):
        """The status and the body of an answer."""
        if not self.writer:
            await self.open()
        self.writer.write(request(body, content_type))
        return await self.answer()

    async def answer(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
        body = await self.reader.readexactly(int(headers[b"content-length"]))
        if headers.get(b"connection") == b"close":
            self.close()
        return int(head[9:12]), body


def request(body, content_type="application/json"):
    head = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def graphql(query, **variables):
    return json.dumps({"query": query, "variables": variables}).encode()


class Load:
    """Clients that ask at a steady rate until they are told to stop, and what became of it."""

    def __init__(self, address, ids, rate, seed):
        self.address, self.ids, self.rate = address, ids, rate
        self.random = random.Random(seed)
        self.counts = Counter()
        self.requests = 0
        self.busy = 0
        self.wrong = []
        self.latencies = array("f")
        self.number = 0

    async def run(self, seconds):
        """Loads the service for some seconds."""
        until = time.monotonic() + seconds
        workers = max(4, self.rate // 10)
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self.worker(until, number / self.rate, workers / self.rate))
            for number in range(SLOW_CLIENTS):
                group.create_task(self.slow_client(until, SLOW[number % len(SLOW)]))

    async def fill_documents(self, number):
        """Asks so many documents that were never seen."""
        connection = Connection(self.address)
        for _ in range(number):
            await self.checked(new_documents, new_documents(self, connection), connection)
        connection.close()

    async def worker(self, until, delay, period):
        connection = Connection(self.address)
        due = time.monotonic() + delay
        while due < until:
            await asyncio.sleep(due - time.monotonic())
            kind = self.random.choices(list(KINDS), KINDS.values())[0]
            await self.checked(kind, kind(self, connection), connection)
            # Who is late does not catch up.
            due = max(due + period, time.monotonic())
        connection.close()

    async def slow_client(self, until, kind):
        while time.monotonic() < until:
            connection = Connection(self.address)
            await self.checked(kind, kind(self, connection, until), connection)
            connection.close(hard=True)

    async def checked(self, kind, work, connection):
        """Does one thing, and takes down what was wrong with it."""
        name = kind.__name__
        try:
            await asyncio.wait_for(work, PATIENCE)
        except (Wrong, OSError, EOFError, TimeoutError, LookupError, ValueError, TypeError) as error:
            connection.close(hard=True)
            self.wrong.append(f"{name}: {type(error).__name__}: {error}")
        self.counts[name] += 1

    async def ask(self, connection, body, code=None, status=None, content_type="application/json"):
        """The data of an answer, which must have an error of this code, or none."""
        self.requests += 1
        got, text = await connection.post(body, content_type)
        if got in BUSY:
            self.busy += 1
            return None
        answer = json.loads(text)
        found = answer.get("errors", [{}])[0].get("extensions", {}).get("code")
        if found != code or got != (status or 200):
            raise Wrong(f"{got} {text[:300]!r} to {body[:300]!r}")
        if code and any(word in text for word in INTERNAL):
            raise Wrong(f"tells too much: {text[:300]!r}")
        return answer.get("data")


async def book(load, connection):
    """Also the probe: a small read, whose time is taken."""
    began = time.monotonic()
    identity = load.random.choice(load.ids)
    data = await load.ask(connection, graphql("query($id: ID!) { book(id: $id) { id title } }", id=identity))
    load.latencies.append(time.monotonic() - began)
    if data and data["book"]["id"] != identity:
        raise Wrong(f"another book than {identity}: {data}")


async def nested_lists(load, connection):
    await load.ask(connection, graphql(NESTED))


async def search(load, connection):
    words = " ".join(load.random.sample(WORDS, load.random.randint(1, 2)))
    await load.ask(connection, graphql(SEARCH, words=words))


async def pages(load, connection):
    """Three pages, one behind the other."""
    after = None
    for _ in range(3):
        data = await load.ask(connection, graphql(PAGE, after=after))
        after = data and data["books"]["pageInfo"]["endCursor"]


async def writer(load, connection):
    """A book that is entered, changed and deleted, so that the catalog does not grow."""
    load.number += 1
    made = {"title": f"Soaked {load.number}", "authors": [{"name": f"Author {load.number % 50}"}]}
    data = await load.ask(connection, graphql(CREATE, input=made))
    if data:
        identity = data["createBook"]["id"]
        await load.ask(connection, graphql(UPDATE, id=identity, pages=7))
        await load.ask(connection, graphql(DELETE, id=identity))


async def mistakes(load, connection):
    """Requests that are good, and cannot be granted."""
    body, code = load.random.choice((
        (graphql('{ books(first: 1000) { nodes { id } } }'), "BAD_USER_INPUT"),
        (graphql('{ books(after: "forged") { nodes { id } } }'), "BAD_USER_INPUT"),
        (graphql(CREATE, input={"title": "", "pages": -1, "isbn": "no"}), "BAD_USER_INPUT"),
        (graphql(UPDATE, id=load.ids[0], pages=-7), "BAD_USER_INPUT"),
        (graphql('mutation { createAuthor(input: {name: ""}) { id } }'), "BAD_USER_INPUT"),
    ))
    await load.ask(connection, body, code)


async def refused(load, connection):
    """Requests that never get to be executed, and differ each time."""
    load.number += 1
    name = f"x{load.number}"
    body, code = load.random.choice((
        (graphql(f"{{ {name} }}"), "GRAPHQL_VALIDATION_FAILED"),
        (graphql(f"{{ {name} "), "GRAPHQL_PARSE_FAILED"),
        (graphql(f"{{ {name} {'{a' * 40}{'}' * 41}"), "LIMIT_EXCEEDED"),
        (graphql(" ".join(["{", *(f"{name}{i}: __typename" for i in range(60)), "}"])), "LIMIT_EXCEEDED"),
        (graphql(f"query {name}($n: Int!) {{ books(first: $n) {{ nodes {{ id }} }} }}", n=name),
         "GRAPHQL_VALIDATION_FAILED"),
    ))
    await load.ask(connection, body, code)


async def new_documents(load, connection):
    """Documents that were never seen, which fill what is remembered of documents."""
    load.number += 1
    fields = " ".join(f"f{load.number}_{i}: __typename" for i in range(20))
    await load.ask(connection, graphql(f"query N{load.number} {{ {fields} }}"))


async def no_graphql(load, connection):
    """Requests that are not GraphQL over HTTP."""
    body, content_type, code, status = load.random.choice((
        (b"{", "application/json", "BAD_REQUEST", 400),
        (b"[]", "application/json", "BAD_REQUEST", 422),
        (graphql("{ __typename }"), "text/plain", "UNSUPPORTED_MEDIA_TYPE", 415),
    ))
    await load.ask(connection, body, code, status, content_type)


async def hang_up(load, connection):
    """Goes before the answer comes, or in the middle of its own request."""
    load.number += 1
    body = load.random.choice((graphql(NESTED), graphql(LARGE), graphql(DELETE, id="forged")))
    gone = Connection(load.address)
    await gone.open()
    whole = request(body)
    load.requests += 1
    gone.writer.write(whole[: load.random.choice((len(whole), len(whole) // 2, 20))])
    await gone.writer.drain()
    await asyncio.sleep(load.random.choice((0, 0.001, 0.02)))
    gone.close(hard=load.random.random() < 0.5)


async def visitor(load, connection):
    """Asks once, on a connection of its own."""
    own = Connection(load.address)
    await load.ask(own, graphql("{ authors(first: 5) { nodes { name } } }"))
    own.close()


async def half_head(load, connection, until):
    """Begins a request and says no more, until the service has had enough."""
    await connection.open()
    connection.writer.write(b"POST /graphql HTTP/1.1\r\nHost: loca")
    await end(connection, until)


async def dripping_body(load, connection, until):
    """Sends a body byte by byte, until the service has had enough."""
    await connection.open()
    connection.writer.write(request(b" " * 10_000)[:-10_000])
    while time.monotonic() < until:
        connection.writer.write(b" ")
        # An answer, or the end of the connection.
        if await heard(connection, 0.5):
            break


async def slow_reader(load, connection, until):
    """Takes a large answer a kilobyte at a time."""
    await connection.open()
    connection.writer.write(request(graphql(LARGE)))
    while time.monotonic() < until and await connection.reader.read(1024):
        await asyncio.sleep(0.05)
        if connection.reader.at_eof():
            break


async def silent(load, connection, until):
    """Connects and says nothing, for a while."""
    await connection.open()
    await heard(connection, min(15, max(0, until - time.monotonic())))


async def end(connection, until):
    while time.monotonic() < until and not await heard(connection, 1):
        pass


async def heard(connection, seconds):
    """Whether the service said something, or hung up, within this time."""
    try:
        await asyncio.wait_for(connection.reader.read(1024), seconds)
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


# How often each is done, compared with the others.
KINDS = {
    book: 30, nested_lists: 6, search: 10, pages: 6, writer: 8, mistakes: 8, refused: 8,
    new_documents: 8, no_graphql: 4, hang_up: 8, visitor: 4,
}
SLOW = (half_head, dripping_body, slow_reader, silent)
