//! What a look at a service or a receiver found, in words for a person.

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Good(String),
    /// A person has to do something; it says what.
    Bad(String),
}

impl Finding {
    /// Good or bad as the result is.
    pub fn of<E>(result: Result<String, E>, describe: impl FnOnce(&E) -> String) -> Self {
        match result {
            Ok(text) => Self::Good(text),
            Err(error) => Self::Bad(describe(&error)),
        }
    }
}
