//! Value forms and the rows they stand in: CEF keys as they are, or what LEEF makes of them.

use indexmap::IndexMap;

use super::Compiler;
use super::chain::Scope;
use super::lookup::constant;
use crate::cef;
use crate::dictionary::{self, Kind, Since};
use crate::event::Format;
use crate::leef;
use crate::mapping::ast::{
    self, Alternative as Written, Field as Row, Form, From, OnError, Overflow, Piece as Part, Span,
};
use crate::mapping::program::{
    Alternative, Chain, Choice, Condition, Constant, Field, Origin, Piece, Supply,
};

/// What each part of a mapping sets one key to; the file's own part has no overlay number.
type Rows<'a> = Vec<(Option<usize>, &'a Row)>;

impl<'a> Compiler<'a> {
    /// The fields to write, in order.
    pub(super) fn fields(&mut self) -> Vec<Field> {
        match self.target.format {
            Format::Cef(version) => self.cef_fields(version),
            Format::Leef(..) => self.leef_fields(),
        }
    }

    /// The name a CEF key has in this destination's format.
    pub(super) fn output_key(&self, key: &str) -> String {
        match self.target.format {
            Format::Cef(_) => key.to_owned(),
            Format::Leef(..) => leef_name(key),
        }
    }

    /// One CEF key with all its overlays, for `@key`.
    pub(super) fn cef_field(&mut self, key: &str) -> Field {
        let rows = self.rows(|parts| &parts.extension);
        let rows = rows.get(key).cloned().unwrap_or_default();
        self.field(key, dictionary::find(key), &rows)
    }

    /// A header field.
    pub(super) fn header(&mut self, name: &str) -> Field {
        let rows = self.rows(|parts| &parts.header);
        let rows = rows.get(name).cloned().unwrap_or_default();
        self.field(name, None, &rows)
    }

    /// A header field that most mappings leave to the destination's profile.
    pub(super) fn optional_header(&mut self, name: &str) -> Option<Field> {
        self.rows(|parts| &parts.header).contains_key(name).then(|| self.header(name))
    }

    /// The CEF class id, or the LEEF event id where the mapping has one of its own.
    pub(super) fn class_id(&mut self) -> Field {
        let event_ids: Rows<'a> = self
            .parts()
            .filter_map(|(overlay, parts)| Some((overlay, parts.leef.event_id.as_ref()?)))
            .collect();
        if matches!(self.target.format, Format::Leef(..)) && !event_ids.is_empty() {
            let own = event_ids.iter().any(|(overlay, _)| overlay.is_none());
            let below = self.rows(|parts| &parts.header).swap_remove("class_id").filter(|_| !own);
            let rows: Rows<'a> = below.into_iter().flatten().chain(event_ids).collect();
            return self.field("class_id", None, &rows);
        }
        self.header("class_id")
    }

    fn cef_fields(&mut self, version: cef::Version) -> Vec<Field> {
        let extension = self.rows(|parts| &parts.extension);
        let custom = self.rows(|parts| &parts.extension_custom);
        let known = |key: &str| match dictionary::find(key) {
            Some(found) => found.since == Since::V0_1 || version == cef::Version::V1,
            None => true,
        };
        let rows: Vec<_> = extension.iter().chain(&custom).filter(|(key, _)| known(key)).collect();
        rows.into_iter()
            .map(|(key, rows)| {
                let mut field = self.field(key, dictionary::find(key), rows);
                field.paired = paired(key).filter(|(slot, _)| !extension.contains_key(slot)).map(pair);
                field
            })
            .collect()
    }

    fn leef_fields(&mut self) -> Vec<Field> {
        let extension = self.rows(|parts| &parts.extension);
        let own = self.rows(|parts| &parts.leef.extension);
        let custom = self.rows(|parts| &parts.extension_custom);
        let mut fields: IndexMap<String, Field> = IndexMap::new();
        fields.insert("sev".to_owned(), severity_attribute());
        for (key, rows) in &extension {
            for (name, rows) in by_label(key, rows) {
                let mut field = self.field(&name, dictionary::find(key), &rows);
                field.relabel();
                field.max = field.max.into_iter().chain(leef::limit(&name)).min();
                fields.entry(name).or_insert(field);
            }
        }
        self.qradar_identity(&extension, &mut fields);
        for (key, rows) in custom.iter().chain(&own) {
            let mut leef = self.field(key, None, rows);
            // Only overlays set it: without them it stays what the CEF key makes of it.
            if let Some(inherited) = fields.shift_remove(*key).filter(|_| leef.base.is_none()) {
                let variants = inherited.variants.into_iter().chain(leef.variants).collect();
                leef = Field { variants, ..inherited };
            }
            fields.insert((*key).to_owned(), leef);
        }
        fields.into_values().filter(|field| field.base.is_some() || !field.variants.is_empty()).collect()
    }

