//! A profile as stacks of numbered functions.

use std::collections::HashMap;

use super::SymbolizedProfile;

/// The stacks of a profile, with its functions in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stacks {
    /// The names of functions.
    pub functions: Vec<String>,
    /// The stacks, those with the most samples first.
    pub stacks: Vec<Stack>,
}

/// The samples of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The group of the operation that was polled.
    pub group: Option<&'static str>,
    /// The name of the thread, which several may share.
    pub thread: String,
    /// Its functions from the outermost on, by their index in [`Stacks::functions`].
    pub frames: Vec<usize>,
    /// How often it was found.
    pub samples: u64,
}

impl SymbolizedProfile {
    /// Returns the stacks, in which each address is a function. Threads of the same name are one.
    #[must_use]
    pub fn stacks(&self) -> Stacks {
        let mut table = Table::default();
        let mut counts: HashMap<_, u64> = HashMap::new();
        for (sampled, weight) in &self.profile.stacks {
            let frames: Vec<_> = self.names(sampled).map(|name| table.index(name)).collect();
            let thread = self.profile.thread(sampled);
            *counts.entry((sampled.group, thread, frames)).or_default() += weight.samples;
        }
        let stack = |((group, thread, frames), samples): ((_, &str, _), _)| Stack {
            group,
            thread: thread.to_owned(),
            frames,
            samples,
        };
        let mut stacks: Vec<_> = counts.into_iter().map(stack).collect();
        stacks.sort_by(|a, b| b.samples.cmp(&a.samples).then_with(|| a.frames.cmp(&b.frames)));
        Stacks { functions: table.functions, stacks }
    }
}

/// Functions, each once.
#[derive(Default)]
struct Table {
    functions: Vec<String>,
    indices: HashMap<String, usize>,
}

impl Table {
    fn index(&mut self, function: String) -> usize {
        *self.indices.entry(function).or_insert_with_key(|function| {
            self.functions.push(function.clone());
            self.functions.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use super::*;
    use crate::cpu::{Profile, Sampled, Weight, output::Function};

    fn functions(names: &[&str]) -> Vec<Function> {
        let function = |name: &&str| Function {
            name: (*name).to_owned(),
            file: "src/lib.rs".to_owned(),
            line: 7,
        };
        names.iter().map(function).collect()
    }

    #[test]
    fn merges_threads_of_a_name_and_addresses_of_a_function() {
        let sampled = |thread, group, stack: &[u64]| Sampled { thread, group, stack: stack.into() };
        let weight = |samples| Weight { samples, nanoseconds: samples };
        // Innermost first: 3 and 4 are both in `spin`.
        let stacks = HashMap::from([
            (sampled(1, Some("Query.spin"), &[3, 1]), weight(2)),
            (sampled(2, Some("Query.spin"), &[4, 1]), weight(3)),
            (sampled(1, None, &[2, 1]), weight(1)),
        ]);
        let names: HashMap<u32, Arc<str>> = [(1, "worker".into()), (2, "worker".into())].into();
        let functions = HashMap::from([
            (1, functions(&["main"])),
            (2, functions(&["{closure#0}", "run"])),
            (3, functions(&["spin"])),
            (4, functions(&["spin"])),
        ]);
        let profile = Profile { since: 0, stacks, names };
        let Stacks { functions, stacks } = SymbolizedProfile { profile, functions }.stacks();
        let found = stacks.iter().map(|stack| {
            let frames: Vec<_> = stack.frames.iter().map(|it| &*functions[*it]).collect();
            (stack.group, &*stack.thread, frames, stack.samples)
        });
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                (Some("Query.spin"), "worker", vec!["main", "spin"], 5),
                (None, "worker", vec!["main", "run", "{closure#0} src/lib.rs:7"], 1),
            ]
        );
        assert_eq!(functions.len(), 4);
    }
}
