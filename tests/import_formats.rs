//! The files that people have: exports of other programs, in their encodings and separators.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use testing::{Db, on_both_databases, repository, stderr, stdout};

/// Imports a file of `tests/import` and expects every row to go in.
fn import(db: &Db, name: &str, flags: &[&str]) -> Output {
    let file = repository().join("tests/import").join(name);
    let output = db.run(&[&["import", file.to_str().unwrap()], flags].concat());
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    output
}

fn import_text(db: &Db, text: impl AsRef<[u8]>, flags: &[&str]) -> Output {
    let file = db.file("books.csv", text);
    db.run(&[&["import", file.to_str().unwrap()], flags].concat())
}

/// Every book in the order of the file: title, authors, ISBN, year, pages, language.
async fn books(db: &Db) -> Value {
    let service = db.serve().await;
    let document = "{ books(first: 100) { nodes { title authors { name } isbn13 publishedYear pages language } } }";
    let data = service.data(document, json!({})).await;
    let book = |book: &Value| {
        let authors = book["authors"].as_array().unwrap().iter().map(|author| &author["name"]);
        let authors: Vec<&Value> = authors.collect();
        json!([
            book["title"],
            authors,
            book["isbn13"],
            book["publishedYear"],
            book["pages"],
            book["language"]
        ])
    };
    data["books"]["nodes"].as_array().unwrap().iter().map(book).collect()
}

/// Titles and years of books that have nothing else.
async fn years(db: &Db) -> Vec<Value> {
    books(db).await.as_array().unwrap().iter().map(|book| book[3].clone()).collect()
}

