//! `retires = { date = "2027-02-01", note = "…" }`: when the source of a mapping ends.

use super::reader::Reader;
use crate::mapping::ast::{Retirement, Spanned};
use crate::mapping::diagnostic::BAD_VALUE;
use crate::mapping::tree::Table;

impl Reader<'_> {
    pub(super) fn retirement(&mut self, tree: &Table) -> Option<Retirement> {
        let table = self.table(tree, "retires")?;
        let place = tree.get("retires").map(|entry| entry.key.clone())?;
        self.only(table, "`retires`", &["date", "note"]);
        for (name, help) in
            [("date", "the day, for example \"2027-02-01\""), ("note", "what ends, and what to use instead")]
        {
            if !table.contains_key(name) {
                self.missing(&place, &format!("`{name}` of `retires`"), help);
            }
        }
        let (date, note) = (self.text(table, "date"), self.text(table, "note"));
        let date = date.and_then(|date| match date.value.parse::<jiff::civil::Date>() {
            Ok(value) if date.value.len() == "2027-02-01".len() => Some(Spanned { value, span: date.span }),
            _ => {
                let message = format!("`{}` is not a day", date.value);
                self.error_with(BAD_VALUE, &date.span, message, "year, month and day: \"2027-02-01\"");
                None
            }
        });
        Some(Retirement { date: date?, note: note?.value })
    }
}
