//! The tests that mappings carry with them: run at build, by `map test`, at start and before every reload.

use bumpalo::Bump;
use bytes::Bytes;
use indexmap::IndexMap;

use super::ast::{Mapping, Scalar, Span, Spanned, Test};
use super::compile::compile;
use super::diagnostic::{Diagnostic, TEST_FAILED};
use super::layer::{Layer, Layers, Merged};
use super::program::Program;
use super::trace::{EventTrace, Trace};
use crate::event::{Format, Target};
use crate::leef;
use crate::record::{Record, Table, Timestamp};

/// How the tests of one mapping went.
#[derive(Debug, Default)]
pub struct Report {
    /// Tests run.
    pub n_run: usize,
    /// Tests that belong to a rule that is not enabled.
    pub n_idle: usize,
    /// What failed.
    pub failures: Vec<Diagnostic>,
}

/// Runs the tests of every mapping, each with the layers its author knew: a site that gives a key another value breaks
/// its own promises only, not those of the files below.
#[must_use]
pub fn run_all(layers: &Layers, merged: &Merged, target: &Target) -> Vec<(String, Report)> {
    let below: Vec<(Layer, Vec<Mapping>)> = [Layer::Embedded, Layer::Shipped, Layer::Profile]
        .into_iter()
        .filter(|layer| merged.layers.last().is_some_and(|last| last > layer))
        // A layer that is whole only with those above it is judged with them.
        .filter_map(|layer| Some((layer, layers.up_to(layer).merge().ok()?.mappings)))
        .collect();
    let run_one = |mapping: &Mapping| {
        let mut report = Report::default();
        let mut rest = mapping.clone();
        for (layer, mappings) in &below {
            let Some(known) = mappings.iter().find(|known| known.id.value == mapping.id.value) else {
                continue;
            };
            let is_own = |test: &Test| {
                // A rule that a site has enabled is in force with all layers only.
                test.dropped_by.is_none()
                    && merged.layers.get(test.name.span.file) == Some(layer)
                    && known.tests.iter().any(|known| known.name.span == test.name.span)
            };
            let own: Vec<Test> = rest.tests.extract_if(.., |test| is_own(test)).collect();
            report.add(run(&Mapping { tests: own, ..known.clone() }, target));
        }
        report.add(run(&rest, target));
        (mapping.id.value.clone(), report)
    };
    merged.mappings.iter().map(run_one).collect()
}

impl Report {
    fn add(&mut self, other: Self) {
        self.n_run += other.n_run;
        self.n_idle += other.n_idle;
        self.failures.extend(other.failures);
    }
}

/// Runs the tests of one mapping as its destination would.
#[must_use]
pub fn run(mapping: &Mapping, target: &Target) -> Report {
    let cef = Target {
        format: Format::Cef(crate::cef::Version::V0),
        text_time: false,
        ipv6_inline: false,
        ..target.clone()
    };
    let leef = Target { format: Format::Leef(leef::Layout::V2(leef::Delimiter::TAB)), ..cef.clone() };
    let cef_program = compile(mapping, &cef);
    let leef_program = compile(mapping, &leef);
    let mut report = Report::default();
    for test in &mapping.tests {
        let belongs_to_idle_rule = test
            .dropped_by
            .as_ref()
            .is_some_and(|reason| mapping.rules.iter().all(|rule| rule.reason.value != *reason));
        if belongs_to_idle_rule {
            report.n_idle += 1;
            continue;
        }
        report.n_run += 1;
        let mut judge = Judge { test, failures: &mut report.failures };
        judge.with(&cef_program, &cef, |judge, trace| judge.cef(trace));
        if !test.leef.is_empty() {
            judge.with(&leef_program, &leef, |judge, trace| judge.leef(trace));
        }
    }
    report
}

struct Judge<'t> {
    test: &'t Test,
    failures: &'t mut Vec<Diagnostic>,
}

