//! The writing roots. Each is one transaction, or one statement.

use async_graphql::{Context, ID, Object};
use entity::book;

use crate::{
    catalog::{
        authors,
        books::{self, input::NewBook},
        metrics,
    },
    error::Result,
    graphql::{
        compat::resolve_inline::ResolveInline,
        context::{FieldContext, ParentType, resolve},
        input::{CreateAuthorInput, CreateBookInput, UpdateAuthorInput, UpdateBookInput},
        node::GlobalId,
        types::{Author, Book},
    },
    security::Scope,
};

/// What can be changed.
pub struct Mutation;

/// What can be changed. The fields of one mutation are executed one after the other.
#[Object]
impl Mutation {
    /// Enters a book.
    async fn create_book(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The book.")] input: CreateBookInput,
    ) -> Result<ResolveInline<Book>> {
        resolve(context, ParentType::Mutation(Scope::Write), async |call| {
            let book = input.into_book().map_err(|error| error.with_path_prefix(["input"]))?;
            let book =
                create(&call, book).await.map_err(|error| error.with_path_prefix(["input"]))?;
            metrics::created(1);
            Ok(ResolveInline::of(book))
        })
        .await
    }

    /// Changes a book: a field left out stays as it is, a field that is null is cleared.
    async fn update_book(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The book's global id.")] id: ID,
        #[graphql(desc = "The changes.")] input: UpdateBookInput,
        #[graphql(
            desc = "Change it only if it is still at this version; else the error is CONFLICT."
        )]
        expected_version: Option<i32>,
    ) -> Result<ResolveInline<Book>> {
        resolve(context, ParentType::Mutation(Scope::Write), async |call| {
            let row = GlobalId::book(&id, "id")?;
            let patch = input.into_patch().map_err(|error| error.with_path_prefix(["input"]))?;
            let tx = call.begin().await?;
            let book = books::update(&tx, row, patch, expected_version)
                .await
                .map_err(|error| error.with_path_prefix(["input"]))?;
            tx.commit().await?;
            metrics::updated(1);
            Ok(ResolveInline::of(book))
        })
        .await
    }

    /// Deletes a book and answers its id. Its authors stay.
    async fn delete_book(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The book's global id.")] id: ID,
        #[graphql(
            desc = "Delete it only if it is still at this version; else the error is CONFLICT."
        )]
        expected_version: Option<i32>,
    ) -> Result<ID> {
        resolve(context, ParentType::Mutation(Scope::Write), async |call| {
            let row = GlobalId::book(&id, "id")?;
            let tx = call.begin().await?;
            books::delete(&tx, row, expected_version).await?;
            tx.commit().await?;
            metrics::deleted(1);
            Ok(id)
        })
        .await
    }

    /// Enters an author.
    async fn create_author(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The author.")] input: CreateAuthorInput,
    ) -> Result<ResolveInline<Author>> {
        resolve(context, ParentType::Mutation(Scope::Write), async |call| {
            let tx = call.begin().await?;
            let author = authors::create(&tx, &input.name)
                .await
                .map_err(|error| error.with_path_prefix(["input"]))?;
            tx.commit().await?;
            Ok(ResolveInline::of(author))
        })
        .await
    }

    /// Renames an author.
    async fn update_author(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The author's global id.")] id: ID,
        #[graphql(desc = "The changes.")] input: UpdateAuthorInput,
    ) -> Result<ResolveInline<Author>> {
        resolve(context, ParentType::Mutation(Scope::Write), async |call| {
            let row = GlobalId::author(&id, "id")?;
            let tx = call.begin().await?;
            let author = authors::rename(&tx, row, &input.name)
                .await
                .map_err(|error| error.with_path_prefix(["input"]))?;
            tx.commit().await?;
            Ok(ResolveInline::of(author))
        })
        .await
    }

    /// Deletes an author of no book and answers the id. While books refer to the author, the
    /// error is CONFLICT.
    async fn delete_author(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The author's global id.")] id: ID,
    ) -> Result<ID> {
        resolve(context, ParentType::Mutation(Scope::Write), async |call| {
            let row = GlobalId::author(&id, "id")?;
            let tx = call.begin().await?;
            authors::delete(&tx, row).await?;
            tx.commit().await?;
            Ok(id)
        })
        .await
    }
}

async fn create(call: &FieldContext, book: NewBook) -> Result<book::Model> {
    if book.authors.is_empty() {
        return books::create_standalone(&call.writer(), book).await;
    }
    // In a box: all mutations would be as large as this.
    Box::pin(async {
        let tx = call.begin().await?;
        let book = books::create(&tx, book).await?;
        tx.commit().await?;
        Ok(book)
    })
    .await
}
