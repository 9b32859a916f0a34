//! Batches of spans or log records in the form in which they are sent. The thread that makes an item
//! encodes it, at once and into memory that was allocated before; the exporters' thread adds what is
//! around the items.

use std::{cell::Cell, mem};

use opentelemetry_sdk::Resource;
use prost::bytes::{BufMut, Bytes, BytesMut};

use crate::{protobuf::Writer, queue::Batch};

thread_local! {
    static WRITER: Cell<Writer> = Cell::default();
}

/// A span or a log record, and who made it, as fields of `ScopeSpans` or `ScopeLogs`.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    scope: &'a [u8],
    item: &'a [u8],
}

/// Items of one export.
#[derive(Default)]
pub struct EncodedBatch {
    scopes: Vec<Scope>,
    count: usize,
    bytes: usize,
}

/// Items of one scope.
struct Scope {
    /// As a field of `ScopeSpans` or `ScopeLogs`.
    name: Bytes,
    items: BytesMut,
    /// How much of `items` is being sent.
    sent: usize,
}

impl Batch for EncodedBatch {
    type Item<'a> = Item<'a>;

    fn push(&mut self, Item { scope, item }: Item<'_>) {
        self.count += 1;
        self.bytes += item.len();
        if let Some(known) = self.scopes.iter_mut().find(|known| known.name == scope) {
            known.items.extend_from_slice(item);
        } else {
            let name = Bytes::copy_from_slice(scope);
            self.scopes.push(Scope { name, items: item.into(), sent: 0 });
        }
    }

    fn items(&self) -> usize {
        self.count
    }

    fn size_of(item: &Item<'_>) -> usize {
        item.item.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self) {
        (self.count, self.bytes) = (0, 0);
        for Scope { items, sent, .. } in &mut self.scopes {
            items.clear();
            // Nobody has what was sent any more: this is the same memory, and not a new one that
            // grows with the items.
            items.reserve(mem::take(sent));
        }
    }
}

impl<'a> Item<'a> {
    /// The item, as field 2 of `ScopeSpans` or `ScopeLogs`: those of several, one after the other, are
    /// the content of one.
    pub const fn encoded(&self) -> &'a [u8] {
        self.item
    }
}

/// Encodes what `item` writes, as made by what `scope` writes, and hands it to `receive`.
pub fn encode(
    scope: impl FnOnce(&mut Writer),
    item: impl FnOnce(&mut Writer),
    receive: impl FnOnce(Item<'_>),
) {
    // Taken and not borrowed: whatever happens here may make another item.
    let mut writer = WRITER.try_with(Cell::take).unwrap_or_default();
    writer.clear();
    writer.message(2, item);
    let length = writer.written().len();
    scope(&mut writer);
    let written = writer.written();
    let (scope, item) = written.split_at(written.len() - length);
    receive(Item { scope, item });
    // A thread that ends has no place for it any more.
    let _ = WRITER.try_with(|kept| kept.set(writer));
}

/// A whole `ExportTraceServiceRequest` or `ExportLogsServiceRequest`, in pieces: an export is the
/// memory in which its items were collected, and not a copy of it.
#[derive(Clone, Debug, Default)]
pub struct ExportRequest(Vec<Bytes>);

impl ExportRequest {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Its pieces, one after the other.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter()
    }

    /// All of it.
    pub fn whole(&self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.len());
        self.pieces().for_each(|piece| whole.put_slice(piece));
        whole.freeze()
    }

    /// Makes it the content of a message that is field `field` of another.
    fn within(&mut self, field: u32) {
        let mut head = Writer::default();
        head.head(field, self.len());
        self.0.insert(0, Bytes::copy_from_slice(head.written()));
    }
}

/// What is around the items of an export: whose they are. The same for spans and log records.
pub struct RequestBuilder {
    resource: Bytes,
}

impl RequestBuilder {
    /// For what `resource` makes.
    pub fn new(resource: &Resource) -> Self {
        let mut writer = Writer::default();
        writer.text(3, resource.schema_url().unwrap_or_default());
        writer.message(1, |inner| {
            for (key, value) in resource {
                inner.attribute(1, key.as_str(), |inner| inner.value(value));
            }
        });
        Self { resource: Bytes::copy_from_slice(writer.written()) }
    }

