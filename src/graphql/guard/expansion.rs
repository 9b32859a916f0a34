//! The size of a document with its fragments expanded, computed without expanding them.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned,
    parser::types::{
        Directive, Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
    },
};

use super::within;
use crate::error::{Code, Error, Result};

/// The size of a selection set with all its fragments expanded. Saturates.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    /// Fields, fragment spreads and inline fragments.
    pub selections: usize,
    /// Fields of the set itself, fragments seen through.
    pub fields: usize,
    pub aliases: usize,
    pub directives: usize,
    /// Levels of fields.
    pub depth: usize,
    /// Levels of selection sets.
    pub levels: usize,
    /// Lists of introspection in each other.
    pub lists: usize,
    /// Values that introspection would answer, roughly.
    pub introspected: usize,
    /// The same two for what stands here, should it turn out to stand below `__schema` or `__type`.
    here: Introspection,
}

/// What a selection set costs as a part of introspection.
#[derive(Clone, Copy, Default)]
struct Introspection {
    lists: usize,
    values: usize,
}

impl Introspection {
    /// Lists that lead back to types, by which introspection can go round in circles.
    const CYCLES: [&'static str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

    /// How many items a list of introspection has, rather more than less.
    fn items(field: &str) -> usize {
        match field {
            "types" => 60,
            "fields" | "inputFields" => 10,
            "args" | "directives" | "enumValues" | "possibleTypes" => 5,
            "interfaces" | "locations" => 3,
            _ => 1,
        }
    }

    /// The cost of `field`, of which this is inside.
    fn below(self, field: &str) -> Self {
        let values = self.values.saturating_add(1).saturating_mul(Self::items(field));
        Self { lists: self.lists + usize::from(Self::CYCLES.contains(&field)), values }
    }
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.depth = self.depth.max(other.depth);
        self.levels = self.levels.max(other.levels);
        self.lists = self.lists.max(other.lists);
        self.introspected = self.introspected.saturating_add(other.introspected);
        self.here.lists = self.here.lists.max(other.here.lists);
        self.here.values = self.here.values.saturating_add(other.here.values);
    }
}

type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// Computes costs, each fragment's once.
pub struct Expansion<'a> {
    fragments: &'a Fragments,
    max_nesting: usize,
    /// Fragments being computed: a long chain of them would overflow the stack.
    open: usize,
    /// `None` while the fragment is being computed.
    known: HashMap<&'a Name, Option<Cost>>,
}

impl<'a> Expansion<'a> {
    /// Over a document's fragments, of which so many may be in each other.
    pub fn new(fragments: &'a Fragments, max_nesting: usize) -> Self {
        Self { fragments, max_nesting, open: 0, known: HashMap::new() }
    }

    /// The cost of an operation.
    ///
    /// # Errors
    /// [`Code::GraphqlValidationFailed`] if a fragment contains itself.
    pub fn operation(&mut self, operation: &'a OperationDefinition) -> Result<Cost> {
        let mut cost = self.selection_set(&operation.selection_set)?;
        cost.directives = cost.directives.saturating_add(operation.directives.len());
        Ok(cost)
    }

    fn selection_set(&mut self, set: &'a Positioned<SelectionSet>) -> Result<Cost> {
        let mut total = Cost::default();
        for selection in &set.node.items {
            let cost = self.selection(&selection.node)?;
            total.add(cost);
        }
        total.levels += usize::from(!set.node.items.is_empty());
        Ok(total)
    }

    fn selection(&mut self, selection: &'a Selection) -> Result<Cost> {
        let directives = |list: &[Positioned<Directive>]| list.len();
        let (mut cost, own) = match selection {
            Selection::Field(field) => {
                let inner = self.selection_set(&field.node.selection_set)?;
                (Self::field(&field.node, inner), directives(&field.node.directives))
            }
            Selection::InlineFragment(fragment) => {
                let inner = self.selection_set(&fragment.node.selection_set)?;
                (inner, directives(&fragment.node.directives))
            }
            Selection::FragmentSpread(spread) => {
                let inner = self.fragment(&spread.node.fragment_name.node)?;
                (inner, directives(&spread.node.directives))
            }
        };
        cost.selections = cost.selections.saturating_add(1);
        cost.directives = cost.directives.saturating_add(own);
        Ok(cost)
    }

    /// The cost of a field with this inside.
    fn field(field: &Field, inner: Cost) -> Cost {
        let name = field.name.node.as_str();
        let is_introspection = name.starts_with("__");
        let mut cost = Cost {
            fields: 1,
            aliases: inner.aliases.saturating_add(field.alias.is_some().into()),
            depth: if is_introspection { 0 } else { inner.depth + 1 },
            here: inner.here.below(name),
            ..inner
        };
        if matches!(name, "__schema" | "__type") {
            cost.lists = cost.here.lists;
            cost.introspected = cost.here.values;
            cost.here = Introspection::default();
        }
        cost
    }

    /// The cost of a fragment's inside.
    ///
    /// # Errors
    /// [`Code::GraphqlValidationFailed`] if it contains itself.
    pub fn fragment(&mut self, name: &'a Name) -> Result<Cost> {
        match self.known.get(name) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => {
                return Err(Error::Client(
                    Code::GraphqlValidationFailed,
                    format!("The fragment \"{name}\" contains itself."),
                ));
            }
            None => {}
        }
        // An unknown fragment is left to validation to refuse.
        let Some(fragment) = self.fragments.get(name) else { return Ok(Cost::default()) };
        self.open += 1;
        within("levels of nesting", self.open, self.max_nesting)?;
        self.known.insert(name, None);
        let mut cost = self.selection_set(&fragment.node.selection_set)?;
        cost.directives = cost.directives.saturating_add(fragment.node.directives.len());
        self.known.insert(name, Some(cost));
        self.open -= 1;
        Ok(cost)
    }
}
