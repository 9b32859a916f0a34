//! Requests: parameters in JSON and in the URL, and what each method may do.

use reqwest::Method;
use serde_json::json;

use crate::{Server, TYPENAME, content_type, send};

#[tokio::test]
async fn parameters_are_read_from_json() {
    let server = Server::start(&[]).await;
    let two = "query A { a: __typename } query B { b: __typename }";
    for (body, data) in [
        (json!({ "query": two, "operationName": "B" }), json!({ "b": "Query" })),
        // Null is as if it were not there, and what nobody knows is ignored.
        (
            json!({ "query": TYPENAME, "operationName": null, "variables": null, "extensions": null }),
            json!({ "__typename": "Query" }),
        ),
        (json!({ "query": TYPENAME, "more": [1], "id": "x" }), json!({ "__typename": "Query" })),
        (
            json!({ "query": TYPENAME, "variables": {}, "extensions": { "a": 1 } }),
            json!({ "__typename": "Query" }),
        ),
        // As PHP writes an empty map.
        (json!({ "query": TYPENAME, "variables": [] }), json!({ "__typename": "Query" })),
        (
            json!({ "query": "query($i: ID!) { book(id: $i) { id } }", "variables": { "i": "book_1" } }),
            json!({ "book": null }),
        ),
    ] {
        let (status, _, answer) = send(server.post(&body)).await;
        assert_eq!((status, &answer), (200, &json!({ "data": data })), "{body}");
    }
    let marked = format!("\u{feff}{}", json!({ "query": "\u{feff}{ __typename }" }));
    assert_eq!(send(server.body(marked)).await.0, 200);
}

#[tokio::test]
async fn parameters_are_read_from_the_url() {
    let server = Server::start(&[]).await;
    let query = "query null($i: ID!) { book(id: $i) { id } } query B { b: __typename }";
    let variables = r#"{"i":"book_1"}"#;
    for (parameters, data) in [
        (vec![("query", TYPENAME)], json!({ "__typename": "Query" })),
        (
            vec![("query", query), ("operationName", "null"), ("variables", variables)],
            json!({ "book": null }),
        ),
        (
            vec![("query", TYPENAME), ("operationName", ""), ("variables", ""), ("extensions", "")],
            json!({ "__typename": "Query" }),
        ),
        (vec![("query", TYPENAME), ("more", "x")], json!({ "__typename": "Query" })),
    ] {
        let (status, _, answer) = send(server.get(&parameters)).await;
        assert_eq!((status, &answer), (200, &json!({ "data": data })), "{parameters:?}");
    }
    // A plus is a space.
    let url = format!("{}?query=query+Q+%7B+a%3A__typename+%7D", server.url);
    let (status, _, body) = send(server.service.client.get(url)).await;
    assert_eq!((status, &body["data"]["a"]), (200, &json!("Query")));
    let head = server.service.client.head(&server.url).query(&[("query", TYPENAME)]).send().await;
    assert_eq!(head.unwrap().status(), 200);
    // Our one departure: a page of another site can make a browser send this.
    let plain = reqwest::Client::new().get(&server.url).query(&[("query", TYPENAME)]);
    assert_eq!(send(plain).await.0, 400);
}

#[tokio::test]
async fn rejects_mutations_by_get_and_other_methods() {
    let server = Server::start(&[]).await;
    let mutation =
        "query A { __typename } mutation B { createBook(input: { title: \"x\" }) { id } }";
    let request = server.get(&[("query", mutation), ("operationName", "B")]);
    let response = request.send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"POST".parse().unwrap())
    );
    assert_eq!(content_type(&response), "application/graphql-response+json; charset=utf-8");
    let (status, _, _) = send(server.get(&[("query", mutation), ("operationName", "A")])).await;
    assert_eq!(status, 200);
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let request = server.request(method.clone()).json(&json!({ "query": TYPENAME }));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "GET, POST", "{method}");
    }
    assert_eq!(
        server.service.data("{ books { totalCount } }", json!({})).await["books"]["totalCount"],
        0
    );
}
