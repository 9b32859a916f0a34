//! Titles and names are compared without case, accents and special letters, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::{Value, json};
use testing::{Db, Service, on_both_databases, stderr, stdout};

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

    /// The migration has a copy of the folding. A test that fails here for a changed folding asks for a
    /// new migration, not for a change of the old one.
    async fn migration_stores_the_keys_that_the_service_stores(db: Db) {
        let csv = db.file("books.csv", every_letter());
        assert!(db.run(&["import", csv.to_str().unwrap()]).status.success());
        let stored = stored(&db).await;
        assert!(stored.len() > 3_000, "{}", stored.len());
        down(&db);
        let before = self::stored(&db).await;
        let changed = stored.iter().zip(&before).filter(|(new, old)| new != old).count();
        assert!(changed > 800, "{changed}");
        let output = db.run(&["migrate", "up"]);
        assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
        assert_eq!(self::stored(&db).await, stored);
        down(&db);
        assert_eq!(self::stored(&db).await, before);
    }

    async fn migration_brings_old_keys_up_to_date(db: Db) {
        old_books(&db).await;
        let service = db.serve().await;
        for (title, _, query) in BOOKS {
            assert_found(&service, query, title).await;
        }
        let document = "{ books(filter: { titleContains: \"strasse\" }) { nodes { title version } }
            authors(filter: { nameContains: \"NESBO\" }) { nodes { name } } }";
        let data = service.data(document, json!({})).await;
        assert_eq!(data["books"]["nodes"], json!([{ "title": "Die Straße", "version": 1 }]));
        assert_eq!(names(&data["authors"]), ["Jo Nesbø"]);
        let create = "mutation { createAuthor(input: { name: \"Stanislaw Lem\" }) { id } }";
        assert_eq!(service.code(create, json!({})).await, "CONFLICT");
    }

    async fn migration_keeps_and_reports_authors_of_one_name(db: Db) {
        let rows = "title,authors\nOne,Soren\nSolaris,Stanisław Lem\nFables,Æsop\nEden,Zzz\n";
        let csv = db.file("books.csv", rows);
        assert!(db.run(&["import", csv.to_str().unwrap()]).status.success());
        down(&db);
        execute(&db, "UPDATE author SET name = 'Stanislaw Lem', name_key = 'stanislaw lem' WHERE id = 4").await;
        for (name, key) in [("Søren", "søren"), ("Aesøp", "aesøp"), ("Aesop", "aesop")] {
            execute(&db, &format!("INSERT INTO author (name, name_key) VALUES ('{name}', '{key}')")).await;
        }
        execute(&db, "INSERT INTO book_author (book_id, author_id, position) VALUES (3, 7, 1)").await;
        let old = keys(&db).await;
        let new = [
            (1, "aesop"), (2, "soren"), (3, "stanislaw lem"), (4, "stanislaw lem\u{1f}4"),
            (5, "soren\u{1f}5"), (6, "aesop\u{1f}6"), (7, "aesop\u{1f}7"),
        ].map(|(id, key)| (id, key.to_owned()));
        let output = db.run(&["migrate", "up"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(keys(&db).await, new);
        let warnings = stderr(&output);
        assert_eq!(warnings.lines().count(), 4, "{warnings}");
        for (first, later) in [("Soren", "Søren"), ("Stanisław Lem", "Stanislaw Lem"), ("Æsop", "Aesøp"), ("Æsop", "Aesop")] {
            let names_both = |line: &str| {
                line.contains(&format!("{first:?}")) && line.contains(&format!("{later:?}"))
            };
            assert!(warnings.lines().any(names_both), "{first} and {later}: {warnings}");
        }
        down(&db);
        assert_eq!(keys(&db).await, old);
        let service = db.serve().await;
        assert_eq!(keys(&db).await, new);
        let event = service.log().into_iter().find(|event| event["level"] == "WARN");
        assert!(event.is_some(), "{:#?}", service.log());
        let document = "{ authors(filter: { nameContains: \"aesop\" }) { nodes { name books { totalCount } } } }";
        let data = service.data(document, json!({})).await;
        assert_eq!(names(&data["authors"]), ["Æsop", "Aesøp", "Aesop"]);
        assert_eq!(data["authors"]["nodes"][2]["books"]["totalCount"], 1);
        let again = db.file("again.csv", "title,authors\nSolaris,Stanislaw Lem\nEden,Stanislaw Lem\n");
        let output = db.run(&["import", again.to_str().unwrap()]);
        assert!(stdout(&output).contains(" 0 added, 0 updated, 2 unchanged"), "{output:?}");
        // One way to put an end to it.
        let data = service.data("mutation { updateAuthor(id: \"author_4\", input: { name: \"S. Lem\" }) { name } }", json!({})).await;
        assert_eq!(data["updateAuthor"]["name"], "S. Lem");
        service.data("mutation { deleteAuthor(id: \"author_6\") }", json!({})).await;
    }

    /// Names that were taken and given up between the migration's ways up and down.
    async fn migration_goes_down_when_an_old_key_is_taken(db: Db) {
        let csv = db.file("books.csv", "title,authors\nSolaris,Stanisław Lem\n");
        assert!(db.run(&["import", csv.to_str().unwrap()]).status.success());
        down(&db);
        execute(&db, "INSERT INTO author (name, name_key) VALUES ('Stanislaw Lem', 'stanislaw lem')").await;
        let service = db.serve().await;
        let rename = "mutation { updateAuthor(id: \"author_1\", input: { name: \"Lem\" }) { id } }";
        service.data(rename, json!({})).await;
        let create = "mutation { createAuthor(input: { name: \"Stanislaw Lem\" }) { id } }";
        service.data(create, json!({})).await;
        drop(service);
        down(&db);
        let keys = keys(&db).await;
        assert_eq!(keys[1..], [(2, "stanislaw lem".into()), (3, "stanislaw lem\u{1f}3".into())]);
    }
}

/// A book and an author for each letter of the blocks that folding knows, and of some that it does not.
fn every_letter() -> String {
    let blocks = [
        '\u{80}'..='\u{52f}',
        '\u{1d00}'..='\u{1eff}',
        '\u{2183}'..='\u{2184}',
        '\u{2c60}'..='\u{2c7f}',
        '\u{a720}'..='\u{a7ff}',
        '\u{ab30}'..='\u{ab6f}',
        '\u{fb00}'..='\u{fb06}',
        '\u{ff21}'..='\u{ff5a}',
        '紅'..='紐',
    ];
    let letters = blocks.into_iter().flatten().filter(|c| c.is_alphanumeric());
    let rows = letters.enumerate().map(|(n, c)| format!("{c} l'{c}a,Bo{c} {n}\n"));
    format!("title,authors\n{}", rows.collect::<String>())
}

/// Enters [`BOOKS`], and gives them the keys that they had before special letters were folded.
async fn old_books(db: &Db) {
    let rows = BOOKS.map(|(title, author, _)| format!("{title},{author}\n")).concat();
    let csv = db.file("books.csv", format!("title,authors\n{rows}"));
    assert!(db.run(&["import", csv.to_str().unwrap()]).status.success());
    down(db);
    assert!(keys(db).await.iter().any(|(_, key)| key == "jo nesbø"));
}

/// Takes the migration of special letters back.
fn down(db: &Db) {
    let output = db.run(&["migrate", "down", "--steps", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

async fn execute(db: &Db, sql: &str) {
    Database::connect(&db.url).await.unwrap().execute_unprepared(sql).await.unwrap();
}

/// The first two columns of what a statement selects.
async fn select(db: &Db, sql: &str) -> Vec<(i64, String)> {
    let connection = Database::connect(&db.url).await.unwrap();
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.unwrap();
    let columns = |row: &sea_orm::QueryResult| {
        (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap())
    };
    rows.iter().map(columns).collect()
}

/// The ids and keys of all authors.
async fn keys(db: &Db) -> Vec<(i64, String)> {
    select(db, "SELECT id, name_key FROM author ORDER BY id").await
}

/// All keys and search entries.
async fn stored(db: &Db) -> Vec<(i64, String)> {
    let entries = if db.is_sqlite() {
        "SELECT book_id, place || '|' || title || '|' || authors FROM book_search_place \
         JOIN book_search ON book_search.rowid = place ORDER BY book_id"
    } else {
        "SELECT id, search_document::text || '|' || title_words FROM book ORDER BY id"
    };
    let titles = "SELECT id, title_key FROM book ORDER BY id";
    [keys(db).await, select(db, titles).await, select(db, entries).await].concat()
}
