// The tabs that a first visit opens, in this order. GraphiQL names a tab after
// its operation; the title becomes a comment above it.
export const examples = [
  {
    title: 'List books',
    query: `# Run it with Ctrl-Enter. A filter narrows the list:
# {"author": "Austen", "year": {"max": 1899}}
# For the next page, copy endCursor into "after".
query ListBooks(
  $first: Int
  $after: String
  $filter: BookFilter
  $orderBy: BookOrder
) {
  books(
    first: $first
    after: $after
    filter: $filter
    orderBy: $orderBy
  ) {
    totalCount
    pageInfo {
      hasNextPage
      endCursor
    }
    nodes {
      id
      title
      isbn13
      publishedYear
      language
      authors {
        name
      }
    }
  }
}
`,
    variables: {
      first: 10,
      after: null,
      filter: {},
      orderBy: { field: 'TITLE', direction: 'ASC' },
    },
  },
  {
    title: 'Search',
    query: `query Search($query: String!, $first: Int) {
  search(query: $query, first: $first) {
    totalCount
    edges {
      cursor
      node {
        id
        title
        authors {
          name
        }
      }
    }
  }
}
`,
    variables: { query: 'pride', first: 10 },
  },
  {
    title: 'One book (by ISBN)',
    query: `query OneBookByIsbn($isbn: String!) {
  bookByIsbn(isbn: $isbn) {
    id
    title
    pages
    isbn13
    publishedYear
    language
    version
    createdAt
    updatedAt
    authors {
      id
      name
    }
  }
}
`,
    variables: { isbn: '978-0-14-143951-8' },
  },
  {
    title: 'Create a book',
    query: `# An author is either {"name": "..."} or {"id": "..."}.
mutation CreateBook($input: CreateBookInput!) {
  createBook(input: $input) {
    id
    version
    title
    isbn13
    authors {
      id
      name
    }
  }
}
`,
    variables: {
      input: {
        title: 'Northanger Abbey',
        authors: [{ name: 'Jane Austen' }],
        pages: 251,
        publishedYear: 1817,
        language: 'en',
      },
    },
  },
  {
    title: 'Update a book',
    query: `# Set "id", and "expectedVersion" to the version you read:
# the update is refused if the book changed in between.
# What "input" leaves out stays as it is.
mutation UpdateBook(
  $id: ID!
  $input: UpdateBookInput!
  $expectedVersion: Int
) {
  updateBook(
    id: $id
    input: $input
    expectedVersion: $expectedVersion
  ) {
    id
    version
    title
    pages
    updatedAt
  }
}
`,
    variables: { id: '', input: { pages: 435 }, expectedVersion: 1 },
  },
  {
    title: 'Follow changes',
    query: `# Run it, and then change a book in another tab of the browser.
subscription FollowChanges($ids: [ID!], $kinds: [ChangeKind!]) {
  bookChanged(ids: $ids, kinds: $kinds) {
    kind
    id
    version
    at
    book {
      title
      authors {
        name
      }
    }
  }
}
`,
    variables: { ids: null, kinds: null },
  },
];
