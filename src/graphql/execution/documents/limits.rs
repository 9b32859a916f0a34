//! What a valid document may cost: counted with all its fragments expanded, but without expanding
//! them, so that a few hundred bytes of fragments that spread each other cost nothing.
//!
//! Bytes of a request, tokens and nesting are limited before (by the HTTP layer and the parser),
//! complexity and values of variables after ([`super::complexity`]).

use std::collections::HashMap;

use apollo_compiler::{
    ExecutableDocument, Name, Schema,
    executable::{self, Operation, Selection, SelectionSet},
    schema::{ExtendedType, FieldDefinition},
};
use async_graphql::{Value, Variables};

use crate::{
    config::limits::{DocumentLimits, MAX_INTROSPECTED, MAX_INTROSPECTION_LISTS, MAX_WORD},
    error::{Code, Error, Result},
};

impl DocumentLimits {
    /// Checks a valid document.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`].
    pub fn check_document(&self, document: &ExecutableDocument, sizes: &ListSizes) -> Result<()> {
        let mut expansion = Expansion { document, sizes, known: HashMap::new() };
        let mut selections = 0_usize;
        for operation in document.operations.iter() {
            let names = operation.name.iter().chain(operation.variables.iter().map(|it| &it.name));
            let longest = names.map(Name::len).max().unwrap_or(0);
            let cost = expansion.operation(operation);
            selections = selections.saturating_add(cost.selections);
            within("fields and fragments", selections, self.max_selections)?;
            within("bytes in a name", cost.longest_name.max(longest), MAX_WORD)?;
            within("levels of nesting", cost.levels, self.max_nesting)?;
            within("levels of fields", cost.depth, self.max_depth)?;
            within("aliases", cost.aliases, self.max_aliases)?;
            within("root fields", cost.fields, self.max_root_fields)?;
            within("directives", cost.directives, self.max_directives)?;
            within("lists of introspection in each other", cost.lists, MAX_INTROSPECTION_LISTS)?;
            within("values of introspection", cost.introspected, MAX_INTROSPECTED)?;
        }
        Ok(())
    }

    /// Checks the values of variables. They count as the document's own literals would.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`] if there are too many or they are nested too deeply.
    pub fn check_variables(&self, variables: &Variables) -> Result<()> {
        let mut open: Vec<(&Value, usize)> = variables.values().map(|value| (value, 1)).collect();
        let mut values = 0_usize;
        while let Some((value, level)) = open.pop() {
            values += 1;
            within("levels of nesting", level, self.max_nesting)?;
            match value {
                Value::List(items) => open.extend(items.iter().map(|item| (item, level + 1))),
                Value::Object(fields) => open.extend(fields.values().map(|f| (f, level + 1))),
                _ => {}
            }
            within("values of variables", values + open.len(), self.max_tokens)?;
        }
        Ok(())
    }
}

/// Checks a count against its limit.
///
/// # Errors
/// [`Code::LimitExceeded`].
pub fn within(what: &str, count: usize, limit: usize) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Error::Client(
        Code::LimitExceeded,
        format!("The document has too many {what}: the limit is {limit}."),
    ))
}

/// How many items the lists of introspection have at most in a schema.
#[derive(Debug)]
pub struct ListSizes {
    types: usize,
    fields: usize,
    input_fields: usize,
    arguments: usize,
    enum_values: usize,
    possible_types: usize,
    interfaces: usize,
    directives: usize,
    locations: usize,
}

impl ListSizes {
    /// Those of `schema`.
    pub fn of(schema: &Schema) -> Self {
        let largest = |size: &dyn Fn(&ExtendedType) -> usize| {
            schema.types.values().map(size).max().unwrap_or(0)
        };
        let implementers = schema.implementers_map();
        let directives = &schema.directive_definitions;
        Self {
            types: schema.types.len(),
            fields: largest(&|ty| fields_of(ty).count()),
            input_fields: largest(&|ty| ty.as_input_object().map_or(0, |ty| ty.fields.len())),
            arguments: largest(&|ty| {
                fields_of(ty).map(|field| field.arguments.len()).max().unwrap_or(0)
            }),
            enum_values: largest(&|ty| ty.as_enum().map_or(0, |ty| ty.values.len())),
            possible_types: implementers.values().map(|it| it.objects.len()).max().unwrap_or(0),
            interfaces: largest(&|ty| {
                ty.as_object().map_or(0, |it| it.implements_interfaces.len())
            }),
            directives: directives.len(),
            locations: directives.values().map(|it| it.locations.len()).max().unwrap_or(0),
        }
    }

