//! Work-arounds for async-graphql 7.2. Each has a test that fails when the library no longer needs it.
//!
//! | what the library does | what is done here | upstream | can go with |
//! |---|---|---|---|
//! | lists fields as they finish, not in the order of the document | [`completion`] puts them in order | [#1746] | 8.0 (rc.5 resolves in order again) |
//! | leaves a failed field out instead of making it null, and continues | [`completion`] propagates nulls | [#1746] | 8.0, where the first error ends its object; to be checked for nullable fields |
//! | responds with null for an object of which no field is left | [`completion`] makes it an empty object | none found | not known |
//! | executes a field once for each time it is selected, and joins the results by position | `documents` merges selections before execution | [#1840] for lists of lists | not known |
//! | makes a boxed future of each field of each object | [`resolve_inline`] resolves fields that do not wait where they stand | none found | not known; to be derived anew for 8.0 |
//! | converts any error with its text, unless the feature `custom-error-conversion` is set | `execution::errors` converts by hand, so that no text of an error reaches a client | - | 8.0 removes the feature: the compiler says so |
//!
//! [#1746]: https://github.com/async-graphql/async-graphql/pull/1746
//! [#1840]: https://github.com/async-graphql/async-graphql/issues/1840

pub mod completion;
pub mod resolve_inline;

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, SimpleObject};
    use serde_json::{Value, json};

    use crate::error::Error;

    #[derive(SimpleObject)]
    struct Leaf {
        field: i32,
    }

    #[derive(Default)]
    struct Query(AtomicU32);

    #[Object]
    #[expect(clippy::unused_async, reason = "the macro wants it")]
    impl Query {
        async fn calls(&self) -> u32 {
            self.0.fetch_add(1, Ordering::Relaxed)
        }
        async fn slow(&self) -> bool {
            tokio::time::sleep(Duration::from_millis(10)).await;
            true
        }
        async fn bad(&self) -> Result<Option<i32>, Error> {
            Err(Error::NotFound("it".into()))
        }
        async fn leaf(&self) -> Leaf {
            Leaf { field: 1 }
        }
    }

    async fn data(query: &str) -> Value {
        let schema = Schema::new(Query::default(), EmptyMutation, EmptySubscription);
        schema.execute(query).await.data.into_json().unwrap()
    }

    #[tokio::test]
    async fn the_library_lists_fields_as_they_finish() {
        let schema = Schema::new(Query::default(), EmptyMutation, EmptySubscription);
        let response = schema.execute("{ slow calls }").await;
        assert_eq!(
            serde_json::to_string(&response.data).unwrap(),
            r#"{"calls":0,"slow":true}"#,
            "fields are in order: `completion` need not put them in order"
        );
    }

    #[tokio::test]
    async fn the_library_leaves_a_failed_field_out() {
        let message = "a failed field is null: `completion` need not propagate nulls";
        assert_eq!(data("{ calls bad }").await, json!({ "calls": 0 }), "{message}");
    }

    #[tokio::test]
    async fn the_library_responds_with_null_for_an_object_without_fields() {
        let message = "an empty object is one: `completion` need not make it";
        let query = "{ leaf { field @skip(if: true) } }";
        assert_eq!(data(query).await, json!({ "leaf": null }), "{message}");
    }

    #[tokio::test]
    async fn the_library_executes_a_field_for_each_selection() {
        let schema = Schema::new(Query::default(), EmptyMutation, EmptySubscription);
        schema.execute("{ calls calls }").await;
        let third = schema.execute("{ calls }").await.data.into_json().unwrap();
        let message = "a field is executed once: `documents` need not merge selections";
        assert_eq!(third, json!({ "calls": 2 }), "{message}");
    }
}
