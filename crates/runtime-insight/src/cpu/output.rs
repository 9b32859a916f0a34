//! A profile for the tools people have: pprof's format and a flame graph.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};
use inferno::flamegraph;
use prost::Message;

use super::{
    FREQUENCY, Profile, Sampled,
    pprof::{self, Writer},
};
#[cfg(target_os = "linux")]
use crate::symbols::{short, without_hash};

/// The time between two samples.
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / FREQUENCY);

/// A function at an address; several, if calls were inlined.
pub(super) struct Function {
    pub name: String,
    pub file: String,
    pub line: u32,
}

/// A profile whose addresses have names.
pub struct SymbolizedProfile {
    pub(super) profile: Profile,
    /// By address, innermost first.
    pub(super) functions: HashMap<u64, Vec<Function>>,
}

impl Profile {
    /// Finds the names of functions. Takes some tenths of a second.
    #[must_use]
    pub fn symbolize(self) -> SymbolizedProfile {
        let resolve = resolver();
        let mut functions = HashMap::new();
        for address in self.stacks.keys().flat_map(|sampled| &sampled.stack) {
            functions.entry(*address).or_insert_with(|| {
                let mut found = resolve(*address);
                if found.is_empty() {
                    // Of the kernel's page in the process, mostly: reading the clock.
                    let name = "(unknown)".to_owned();
                    found.push(Function { name, file: String::new(), line: 0 });
                }
                found
            });
        }
        SymbolizedProfile { profile: self, functions }
    }

    pub(super) fn thread(&self, sampled: &Sampled) -> &str {
        self.names.get(&sampled.thread).map_or("?", |name| name)
    }
}

/// What finds the functions at an address, innermost first.
#[cfg(target_os = "linux")]
fn resolver() -> impl Fn(u64) -> Vec<Function> {
    use blazesym::symbolize::Symbolizer;
    use dial9_perf_self_profile::{SymbolInfo, read_proc_maps, resolve_symbols_with_maps};

    let (maps, symbolizer) = (read_proc_maps(), Symbolizer::new());
    move |address| {
        let symbols = resolve_symbols_with_maps(address, &symbolizer, &maps).into_iter();
        let function = |symbol: SymbolInfo| {
            let code = symbol.code_info;
            let file = code.as_ref().map_or("", |code| short(&code.file));
            Function {
                name: symbol.name.as_deref().map_or("?", without_hash).into(),
                file: file.to_owned(),
                line: code.as_ref().and_then(|code| code.line).unwrap_or_default(),
            }
        };
        // They come outermost first.
        symbols.map(function).rev().collect()
    }
}

/// On other systems nothing is sampled.
#[cfg(not(target_os = "linux"))]
fn resolver() -> impl Fn(u64) -> Vec<Function> {
    |_| Vec::new()
}

impl SymbolizedProfile {
    /// Writes it in pprof's format, compressed, as made over `time`. Samples have the labels `thread`
    /// and, with the group of their operation, `group_label`.
    ///
    /// # Errors
    /// None that memory does not have.
    pub fn pprof(&self, time: Duration, group_label: &'static str) -> io::Result<Vec<u8>> {
        let mut writer = Writer::default();
        let cpu = writer.value_type("cpu", "nanoseconds");
        let sample_type = vec![writer.value_type("samples", "count"), cpu];
        let sample = self.samples(&mut writer, group_label);
        let location = self.locations(&mut writer);
        let mapping = vec![writer.mapping(&program())];
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let profile = pprof::Profile {
            sample_type,
            sample,
            mapping,
            location,
            function: writer.functions,
            string_table: writer.texts,
            time_nanos: nanoseconds(now.saturating_sub(time)),
            duration_nanos: nanoseconds(time),
            period_type: Some(cpu),
            period: nanoseconds(PERIOD),
        };
        gzip(&profile.encode_to_vec())
    }

    fn samples(&self, writer: &mut Writer, group_label: &'static str) -> Vec<pprof::Sample> {
        let mut samples = Vec::new();
        for (sampled, weight) in &self.profile.stacks {
            let location_id = sampled.stack.iter().map(|address| writer.location(*address));
            let location_id = location_id.collect();
            let value =
                [weight.samples, weight.nanoseconds].map(|it| it.try_into().unwrap_or(i64::MAX));
            let thread = Some(("thread", self.profile.thread(sampled)));
            let group = sampled.group.map(|group| (group_label, group));
            let labels = thread.into_iter().chain(group);
            let label = labels.map(|(key, text)| writer.label(key, text)).collect();
            samples.push(pprof::Sample { location_id, value: value.into(), label });
        }
        samples
    }

    fn locations(&self, writer: &mut Writer) -> Vec<pprof::Location> {
        let mut locations = Vec::new();
        for (address, id) in std::mem::take(&mut writer.locations) {
            let lines = self.functions[&address].iter().map(|function| pprof::Line {
                function_id: writer.function(&function.name, &function.file),
                line: function.line.into(),
            });
            let line = lines.collect();
            locations.push(pprof::Location { id, mapping_id: pprof::MAPPING, address, line });
        }
        locations
    }

    /// Draws it as an SVG: threads, then operations, then functions from the outermost on, as wide as
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
                if let Some(group) = sampled.group {
                    line.push(';');
                    line.push_str(group);
                }
                for name in self.names(sampled) {
                    line.push(';');
                    line.push_str(&name.replace(';', ":"));
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

    /// The names of the functions of a stack, from the outermost on.
    pub(super) fn names(&self, sampled: &Sampled) -> impl Iterator<Item = String> {
        let functions = sampled.stack.iter().rev().flat_map(|it| self.functions[it].iter().rev());
        functions.map(Function::label)
    }
}

impl Function {
    /// Its name; closures, which have none, with their place.
    fn label(&self) -> String {
        if self.name.starts_with('{') && !self.file.is_empty() {
            format!("{} {}:{}", self.name, self.file, self.line)
        } else {
            self.name.clone()
        }
    }
}

fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Compresses.
///
/// # Errors
/// None that memory does not have.
pub(crate) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
