// Documents to judge, valid and invalid, each with the rule of the specification that it is about.
// Some are written by hand; others are made from the schema, so that every type and argument has its own.
import { getNamedType, isEnumType, isInputObjectType, isLeafType, isNonNullType, isObjectType } from 'graphql-reference';

/** A map of rules to documents. Sections are those of the specification, September 2025. */
const WRITTEN = {
  'syntax (2)': [
    '{ __typename }', 'query { __typename }', 'query Q { __typename }', '{ , , __typename,, }',
    '# only a comment', '', '{', '}', '{}', '{ }', 'query', 'query Q', '{ __typename } }', '{ a: }',
    '{ : __typename }', '{ __typename: }', '{ book(id: ) { id } }', '{ book(id "x") { id } }', '{ book() { id } }',
    '{ 1 }', '{ a b: }', 'fragment on on Query { __typename } { ...on }', '{ ... }', '{ ...on }', '{ ...on Query }',
    '{ ...{ __typename } }', '{ ... @include(if: true) { __typename } }', '\u{feff}{ __typename }', '{ __typename }\u{feff}',
    '{ \u{feff}__typename }', '{ \u0000 }', '{ é }', 'query ($a: Int = $b) { __typename }', 'query ($a) { __typename }',
    'query () { __typename }', 'query ($a: [Int) { __typename }', 'query ($a: Int!!) { __typename }',
    '{ __typename @ }', '{ __typename @skip(if: true }', 'null { __typename }', '{ true }', '{ null: __typename }',
    'query true { __typename }', 'extend type Book { x: Int }', '{ book(id: "x) { id } }', '{ book(id: "a\nb") { id } }',
    '{ book(id: """a\nb""") { id } }', '{ book(id: """a \\""" b""") { id } }', '{ book(id: """a) { id } }',
    '{ book(id: "\\u0041") { id } }', '{ book(id: "\\uD83D\\uDE00") { id } }', '{ book(id: "\\u{1F600}") { id } }',
    '{ book(id: "\\u{110000}") { id } }', '{ book(id: "\\u{}") { id } }', '{ book(id: "\\uD83D") { id } }',
    '{ book(id: "\\uDE00\\uD83D") { id } }', '{ book(id: "\\u{D83D}") { id } }', '{ book(id: "\\uD83D\\u0041") { id } }',
    '{ book(id: "\\x41") { id } }', '{ book(id: "\\u00G0") { id } }', '{ book(id: "\\n\\t\\\\\\/\\"") { id } }',
    '{ books(first: 01) { totalCount } }', '{ books(first: -0) { totalCount } }', '{ books(first: 1.) { totalCount } }',
    '{ books(first: +1) { totalCount } }', '{ books(first: 0x1) { totalCount } }', '{ books(first: 1a) { totalCount } }',
    '{ books(first: - 1) { totalCount } }', '{ books(first: 1e3) { totalCount } }', '{ books(first: .5) { totalCount } }',
  ],
  'executable definitions (5.1.1)': [
    'type Query { a: Int }', '{ __typename } type X { a: Int }', 'schema { query: Query } { __typename }',
    'directive @x on FIELD { __typename }', '{ __typename } scalar X', 'input I { a: Int } { __typename }',
  ],
  'unique operation names (5.2.2)': [
    'query A { __typename } query B { __typename }', 'query A { __typename } query A { __typename }',
    'query A { __typename } mutation A { deleteBook(id: 1) }', 'query a { __typename } query A { __typename }',
  ],
  'lone anonymous operation (5.2.3)': [
    '{ __typename } { __typename }', '{ __typename } query A { __typename }', 'query { __typename } mutation { deleteBook(id: 1) }',
    '{ ...F } fragment F on Query { __typename }',
  ],
  'operation types (5.2.1)': [
    'subscription { a }', 'subscription S { __typename }', 'mutation { __typename }', 'mutation { nothing }', 'query { createBook(input: { title: "x" }) { id } }',
  ],
  'field selections (5.3.1)': [
    '{ nothing }', '{ books { nothing } }', '{ books { nodes { id nothing } } }', '{ node(id: 1) { title } }', '{ node(id: 1) { id __typename } }',
    '{ node(id: 1) { ...on Book { name } } }', '{ node(id: 1) { ...on Author { name } } }', '{ book(id: 1) { __schema { description } } }',
    '{ __schema { nothing } }', '{ __schema { description types { name kind } } }', '{ __type(name: "Book") { name isOneOf specifiedByURL } }',
    'mutation { __schema { description } }', '{ a: nothing }', '{ Title: books { totalCount } }', '{ BOOKS { totalCount } }',
    'fragment F on Book { nothing } { book(id: 1) { ...F } }', '{ ...on Query { nothing } }', '{ ... { books { nodes { ...{ nothing } } } } }',
  ],
  'fields can merge (5.3.2)': [
    '{ book(id: 1) { id } book(id: 1) { title } }', '{ book(id: 1) { id } book(id: 2) { id } }', '{ a: book(id: 1) { id } a: author(id: 1) { id } }',
    '{ book(id: "a") { t: title } book(id: "a") { t: language } }', '{ book(id: "a") { t: title } book(id: "a") { t: title } }',
    '{ books(first: 5) { n: totalCount } books(first: 5) { n: nodes { id } } }', '{ books(first: 5) { totalCount } books { totalCount } }',
    '{ books(first: 5, last: 1) { totalCount } books(last: 1, first: 5) { totalCount } }',
    '{ nodes(ids: [1]) { id } nodes(ids: [1, 2]) { id } }', '{ nodes(ids: [1, 2]) { id } nodes(ids: [2, 1]) { id } }', '{ nodes(ids: [1]) { id } nodes(ids: 1) { id } }',
    '{ nodes(ids: []) { id } nodes(ids: [1]) { id } }', '{ nodes(ids: [[1], [2]]) { id } }',
    '{ books(filter: { year: { min: 1, max: 2 } }) { totalCount } books(filter: { year: { max: 2, min: 1 } }) { totalCount } }',
    '{ books(filter: { year: { min: 1 } }) { totalCount } books(filter: { year: { min: 2 } }) { totalCount } }',
    '{ books(filter: {}) { totalCount } books { totalCount } }', '{ books(first: null) { totalCount } books { totalCount } }',
    'query ($n: Int) { books(first: $n) { totalCount } books(first: $n) { totalCount } }', 'query ($n: Int, $m: Int) { books(first: $n) { totalCount } books(first: $m) { totalCount } }',
    'query ($n: Int = 1) { books(first: $n) { totalCount } books(first: 1) { totalCount } }',
    '{ node(id: 1) { ...on Book { x: title } ...on Author { x: name } } }', '{ node(id: 1) { ...on Book { x: title } ...on Author { x: books { totalCount } } } }',
    '{ node(id: 1) { ...on Book { x: title } ...on Author { x: id } } }', '{ node(id: 1) { ...on Book { x: pages } ...on Author { x: name } } }',
    '{ node(id: 1) { ...on Book { x: authors { name } } ...on Author { x: books { totalCount } } } }',
    '{ node(id: 1) { x: id ...on Book { x: title } } }', '{ node(id: 1) { x: id ...on Book { x: id } } }', '{ node(id: 1) { ...on Book { x: pages } ...on Book { x: publishedYear } } }',
    '{ node(id: 1) { ...on Author { books(first: 1) { totalCount } } ...on Author { books(first: 2) { totalCount } } } }',
    '{ ...A ...B } fragment A on Query { b: books(first: 1) { totalCount } } fragment B on Query { b: books(first: 2) { totalCount } }',
    '{ ...A ...A } fragment A on Query { b: books(first: 1) { totalCount } }', '{ books { nodes { authors { n: name } } nodes { authors { n: id } } } }',
    '{ books { nodes { ...A } } books { nodes { ...B } } } fragment A on Book { t: title } fragment B on Book { t: id }',
    '{ books { nodes { title } edges { node { title } } } books { edges { cursor node { id } } } }',
    'mutation { createBook(input: { title: "a" }) { id } createBook(input: { title: "b" }) { id } }', 'mutation { createBook(input: { title: "a" }) { id } createBook(input: { title: "a" }) { title } }',
    '{ __typename __typename }', '{ a: __typename a: __typename }', '{ a: __typename a: books { totalCount } }', '{ a: __typename @skip(if: true) a: books { totalCount } @skip(if: false) }',
    '{ book(id: 1) @skip(if: true) { id } book(id: 1) @include(if: true) { id } }', '{ x: books { totalCount } ... @skip(if: true) { x: authors { totalCount } } }',
  ],
  'leaf fields (5.3.3)': [
    '{ books }', '{ books { nodes } }', '{ books { totalCount { x } } }', '{ book(id: 1) { title { x } } }', '{ __typename { x } }', '{ book(id: 1) {} }',
    '{ node(id: 1) }', '{ __schema }', '{ __type(name: "Book") { kind { x } } }', 'mutation { deleteBook(id: 1) { id } }', 'mutation { createBook(input: { title: "x" }) }',
  ],
  'argument names (5.4.1)': [
    '{ book(ident: 1) { id } }', '{ book(id: 1, more: 2) { id } }', '{ book(id: 1) { title(x: 1) } }', '{ __typename(x: 1) }', '{ __type(nam: "Book") { name } }',
    '{ __typename @skip(unless: true) }', '{ __typename @include(if: true, x: 1) }', '{ books { nodes(x: 1) { id } } }',
  ],
  'argument uniqueness (5.4.2)': [
    '{ book(id: 1, id: 1) { id } }', '{ books(first: 1, first: 2) { totalCount } }', '{ __typename @skip(if: true, if: true) }', '{ books(first: 1, last: 1) { totalCount } }',
  ],
  'required arguments (5.4.3)': [
    '{ book { id } }', '{ nodes { id } }', '{ book(id: null) { id } }', '{ search { totalCount } }', '{ __type { name } }', 'mutation { createBook { id } }',
    '{ __typename @skip }', '{ __typename @include(if: null) }', 'query ($i: ID!) { book(id: $i) { id } }', '{ books(first: null) { totalCount } }',
  ],
  'fragment names (5.5.1.1)': [
    '{ ...F } fragment F on Query { __typename } fragment F on Query { __typename }', '{ ...F ...f } fragment F on Query { __typename } fragment f on Query { __typename }',
  ],
  'fragment type existence and kind (5.5.1.2, 5.5.1.3)': [
    '{ ...F } fragment F on Nothing { __typename }', '{ ...on Nothing { __typename } }', '{ ...F } fragment F on Int { x }', '{ ...on BookFilter { year } }',
    '{ ...on BookOrderField { x } }', '{ book(id: 1) { ...on DateTime { x } } }', '{ ...on Node { id } }', '{ book(id: 1) { ...on Node { id } } }',
  ],
  'fragments are used (5.5.1.4)': [
    '{ __typename } fragment F on Query { __typename }', '{ ...F } fragment F on Query { ...G } fragment G on Query { __typename }', '{ ...F } fragment F on Query { __typename } fragment G on Query { ...G }',
    'fragment F on Query { __typename }', 'query A { ...F } query B { __typename } fragment F on Query { __typename }',
  ],
  'fragment spreads exist (5.5.2.1)': ['{ ...F }', '{ ...F } fragment F on Query { ...G }', '{ book(id: 1) { ...F } } fragment F on Book { title }', '{ ...on Query { ...F } }'],
  'no cycles (5.5.2.2)': [
    '{ ...F } fragment F on Query { ...F }', '{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }', '{ ...F } fragment F on Query { __typename ... { ...F } }',
    '{ book(id: 1) { ...F } } fragment F on Book { authors { ...G } } fragment G on Author { books { nodes { ...F } } }', '{ ...F ...F } fragment F on Query { __typename }',
    '{ ...F ...G } fragment F on Query { ...H } fragment G on Query { ...H } fragment H on Query { __typename }', '{ ...A } fragment A on Query { ...B } fragment B on Query { ...C } fragment C on Query { ...B }',
  ],
  'possible spreads (5.5.2.3)': [
    '{ book(id: 1) { ...on Author { name } } }', '{ book(id: 1) { ...on Book { title } } }', '{ node(id: 1) { ...on Query { __typename } } }', '{ node(id: 1) { ...on Node { id } } }',
    '{ book(id: 1) { ...F } } fragment F on Author { name }', '{ books { nodes { ...on Node { ...on Book { title } } } } }', '{ books { nodes { ...on Node { ...on Author { name } } } } }',
    '{ ...on Mutation { __typename } }', '{ books { ...on BookConnection { totalCount } } }', '{ books { ...on AuthorConnection { totalCount } } }', '{ books { pageInfo { ...on PageInfo { hasNextPage } } } }',
  ],
  'input objects (5.6.2, 5.6.3, 5.6.4)': [
    '{ books(filter: { nothing: 1 }) { totalCount } }', '{ books(filter: { year: { min: 1, min: 1 } }) { totalCount } }', '{ books(filter: { year: { min: 1 }, year: { min: 1 } }) { totalCount } }',
    '{ books(orderBy: {}) { totalCount } }', '{ books(orderBy: { direction: ASC }) { totalCount } }', '{ books(orderBy: { field: null }) { totalCount } }', '{ books(orderBy: { field: TITLE, direction: null }) { totalCount } }',
    'mutation { createBook(input: {}) { id } }', 'mutation { createBook(input: { title: "x", title: "x" }) { id } }', 'mutation { updateBook(id: 1, input: {}) { id } }', 'mutation { updateBook(id: 1, input: { title: null }) { id } }',
    'query ($f: BookFilter = { year: { min: 1, min: 2 } }) { books(filter: $f) { totalCount } }', '{ books(filter: { year: {}, pages: null, created: {} }) { totalCount } }',
    '{ books(filter: null) { totalCount } }', '{ authors(filter: { nameContains: "x" }) { totalCount } }', '{ authors(filter: { titleContains: "x" }) { totalCount } }',
  ],
  'oneOf (5.6.1)': [
    ...['{}', '{ id: 1 }', '{ name: "x" }', '{ id: 1, name: "x" }', '{ id: null }', '{ name: "x", id: null }', 'null', '[]', '[{ id: 1 }, { name: "x" }]', '[{ id: 1, name: "x" }]', '[{}]', '[null]', '{ other: 1 }', '"x"', '{ id: true }']
      .map((value) => `mutation { createBook(input: { title: "x", authors: ${value} }) { id } }`),
    ...['ID!', 'ID', 'String!', 'ID! = 1', '[ID!]!'].map((type) => `mutation ($v: ${type}) { createBook(input: { title: "x", authors: [{ id: $v }] }) { id } }`),
    ...['BookAuthorInput!', 'BookAuthorInput', '[BookAuthorInput!]', '[BookAuthorInput!]!', '[BookAuthorInput]', 'BookAuthorInput! = { id: 1 }', 'BookAuthorInput! = {}', 'BookAuthorInput! = { id: 1, name: "x" }']
      .flatMap((type) => ['$v', '[$v]'].map((use) => `mutation ($v: ${type}) { createBook(input: { title: "x", authors: ${use} }) { id } }`)),
  ],
  'custom scalars (5.6.1)': ['"2000-01-01T00:00:00Z"', '"2000-01-01T00:00:00.5+02:00"', '"yesterday"', '""', '1', 'true', '{}', '[]', 'X', 'null', '"2000-01-01"']
    .map((value) => `{ books(filter: { created: { from: ${value} } }) { totalCount } }`),
  'directives (5.7)': [
    '{ __typename @nothing }', '{ __typename @skip(if: true) }', '{ __typename @skip(if: true) @include(if: false) }', '{ __typename @skip(if: true) @skip(if: true) }', '{ __typename @deprecated }',
    '{ __typename @oneOf }', '{ __typename @specifiedBy(url: "x") }', '{ __typename @skip(if: "true") }', '{ __typename @skip(if: 1) }', 'query @skip(if: true) { __typename }', 'query @include(if: true) { __typename }',
    '{ ...F @skip(if: true) } fragment F on Query { __typename }', '{ ...F } fragment F on Query @skip(if: true) { __typename }', '{ ... @skip(if: true) { __typename } }', 'query ($v: Boolean @skip(if: true)) { __typename @skip(if: $v) }',
    '{ ...on Query @nothing { __typename } }', 'mutation @nothing { __typename }', 'query ($v: Boolean!) { __typename @skip(if: $v) }', 'query ($v: Boolean) { __typename @skip(if: $v) }', 'query ($v: Boolean = false) { __typename @skip(if: $v) }',
    'query ($v: Boolean = null) { __typename @skip(if: $v) }', 'query ($v: String!) { __typename @skip(if: $v) }', '{ __typename @defer }', '{ ... @defer { __typename } }', '{ books @stream { totalCount } }',
  ],
  'variables (5.8)': [
    'query ($a: Int, $a: Int) { books(first: $a) { totalCount } }', 'query ($a: Int, $b: Int) { books(first: $a, last: $b) { totalCount } }', 'query ($a: Book) { __typename }', 'query ($a: Nothing) { __typename }', 'query ($a: Node) { __typename }',
    'query ($a: [BookConnection!]) { __typename }', 'query ($a: BookFilter) { books(filter: $a) { totalCount } }', '{ books(first: $a) { totalCount } }', 'query ($a: Int) { __typename }', 'query ($a: Int) { ...F } fragment F on Query { books(first: $a) { totalCount } }',
    '{ ...F } fragment F on Query { books(first: $a) { totalCount } }', 'query A ($a: Int) { ...F } query B { ...F } fragment F on Query { books(first: $a) { totalCount } }', 'query A ($a: Int) { ...F } query B ($a: String) { ...F } fragment F on Query { books(first: $a) { totalCount } }',
    'query ($a: Int) { __typename @skip(if: $a) }', 'query ($a: Boolean!) { books @include(if: $a) { totalCount } }', 'query ($a: Int) { books(filter: { year: { min: $a } }) { totalCount } }', 'query ($a: String) { books(filter: { year: { min: $a } }) { totalCount } }',
    'query ($a: Int!) { books(filter: { year: { min: $a } }) { totalCount } }', 'query ($a: [Int]) { books(filter: { year: { min: $a } }) { totalCount } }', 'query ($a: BookOrderField) { books(orderBy: { field: $a }) { totalCount } }',
    'query ($a: BookOrderField!) { books(orderBy: { field: $a }) { totalCount } }', 'query ($a: BookOrderField = TITLE) { books(orderBy: { field: $a }) { totalCount } }', 'query ($a: BookOrderField = null) { books(orderBy: { field: $a }) { totalCount } }',
    'query ($a: BookOrderField = "TITLE") { books(orderBy: { field: $a }) { totalCount } }', 'query ($a: OrderDirection) { books(orderBy: { field: TITLE, direction: $a }) { totalCount } }', 'query ($a: OrderDirection) { books(orderBy: { field: $a }) { totalCount } }',
    'query ($a: Int = "1") { books(first: $a) { totalCount } }', 'query ($a: Int! = null) { books(first: $a) { totalCount } }', 'query ($a: ID = null) { book(id: $a) { id } }', 'query ($a: ID = "x") { book(id: $a) { id } }', 'query ($a: ID! = 7) { book(id: $a) { id } }',
    'query ($a: String!) { book(id: $a) { id } }', 'query ($a: Int!) { book(id: $a) { id } }', 'query ($a: [ID!]!) { book(id: $a) { id } }', 'query ($a: ID!) { nodes(ids: $a) { id } }', 'query ($a: ID!) { nodes(ids: [$a]) { id } }', 'query ($a: ID) { nodes(ids: [$a]) { id } }',
    'query ($a: ID = "x") { nodes(ids: [$a]) { id } }', 'query ($a: [ID!]) { nodes(ids: $a) { id } }', 'query ($a: [ID]!) { nodes(ids: $a) { id } }', 'query ($a: [ID!]! = []) { nodes(ids: $a) { id } }', 'query ($a: [[ID!]!]!) { nodes(ids: $a) { id } }', 'query ($a: [ID!]!) { nodes(ids: [$a]) { id } }',
    'query ($a: DateTime) { books(filter: { created: { from: $a } }) { totalCount } }', 'query ($a: String) { books(filter: { created: { from: $a } }) { totalCount } }', 'mutation ($a: String!) { createBook(input: { title: $a }) { id } }', 'mutation ($a: String) { createBook(input: { title: $a }) { id } }',
    'mutation ($a: String = "x") { createBook(input: { title: $a }) { id } }', 'mutation ($a: String = null) { createBook(input: { title: $a }) { id } }', 'mutation ($a: CreateBookInput) { createBook(input: $a) { id } }', 'mutation ($a: UpdateBookInput!) { createBook(input: $a) { id } }',
  ],
};

