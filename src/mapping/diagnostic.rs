//! What is wrong with a mapping, and where, shown the way a compiler shows it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level as Mark, Renderer, Snippet};

use super::ast::{Sources, Span};

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

impl Diagnostic {
    /// A fault that refuses the set.
    #[must_use]
    pub fn error(code: &'static str, span: &Span, message: impl Into<String>) -> Self {
        Self { code, level: Level::Error, message: message.into(), span: span.clone(), help: None }
    }

    /// Something to look at that refuses nothing.
    #[must_use]
    pub fn warning(code: &'static str, span: &Span, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(code, span, message) }
    }

    /// The same with a text at the caret, if there is one.
    #[must_use]
    pub fn help(mut self, text: impl Into<Option<String>>) -> Self {
        self.help = text.into();
        self
    }
}

/// Whether anything among them refuses the set.
#[must_use]
pub fn any_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.level == Level::Error)
}

/// All of them as text, one block each with a blank line between, in the order of files and lines.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut ordered: Vec<&Diagnostic> = Vec::with_capacity(diagnostics.len());
    for diagnostic in diagnostics {
        // A fragment that several mappings include shows its faults once.
        if !ordered.contains(&diagnostic) {
            ordered.push(diagnostic);
        }
    }
    ordered.sort_by_key(|diagnostic| (diagnostic.span.file, diagnostic.span.range.start));
    let blocks: Vec<String> = ordered.into_iter().map(|each| block(each, sources, &renderer)).collect();
    blocks.join("\n\n")
}

fn block(diagnostic: &Diagnostic, sources: &Sources, renderer: &Renderer) -> String {
    let mark = match diagnostic.level {
        Level::Error => Mark::ERROR,
        Level::Warning => Mark::WARNING,
    };
    let title = mark.primary_title(&diagnostic.message).id(diagnostic.code);
    let group = match sources.files.get(diagnostic.span.file) {
        Some((path, text)) => {
            let annotation = AnnotationKind::Primary
                .span(visible(text, &diagnostic.span.range))
                .label(diagnostic.help.as_deref());
            title.element(Snippet::source(text.as_ref()).path(path.as_str()).annotation(annotation))
        }
        None => Group::with_title(title),
    };
    renderer.render(&[group])
}

/// The part of a range that can be underlined on one line, on character boundaries.
fn visible(text: &str, range: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start.min(text.len()));
    let end = text.ceil_char_boundary(range.end.clamp(start, text.len()));
    let line = text[start..end].find('\n').map_or(end, |length| start + length);
    start..line
}

/// Line and column, both from 1, the column in characters.
#[must_use]
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset.min(text.len()))];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.bytes().filter(|byte| *byte == b'\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// An inline test of a mapping fails.
pub const TEST_FAILED: &str = "M040";
/// Not valid TOML.
pub const SYNTAX: &str = "M001";
/// A section, key or option that does not exist.
pub const UNKNOWN_KEY: &str = "M002";
/// A TOML value of the wrong type.
pub const WRONG_TYPE: &str = "M003";
/// Something that must be there is not.
pub const MISSING_KEY: &str = "M004";
/// `schema` names a format this program does not read.
pub const SCHEMA: &str = "M005";
/// A value of the right type that makes no sense.
pub const BAD_VALUE: &str = "M006";
/// `include` or a file option names a file that is not there.
pub const MISSING_FILE: &str = "M007";
/// Fragments that include each other.
pub const INCLUDE_CYCLE: &str = "M008";
/// A patch for an id that no file has.
pub const UNKNOWN_ID: &str = "M009";
/// Two files of one layer with the same id.
pub const DUPLICATE_ID: &str = "M010";
/// Two mappings that take the same record.
pub const AMBIGUOUS: &str = "M011";
/// An expression, condition or template that cannot be read.
pub const EXPRESSION: &str = "M012";
/// `$name` without an earlier `[vars]` entry.
pub const UNKNOWN_VAR: &str = "M013";
/// A transform that does not exist.
pub const UNKNOWN_TRANSFORM: &str = "M014";
/// Arguments that a transform or condition function does not take.
pub const ARGUMENTS: &str = "M015";
/// A condition function that does not exist.
pub const UNKNOWN_CONDITION: &str = "M016";
/// A lookup table that does not exist.
pub const UNKNOWN_LOOKUP: &str = "M017";
/// A list where one value is needed, or the other way round.
pub const SHAPE: &str = "M018";
/// `#name` that does not exist here.
pub const UNKNOWN_COUNTER: &str = "M019";
/// `@key` outside the LEEF part, or of a key that is not set.
pub const FINISHED: &str = "M020";
/// An extension key that is not in the CEF dictionary.
pub const UNKNOWN_CEF_KEY: &str = "M021";
/// A label that is missing, refused, not a word, or used twice.
pub const LABEL: &str = "M022";
/// A value form with no source, or with two.
pub const FORM: &str = "M023";
/// A patch written for another version.
pub const BASE_VERSION: &str = "M024";
/// A mapping without a test.
pub const NO_TEST: &str = "M025";
/// A `false` that removes nothing.
pub const NOTHING_REMOVED: &str = "M026";
/// A lookup table that cannot work.
pub const LOOKUP: &str = "M027";
/// A fragment that nothing includes.
pub const UNUSED: &str = "M028";
/// A test that names a rule that does not exist.
pub const UNKNOWN_REASON: &str = "M029";
/// A key that a sender must leave alone.
pub const CONSUMER_KEY: &str = "M030";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_points_at_the_character_and_says_what_was_meant() {
        let text = "[extension]\nshost             = \"computerDnsName | befor('.')\"\n";
        let at = text.find("befor").unwrap();
        let sources = Sources { files: vec![("mappings/mde_alert.toml".into(), text.into())] };
        let fault = Diagnostic::error(
            UNKNOWN_TRANSFORM,
            &Span { file: 0, range: at..at + 5 },
            "unknown transform `befor`",
        )
        .help("did you mean `before`?".to_owned());
        assert_eq!(
            render(&[fault.clone(), fault], &sources, false),
            r#"error[M014]: unknown transform `befor`
 --> mappings/mde_alert.toml:2:40
  |
2 | shost             = "computerDnsName | befor('.')"
  |                                        ^^^^^ did you mean `before`?"#
        );
    }

    #[test]
    fn a_span_out_of_range_is_shown_and_does_not_panic() {
        let sources = Sources { files: vec![("a.toml".into(), "é".into())] };
        for range in [0..1, 1..2, 1..99, 50..60, 2..2] {
            let fault = Diagnostic::warning(SYNTAX, &Span { file: 0, range }, "odd");
            assert!(render(&[fault], &sources, false).starts_with("warning[M001]: odd"));
        }
        let elsewhere = Diagnostic::error(SYNTAX, &Span { file: 7, range: 0..1 }, "odd");
        assert_eq!(render(&[elsewhere], &sources, false), "error[M001]: odd");
    }
}
