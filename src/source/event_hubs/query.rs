//! `READ` at `$management`: what a hub or one of its partitions says of itself.

use fe2o3_amqp_management::error::Error;
use fe2o3_amqp_management::request::Request;
use fe2o3_amqp_management::response::Response;
use fe2o3_amqp_types::messaging::{ApplicationProperties, Message};
use fe2o3_amqp_types::primitives::{OrderedMap, Value};

/// Asks for a hub, or for one of its partitions.
pub struct Read {
    /// Its name.
    pub hub: String,
    /// The id of the partition.
    pub partition: Option<String>,
}

impl Request for Read {
    const OPERATION: &'static str = "READ";
    type Response = Reply;
    type Body = ();

    fn manageable_entity_type(&mut self) -> Option<String> {
        let kind = if self.partition.is_some() { "partition" } else { "eventhub" };
        Some(format!("com.microsoft:{kind}"))
    }

    fn encode_application_properties(&mut self) -> Option<ApplicationProperties> {
        let mut properties = ApplicationProperties::builder().insert("name", self.hub.as_str());
        if let Some(partition) = &self.partition {
            properties = properties.insert("partition", partition.as_str());
        }
        Some(properties.build())
    }

    fn encode_body(self) -> Self::Body {}
}

/// What it answers.
pub struct Reply(OrderedMap<String, Value>);

impl Response for Reply {
    const STATUS_CODE: u16 = 200;
    type Body = Option<OrderedMap<String, Value>>;
    type Error = Error;

    fn decode_message(message: Message<Self::Body>) -> Result<Self, Error> {
        Ok(Self(message.body.unwrap_or_default()))
    }
}

impl Reply {
    /// A whole number of any width.
    pub fn number(&self, key: &str) -> Option<i64> {
        match self.0.get(key)? {
            Value::Long(number) => Some(*number),
            Value::Int(number) => Some((*number).into()),
            Value::Uint(number) => Some((*number).into()),
            Value::Ulong(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<String> {
        text(self.0.get(key)?)
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        match self.0.get(key)? {
            Value::Array(array) => array.iter().map(text).collect(),
            Value::List(list) => list.iter().map(text).collect(),
            _ => None,
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Symbol(symbol) => Some(symbol.as_str().to_owned()),
        _ => None,
    }
}
