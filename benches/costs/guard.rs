//! The guard, and the parser for comparison: of a small document, and of one that is about as large as the
//! limits allow.

use std::fmt;

use async_graphql::parser::parse_query;
use divan::Bencher;

use super::support::settings;

const SMALL: &str = "query BookById($id: ID!) { book(id: $id) { id title pages createdAt } }";

#[derive(Clone, Copy)]
enum Document {
    Small,
    Large,
}

impl Document {
    const ALL: [Self; 2] = [Self::Small, Self::Large];

    fn text(self) -> String {
        match self {
            Self::Small => SMALL.to_owned(),
            Self::Large => large(),
        }
    }
}

/// As the table of results has it.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Small => "small",
            Self::Large => "large",
        })
    }
}

/// Of 20 root fields and some 4,900 tokens, which are selected twice.
fn large() -> String {
    let fields = "id title pages createdAt ".repeat(58);
    let root = |i| format!("a{i}: books(first: 1) {{ nodes {{ ...F {fields} }} }}\n");
    let roots: String = (0..20).map(root).collect();
    format!("query Large {{ {roots} }}\nfragment F on Book {{ {} }}", &fields[..25 * 10])
}

#[divan::bench(args = Document::ALL)]
fn text(bencher: Bencher, document: Document) {
    let (limits, text) = (settings().limits.documents, document.text());
    bencher.bench_local(|| limits.check_text(&text).unwrap());
}

#[divan::bench(args = Document::ALL)]
fn parsed(bencher: Bencher, document: Document) {
    let (limits, document) = (settings().limits.documents, parse_query(document.text()).unwrap());
    bencher.bench_local(|| limits.check_document(&document).unwrap());
}

#[divan::bench(args = Document::ALL)]
fn parser(bencher: Bencher, document: Document) {
    let text = document.text();
    bencher.bench_local(|| parse_query(&text).unwrap());
}
