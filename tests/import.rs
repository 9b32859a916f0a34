//! `colophon import`, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::Write,
    path::Path,
    process::{Output, Stdio},
};

use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::json;
use testing::{Db, on_both_databases, repository, stderr, stdout};

/// What dirty files are like: a lost zero, an ISBN-13 that a spreadsheet rounded, quoted commas
/// and line breaks, several authors, many scripts, a byte order mark.
const DIRTY: &str = "\u{feff}book_id,isbn,isbn13,authors,original_publication_year,title,language_code,num_pages\n\
1,439023483,9.78043902348e+12,Suzanne Collins,2008.0,\"The Hunger Games (The Hunger Games, #1)\",eng,374\n\
2,,9.78e+12,\"Homer, Robert Fagles\",-750.0,The Iliad,,0\n\
3,0439023482,,曹雪芹,1791,紅樓夢,zho,\n\
4,,,\"Martin Luther King, Jr., Clayborne Carson\",,\"A \"\"Dream\"\"\nin two lines\",en-US,\n";

fn import(db: &Db, file: &Path) -> Output {
    db.run(&["import", file.to_str().unwrap()])
}

/// The summary of an import: added, updated, unchanged, refused.
fn summary(output: &Output) -> [u64; 4] {
    let text = stdout(output);
    let count = |word: &str| {
        let words: Vec<&str> = text.split([' ', ',', '\n']).filter(|w| !w.is_empty()).collect();
        let at = words.iter().position(|w| *w == word);
        at.and_then(|at| words[at - 1].parse().ok())
            .unwrap_or_else(|| panic!("no {word} in {text:?}; {}", stderr(output)))
    };
    ["added", "updated", "unchanged", "refused"].map(count)
}

/// All that an import can have written.
async fn catalog(db: &Db) -> String {
    let service = db.serve().await;
    let mut books = Vec::new();
    let mut after = json!(null);
    loop {
        let document = "query($a: String) { books(first: 100, after: $a) { totalCount
            nodes { id title isbn13 publishedYear pages language version authors { id name } }
            pageInfo { endCursor hasNextPage } } authors { totalCount } }";
        let data = service.data(document, json!({ "a": after })).await;
        books.extend(data["books"]["nodes"].as_array().unwrap().clone());
        if data["books"]["pageInfo"]["hasNextPage"] == false {
            assert_eq!(data["books"]["totalCount"], books.len(), "pages of the greatest size");
            return format!("{} {}", json!(books), data["authors"]["totalCount"]);
        }
        after = data["books"]["pageInfo"]["endCursor"].clone();
    }
}

/// A file of so many made-up books.
fn many(count: usize) -> String {
    let mut text = "title,author,year\n".to_owned();
    for i in 0..count {
        text += &format!(
            "Book {i},\"Author {}, Author {}\",{}\n",
            i % 97,
            100 + i % 89,
            1500 + i % 500
        );
    }
    text
}

/// While PostgreSQL takes its tables to be as small as they were at first, it goes through all rows for
/// each batch.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_an_import_does_not_grow_with_its_square() {
    const BOOKS: i64 = 10_000;
    let db = Db::postgres().await;
    let rows: Vec<String> = (0..BOOKS).map(|n| format!("Book {n},Author {n}\n")).collect();
    let file = db.file("unique.csv", format!("title,author\n{}", rows.concat()));
    assert_eq!(summary(&import(&db, &file)), [10_000, 0, 0, 0]);
    let connection = Database::connect(&db.url).await.unwrap();
    let read = "SELECT CAST(SUM(seq_tup_read + idx_tup_fetch) AS bigint) FROM pg_stat_user_tables \
        WHERE relname IN ('book', 'author')";
    let read = Statement::from_string(connection.get_database_backend(), read);
    let read = connection.query_one_raw(read).await.unwrap().unwrap();
    let read: i64 = read.try_get_by_index(0).unwrap();
    assert!(read < 30 * BOOKS, "{read} rows were read");
}

