// What the clients with a cache ask, all of them alike.
export const PAGE = `query Page($after: String) {
  books(first: 20, after: $after, orderBy: {field: TITLE}) {
    totalCount
    edges { cursor node { id title } }
    pageInfo { hasPreviousPage hasNextPage startCursor endCursor }
  }
}`;
export const CREATE = `mutation Create($input: CreateBookInput!) { createBook(input: $input) { id title version } }`;
export const UPDATE = `mutation Update($id: ID!, $input: UpdateBookInput!, $expected: Int) {
  updateBook(id: $id, input: $input, expectedVersion: $expected) { id pages version }
}`;