    /// Takes what is in the batch. Fields may come in any order: what is the same each time stands
    /// behind the items.
    pub fn build(&self, batch: &mut EncodedBatch) -> ExportRequest {
        let mut message = ExportRequest::default();
        // A scope may be there from a former batch.
        for Scope { name, items, sent } in &mut batch.scopes {
            if items.is_empty() {
                continue;
            }
            *sent = items.len();
            let mut of_scope = ExportRequest(vec![items.split().freeze(), name.clone()]);
            of_scope.within(2);
            message.0.append(&mut of_scope.0);
        }
        message.0.push(self.resource.clone());
        message.within(1);
        message
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{InstrumentationScope, KeyValue, Value};
    use opentelemetry_proto::{
        tonic::{
            collector::trace::v1::ExportTraceServiceRequest,
            common::v1::InstrumentationScope as ProtoScope, trace::v1::Span,
        },
        transform::common::tonic::ResourceAttributesWithSchema,
    };
    use prost::Message;

    use super::*;

    fn scope(version: &'static str) -> InstrumentationScope {
        InstrumentationScope::builder("colophon")
            .with_version(version)
            .with_schema_url("of the scope")
            .with_attributes([KeyValue::new("one", 1), KeyValue::new("two", 2)])
            .build()
    }

    fn push(batch: &mut EncodedBatch, version: &'static str, name: &str) {
        let (mut head, mut item) = (Writer::default(), Writer::default());
        let scope = scope(version);
        head.scope(&scope, scope.name());
        item.message(2, |to| to.text(5, name));
        batch.push(Item { scope: head.written(), item: item.written() });
    }

    #[test]
    fn the_envelope_holds_all_and_says_whose_it_is() {
        let long = "long".repeat(1000);
        let attributes = [KeyValue::new("service.name", "x"), KeyValue::new("long", long.clone())];
        let resource = Resource::builder_empty().with_schema_url(attributes, "its").build();
        let mut batch = EncodedBatch::default();
        push(&mut batch, "1", "first");
        push(&mut batch, "2", &long);
        push(&mut batch, "1", "");
        assert_eq!(batch.items(), 3);

        let request = RequestBuilder::new(&resource).build(&mut batch).whole();
        let whole = ExportTraceServiceRequest::decode(request).unwrap();
        let [spans] = &*whole.resource_spans else { panic!("{whole:?}") };
        let mut told = spans.resource.clone().unwrap().attributes;
        let mut expected = ResourceAttributesWithSchema::from(&resource).attributes.0;
        told.sort_by(|a, b| a.key.cmp(&b.key));
        expected.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!((told, &*spans.schema_url), (expected, "its"));
        let names = |spans: &[Span]| spans.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        let [first, second] = &*spans.scope_spans else { panic!("{spans:?}") };
        assert_eq!(names(&first.spans), ["first", ""]);
        assert_eq!(names(&second.spans), [long]);
        assert_eq!(first.scope, Some(ProtoScope::from((scope("1"), None))));
        assert_eq!(second.scope, Some(ProtoScope::from((scope("2"), None))));
        assert_eq!(first.schema_url, "of the scope");
    }

    #[test]
    fn reuses_a_batch_without_old_items() {
        let mut batch = EncodedBatch::default();
        push(&mut batch, "1", "old");
        push(&mut batch, "2", "old");
        batch.clear();
        push(&mut batch, "2", "new");
        let mut expected = EncodedBatch::default();
        push(&mut expected, "2", "new");
        let envelope = RequestBuilder::new(&Resource::builder_empty().build());
        assert_eq!(batch.items(), 1);
        assert_eq!(envelope.build(&mut batch).whole(), envelope.build(&mut expected).whole());
    }

    #[test]
    fn values_of_a_resource_may_be_arrays() {
        let array = Value::Array(vec![1, 2].into());
        let resource = Resource::builder_empty().with_attribute(KeyValue::new("a", array)).build();
        let request = RequestBuilder::new(&resource).build(&mut EncodedBatch::default()).whole();
        let whole = ExportTraceServiceRequest::decode(request).unwrap();
        let expected = ResourceAttributesWithSchema::from(&resource).attributes.0;
        assert_eq!(whole.resource_spans[0].resource.as_ref().unwrap().attributes, expected);
    }
}
