// graphql-js over the service's own data: it selects, merges, skips and nulls, and asks the service only
// for one field at a time, in documents in which nothing is selected twice.
import { GraphQLError, buildSchema, execute, isScalarType } from 'graphql-reference';

const BOOK = 'id title pages isbn13 publishedYear language createdAt updatedAt version';
const AUTHOR = 'id name';
const PAGE = 'totalCount pageInfo { hasPreviousPage hasNextPage startCursor endCursor }';
const BOOKS = `${PAGE} edges { cursor node { __typename ${BOOK} } }`;
const AUTHORS = `${PAGE} edges { cursor node { __typename ${AUTHOR} } }`;
const NODE = `__typename id ...on Book { ${BOOK} } ...on Author { ${AUTHOR} }`;
const SELECTIONS = {
  book: `{ __typename ${BOOK} }`, bookByIsbn: `{ __typename ${BOOK} }`, author: `{ __typename ${AUTHOR} }`, node: `{ ${NODE} }`, nodes: `{ ${NODE} }`,
  books: `{ ${BOOKS} }`, authors: `{ ${AUTHORS} }`, search: `{ ${BOOKS} }`,
};

/** The schema as graphql-js has it, with the scalar that SDL cannot describe. */
export function schemaOf(sdl) {
  const schema = buildSchema(sdl);
  const dateTime = schema.getType('DateTime');
  if (!isScalarType(dateTime)) throw new Error('there is no DateTime');
  dateTime.parseValue = (value) => {
    if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value)) throw new GraphQLError('no DateTime');
    return value;
  };
  dateTime.parseLiteral = (node) => dateTime.parseValue(node.value === undefined || node.kind !== 'StringValue' ? undefined : node.value);
  return schema;
}

/** A function that executes documents on the data of the service at `url`. */
export function reference(schema, ask) {
  const cache = new Map();
  const fetched = (query, variables) => {
    const key = JSON.stringify([query, variables]);
    if (!cache.has(key)) cache.set(key, ask({ query, variables }));
    return cache.get(key);
  };
  const field = async (operation, variables, ...path) => {
    const { data, errors } = await fetched(operation, variables);
    if (errors) throw new GraphQLError(errors[0].message, { extensions: { code: errors[0].extensions.code } });
    return path.reduce((value, key) => value?.[key], data);
  };
  const call = (definition, args) => {
    const given = definition.args.filter((arg) => arg.name in args);
    const list = (text) => given.map(text).join(', ');
    const declared = given.length > 0 ? `(${list((arg) => `$${arg.name}: ${arg.type}`)})` : '';
    const passed = given.length > 0 ? `(${list((arg) => `${arg.name}: $${arg.name}`)})` : '';
    return { declared, passed };
  };
  const resolvers = {
    Query: (name) => (_, args, __, info) => {
      const { declared, passed } = call(info.parentType.getFields()[name], args);
      return field(`query ${declared} { ${name}${passed} ${SELECTIONS[name]} }`, args, name);
    },
    Author: (name) => name === 'books' && ((author, args, __, info) => {
      const { declared, passed } = call(info.parentType.getFields()[name], args);
      const variables = declared === '' ? '($of: ID!)' : declared.replace('(', '($of: ID!, ');
      return field(`query ${variables} { author(id: $of) { books${passed} { ${BOOKS} } } }`, { ...args, of: author.id }, 'author', 'books');
    }),
    Book: (name) => name === 'authors' && ((book) => field(`query ($of: ID!) { book(id: $of) { authors { __typename ${AUTHOR} } } }`, { of: book.id }, 'book', 'authors')),
    BookConnection: (name) => name === 'nodes' && ((page) => page.edges.map((edge) => edge.node)),
    AuthorConnection: (name) => name === 'nodes' && ((page) => page.edges.map((edge) => edge.node)),
  };
  for (const [type, resolver] of Object.entries(resolvers)) {
    for (const definition of Object.values(schema.getType(type).getFields())) {
      const resolve = resolver(definition.name);
      if (resolve) definition.resolve = resolve;
    }
  }
  return (document, variableValues) => execute({ schema, document, variableValues });
}