on_both_databases! {
    async fn cleans_dirty_rows(db: Db) {
        let file = db.file("dirty.csv", DIRTY);
        let output = import(&db, &file);
        assert_eq!(summary(&output), [4, 0, 0, 0], "{}", stderr(&output));
        assert!(output.status.success());
        assert!(stdout(&output).contains("2 went in without their ISBN"));
        let service = db.serve().await;
        let data = service.data("{ books { nodes { title isbn13 publishedYear pages language authors { name } } } }", json!({})).await;
        assert_eq!(data["books"]["nodes"], json!([
            { "title": "The Hunger Games (The Hunger Games, #1)", "isbn13": "9780439023481",
              "publishedYear": 2008, "pages": 374, "language": "en", "authors": [{ "name": "Suzanne Collins" }] },
            { "title": "The Iliad", "isbn13": null, "publishedYear": -750, "pages": null, "language": null,
              "authors": [{ "name": "Homer" }, { "name": "Robert Fagles" }] },
            { "title": "紅樓夢", "isbn13": null, "publishedYear": 1791, "pages": null, "language": "zh",
              "authors": [{ "name": "曹雪芹" }] },
            { "title": "A \"Dream\" in two lines", "isbn13": null, "publishedYear": null, "pages": null, "language": "en-US",
              "authors": [{ "name": "Martin Luther King, Jr." }, { "name": "Clayborne Carson" }] }
        ]));
    }

    async fn changes_nothing_on_a_second_import(db: Db) {
        let file = db.file("dirty.csv", DIRTY);
        import(&db, &file);
        let before = catalog(&db).await;
        assert_eq!(summary(&import(&db, &file)), [0, 0, 4, 0]);
        assert_eq!(catalog(&db).await, before);
    }

    async fn updates_from_a_corrected_file(db: Db) {
        import(&db, &db.file("dirty.csv", DIRTY));
        let corrected = DIRTY.replace(",374", ",384").replace("Suzanne", "S.").replace("2008.0", "");
        assert_eq!(summary(&import(&db, &db.file("new.csv", corrected))), [0, 1, 3, 0]);
        let service = db.serve().await;
        let document = "{ bookByIsbn(isbn: \"0439023483\") { pages version publishedYear authors { name } }
            search(query: \"hunger s collins\") { totalCount } }";
        let data = service.data(document, json!({})).await;
        assert_eq!(data["bookByIsbn"], json!({ "pages": 384, "version": 2, "publishedYear": 2008,
            "authors": [{ "name": "S. Collins" }] }), "an empty cell clears nothing");
        assert_eq!(data["search"]["totalCount"], 1);
    }

    async fn reports_refused_rows_and_unread_values_and_imports_the_rest(db: Db) {
        let mut file = b"title,year,pages\nGood,2000,10\n,2000,10\nBad year,MMVIII,\nToo few,1\n\xff\xfe,1,1\nLate,3000,\nFine,-44,\n".to_vec();
        file.extend(b"\"Two\nlines\",1,1\nLast,x,\n");
        let output = import(&db, &db.file("bad.csv", file));
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(summary(&output), [6, 0, 0, 3]);
        assert!(stdout(&output).contains("3 went in without their year"), "{}", stdout(&output));
        let mut lines: Vec<String> = stderr(&output).lines().map(str::to_owned).collect();
        // Refused rows are reported as they are read, values as their rows are written.
        let line = |text: &String| text.split(':').nth(1).unwrap().parse::<u64>().unwrap();
        lines.sort_by_key(line);
        assert_eq!(lines.len(), 6, "{lines:#?}");
        for (line, (number, reason)) in lines.iter().zip([
            (3, "title"), (4, "MMVIII"), (5, "2 cells"), (6, "UTF-8"), (7, "3000"), (11, "year"),
        ]) {
            assert!(line.contains(&format!("bad.csv:{number}: ")) && line.contains(reason), "{line}");
        }
    }

    async fn merges_rows_of_one_book(db: Db) {
        let file = db.file("twice.csv", "title,isbn,pages\nOne,0439023483,10\nOne,439023483,20\nOne,978-0-439-02348-1,10\nTwo,,5\nTwo,,5\n");
        let output = import(&db, &file);
        assert_eq!((summary(&output), output.status.code()), ([2, 0, 2, 1], Some(3)));
        let before = catalog(&db).await;
        assert_eq!(summary(&import(&db, &file)), [0, 0, 4, 1]);
        assert_eq!(catalog(&db).await, before);
    }

    async fn finishes_a_killed_import_on_the_next_run(db: Db) {
        let file = db.file("many.csv", many(6_000));
        let whole = Db::sqlite();
        assert_eq!(summary(&import(&whole, &file))[0], 6_000);

        // Half of the file, and then it waits for the rest.
        let mut child = db.command(&["import", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let text = std::fs::read(&file).unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&text[..text.len() / 2]).unwrap();
        let watcher = db.serve().await;
        let count = async || {
            let data = watcher.data("{ books { totalCount } }", json!({})).await;
            data["books"]["totalCount"].as_u64().unwrap()
        };
        while count().await == 0 {
            assert_eq!(child.try_wait().unwrap(), None, "it waits for the rest");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let committed = count().await;
        assert!((1..6_000).contains(&committed), "killed half-way, at {committed}");
        let [added, updated, unchanged, refused] = summary(&import(&db, &file));
        assert_eq!((added, updated, unchanged, refused), (6_000 - committed, 0, committed, 0));
        // Numbers that a sequence has given out to a transaction that was killed are lost.
        let plain = |text: String| -> String {
            let ids = ["\"book_", "\"author_"];
            text.split(',').filter(|part| !ids.iter().any(|id| part.contains(id))).collect()
        };
        assert_eq!(plain(catalog(&db).await), plain(catalog(&whole).await));
    }

    async fn real_books(db: Db) {
        let file = repository().join("../shared/data/goodbooks-10k.csv");
        if !file.exists() {
            // Not part of the project; the same paths are tested above on made-up rows.
            println!("{} is absent: importing made-up books in its place", file.display());
            assert_eq!(summary(&import(&db, &db.file("many.csv", many(10_000)))), [10_000, 0, 0, 0]);
            return;
        }
        assert_eq!(summary(&import(&db, &file)), [10_000, 0, 0, 0]);
        let service = db.serve().await;
        let data = service.data("{ books { totalCount } search(query: \"potter rowling\") { totalCount }
            old: books(first: 1, orderBy: { field: YEAR }) { nodes { title publishedYear } }
            books2: bookByIsbn(isbn: \"0439023483\") { title authors { name } } }", json!({})).await;
        assert_eq!(data["books"]["totalCount"], 10_000);
        assert!(data["search"]["totalCount"].as_u64().unwrap() > 7);
        assert_eq!(data["old"]["nodes"][0]["publishedYear"], -1750);
        assert_eq!(data["books2"]["authors"], json!([{ "name": "Suzanne Collins" }]));
        assert_eq!(summary(&import(&db, &file)), [0, 0, 10_000, 0]);
    }
}

#[test]
fn columns_are_named_by_map_and_missing_ones_are_told() {
    let db = Db::sqlite();
    let file = db.file("odd.csv", "Werk,Jahr\nFaust,1808\n");
    let path = file.to_str().unwrap();
    let output = db.run(&["import", path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Werk, Jahr"), "{}", stderr(&output));
    let output = db.run(&["import", path, "--map", "title=Werk", "--map", "year=Jahr"]);
    assert_eq!(summary(&output)[0], 1);
    let output = db.run(&["import", path, "--map", "title=Titel"]);
    assert_eq!(output.status.code(), Some(1));
    let output = db.run(&["import", path, "--map", "colour=Jahr"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("isbn13"), "{}", stderr(&output));
    let output = db.run(&["import", "absent.csv"]);
    assert_eq!(output.status.code(), Some(1));
}

/// Peak memory of importing a file, and one five times its size, most of it a column that is not
/// imported: 10 MB and 50 MB, so that a file held in memory would show.
#[test]
fn imports_large_files_in_constant_memory() {
    let filler = "x".repeat(20_000);
    let peak = |rows: usize| {
        let mut text = "title,blurb\n".to_owned();
        for i in 0..rows {
            text += &format!("Book {i},{filler}\n");
        }
        let db = Db::sqlite();
        let file = db.file("wide.csv", text);
        let mut child = db.command(&["import", file.to_str().unwrap()]).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        let code = loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let size = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = peak.max(size.unwrap_or(0));
            if let Some(code) = child.try_wait().unwrap() {
                break code;
            }
        };
        assert!(code.success() && peak > 0);
        peak
    };
    let (small, large): (u64, u64) = (peak(500), peak(2_500));
    assert!(large < small + 8_000, "{small} kB for 10 MB, {large} kB for 50 MB");
}
