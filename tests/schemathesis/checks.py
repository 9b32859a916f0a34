"""What every answer of the service must be, as checks of schemathesis, and values of its scalars."""

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.graphql import nodes

# What a document that the schema allows may meet: rules that a schema cannot express.
RULES = {"BAD_USER_INPUT", "NOT_FOUND", "CONFLICT", "LIMIT_EXCEEDED"}
# What else a document that it forbids may meet.
MISTAKES = RULES | {"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"}
# What only the log may say.
INTERNAL = ("sqlx", "sqlite", "SELECT ", "INSERT ", "UPDATE ", ".rs:", "panicked", "async_graphql")

# Of the sample, of nothing, and what are no ids.
schemathesis.graphql.scalar(
    "ID",
    st.one_of(
        st.builds("{}_{}".format, st.sampled_from(("book", "author")), st.integers(1, 200)),
        st.integers(-(2**65), 2**65).map("book_{}".format),
        st.text(max_size=20),
    ).map(nodes.String),
)
schemathesis.graphql.scalar(
    "DateTime", st.datetimes().map(lambda time: nodes.String(time.isoformat() + "Z"))
)


@schemathesis.check
def every_error_is_a_mistake_of_the_client(ctx, response, case):
    """Instead of schemathesis' own `not_a_server_error`, to which any error in `errors` that is
    none of Apollo's codes is one of the server."""
    assert response.status_code < 500, f"the status is {response.status_code}"
    allowed = RULES if case.meta.generation.mode == GenerationMode.POSITIVE else MISTAKES
    for error in errors(response):
        code, message = error["extensions"]["code"], error["message"]
        # Schemathesis knows nothing of @oneOf, and fills input objects that have it with anything.
        assert code in allowed or "oneof" in message.lower(), f"{code}: {message}"


@schemathesis.check
def no_error_tells_what_is_inside(ctx, response, case):
    """No SQL, no path, no message of a driver, no type of the program."""
    for error in errors(response):
        # The client's own words may come back to it.
        told = [word for word in INTERNAL if word in str(error) and word not in str(case.body)]
        assert not told, f"{told} in {error}"


@schemathesis.check
def every_answer_names_its_trace(ctx, response, case):
    """By which the log has more."""
    trace = response.headers["traceresponse"][0].split("-")[1]
    for error in errors(response):
        assert error["extensions"]["traceId"] == trace, f"{error} in trace {trace}"


def errors(response):
    return response.json().get("errors", [])