impl Judge<'_> {
    fn with(&mut self, program: &Program, target: &Target, judge: impl FnOnce(&mut Self, &Trace)) {
        let arena = Bump::new();
        let body = self.test.input.value.trim();
        let record = Record {
            sequence: 1,
            received: Timestamp(TEST_TIME),
            source: "test".into(),
            tenant: "test".into(),
            table: Table::new(self.test.table.as_deref().unwrap_or(&program.table)),
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let unparsed = program.table == Table::UNPARSED;
        let reason = if unparsed { "not a JSON object" } else { "" };
        match program.trace(target, &record, reason, body, &arena) {
            Ok(trace) => judge(self, &trace),
            Err(error) => self.fail(&self.test.input.span.clone(), format!("the input is {error}")),
        }
    }

    fn cef(&mut self, trace: &Trace) {
        let expected = self.test.events.unwrap_or(if self.test.dropped_by.is_some() { 0 } else { 1 });
        if trace.events.len() != expected {
            let filtered =
                trace.filtered_by.as_ref().map(|by| format!(", filtered by `{by}`")).unwrap_or_default();
            self.fail(
                &self.test.name.span.clone(),
                format!("{} events instead of {expected}{filtered}", trace.events.len()),
            );
        }
        if self.test.dropped_by.is_some() && self.test.dropped_by != trace.filtered_by {
            let by = trace.filtered_by.as_deref().unwrap_or("no rule");
            self.fail(&self.test.name.span.clone(), format!("filtered by {by}"));
        }
        let Some(event) = trace.events.first() else { return };
        self.compare("header", &self.test.header, |key| event.header(key));
        self.compare("extension", &self.test.extension, |key| event.value(key));
        self.absent(event);
    }

    fn leef(&mut self, trace: &Trace) {
        let Some(event) = trace.events.first() else { return };
        self.compare("leef", &self.test.leef, |key| match key {
            "event_id" => event.header("class_id"),
            _ => event.value(key),
        });
    }

    fn compare<'e>(
        &mut self,
        section: &str,
        expected: &IndexMap<String, Spanned<Scalar>>,
        found: impl Fn(&str) -> Option<&'e str>,
    ) {
        for (key, expected) in expected {
            let wanted = text_of(&expected.value);
            match found(key) {
                Some(text) if text == wanted => {}
                Some(text) => self.fail(&expected.span, format!("{section} `{key}` is {text:?}")),
                None => self.fail(&expected.span, format!("{section} `{key}` has no value")),
            }
        }
    }

    fn absent(&mut self, event: &EventTrace) {
        for key in &self.test.absent {
            if let Some(value) = event.value(&key.value) {
                self.fail(&key.span, format!("`{}` is {value:?} and should be absent", key.value));
            }
        }
    }

    fn fail(&mut self, span: &Span, found: String) {
        let message = format!("test `{}` failed", self.test.name.value);
        self.failures.push(Diagnostic::error(TEST_FAILED, span, message).help(found));
    }
}

fn text_of(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Text(text) => text.clone(),
        Scalar::Int(number) => number.to_string(),
        Scalar::Float(number) => number.to_string(),
        Scalar::Bool(flag) => flag.to_string(),
    }
}

/// 2026-01-01T00:00:00Z: tests that print `#received` need a clock that stands still.
const TEST_TIME: i64 = 1_767_225_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_is_judged_with_the_layers_its_author_knew() {
        let target = Target {
            destination: "siem".into(),
            format: Format::Cef(crate::cef::Version::V0),
            identity: ["a", "b", "c"].map(str::to_owned),
            ipv6_inline: false,
            text_time: false,
            max_message_bytes: 8192,
            secrets: std::collections::HashMap::new(),
        };
        let base = "schema = 1\nkind = 'mapping'\nid = 'x.T'\nversion = '1.0.0'\ntitle = 'T'\n[match]\ntable = 'T'\n\
                    [header]\nclass_id = { const = 'T' }\nname = { const = 'T' }\nseverity = { const = 1 }\n\
                    [extension]\nmsg = 'Text'\n\
                    [[test]]\nname = 'as written'\ninput = '{\"Text\":\"a\"}'\n[test.expect.extension]\nmsg = 'a'\n";
        let check = |site_value: &str, site_test: &str, failures: &[&str]| {
            let mut layers = Layers::default();
            layers.add(Layer::Embedded, "t.toml", "t.toml", base);
            let patch = format!(
                "schema = 1\nkind = 'patch'\nid = 'x.T'\n[extension]\nmsg = {site_value}\n\
                 [[test]]\nname = 'of the site'\ninput = '{{\"Text\":\"a\"}}'\n[test.expect.extension]\nmsg = '{site_test}'\n"
            );
            layers.add(Layer::Site, "50.toml", "50.toml", patch);
            let merged = layers.merge().map_err(|rejected| rejected.diagnostics).unwrap();
            let reports = run_all(&layers, &merged, &target);
            assert_eq!(reports[0].1.n_run, 2);
            let found: Vec<&str> =
                reports[0].1.failures.iter().map(|failure| failure.message.as_str()).collect();
            assert_eq!(found, failures, "{site_value}");
        };
        check("'Text | upper'", "A", &[]);
        check("'Text | upper'", "a", &["test `of the site` failed"]);
        check("'Text'", "a", &[]);
    }
}
