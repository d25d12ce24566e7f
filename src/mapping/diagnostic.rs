//! What is wrong with a mapping, and where.

use super::ast::Span;

/// One fault or warning.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Stable code, `M001`…
    pub code: &'static str,
    /// Faults refuse the set; warnings do not.
    pub level: Level,
    /// What is wrong, lower case, no final stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to do about it: shown at the caret.
    pub help: Option<String>,
}

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The set is refused.
    Error,
    /// Shown, not refused; an error with `--strict`.
    Warning,
}
