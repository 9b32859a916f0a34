//! The messages of pprof's format (github.com/google/pprof, `proto/profile.proto`), as far as profiles
//! here have them, and the tables that they refer to.

use std::collections::HashMap;

use prost::Message;

/// The id of the one mapping of a profile, though libraries have others: addresses have names already.
pub const MAPPING: u64 = 1;

#[derive(Message)]
pub struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub period: i64,
}

/// Texts are numbers of the table of texts here and below.
#[derive(Clone, Copy, Message)]
pub struct ValueType {
    #[prost(int64, tag = "1")]
    pub kind: i64,
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

#[derive(Message)]
pub struct Sample {
    /// Innermost first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

#[derive(Clone, Copy, Message)]
pub struct Label {
    #[prost(int64, tag = "1")]
    pub key: i64,
    #[prost(int64, tag = "2")]
    pub text: i64,
}

#[derive(Clone, Copy, Message)]
#[expect(clippy::struct_excessive_bools, reason = "the format has them")]
pub struct Mapping {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint64, tag = "3")]
    pub memory_limit: u64,
    #[prost(int64, tag = "5")]
    pub filename: i64,
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

#[derive(Message)]
pub struct Location {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// Innermost first, where calls were inlined.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

#[derive(Clone, Copy, Message)]
pub struct Line {
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    #[prost(int64, tag = "2")]
    pub line: i64,
}

#[derive(Clone, Copy, Message)]
pub struct Function {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(int64, tag = "2")]
    pub name: i64,
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

/// Gives out the ids of what the messages refer to, and keeps the tables of it.
pub struct Writer {
    ids: HashMap<String, i64>,
    /// The first is empty.
    pub texts: Vec<String>,
    /// The ids of locations, by address.
    pub locations: HashMap<u64, u64>,
    known: HashMap<(i64, i64), u64>,
    pub functions: Vec<Function>,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            ids: HashMap::from([(String::new(), 0)]),
            texts: vec![String::new()],
            locations: HashMap::new(),
            known: HashMap::new(),
            functions: Vec::new(),
        }
    }
}

impl Writer {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = self.texts.len().try_into().expect("fewer texts than 2^63");
        self.ids.insert(text.to_owned(), id);
        self.texts.push(text.to_owned());
        id
    }

    pub fn value_type(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType { kind: self.text(kind), unit: self.text(unit) }
    }

    pub fn label(&mut self, key: &str, text: &str) -> Label {
        Label { key: self.text(key), text: self.text(text) }
    }

    /// A mapping of all addresses. It has functions, files, lines and inlined calls: nobody needs to look
    /// for them.
    pub fn mapping(&mut self, program: &str) -> Mapping {
        Mapping {
            id: MAPPING,
            memory_limit: u64::MAX,
            filename: self.text(program),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        }
    }

    /// The id of the location at `address`.
    pub fn location(&mut self, address: u64) -> u64 {
        let next = self.locations.len() as u64 + 1;
        *self.locations.entry(address).or_insert(next)
    }

    /// The id of a function.
    pub fn function(&mut self, name: &str, file: &str) -> u64 {
        let (name, filename) = (self.text(name), self.text(file));
        let id = self.functions.len() as u64 + 1;
        *self.known.entry((name, filename)).or_insert_with(|| {
            self.functions.push(Function { id, name, system_name: name, filename });
            id
        })
    }
}