/** Literals of every kind. */
const LITERALS = ['1', '3000000000', '1.5', '"x"', 'true', 'TITLE', 'null', '[]', '[1]', '["x"]', '[null]', '[[1]]', '{}', '{ field: TITLE }', '{ title: "x" }'];

const minimal = (type) => (isLeafType(getNamedType(type)) ? '' : ' { __typename }');

/** The least value of an input type, as a literal. */
function least(type) {
  const named = getNamedType(type);
  if (isEnumType(named)) return named.getValues()[0].name;
  if (isInputObjectType(named)) {
    const fields = Object.values(named.getFields());
    const required = named.isOneOf ? [fields[0]] : fields.filter((field) => isNonNullType(field.type));
    return `{ ${required.map((field) => `${field.name}: ${least(field.type)}`).join(', ')} }`;
  }
  return { Int: '1', Boolean: 'true', DateTime: '"2000-01-01T00:00:00Z"' }[named.name] ?? '"x"';
}

/** A field with its required arguments, but for `given`. */
function call(field, given = {}) {
  const required = Object.fromEntries(field.args.filter((arg) => isNonNullType(arg.type)).map((arg) => [arg.name, least(arg.type)]));
  const args = Object.entries({ ...required, ...given }).map(([name, value]) => `${name}: ${value}`);
  return field.name + (args.length > 0 ? `(${args.join(', ')})` : '') + minimal(field.type);
}

