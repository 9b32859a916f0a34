// Random valid queries, and rewritings of a document that must not change what it means.
import { Kind, getNamedType, isAbstractType, isLeafType, isListType, isNonNullType, isObjectType, parse, print, visit } from 'graphql-reference';

/** A generator of numbers from 0 to 1 that a seed determines (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const ARGUMENTS = {
  Query: {
    node: ['id: "book_1"', 'id: "author_3"', 'id: "book_99999"', 'id: "nonsense"'], nodes: ['ids: ["book_1", "author_2", "book_99999"]', 'ids: "book_5"', 'ids: []'],
    book: ['id: "book_2"', 'id: "book_99999"', 'id: "author_1"'], bookByIsbn: ['isbn: "9780141439587"', 'isbn: "1"'], author: ['id: "author_2"', 'id: "x"'],
    books: ['', 'first: 2', 'last: 3', 'first: 3, orderBy: { field: TITLE }', 'first: 2, filter: { year: { max: 1800 } }, orderBy: { field: YEAR, direction: DESC }', 'first: 1000', 'filter: { titleContains: "the" }, last: 2'],
    authors: ['first: 2', 'last: 1', 'first: 3, filter: { nameContains: "an" }'], search: ['query: "the"', 'query: "emma", first: 1', 'query: " "'],
  },
  Author: { books: ['', 'first: 1', 'last: 2, orderBy: { field: YEAR }', '', 'first: 2', 'last: 1', 'first: 3', 'first: -1'] },
};

/** A random valid query. */
export function query(schema, next) {
  const pick = (list) => list[Math.floor(next() * list.length)];
  const conditions = ['', '', '', '', ' @skip(if: $yes)', ' @include(if: $yes)', ' @skip(if: false)', ' @include(if: $no)'];
  let aliases = 0;
  const field = (type, definition, depth) => {
    const args = pick(ARGUMENTS[type.name]?.[definition.name] ?? ['']);
    // An alias of its own where arguments might conflict with those of another selection.
    const alias = args !== '' || ARGUMENTS[type.name]?.[definition.name] ? `a${aliases++}: ` : '';
    return `${alias}${definition.name}${args && `(${args})`}${pick(conditions)}${selections(getNamedType(definition.type), depth + 1)}`;
  };
  const selections = (type, depth) => {
    if (isLeafType(type)) return '';
    const chosen = [];
    if (isAbstractType(type)) {
      for (const object of schema.getPossibleTypes(type)) {
        if (next() < 0.7) chosen.push(`...on ${object.name}${pick(conditions)}${selections(object, depth)}`);
      }
      chosen.push(pick(['id', '__typename']));
    }
    const fields = isObjectType(type) ? Object.values(type.getFields()) : [];
    const leaves = fields.filter((it) => isLeafType(getNamedType(it.type)));
    const others = fields.filter((it) => !leaves.includes(it));
    for (let i = 0; i < 1 + next() * 3; i++) chosen.push(leaves.length > 0 ? field(type, pick(leaves), depth) : '__typename');
    for (let i = 0; depth < 4 && others.length > 0 && i < 1 + next() * 1.5; i++) chosen.push(field(type, pick(others), depth));
    return ` { ${chosen.filter((it) => it !== '').join(' ')} }`;
  };
  const text = `query ($yes: Boolean!, $no: Boolean = false) { __typename @skip(if: $yes) a: __typename @include(if: $no)${selections(schema.getQueryType(), 0).slice(2)}`;
  return print(parse(text));
}

/** The type of each selection set, by its node. */
function typed(schema, document) {
  const types = new Map();
  const walk = (type, set) => {
    types.set(set, type);
    for (const selection of set.selections) {
      if (selection.kind === Kind.INLINE_FRAGMENT) {
        walk(selection.typeCondition ? schema.getType(selection.typeCondition.name.value) : type, selection.selectionSet);
      } else if (selection.kind === Kind.FIELD && selection.selectionSet) {
        let inner = type.getFields()[selection.name.value].type;
        while (isNonNullType(inner) || isListType(inner)) inner = inner.ofType;
        walk(inner, selection.selectionSet);
      }
    }
  };
  for (const definition of document.definitions) walk(schema.getQueryType(), definition.selectionSet);
  return types;
}

/** `text` with selections twice, in fragments of all kinds, and in another order. */
export function rewritten(schema, text, next) {
  const document = parse(text);
  const types = typed(schema, document);
  const named = (value) => ({ kind: Kind.NAME, value });
  const fragments = [];
  const rewrite = visit(document, {
    SelectionSet: {
      leave(set, _, __, ___, ancestors) {
        const original = ancestors.length >= 0 && set.loc ? [...types.keys()].find((it) => it.loc?.start === set.loc.start) : undefined;
        const type = types.get(original);
        if (!type) return undefined;
        const selections = [];
        const typeCondition = { kind: Kind.NAMED_TYPE, name: named(type.name) };
        const put = (selection) => {
          const chance = next();
          const selectionSet = { kind: Kind.SELECTION_SET, selections: [selection] };
          if (chance < 0.25) {
            const name = named(`F${fragments.length}`);
            fragments.push({ kind: Kind.FRAGMENT_DEFINITION, name, typeCondition, selectionSet });
            selections.push({ kind: Kind.FRAGMENT_SPREAD, name });
          } else if (chance < 0.5) {
            selections.push({ kind: Kind.INLINE_FRAGMENT, typeCondition: next() < 0.5 ? typeCondition : undefined, selectionSet });
          } else {
            selections.push(selection);
          }
        };
        for (const selection of set.selections) {
          for (let times = next() < 0.4 ? 2 : 1; times > 0; times--) put(selection);
        }
        selections.sort(() => next() - 0.5);
        return { ...set, selections };
      },
    },
  });
  return print({ ...rewrite, definitions: [...rewrite.definitions, ...fragments] });
}
