//! Registries of semantic conventions, as Weaver reads them, for the tests that hold them equal to the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::Deserialize;

/// What a registry defines.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Registry {
    /// Attributes.
    pub attributes: Vec<Attribute>,
    /// Metrics.
    pub metrics: Vec<Metric>,
    /// Events.
    pub events: Vec<Event>,
    /// What it takes from the registries that it depends on.
    pub imports: Imports,
}

/// An attribute.
#[derive(Debug, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub key: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: AttributeType,
}

/// The type of an attribute.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum AttributeType {
    /// One of a set of values.
    Enum {
        /// The values.
        members: Vec<Member>,
    },
    /// Any value of a type of this name.
    Named(String),
}

/// A value of an attribute.
#[derive(Debug, Deserialize)]
pub struct Member {
    /// As the attribute has it.
    pub value: String,
}

/// A metric.
#[derive(Debug, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Such as `updowncounter`.
    pub instrument: String,
    /// Its unit, by UCUM.
    pub unit: String,
    /// What it measures.
    pub brief: String,
    /// Those of its series.
    #[serde(default)]
    pub attributes: Vec<Reference>,
}

/// An event.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// Its name.
    pub name: String,
}

/// Names an attribute.
#[derive(Debug, Deserialize)]
pub struct Reference {
    /// Its name.
    #[serde(rename = "ref")]
    pub key: String,
}

/// Names of other registries' definitions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Imports {
    /// Metrics.
    pub metrics: Vec<String>,
}

impl Registry {
    /// Reads the registry in `folder`.
    pub fn read(folder: &Path) -> Self {
        let mut registry = Self::default();
        for file in files(folder, "yaml") {
            if file.ends_with("manifest.yaml") {
                continue;
            }
            let part: Self = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            registry.attributes.extend(part.attributes);
            registry.metrics.extend(part.metrics);
            registry.events.extend(part.events);
            registry.imports.metrics.extend(part.imports.metrics);
        }
        registry
    }

    /// Its own metrics, as a catalog has them: instrument, unit, help, attributes.
    pub fn metrics(&self) -> BTreeMap<&str, (&str, &str, &str, Vec<&str>)> {
        self.metrics
            .iter()
            .map(|it| {
                let attributes = it.attributes.iter().map(|it| it.key.as_str()).collect();
                (&*it.name, (&*it.instrument, &*it.unit, &*it.brief, attributes))
            })
            .collect()
    }

    /// The names of its events.
    pub fn events(&self) -> BTreeSet<String> {
        self.events.iter().map(|event| event.name.clone()).collect()
    }
}

/// The names of the events that the code in `folder` logs.
pub fn logged_events(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files(folder, "rs") {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        // As the first argument of a macro, such as `warn!`.
        for call in code.split("!(").skip(1) {
            if let Some(name) = call.trim_start().strip_prefix("name: \"") {
                names.extend(name.split('"').next().map(str::to_owned));
            }
        }
    }
    names
}

fn files(folder: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}
