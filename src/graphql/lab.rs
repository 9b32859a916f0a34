//! The laboratory: fields that misbehave on purpose, so that one can see what each kind of trouble
//! looks like in a trace, on the dashboards and in tokio-console. Served only if asked for and
//! only on loopback.

use std::{
    future::pending,
    hint::black_box,
    thread::{available_parallelism, sleep as block},
    time::{Duration, Instant},
};

use async_graphql::{Context, Object};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::{
    sync::Mutex,
    task::{JoinSet, yield_now},
    time::sleep,
};

use crate::{
    catalog::{
        authors,
        books::{self, filter::BookFilter, order::BookOrder},
        pagination::PageArgs,
    },
    database::Session,
    error::{Error, Result},
    graphql::context::resolve_query,
};

/// Fields that misbehave, for so many milliseconds: 200 if nothing is said, 10000 at most.
#[derive(Default)]
pub struct Lab;

/// What [`Lab::lab_lock`] waits for.
static LOCK: Mutex<()> = Mutex::const_new(());

/// Fields that misbehave.
#[Object]
impl Lab {
    /// Blocks a worker, as a synchronous call in an asynchronous resolver does.
    async fn lab_block(&self, context: &Context<'_>, ms: Option<i32>) -> Result<bool> {
        resolve_query(context, async |_| {
            block(time(ms)?);
            Ok(true)
        })
        .await
    }

    /// Computes without ever giving way.
    async fn lab_spin(&self, context: &Context<'_>, ms: Option<i32>) -> Result<bool> {
        resolve_query(context, async |_| {
            spin(time(ms)?);
            Ok(true)
        })
        .await
    }

    /// Panics.
    async fn lab_panic(&self, context: &Context<'_>) -> Result<bool> {
        resolve_query(context, async |_| panic!("the laboratory was asked to panic")).await
    }

    /// Waits for a timer.
    async fn lab_sleep(&self, context: &Context<'_>, ms: Option<i32>) -> Result<bool> {
        resolve_query(context, async |_| {
            sleep(time(ms)?).await;
            Ok(true)
        })
        .await
    }

    /// Waits for a slow SQL statement. On SQLite, which cannot wait, it counts that long, about.
    async fn lab_slow_sql(&self, context: &Context<'_>, ms: Option<i32>) -> Result<bool> {
        resolve_query(context, async |call| {
            slow_statement(&call.reader(), time(ms)?).await?;
            Ok(true)
        })
        .await
    }

    /// Waits for a lock, and then holds it for that long.
    async fn lab_lock(&self, context: &Context<'_>, ms: Option<i32>) -> Result<bool> {
        resolve_query(context, async |_| {
            let time = time(ms)?;
            let _held = LOCK.lock().await;
            sleep(time).await;
            Ok(true)
        })
        .await
    }

    /// Spawns a task that nobody waits for and that never ends.
    async fn lab_leak(&self, context: &Context<'_>) -> Result<bool> {
        resolve_query(context, async |_| {
            runtime_insight::spawn("lab leak", pending::<()>());
            Ok(true)
        })
        .await
    }

    /// Reads the authors of so many books by one statement for each book.
    async fn lab_n_plus_one(&self, context: &Context<'_>, first: Option<i32>) -> Result<usize> {
        resolve_query(context, async |call| {
            let args = PageArgs::from_relay((first, None), (None, None), "lab")?;
            let (filter, order) = (BookFilter::default(), BookOrder::default());
            let page = books::list(&call.reader(), &filter, order, &args).await?;
            let mut count = 0;
            for (_, book) in page.items {
                let of_one = authors::of_books(&call.reader(), &[book.id]).await?;
                count += of_one.values().map(Vec::len).sum::<usize>();
            }
            Ok(count)
        })
        .await
    }

    /// Takes every connection of the pool that reads, and keeps them for that long.
    async fn lab_exhaust_pool(&self, context: &Context<'_>, ms: Option<i32>) -> Result<bool> {
        resolve_query(context, async |call| {
            call.occupy_pool(time(ms)?).await?;
            Ok(true)
        })
        .await
    }

    /// Spawns more tasks that compute than there are workers, which give way every few
    /// milliseconds: others get a worker, but late.
    async fn lab_starve(&self, context: &Context<'_>, ms: Option<i32>) -> Result<bool> {
        resolve_query(context, async |_| {
            /// Short enough to be no slow poll.
            const SLICE: Duration = Duration::from_millis(5);
            let until = Instant::now() + time(ms)?;
            let mut set = JoinSet::new();
            for _ in 0..available_parallelism().map_or(2, usize::from) * 4 {
                let work = async move {
                    while Instant::now() < until {
                        spin(SLICE);
                        yield_now().await;
                    }
                };
                runtime_insight::spawn_in(&mut set, "lab starve", work);
            }
            set.join_all().await;
            Ok(true)
        })
        .await
    }
}

fn time(ms: Option<i32>) -> Result<Duration> {
    let ms = u64::try_from(ms.unwrap_or(200)).ok().filter(|ms| *ms <= 10_000);
    ms.map(Duration::from_millis).ok_or_else(|| Error::invalid(["ms"], "must be from 0 to 10000"))
}

fn spin(time: Duration) {
    let until = Instant::now() + time;
    let mut sum = 0_u64;
    while Instant::now() < until {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(1));
    }
}

async fn slow_statement(db: &Session<'_>, time: Duration) -> Result<()> {
    /// What SQLite counts to in a millisecond, roughly.
    const COUNTS: u64 = 4000;
    let backend = db.get_database_backend();
    let statement = if backend == DbBackend::Postgres {
        let sql = "SELECT pg_sleep($1)::text";
        Statement::from_sql_and_values(backend, sql, [time.as_secs_f64().into()])
    } else {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
                   SELECT count(*) FROM n";
        let count = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_mul(COUNTS);
        Statement::from_sql_and_values(backend, sql, [count.into()])
    };
    db.query_one_raw(statement).await?;
    Ok(())
}