on_both_databases! {
    async fn goodreads(db: Db) {
        let output = import(&db, "goodreads.csv", &[]);
        assert!(!stdout(&output).contains("without"), "{}", stdout(&output));
        let right = json!([
            ["The Hunger Games (The Hunger Games, #1)", ["Suzanne Collins"], "9780439023481", 2008, 374, null],
            ["Good Omens", ["Terry Pratchett", "Neil Gaiman", "Chris Riddell"], "9780060853983", 1990, 412, null],
            ["Self Published Thing", ["A Nobody"], null, 2023, null, null],
        ]);
        assert_eq!(books(&db).await, right);
        let output = import(&db, "plain.csv", &[]);
        assert!(stdout(&output).contains("0 added, 0 updated, 3 unchanged"), "{}", stdout(&output));
        assert_eq!(books(&db).await, right);
    }

    async fn kaggle(db: Db) {
        import(&db, "kaggle.csv", &[]);
        assert_eq!(books(&db).await, json!([
            ["Good Omens", ["Terry Pratchett", "Neil Gaiman"], "9780060853983", 2006, 412, "en"],
            ["The Hunger Games", ["Suzanne Collins"], "9780439023481", 2008, 374, "en-US"],
        ]));
    }

    async fn librarything(db: Db) {
        let output = import(&db, "librarything.tsv", &[]);
        assert!(!stdout(&output).contains("without"), "{}", stdout(&output));
        assert_eq!(books(&db).await, json!([
            ["Good Omens", ["Terry Pratchett", "Neil Gaiman", "Chris Riddell"], "9780060853983", 2006, 412, "en"],
            ["No Number", ["Plato"], null, 1901, null, "grc"],
        ]));
    }

    async fn storygraph(db: Db) {
        let output = import(&db, "storygraph.csv", &[]);
        assert!(!stdout(&output).contains("without"), "{}", stdout(&output));
        assert_eq!(books(&db).await, json!([
            ["Good Omens", ["Terry Pratchett", "Neil Gaiman"], "9780060853983", null, null, null],
            ["The Audiobook", ["A Nobody"], null, null, null, null],
        ]));
    }

    async fn calibre(db: Db) {
        let output = import(&db, "calibre.csv", &[]);
        assert!(!stdout(&output).contains("without"), "{}", stdout(&output));
        assert_eq!(books(&db).await, json!([
            ["Good Omens", ["Terry Pratchett", "Neil Gaiman"], "9780060853983", 1990, null, "en"],
            ["Undated", ["A Nobody"], null, null, null, "en"],
        ]));
    }

    async fn book_crossing(db: Db) {
        let output = import(&db, "book-crossing.csv", &["--encoding", "latin-1"]);
        assert!(!stdout(&output).contains("without their year"), "{}", stdout(&output));
        assert_eq!(books(&db).await, json!([
            ["The \"Hunger\" Games", ["Suzanne Collins"], "9780439023481", 2008, null, null],
            ["Fäuste & Müller", ["Johann Wolfgang von Goethe"], "9783150000014", null, null, null],
        ]));
    }

    async fn open_library(db: Db) {
        import(&db, "open-library.csv", &[]);
        assert_eq!(books(&db).await, json!([
            ["Good Omens", ["Terry Pratchett", "Neil Gaiman"], "9780060853983", 1990, 412, "en"],
            ["The Hunger Games", ["Suzanne Collins"], null, 2008, 374, "en"],
        ]));
    }

    async fn detects_the_delimiter(db: Db) {
        import(&db, "semicolons.csv", &[]);
        import_text(&db, "sep=|\r\nKey|Title|Year\r\n1|One, two|1901\r\n", &[]);
        import_text(&db, "title#year\nThree#1903\n", &["--delimiter", "#"]);
        import_text(&db, "Werk;Jahr, etwa\nFour;1904\n", &["--map", "title=Werk", "--map", "year=Jahr, etwa"]);
        import_text(&db, "title\tyear\nFive\t1905\n", &["--delimiter", "tab"]);
        assert_eq!(books(&db).await, json!([
            ["Faust", ["Goethe"], null, 1808, null, null],
            ["Emma; a novel", ["Jane Austen"], null, 1815, null, null],
            ["One, two", [], null, 1901, null, null],
            ["Three", [], null, 1903, null, null],
            ["Four", [], null, 1904, null, null],
            ["Five", [], null, 1905, null, null],
        ]));
    }

    async fn decodes_utf_16(db: Db) {
        import(&db, "utf-16le.csv", &[]);
        import(&db, "utf-16be.csv", &[]);
        let without_mark: Vec<u8> =
            "title,year\nDubliners,1914\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let output = import_text(&db, &without_mark, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        assert!(stderr(&output).contains("--encoding utf-16le"), "{}", stderr(&output));
        import_text(&db, &without_mark, &["--encoding", "utf-16le"]);
        assert_eq!(books(&db).await, json!([
            ["Faust", ["Goethe"], null, 1808, null, null],
            ["雪国", ["川端康成"], null, 1937, null, null],
            ["Faust", ["Goethe"], null, null, null, null],
            ["Emma", ["Jane Austen"], null, null, null, null],
            ["Dubliners", [], null, 1914, null, null],
        ]));
    }

    async fn rejects_text_of_another_encoding(db: Db) {
        let output = import_text(&db, b"title,author\nGood,Ann\nB\0ad,Ann\nBad,A\x01nn\nM\xfcll,Ann\nMu\xc2\x85ll,Ann\n", &[]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let errors = stderr(&output);
        for part in ["books.csv:3: title", "U+0000", "books.csv:4: authors", "books.csv:5: title", "UTF-8", "--encoding", "books.csv:6"] {
            assert!(errors.contains(part), "{part} is missing in {errors}");
        }
        assert_eq!(books(&db).await, json!([["Good", ["Ann"], null, null, null, null]]));
        let output = import_text(&db, b"t\xeftle,title\nx,Good\n", &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("--encoding"), "{}", stderr(&output));
        let output = import_text(&db, "title\nx\n", &["--encoding", "klingon"]);
        assert_eq!(output.status.code(), Some(2));
    }

    async fn reads_years_in_every_usual_form(db: Db) {
        import_text(&db, "title,author,published\n\
            Good Omens,Terry Pratchett,1990-05-01T00:00:00+00:00\nB,X,1990-05\nC,X,2008/09/14\n\
            D,X,c1998\nE,X,\"March 1, 2008\"\nF,X,14/09/2008\n", &[]);
        assert_eq!(years(&db).await, [1990, 1990, 2008, 1998, 2008, 2008].map(|year| json!(year)));
    }

    async fn goes_without_values_that_cannot_be_read(db: Db) {
        let output = import_text(&db, "title,isbn,year,language,pages\n\
            One,9780439023482,MMVIII,Klingonese,many\nTwo,,3000,English,\"1,024\"\n\
            Three,978‐0‐439‐02348‐1 (pbk.),[2008],en_US.UTF-8,412 p.\n", &[]);
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        for part in ["3 added", "0 refused", "1 went in without their ISBN", "2 without their year", "1 without their language", "1 without their pages"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        for part in ["books.csv:2: ", "9780439023482", "MMVIII", "Klingonese", "many", "books.csv:3: ", "3000"] {
            assert!(stderr(&output).contains(part), "{part} is missing in {}", stderr(&output));
        }
        assert_eq!(books(&db).await, json!([
            ["One", [], null, null, null, null],
            ["Two", [], null, null, 1024, "en"],
            ["Three", [], "9780439023481", 2008, 412, "en-US"],
        ]));
    }

    async fn dry_run_writes_nothing(db: Db) {
        let file = repository().join("tests/import/goodreads.csv");
        let before = books(&db).await;
        let output = db.run(&["import", file.to_str().unwrap(), "--dry-run"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = stdout(&output);
        for part in ["authors: Author, Additional Authors", "not used: Book Id, Author l-f", "3 rows"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert_eq!(books(&db).await, before);
        let output = import_text(&db, "title,year\nOne,MM\n,1990\n", &["--dry-run"]);
        assert_eq!(output.status.code(), Some(3));
        assert!(stderr(&output).contains("MM"), "{}", stderr(&output));
    }
}

#[test]
fn dry_run_creates_no_database() {
    let db = Db::sqlite();
    let output = import_text(&db, "title\nOne\n", &["--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!db.dir.path().join("books.db").exists());
}

/// As `head` does once it has its lines.
#[test]
fn continues_after_standard_output_was_closed() {
    let db = Db::sqlite();
    let file = db.file("books.csv", "title\nOne\n");
    let mut command = db.command(&["import", file.to_str().unwrap()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_columns_before_the_first_row_and_leaves_out_unmapped_ones() {
    let db = Db::sqlite();
    let text = "title,year,publisher\nOne,1990,X\n";
    let output = import_text(&db, text, &["--map", "year="]);
    let lines = stdout(&output);
    assert!(
        lines.contains("title: title") && lines.contains("not used: year, publisher"),
        "{lines}"
    );
    assert!(lines.find("not used").unwrap() < lines.find("1 added").unwrap());
    assert_eq!(years(&db).await, [json!(null)]);
}