    /// Items of the list that a field of introspection is; 1 if it is none.
    fn items(&self, field: &str) -> usize {
        match field {
            "types" => self.types,
            "fields" => self.fields,
            "inputFields" => self.input_fields,
            "args" => self.arguments,
            "enumValues" => self.enum_values,
            "possibleTypes" => self.possible_types,
            "interfaces" => self.interfaces,
            "directives" => self.directives,
            "locations" => self.locations,
            _ => 1,
        }
        .max(1)
    }
}

/// The fields of an object or interface type.
fn fields_of(ty: &ExtendedType) -> impl Iterator<Item = &FieldDefinition> {
    let fields = match ty {
        ExtendedType::Object(ty) => Some(&ty.fields),
        ExtendedType::Interface(ty) => Some(&ty.fields),
        _ => None,
    };
    fields.into_iter().flat_map(|fields| fields.values()).map(|field| &***field)
}

/// The cost of a selection set with all its fragments expanded. Saturates.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// Fields, fragment spreads and inline fragments.
    selections: usize,
    /// Fields of the set itself, those of its fragments included.
    fields: usize,
    aliases: usize,
    directives: usize,
    /// Levels of fields, those of introspection left out.
    depth: usize,
    /// Levels of selection sets.
    levels: usize,
    longest_name: usize,
    /// Lists of introspection in each other.
    lists: usize,
    /// Values that introspection responds with, at most.
    introspected: usize,
    /// The same two of the selections here, should they turn out to be below `__schema` or `__type`.
    here: Introspection,
}

/// The cost of a selection set as a part of introspection.
#[derive(Clone, Copy, Default)]
struct Introspection {
    lists: usize,
    values: usize,
}

impl Introspection {
    /// Lists that lead back to types, by which introspection can go round in circles.
    const CYCLES: [&'static str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

    /// The cost of a field whose selections cost this.
    fn of_field(self, field: &str, sizes: &ListSizes) -> Self {
        let values = self.values.saturating_add(1).saturating_mul(sizes.items(field));
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
        self.longest_name = self.longest_name.max(other.longest_name);
        self.lists = self.lists.max(other.lists);
        self.introspected = self.introspected.saturating_add(other.introspected);
        self.here.lists = self.here.lists.max(other.here.lists);
        self.here.values = self.here.values.saturating_add(other.here.values);
    }
}

/// Computes costs, each fragment's once. Ends, and does not go too deep: a valid document has no
/// fragment that contains itself, and no more than a hundred in each other.
struct Expansion<'a> {
    document: &'a ExecutableDocument,
    sizes: &'a ListSizes,
    known: HashMap<&'a Name, Cost>,
}

impl<'a> Expansion<'a> {
    fn operation(&mut self, operation: &'a Operation) -> Cost {
        let mut cost = self.selection_set(&operation.selection_set);
        cost.directives = cost.directives.saturating_add(operation.directives.len());
        cost
    }

    fn selection_set(&mut self, set: &'a SelectionSet) -> Cost {
        let mut total = Cost::default();
        for selection in &set.selections {
            total.add(self.selection(selection));
        }
        total.levels += usize::from(!set.selections.is_empty());
        total
    }

    fn selection(&mut self, selection: &'a Selection) -> Cost {
        let mut cost = match selection {
            Selection::Field(field) => self.field(field),
            Selection::InlineFragment(fragment) => self.selection_set(&fragment.selection_set),
            Selection::FragmentSpread(spread) => self.fragment(&spread.fragment_name),
        };
        cost.selections = cost.selections.saturating_add(1);
        cost.directives = cost.directives.saturating_add(selection.directives().len());
        cost
    }

    fn field(&mut self, field: &'a executable::Field) -> Cost {
        let inner = self.selection_set(&field.selection_set);
        let name = field.name.as_str();
        let mut cost = Cost {
            fields: 1,
            aliases: inner.aliases.saturating_add(field.alias.is_some().into()),
            depth: if name.starts_with("__") { 0 } else { inner.depth + 1 },
            longest_name: inner.longest_name.max(field.response_key().len()),
            here: inner.here.of_field(name, self.sizes),
            ..inner
        };
        if matches!(name, "__schema" | "__type") {
            cost.lists = cost.here.lists;
            cost.introspected = cost.here.values;
            cost.here = Introspection::default();
        }
        cost
    }

    fn fragment(&mut self, name: &'a Name) -> Cost {
        if let Some(cost) = self.known.get(name) {
            return *cost;
        }
        let Some(fragment) = self.document.fragments.get(name) else { return Cost::default() };
        let mut cost = self.selection_set(&fragment.selection_set);
        cost.longest_name = cost.longest_name.max(name.len());
        cost.directives = cost.directives.saturating_add(fragment.directives.len());
        self.known.insert(name, cost);
        cost
    }
}
