//! The search through GraphQL, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::{Value, json};
use testing::{Db, on_both_databases};

fn titles(connection: &Value) -> Vec<&str> {
    connection["nodes"].as_array().unwrap().iter().map(|b| b["title"].as_str().unwrap()).collect()
}

on_both_databases! {
    /// The shortest titles are looked through first, and where those end all matches are ranked.
    async fn pages_of_a_common_word_are_consistent(db: Db) {
        let rows = (0..300).map(|n| match n {
            0..150 => format!("{n},Someone\n"),
            150..290 => format!("Common {}{n},Someone\n", "and so on ".repeat(n % 4)),
            _ => format!("Other {n},Common Author\n"),
        });
        let csv = db.file("books.csv", format!("title,authors\n{}", rows.collect::<String>()));
        assert!(db.run(&["import", csv.to_str().unwrap()]).status.success());
        let service = db.serve().await;
        let document = "query($after: String) { search(query: \"common\", first: 13, after: $after)
            { nodes { title } pageInfo { endCursor } } }";
        let (mut found, mut after) = (Vec::<usize>::new(), Value::Null);
        for _ in 0..12 {
            let page = &service.data(document, json!({ "after": after })).await["search"];
            let last = |title: &str| title.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
            found.extend(titles(page).into_iter().map(last));
            after = page["pageInfo"]["endCursor"].clone();
        }
        let mut expected: Vec<usize> = (150..300).collect();
        expected.sort_by_key(|n| if *n < 290 { n % 4 } else { 4 });
        assert_eq!(found, expected);
    }

    async fn search_is_ranked_and_kept_current(db: Db) {
        let service = db.serve().await;
        for (title, author) in [
            ("Emma", "Jane Austen"), ("Emma and the Others", "Bo"), ("Sense", "Emma Thompson"),
            ("L'Été à Zürich", "Ćirić"), ("紅樓夢", "曹雪芹"),
        ] {
            service.create(json!({ "title": title, "authors": [{ "name": author }] })).await;
        }
        let search = async |query: &str| {
            let document = "query($q: String!) { search(query: $q) { totalCount nodes { title } } }";
            let data = service.data(document, json!({ "q": query })).await;
            assert_eq!(data["search"]["totalCount"], titles(&data["search"]).len());
            titles(&data["search"]).join("|")
        };
        assert_eq!(search("EMMA").await, "Emma|Emma and the Others|Sense");
        assert_eq!(search("emma, austen!").await, "Emma");
        assert_eq!(search("l'été").await, "L'Été à Zürich");
        assert_eq!(search("lete").await, "L'Été à Zürich");
        assert_eq!(search("ete zurich CIRIC").await, "L'Été à Zürich");
        assert_eq!(search("曹 夢").await, "紅樓夢");
        assert_eq!(search("em").await, "");
        assert_eq!(search("\"emma\" OR 'x' & !y | (title:z) NOT - *").await, "");

        service.data("mutation { updateAuthor(id: \"author_1\", input: { name: \"J. Osten\" }) { id } }", json!({})).await;
        service.data("mutation { updateBook(id: \"book_3\", input: { title: \"Emma Again\" }) { id } }", json!({})).await;
        assert_eq!(search("austen").await, "");
        assert_eq!(search("osten").await, "Emma");
        assert_eq!(search("emma").await, "Emma|Emma Again|Emma and the Others");

        let nothing = "{ search(query: \"  -- \") { totalCount } }";
        assert_eq!(service.code(nothing, json!({})).await, "BAD_USER_INPUT");
        let page = service.data("{ search(query: \"emma\", first: 1) { nodes { title } pageInfo { endCursor hasNextPage } } }", json!({})).await;
        assert_eq!(page["search"]["pageInfo"]["hasNextPage"], true);
        let after = page["search"]["pageInfo"]["endCursor"].clone();
        let next = "query($q: String!, $a: String) { search(query: $q, first: 1, after: $a) { nodes { title } } }";
        let data = service.data(next, json!({ "q": "emma", "a": after })).await;
        assert_eq!(titles(&data["search"]), ["Emma Again"]);
        assert_eq!(service.code(next, json!({ "q": "austen", "a": after })).await, "BAD_USER_INPUT");
    }

    async fn a_deleted_book_leaves_no_entry(db: Db) {
        let rows = "title,authors\nA Common Book,Bo\nNothing,Common Bo\nCommon,Bo\n";
        let csv = db.file("books.csv", rows);
        assert!(db.run(&["import", csv.to_str().unwrap()]).status.success());
        let service = db.serve().await;
        let document = "{ search(query: \"common\") { nodes { title } } }";
        let page = service.data(document, json!({})).await;
        assert_eq!(titles(&page["search"]), ["Common", "A Common Book", "Nothing"]);
        service.data("mutation { deleteBook(id: \"book_1\")  }", json!({})).await;
        let page = service.data(document, json!({})).await;
        assert_eq!(titles(&page["search"]), ["Common", "Nothing"]);
        let left: &[&str] = if db.is_sqlite() { &["book_search", "book_search_place"] } else { &["book"] };
        for table in left {
            assert_eq!(count(&db.url, &format!("SELECT COUNT(*) FROM {table}")).await, 2);
        }
    }
}

/// PostgreSQL would collect entries of its index in a list that every search reads through, until a
/// client that creates a book has to enter them all.
#[tokio::test(flavor = "multi_thread")]
async fn entries_go_into_their_index_at_once() {
    let db = Db::postgres().await;
    let service = db.serve().await;
    service.create(json!({ "title": "One" })).await;
    let pages = count(&db.url, "SELECT gin_clean_pending_list('book_search_document')").await;
    assert_eq!(pages, 0, "pages of that list");
}

/// The number that a statement selects.
async fn count(url: &str, sql: &str) -> i64 {
    let connection = Database::connect(url).await.unwrap();
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    connection.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}
