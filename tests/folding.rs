//! Titles and names are compared without case, accents and special letters, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Db, Service, stderr};

/// Titles and authors with letters that do not decompose, and queries for them in plain letters.
const BOOKS: [(&str, &str, &str); 9] = [
    ("Snømannen", "Jo Nesbø", "nesbo"),
    ("Solaris", "Stanisław Lem", "stanislaw lem"),
    ("Enten – Eller", "Søren Kierkegaard", "soren kierkegaard"),
    ("Kırmızı Pelerinli Kent", "Aslı Erdoğan", "asli erdogan"),
    ("Mýrin", "Arnaldur Indriðason", "arnaldur indridason"),
    ("Œuvres complètes", "Arthur Rimbaud", "oeuvres"),
    ("Die Straße", "Niemand", "strasse"),
    ("Thu hứng", "Đỗ Phủ", "do phu"),
    ("Fables", "Æsop", "aesop"),
];

const SEARCH: &str = "query($q: String!) { search(query: $q) { totalCount nodes { title } } }";

fn titles(connection: &Value) -> Vec<&str> {
    connection["nodes"].as_array().unwrap().iter().map(|b| b["title"].as_str().unwrap()).collect()
}

fn names(connection: &Value) -> Vec<&str> {
    connection["nodes"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect()
}

async fn create(service: &Service, title: &str, author: &str) {
    service.create(json!({ "title": title, "authors": [{ "name": author }] })).await;
}

async fn assert_found(service: &Service, query: &str, title: &str) {
    let data = service.data(SEARCH, json!({ "q": query })).await;
    assert_eq!(titles(&data["search"]), [title], "{query}");
}

on_both_databases! {
    async fn search_finds_special_letters_by_plain_ones(db: Db) {
        let service = db.serve().await;
        for (title, author, _) in BOOKS {
            create(&service, title, author).await;
        }
        for (title, _, query) in BOOKS {
            assert_found(&service, query, title).await;
            assert_found(&service, &query.to_uppercase(), title).await;
        }
    }

    async fn search_finds_plain_letters_by_special_ones(db: Db) {
        let service = db.serve().await;
        let plain = [
            ("Jo Nesbo", "Jo Nesbø"), ("Stanislaw Lem", "STANISŁAW LEM"), ("Asli Erdogan", "Aslı Erdoğan"),
            ("Die Strasse", "Straße"), ("Oeuvres", "œuvres"), ("Aesop", "Æsop"), ("Do Phu", "Đỗ Phủ"),
        ];
        for (title, _) in plain {
            create(&service, title, "Nobody").await;
        }
        for (title, query) in plain {
            assert_found(&service, query, title).await;
        }
    }

    async fn filters_ignore_special_letters(db: Db) {
        let service = db.serve().await;
        create(&service, "Snømannen", "Jo Nesbø").await;
        create(&service, "Snomannen 2", "Jo Nesbo Jr.").await;
        let document = "query($t: String, $a: String) { books(filter: { titleContains: $t, author: $a })
            { nodes { title } } authors(filter: { nameContains: $a }) { nodes { name } } }";
        for (title, author) in [("SNOMAN", "nesbo"), ("snøman", "NESBØ")] {
            let data = service.data(document, json!({ "t": title, "a": author })).await;
            assert_eq!(titles(&data["books"]), ["Snømannen", "Snomannen 2"]);
            assert_eq!(names(&data["authors"]), ["Jo Nesbø", "Jo Nesbo Jr."]);
        }
    }

    async fn names_that_differ_in_special_letters_conflict(db: Db) {
        let service = db.serve().await;
        let create = "mutation($n: String!) { createAuthor(input: { name: $n }) { id } }";
        for (name, same) in [("Stanisław Lem", "Stanislaw Lem"), ("Aesop", "Æsop")] {
            let author = service.data(create, json!({ "n": name })).await["createAuthor"]["id"].clone();
            assert_eq!(service.code(create, json!({ "n": same })).await, "CONFLICT");
            let rename = "mutation($id: ID!, $n: String!) { updateAuthor(id: $id, input: { name: $n }) { name } }";
            service.data(rename, json!({ "id": author, "n": same })).await;
            assert_eq!(service.code(create, json!({ "n": name })).await, "CONFLICT");
            service.data(rename, json!({ "id": author, "n": name })).await;
        }
        self::create(&service, "Solaris", "stanislaw lem").await;
        let data = service.data("{ authors { nodes { name } } }", json!({})).await;
        assert_eq!(names(&data["authors"]), ["Aesop", "Stanisław Lem"]);
    }

    async fn import_takes_both_spellings_for_one_author(db: Db) {
        let rows = "title,authors\nSolaris,Stanisław Lem\nEden,Stanislaw Lem\nStraße,Bo\nStrasse,Bo\n";
        let csv = db.file("books.csv", rows);
        let output = db.run(&["import", csv.to_str().unwrap()]);
        assert!(stderr(&output).contains("books.csv:5: is the same book"), "{}", stderr(&output));
        let service = db.serve().await;
        let document = "{ authors { nodes { name books { nodes { title } } } } }";
        let data = service.data(document, json!({})).await;
        assert_eq!(names(&data["authors"]), ["Bo", "Stanisław Lem"]);
        let books = |i: usize| titles(&data["authors"]["nodes"][i]["books"]);
        assert_eq!(books(0), ["Straße"]);
        assert_eq!(books(1), ["Solaris", "Eden"]);
    }
}
