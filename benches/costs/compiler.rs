//! Parsing and compiling a document: a small one, and one that is about as large as the limits allow.

use std::fmt;

use colophon::graphql::{CatalogSchema, SchemaOptions, execution::documents::Compiler};
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

/// Of 20 root fields and some 9,900 tokens, which are selected twice.
fn large() -> String {
    let fields = "id title pages createdAt ".repeat(58);
    let root = |i| format!("a{i}: books(first: 1) {{ nodes {{ ...F {fields} }} }}\n");
    let roots: String = (0..20).map(root).collect();
    format!("query Large {{ {roots} }}\nfragment F on Book {{ {} }}", &fields[..25 * 10])
}

fn compiler() -> Compiler {
    let sdl = CatalogSchema::new(SchemaOptions { lab: false, introspection: true }).sdl();
    Compiler::new(&sdl, &settings().limits.documents, true)
}

#[divan::bench(args = Document::ALL)]
fn parse(bencher: Bencher, document: Document) {
    let (compiler, text) = (compiler(), document.text());
    bencher.bench_local(|| compiler.parse(&text).unwrap());
}

#[divan::bench(args = Document::ALL)]
fn compile(bencher: Bencher, document: Document) {
    let (compiler, text) = (compiler(), document.text());
    let parsed = compiler.parse(&text).unwrap();
    bencher
        .with_inputs(|| text.clone())
        .bench_local_values(|text| compiler.compile(text, &parsed).unwrap_or_else(|_| panic!()));
}