    /// Attributes that QRadar makes of several CEF keys (leef.md, "Attributes"): it has one user an event, the source's
    /// or else the destination's, and reads `identHostName` only beside `identSrc`.
    fn qradar_identity(
        &mut self,
        extension: &IndexMap<&'a str, Rows<'a>>,
        fields: &mut IndexMap<String, Field>,
    ) {
        let rows = |key: &str| extension.get(key).cloned().unwrap_or_default();
        for (attribute, source, destination) in
            [("usrName", "suser", "duser"), ("domain", "sntdom", "dntdom")]
        {
            if !extension.contains_key(destination) {
                continue;
            }
            let own = self.field(source, dictionary::find(source), &rows(source));
            let fallback = self.field(destination, dictionary::find(destination), &rows(destination));
            let mut instead = first_of(Box::new([Alternative::Chain(finished(fallback))]));
            instead.when =
                Some(Condition::Not(Box::new(Condition::Exists(finished(self.cef_field("suser"))))));
            let alternatives = [Alternative::Chain(finished(own)), Alternative::Choice(instead)];
            let mut field = self.field(attribute, dictionary::find(source), &[]);
            field.base = Some(first_of(Box::new(alternatives)));
            field.max = field.max.into_iter().chain(leef::limit(attribute)).min();
            fields.insert(attribute.to_owned(), field);
        }
        if extension.contains_key("dvc") && extension.contains_key("dvchost") {
            let host = self.field("dvchost", dictionary::find("dvchost"), &rows("dvchost"));
            let mut choice = first_of(Box::new([Alternative::Chain(finished(host))]));
            choice.when = Some(Condition::Exists(finished(self.cef_field("dvc"))));
            let mut field = self.field("identHostName", dictionary::find("dvchost"), &[]);
            field.base = Some(choice);
            fields.insert("identHostName".to_owned(), field);
        }
    }

