//! A profile for the tools people have: pprof's format (github.com/google/pprof,
//! `proto/profile.proto`) and a flame graph.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use blazesym::symbolize::Symbolizer;
use dial9_perf_self_profile::{read_proc_maps, resolve_symbols_with_maps};
use flate2::{Compression, write::GzEncoder};
use inferno::flamegraph;

use super::{FREQUENCY, Profile, Sampled};
use crate::telemetry::{
    names::own,
    runtime::dump::{short, without_hash},
};

/// The one mapping of a profile, though libraries have others: addresses have names already.
const MAPPING: u64 = 1;

/// A function at an address; several, if calls were inlined.
struct Function {
    name: String,
    file: String,
    line: u32,
}

/// A profile whose addresses have names.
pub struct Named {
    profile: Profile,
    /// By address, innermost first.
    functions: HashMap<u64, Vec<Function>>,
}

impl Profile {
    /// Finds the names of functions. Takes some tenths of a second.
    #[must_use]
    pub fn named(self) -> Named {
        let (maps, symbolizer) = (read_proc_maps(), Symbolizer::new());
        let mut functions = HashMap::new();
        for address in self.stacks.keys().flat_map(|sampled| &sampled.stack) {
            functions.entry(*address).or_insert_with(|| {
                let symbols = resolve_symbols_with_maps(*address, &symbolizer, &maps);
                let mut found: Vec<_> = symbols
                    .into_iter()
                    .map(|symbol| {
                        let code = symbol.code_info;
                        let file = code.as_ref().map_or("", |code| short(&code.file));
                        Function {
                            name: symbol.name.as_deref().map_or("?", without_hash).into(),
                            file: file.to_owned(),
                            line: code.as_ref().and_then(|code| code.line).unwrap_or_default(),
                        }
                    })
                    .collect();
                // They come outermost first.
                found.reverse();
                if found.is_empty() {
                    // Of the kernel's page in the process, mostly: what asks for the time.
                    let name = "(unknown)".to_owned();
                    found.push(Function { name, file: String::new(), line: 0 });
                }
                found
            });
        }
        Named { profile: self, functions }
    }

    fn thread(&self, sampled: &Sampled) -> &str {
        self.names.get(&sampled.thread).map_or("?", |name| name)
    }
}

impl Named {
    /// In pprof's format, compressed. Samples have the labels `thread` and `graphql.root_field`.
    ///
    /// # Errors
    /// None that memory does not have.
    pub fn pprof(&self, time: Duration) -> io::Result<Vec<u8>> {
        let mut out = Message::default();
        let mut texts = Texts::default();
        for (kind, unit) in [("samples", "count"), ("cpu", "nanoseconds")] {
            out.message(1, |kind_of| value_type(kind_of, &mut texts, kind, unit));
        }
        let mut locations = HashMap::new();
        for (sampled, weight) in &self.profile.stacks {
            let ids = sampled.stack.iter().map(|address| {
                let next = locations.len() as u64 + 1;
                *locations.entry(*address).or_insert(next)
            });
            let ids: Vec<_> = ids.collect();
            out.message(2, |sample| {
                sample.packed(1, &ids);
                sample.packed(2, &[weight.samples, weight.nanoseconds]);
                let thread = Some(("thread", self.profile.thread(sampled)));
                let root_field = sampled.root_field.map(|field| (own::ROOT_FIELD, field));
                for (key, value) in thread.into_iter().chain(root_field) {
                    sample.message(3, |label| {
                        label.number(1, texts.id(key));
                        label.number(2, texts.id(value));
                    });
                }
            });
        }
        out.message(3, |mapping| {
            mapping.number(1, MAPPING);
            mapping.number(3, u64::MAX);
            mapping.number(5, texts.id(&program()));
            // It has functions, files, lines and inlined calls: nobody needs to look for them.
            (7..=10).for_each(|has| mapping.number(has, 1));
        });
        self.locations(&mut out, &mut texts, &locations);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        out.number(9, nanoseconds(now.saturating_sub(time)));
        out.number(10, nanoseconds(time));
        out.message(11, |kind| value_type(kind, &mut texts, "cpu", "nanoseconds"));
        out.number(12, 1_000_000_000 / FREQUENCY);
        for text in &texts.all {
            out.bytes(6, text.as_bytes());
        }
        gzip(&out.0)
    }

    fn locations(&self, out: &mut Message, texts: &mut Texts, locations: &HashMap<u64, u64>) {
        let mut functions = HashMap::new();
        for (address, id) in locations {
            out.message(4, |location| {
                location.number(1, *id);
                location.number(2, MAPPING);
                location.number(3, *address);
                for function in &self.functions[address] {
                    let next = functions.len() as u64 + 1;
                    let key = (function.name.as_str(), function.file.as_str());
                    let id = *functions.entry(key).or_insert(next);
                    location.message(4, |line| {
                        line.number(1, id);
                        line.number(2, u64::from(function.line));
                    });
                }
            });
        }
        for ((name, file), id) in functions {
            out.message(5, |function| {
                function.number(1, id);
                function.number(2, texts.id(name));
                function.number(3, texts.id(name));
                function.number(4, texts.id(file));
            });
        }
    }

    /// As a picture: threads, then operations, then functions from the outermost on, as wide as
    /// their CPU time.
    ///
    /// # Errors
    /// If nothing was sampled.
    pub fn flame_graph(&self) -> io::Result<Vec<u8>> {
        let lines: Vec<_> = self
            .profile
            .stacks
            .iter()
            .map(|(sampled, weight)| {
                let mut line = self.profile.thread(sampled).replace([';', ' '], "_");
                if let Some(root_field) = sampled.root_field {
                    line.push(';');
                    line.push_str(root_field);
                }
                for address in sampled.stack.iter().rev() {
                    for function in self.functions[address].iter().rev() {
                        line.push(';');
                        line.push_str(&function.label());
                    }
                }
                format!("{line} {}", weight.nanoseconds / 1000)
            })
            .collect();
        let mut options = flamegraph::Options::default();
        "CPU time".clone_into(&mut options.title);
        "µs".clone_into(&mut options.count_name);
        let mut picture = Vec::new();
        flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)
            .map_err(io::Error::other)?;
        Ok(picture)
    }
}

impl Function {
    /// Its name; closures, which have none, with their place.
    fn label(&self) -> String {
        let name = self.name.replace(';', ":");
        if name.starts_with('{') && !self.file.is_empty() {
            format!("{name} {}:{}", self.file, self.line)
        } else {
            name
        }
    }
}

fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Compresses.
///
/// # Errors
/// None that memory does not have.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn value_type(out: &mut Message, texts: &mut Texts, kind: &str, unit: &str) {
    out.number(1, texts.id(kind));
    out.number(2, texts.id(unit));
}

/// A message of protocol buffers (protobuf.dev/programming-guides/encoding).
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn number(&mut self, field: u64, number: u64) {
        if number != 0 {
            self.varint(field << 3);
            self.varint(number);
        }
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn packed(&mut self, field: u64, numbers: &[u64]) {
        let mut inner = Self::default();
        for number in numbers {
            inner.varint(*number);
        }
        self.bytes(field, &inner.0);
    }
}

/// The profile's table of texts, whose first is empty.
struct Texts {
    ids: HashMap<String, u64>,
    all: Vec<String>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { ids: HashMap::from([(String::new(), 0)]), all: vec![String::new()] }
    }
}

impl Texts {
    fn id(&mut self, text: &str) -> u64 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = self.all.len() as u64;
        self.ids.insert(text.to_owned(), id);
        self.all.push(text.to_owned());
        id
    }
}
