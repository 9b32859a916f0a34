// Finds the field of a document that a response path leads to.
import { Kind, parse } from 'graphql';

const responseName = (field) => (field.alias ?? field.name).value;

/** All fields of this response name, also those in fragments. */
function fieldsNamed(name, selectionSets, fragments, visited = new Set()) {
  return selectionSets.flatMap(({ selections }) => selections).flatMap((selection) => {
    if (selection.kind === Kind.FIELD) return responseName(selection) === name ? [selection] : [];
    if (selection.kind === Kind.INLINE_FRAGMENT) {
      return fieldsNamed(name, [selection.selectionSet], fragments, visited);
    }
    const fragment = fragments.get(selection.name.value);
    if (!fragment || visited.has(fragment)) return [];
    visited.add(fragment);
    return fieldsNamed(name, [fragment.selectionSet], fragments, visited);
  });
}

function operationOf(definitions, operationName) {
  const operations = definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  if (!operationName && operations.length === 1) return operations[0];
  return operations.find(({ name }) => name?.value === operationName);
}

function tryParse(text) {
  try {
    return parse(text).definitions;
  } catch {
    return [];
  }
}

/**
 * The offsets of the alias and name of each field that `path`, response names joined by dots, leads to
 * in an operation. Empty where the document has no such field or cannot be parsed.
 */
export function locate(text, operationName, path) {
  const definitions = tryParse(text);
  const operation = operationOf(definitions, operationName);
  if (!operation) return [];
  const fragments = new Map(definitions
    .filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION)
    .map((fragment) => [fragment.name.value, fragment]));
  let fields = [operation];
  for (const name of path.split('.')) {
    const selectionSets = fields.map(({ selectionSet }) => selectionSet).filter(Boolean);
    fields = fieldsNamed(name, selectionSets, fragments);
  }
  return fields.map((field) => ({ start: field.loc.start, end: field.name.loc.end }));
}