    fn field(
        &mut self,
        key: &str,
        entry: Option<&dictionary::Key>,
        rows: &[(Option<usize>, &'a Row)],
    ) -> Field {
        let mut field = Field {
            key: key.into(),
            prefix: format!("{key}=").into_bytes().into(),
            kind: entry.map_or(Kind::Text, |entry| entry.kind),
            max: entry.and_then(|entry| entry.max),
            paired: None,
            base: None,
            variants: Vec::new(),
        };
        for (overlay, row) in rows {
            let choice = row.form.as_ref().map(|form| self.choice(form, entry));
            match overlay {
                None => field.base = choice,
                Some(number) => field.variants.push((*number, choice)),
            }
        }
        field
    }

    fn choice(&mut self, form: &Form, entry: Option<&dictionary::Key>) -> Choice {
        let supply = match &form.from {
            From::FirstOf(alternatives) => Supply::First(
                alternatives
                    .iter()
                    .map(|alternative| match alternative {
                        Written::Expr(expr) => Alternative::Chain(Chain {
                            span: expr.span.clone(),
                            ..self.chain(&expr.value, Scope::Record)
                        }),
                        Written::Form(form) => Alternative::Choice(self.choice(form, None)),
                    })
                    .collect(),
            ),
            From::Const(scalar) => Supply::Constant(constant(scalar)),
            From::Template { pieces, missing } => {
                let pieces = pieces
                    .iter()
                    .map(|piece| match piece {
                        Part::Text(text) => Piece::Text(text.as_str().into()),
                        Part::Hole(expr) => Piece::Hole(self.chain(&expr.value, Scope::Record)),
                    })
                    .collect();
                Supply::Template(pieces, *missing)
            }
            From::Hash(exprs) => {
                Supply::Hash(exprs.iter().map(|expr| self.chain(&expr.value, Scope::Record)).collect())
            }
        };
        let label = form.label.as_ref().zip(entry).map(|(label, entry)| {
            let mut bytes = format!("{}Label=", entry.name).into_bytes();
            cef::write_value(&mut bytes, &label.value, None);
            bytes.into_boxed_slice()
        });
        Choice {
            supply,
            when: form.when.as_ref().map(|when| self.condition(&when.value, Scope::Record)),
            max: form.max.as_ref().map(|max| max.value),
            overflow: form.overflow,
            on_error: form.on_error,
            digest: form.digest.as_ref().map(|digest| usize::from(digest.value)),
            label,
            span: form.span.clone(),
        }
    }
}

impl Field {
    /// Whether it is LEEF's `sev`, which comes from the header and not from a row.
    #[must_use]
    pub fn is_leef_severity(&self) -> bool {
        &*self.prefix == b"sev="
    }

    /// LEEF has no labels: they have become the attribute's name.
    fn relabel(&mut self) {
        let choices =
            self.base.iter_mut().chain(self.variants.iter_mut().filter_map(|(_, choice)| choice.as_mut()));
        choices.for_each(|choice| choice.label = None);
    }
}

/// The key or attribute that holds the event's time.
pub fn time_key(format: Format) -> &'static str {
    match format {
        Format::Cef(_) => "rt",
        Format::Leef(..) => "devTime",
    }
}

/// `rt` is the event's time; every other key has its name in the dictionary.
fn leef_name(key: &str) -> String {
    if key == "rt" { "devTime".to_owned() } else { leef::attribute(key, None).to_owned() }
}

/// A labelled slot becomes one attribute for each of its labels; an overlay that uses the slot for something else
/// clears the others.
fn by_label<'a>(key: &str, rows: &Rows<'a>) -> Vec<(String, Rows<'a>)> {
    let label = |row: &Row| {
        let label = row.form.as_ref().and_then(|form| form.label.as_ref())?;
        let name = leef::attribute(key, Some(&label.value));
        Some(if name == label.value { lower_first(name) } else { name.to_owned() })
    };
    let mut names: Vec<String> = rows.iter().filter_map(|(_, row)| label(row)).collect();
    names.dedup();
    if names.is_empty() {
        return vec![(leef_name(key), rows.clone())];
    }
    names
        .into_iter()
        .map(|name| {
            let own = rows.iter().map(|(overlay, row)| match label(row) {
                Some(other) if other != name => (*overlay, &REMOVED),
                _ => (*overlay, *row),
            });
            (name.clone(), own.collect())
        })
        .collect()
}

fn lower_first(label: &str) -> String {
    let mut characters = label.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// The key an IPv6 value goes to in CEF:0, and its label (cef.md, "Slots for data without a key of its own").
fn paired(key: &str) -> Option<(&'static str, &'static str)> {
    match key {
        "dvc" => Some(("c6a1", "Device IPv6 Address")),
        "src" => Some(("c6a2", "Source IPv6 Address")),
        "dst" => Some(("c6a3", "Destination IPv6 Address")),
        _ => None,
    }
}

fn pair((slot, label): (&str, &str)) -> (Box<[u8]>, Box<[u8]>) {
    (format!("{slot}=").into_bytes().into(), format!("{slot}Label={label}").into_bytes().into())
}

fn severity_attribute() -> Field {
    Field {
        key: "sev".into(),
        prefix: b"sev=".as_slice().into(),
        kind: Kind::Int,
        max: None,
        paired: None,
        base: Some(plain_choice(Supply::Constant(Constant::Number("1".into())))),
        variants: Vec::new(),
    }
}

/// The value another field has got, as a chain.
fn finished(field: Field) -> Chain {
    Chain {
        origin: Origin::Finished(Box::new(field)),
        walk: Box::default(),
        transforms: Box::default(),
        span: nowhere(),
    }
}

fn first_of(alternatives: Box<[Alternative]>) -> Choice {
    plain_choice(Supply::First(alternatives))
}

fn plain_choice(supply: Supply) -> Choice {
    Choice {
        supply,
        when: None,
        max: None,
        overflow: Overflow::Cut,
        on_error: OnError::Skip,
        digest: None,
        label: None,
        span: nowhere(),
    }
}

fn nowhere() -> Span {
    Span { file: usize::MAX, range: 0..0 }
}

static REMOVED: ast::Field = ast::Field { key: Span { file: usize::MAX, range: 0..0 }, form: None };
