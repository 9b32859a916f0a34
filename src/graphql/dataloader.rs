//! Batching without waiting: an alternative to `async_graphql::dataloader`, whose loader waits a millisecond on a
//! timer of its own, a floor under the time of every nested query. Here the keys that the fields of one level ask
//! for are collected while the operation's future is polled; when it cannot go further, every sibling has asked, and
//! the batches are sent off at once (`scheduler`).

mod scheduler;

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use graphql_telemetry::graphql::{Field, RequestingFields};
use tokio::sync::oneshot;

pub use self::scheduler::BatchScheduler;
use self::scheduler::Completion;
use crate::{
    database::{Database, Session},
    error::{Error, Result},
};

/// Loads the values of many keys at once.
pub trait Loader: Send + Sync + 'static {
    /// What a value is loaded by.
    type Key: Clone + Eq + Hash + Send + 'static;
    /// What is loaded.
    type Value: Clone + Send + 'static;
    /// Names the batch's task and span.
    const NAME: &'static str;

    /// The values of those keys that have one. Its statements are children of the batch's span.
    fn load(
        db: &Session<'_>,
        keys: Vec<Self::Key>,
    ) -> impl Future<Output = Result<HashMap<Self::Key, Self::Value>>> + Send;
}

/// The loaders of one operation, each made when it is first used.
pub struct Loaders {
    db: Database,
    scheduler: BatchScheduler,
    by_type: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Loaders {
    /// Loaders of values in `db`, whose batches `scheduler` drives.
    #[must_use]
    pub fn new(db: Database, scheduler: BatchScheduler) -> Self {
        Self { db, scheduler, by_type: Mutex::default() }
    }

    /// The loader of this type.
    ///
    /// # Panics
    /// Never: what is kept for a type is of that type.
    pub fn get<L: Loader>(&self) -> Arc<DataLoader<L>> {
        let mut by_type = self.by_type.lock().unwrap_or_else(PoisonError::into_inner);
        let loader = by_type.entry(TypeId::of::<L>()).or_insert_with(|| {
            Arc::new(DataLoader::<L>::new(self.db.clone(), self.scheduler.clone()))
        });
        loader.clone().downcast().expect("a loader is kept by its type")
    }
}

/// Who waits for a batch: the fields that asked, and each call with the key it asked for.
struct Pending<L: Loader> {
    fields: RequestingFields,
    keys: HashMap<L::Key, Vec<Waiter<L>>>,
}

/// Takes the value of a key, if it has one.
type Waiter<L> = oneshot::Sender<Result<Option<<L as Loader>::Value>>>;

impl<L: Loader> Default for Pending<L> {
    fn default() -> Self {
        Self { fields: RequestingFields::default(), keys: HashMap::new() }
    }
}

/// Collects keys and loads them in batches. Made anew for each request, and it keeps nothing:
/// a mutation's later fields must see what its earlier ones did.
pub struct DataLoader<L: Loader> {
    db: Database,
    scheduler: BatchScheduler,
    pending: Arc<Mutex<Pending<L>>>,
}

impl<L: Loader> DataLoader<L> {
    /// A loader of values in `db`, whose batches `scheduler` drives.
    #[must_use]
    pub fn new(db: Database, scheduler: BatchScheduler) -> Self {
        Self { db, scheduler, pending: Arc::default() }
    }

    /// The value of `key`, loaded together with all keys that are asked for at the same time, by
    /// whichever field.
    ///
    /// # Errors
    /// The batch's error.
    pub async fn load_one(&self, field: &Arc<Field>, key: L::Key) -> Result<Option<L::Value>> {
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let first = pending.keys.is_empty();
            pending.fields.add(field);
            pending.keys.entry(key).or_default().push(sender);
            first
        };
        if first {
            let batch = run(self.db.clone(), self.pending.clone());
            self.scheduler.push(L::NAME, Box::pin(batch));
        }
        receiver.await.unwrap_or_else(|_| Err(Error::Internal(format!("{} panicked", L::NAME))))
    }
}

async fn run<L: Loader>(db: Database, pending: Arc<Mutex<Pending<L>>>) -> Completion {
    let Pending { fields, keys: waiting } =
        std::mem::take(&mut *pending.lock().unwrap_or_else(PoisonError::into_inner));
    let mut values = load::<L>(&db, &fields, waiting.keys().cloned().collect()).await;
    Box::new(move || {
        for (key, senders) in waiting {
            let value = match &mut values {
                Ok(values) => Ok(values.remove(&key)),
                Err(error) => Err(error.clone()),
            };
            for sender in senders {
                // Its field may be gone, if a sibling's error ended their parent.
                let _ = sender.send(value.clone());
            }
        }
    })
}

/// Loads a batch for those who asked for it.
///
/// # Errors
/// The batch's error.
pub async fn load<L: Loader>(
    db: &Database,
    fields: &RequestingFields,
    keys: Vec<L::Key>,
) -> Result<HashMap<L::Key, L::Value>> {
    let span = fields.batch(L::NAME, keys.len());
    let values = span.work(L::load(&db.reader(Some(span.context())), keys)).await;
    if let Err(error) = &values {
        span.fail(error);
    }
    values
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use futures_util::future::join_all;

    use super::*;
    use crate::config::Cli;

    async fn db() -> Database {
        let arguments = ["colophon", "--database-url", "sqlite::memory:"];
        Database::open(&Cli::parse_from(arguments).settings.database).await.unwrap()
    }

    /// The sizes of the batches of [`Double`].
    static SIZES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    struct Double;

    impl Loader for Double {
        type Key = u32;
        type Value = u32;
        const NAME: &'static str = "double";

        async fn load(_: &Session<'_>, keys: Vec<u32>) -> Result<HashMap<u32, u32>> {
            SIZES.lock().unwrap().push(keys.len());
            tokio::task::yield_now().await;
            Ok(keys.into_iter().filter(|key| *key != 7).map(|key| (key, key * 2)).collect())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn batches_siblings_of_each_level() {
        let scheduler = BatchScheduler::default();
        let loaders = Loaders::new(db().await, scheduler.clone());
        let field = Arc::new(Field::untraced());
        let level = async |key: u32| {
            let once = loaders.get::<Double>().load_one(&field, key % 50).await.unwrap();
            loaders.get::<Double>().load_one(&field, 1000 + once.unwrap_or_default()).await.unwrap()
        };
        // More than the library polls at a stretch, and than tokio lets one task do.
        let values = scheduler.drive(join_all((0..1000).map(level))).await;
        assert_eq!(values[3], Some(2012));
        assert_eq!(values[53], Some(2012));
        assert_eq!(values[7], Some(2000), "a key without a value has none");
        assert_eq!(*SIZES.lock().unwrap(), [50, 49]);
    }

    struct Unlucky;

    impl Loader for Unlucky {
        type Key = ();
        type Value = ();
        const NAME: &'static str = "unlucky";

        async fn load(_: &Session<'_>, _: Vec<()>) -> Result<HashMap<(), ()>> {
            panic!("unlucky")
        }
    }

    #[tokio::test]
    async fn returns_an_error_when_a_batch_panics() {
        let scheduler = BatchScheduler::default();
        let loader = DataLoader::<Unlucky>::new(db().await, scheduler.clone());
        let field = Arc::new(Field::untraced());
        let result = scheduler.drive(loader.load_one(&field, ())).await;
        assert!(matches!(result, Err(Error::Internal(_))));
    }
}