/** Ways from a root to each object type: what stands around a selection on it. */
const WAYS = {
  Query: ['{ ', ' }'], Mutation: ['mutation { ', ' }'], Book: ['{ book(id: 1) { ', ' } }'], Author: ['{ author(id: 1) { ', ' } }'], PageInfo: ['{ books { pageInfo { ', ' } } }'],
  Subscription: ['subscription { ', ' }'], BookChange: ['subscription { bookChanged { ', ' } }'],
  BookConnection: ['{ books { ', ' } }'], BookEdge: ['{ books { edges { ', ' } } }'], AuthorConnection: ['{ authors { ', ' } }'], AuthorEdge: ['{ authors { edges { ', ' } } }'],
};

function* made(schema) {
  for (const type of Object.values(schema.getTypeMap()).filter((it) => isObjectType(it) && !it.name.startsWith('__'))) {
    const [before, after] = WAYS[type.name];
    for (const field of Object.values(type.getFields())) {
      yield before + call(field) + after;
      // A leaf with a selection, and an object without.
      yield before + call(field).replace(' { __typename }', '') + (minimal(field.type) ? '' : ' { __typename }') + after;
      yield `${before}...F${after} fragment F on ${type.name} { x: ${call(field)} }`;
      for (const arg of field.args) {
        for (const literal of LITERALS) yield before + call(field, { [arg.name]: literal }) + after;
        for (const variable of ['Int', 'String!', 'ID!', '[ID!]!', 'BookFilter', 'BookOrder', 'CreateBookInput!', `${getNamedType(arg.type).name}!`]) {
          yield `${before.startsWith('{') ? 'query ' : ''}${before.replace('{', `($v: ${variable}) {`)}${call(field, { [arg.name]: '$v' })}${after}`;
        }
      }
    }
  }
  for (const type of Object.values(schema.getTypeMap()).filter((it) => isInputObjectType(it))) {
    for (const field of Object.values(type.getFields())) {
      for (const literal of LITERALS) yield `query ($v: ${type.name} = { ${field.name}: ${literal} }) { __typename @skip(if: true) }`;
    }
  }
}

/** Every document with its rule. */
export function corpus(schema) {
  const written = Object.entries(WRITTEN).flatMap(([rule, texts]) => texts.map((text) => ({ rule, text })));
  const texts = new Set(made(schema));
  return [...written, ...[...texts].map((text) => ({ rule: 'made from the schema', text }))];
}
