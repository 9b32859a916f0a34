//! Migrations. They are applied on a connection of their own: the library takes none but SeaORM's.

use entity::{author, book, book_author};
use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait, QuerySelect,
    RuntimeErr, SqliteTransactionMode, SqlxPostgresConnector, SqlxSqliteConnector,
    TransactionOptions, TransactionTrait,
    sqlx::{postgres::PgPoolOptions, sqlite::SqlitePoolOptions},
};

use graphql_telemetry::sea_orm::current;
use tracing::{Instrument, info_span};

use super::{Database, pool::driver::ConnectOptions};
use crate::error::Result;

/// Names our PostgreSQL advisory lock: "colophon" in ASCII.
const LOCK: i64 = i64::from_be_bytes(*b"colophon");

impl Database {
    /// Applies all migrations that have not been, in one transaction and under a lock, so that
    /// replicas may start together.
    ///
    /// # Errors
    /// If the database cannot be reached or a migration fails; then none of them is applied.
    pub async fn migrate_up(&self) -> Result<()> {
        // Without a transaction that writes: the role may be one that cannot.
        if self.migrations().await?.iter().any(|(_, is_applied)| !is_applied) {
            self.apply_migrations().instrument(info_span!("migrate database")).await?;
        }
        self.check_tables().await?;
        self.set_migrated(true);
        Ok(())
    }

    async fn apply_migrations(&self) -> Result<()> {
        let connection = self.connect().await?;
        let tx = self.begin_migration(&connection).await?;
        // Now that no other replica applies any.
        for migration in Migrator::get_pending_migrations_read_only(&tx).await? {
            let span = info_span!("apply migration", migration.name = migration.name());
            Migrator::up(&tx, Some(1)).instrument(span).await?;
        }
        self.commit_migration(connection, tx).await
    }

    /// Reads no row of each table, which fails if the role may not read it.
    async fn check_tables(&self) -> Result<()> {
        let parent = current();
        let session = self.reader(parent.as_ref());
        book::Entity::find().limit(0).all(&session).await?;
        author::Entity::find().limit(0).all(&session).await?;
        book_author::Entity::find().limit(0).all(&session).await?;
        Ok(())
    }

    /// Takes back the newest `steps` migrations, or all.
    ///
    /// # Errors
    /// If the database cannot be reached or a migration fails; then none of them is taken back.
    pub async fn migrate_down(&self, steps: Option<u32>) -> Result<()> {
        if !self.migrations().await?.iter().any(|(_, is_applied)| *is_applied) {
            return Ok(());
        }
        let connection = self.connect().await?;
        let tx = self.begin_migration(&connection).await?;
        Migrator::down(&tx, steps).await?;
        self.commit_migration(connection, tx).await?;
        self.set_migrated(false);
        Ok(())
    }

    /// The name of each migration, oldest first, and whether it is applied.
    ///
    /// # Errors
    /// If the database cannot be reached, or has migrations that this program does not know.
    pub async fn migrations(&self) -> Result<Vec<(String, bool)>> {
        let parent = current();
        let session = self.reader(parent.as_ref());
        let pending = Migrator::get_pending_migrations_read_only(&session).await;
        let pending = pending.map_err(|error| match error {
            // Its only one: migrations that are applied and unknown.
            DbErr::Custom(text) => DbErr::Migration(text),
            other => other,
        })?;
        let is_pending = |name: &str| pending.iter().any(|migration| migration.name() == name);
        let names = Migrator::migrations().into_iter().map(|migration| migration.name().to_owned());
        Ok(names.map(|name| (name.clone(), !is_pending(&name))).collect())
    }

    async fn begin_migration(
        &self,
        connection: &DatabaseConnection,
    ) -> Result<DatabaseTransaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let tx = connection.begin_with_options(options).await?;
        if self.0.target.is_server() {
            // Held until the transaction ends. `BEGIN IMMEDIATE` is the lock on SQLite.
            tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
        }
        self.forget_prepared(&tx).await?;
        Ok(tx)
    }

    async fn commit_migration(
        &self,
        connection: DatabaseConnection,
        tx: DatabaseTransaction,
    ) -> Result<()> {
        self.forget_prepared(&tx).await?;
        tx.commit().await?;
        // On SQLite, the last connection folds the write-ahead log into the file: this must not be it,
        // in a thread that ends with the process.
        Ok(connection.close().await?)
    }

    /// Deallocates what is prepared on a connection that a pooler shares between clients: SeaORM's
    /// statements have names, which are the same for each client.
    async fn forget_prepared(&self, tx: &DatabaseTransaction) -> Result<()> {
        if self.0.target.has_pooler() {
            tx.execute_unprepared("DEALLOCATE ALL").await?;
        }
        Ok(())
    }

    /// One connection.
    async fn connect(&self) -> Result<DatabaseConnection> {
        let failed = |error| DbErr::Conn(RuntimeErr::SqlxError(std::sync::Arc::new(error)));
        Ok(match &self.0.target {
            ConnectOptions::Postgres(server) => {
                let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(self.0.wait);
                let pool = pool.connect_with(server.options().clone()).await.map_err(failed)?;
                SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
            }
            ConnectOptions::Sqlite(options) => {
                let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(self.0.wait);
                let pool = pool.connect_with(options.clone()).await.map_err(failed)?;
                SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
            }
        })
    }
}
