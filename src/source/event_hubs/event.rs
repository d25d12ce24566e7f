//! One event as it comes: its bytes, its number and its offset.

use bytes::Bytes;
use fe2o3_amqp::Delivery;
use fe2o3_amqp_types::messaging::annotations::OwnedKey;
use fe2o3_amqp_types::messaging::{Body, MessageAnnotations};
use fe2o3_amqp_types::primitives::{Symbol, Value};

/// An event.
pub struct Event {
    /// Its sequence number and its offset, the service's own text; `None` when it does not carry both.
    pub place: Option<(i64, String)>,
    /// Its body.
    pub body: Bytes,
}

impl Event {
    /// Of a delivery.
    pub fn of(delivery: Delivery<Body<Value>>) -> Self {
        let message = delivery.into_message();
        let place = message.message_annotations.as_ref().and_then(place);
        Self { place, body: bytes(message.body) }
    }
}

fn place(annotations: &MessageAnnotations) -> Option<(i64, String)> {
    let annotation = |name: &str| annotations.0.get(&OwnedKey::Symbol(Symbol::from(name)));
    let Value::Long(sequence) = annotation("x-opt-sequence-number")? else { return None };
    let offset = match annotation("x-opt-offset")? {
        Value::String(text) => text.clone(),
        Value::Long(number) => number.to_string(),
        _ => return None,
    };
    Some((*sequence, offset))
}

/// The bytes of a body; of an AMQP value that is neither bytes nor text, its description.
fn bytes(body: Body<Value>) -> Bytes {
    match body {
        Body::Data(sections) => {
            let mut sections = sections.into_iter().map(|section| section.0.into_vec());
            let first = sections.next().unwrap_or_default();
            Bytes::from(sections.fold(first, |mut all, next| {
                all.extend(next);
                all
            }))
        }
        Body::Value(value) => match value.0 {
            Value::Binary(bytes) => Bytes::from(bytes.into_vec()),
            Value::String(text) => Bytes::from(text),
            other => Bytes::from(format!("{other:?}")),
        },
        Body::Sequence(sections) => {
            Bytes::from(format!("{:?}", sections.into_iter().map(|section| section.0).collect::<Vec<_>>()))
        }
        Body::Empty => Bytes::new(),
    }
}
