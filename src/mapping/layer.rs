//! Layers of mapping files, and how they become one set of mappings.
//!
//! Embedded, shipped, profile and site files are given as texts: nothing here touches a disk. Fragments are merged
//! under the file that includes them, patches over the file they name, and the result is read and checked once, so
//! that every fault of every file comes out together.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::ast::{Lookup, Mapping, Sources, Span};
use super::diagnostic::{
    BAD_VALUE, BASE_VERSION, DUPLICATE_ID, Diagnostic, INCLUDE_CYCLE, MISSING_FILE, MISSING_KEY, NO_TEST,
    UNKNOWN_ID, UNUSED, any_error,
};
use super::file::{self, Context};
use super::tree::{self, Table, Value};
use super::vocabulary::suggestion;
use super::{check, version};

/// The files of all layers. Later layers win.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// In any order; they are sorted by layer and path.
    pub files: Vec<LayerFile>,
}

/// One file of a layer.
#[derive(Clone, Debug)]
pub struct LayerFile {
    /// Which layer.
    pub layer: Layer,
    /// Path below the layer's directory, with `/`.
    pub path: String,
    /// Path as an operator knows it.
    pub display: String,
    /// Its text.
    pub text: Arc<str>,
}

/// Where a file comes from, in the order in which they win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Compiled into the program.
    Embedded,
    /// Installed with the package.
    Shipped,
    /// The receiver profile of the destination.
    Profile,
    /// The operator's own.
    Site,
}

/// A set of mappings without faults.
#[derive(Clone, Debug)]
pub struct Merged {
    /// In the order of their files.
    pub mappings: Vec<Mapping>,
    /// All texts, for provenance.
    pub sources: Sources,
    /// Which layer each of them belongs to.
    pub layers: Vec<Layer>,
    /// What is worth a look.
    pub warnings: Vec<Diagnostic>,
}

/// A set with faults.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Faults and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// All texts, to show them.
    pub sources: Sources,
}

impl Layers {
    /// Adds a file.
    pub fn add(&mut self, layer: Layer, path: &str, display: &str, text: impl Into<Arc<str>>) {
        self.files.push(LayerFile { layer, path: path.into(), display: display.into(), text: text.into() });
    }

    /// Merges all layers into mappings, or says everything that is wrong with them.
    pub fn merge(&self) -> Result<Merged, Rejected> {
        let mut set = Set::open(self);
        let mappings = set.mappings();
        let Set { sources, diagnostics, files, .. } = set;
        if any_error(&diagnostics) {
            Err(Rejected { diagnostics, sources })
        } else {
            let layers = files.into_iter().map(|file| file.layer).collect();
            Ok(Merged { mappings, sources, layers, warnings: diagnostics })
        }
    }

    /// These without the layers above one. The files that stay keep their numbers in [`Sources`].
    #[must_use]
    pub fn up_to(&self, layer: Layer) -> Self {
        Self { files: self.files.iter().filter(|file| file.layer <= layer).cloned().collect() }
    }
}

/// Everything known while merging.
struct Set {
    files: Vec<File>,
    sources: Sources,
    /// Path to the file that wins under it.
    paths: HashMap<String, usize>,
    lookups: IndexMap<String, Lookup>,
    /// The same as written: a mapping's table of the same name is laid over it.
    lookup_tree: Table,
    included: Vec<bool>,
    /// The patches of the mapping that is being put together.
    patched: Vec<usize>,
    diagnostics: Vec<Diagnostic>,
}

/// A TOML file, read but not interpreted.
struct File {
    layer: Layer,
    path: String,
    kind: Kind,
    id: Option<String>,
    tree: Table,
    /// Free of syntax errors; else it is only known to be there.
    whole: bool,
    /// Where a fault of the whole file is shown.
    start: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mapping,
    Fragment,
    Patch,
    Lookup,
    /// CSV and JSON: read where a mapping names them.
    Data,
}

impl Set {
    fn open(layers: &Layers) -> Self {
        let mut ordered: Vec<&LayerFile> = layers.files.iter().collect();
        ordered.sort_by(|a, b| (a.layer, &a.path).cmp(&(b.layer, &b.path)));
        // A profile comes with the program and with its package: the same file of both is one, and the package's.
        ordered.reverse();
        ordered.dedup_by(|a, b| (a.layer, &a.path) == (b.layer, &b.path));
        ordered.reverse();
        let mut set = Self {
            files: Vec::with_capacity(ordered.len()),
            sources: Sources::default(),
            paths: HashMap::new(),
            lookups: IndexMap::new(),
            lookup_tree: Table::new(),
            included: vec![false; ordered.len()],
            patched: Vec::new(),
            diagnostics: Vec::new(),
        };
        for (index, file) in ordered.into_iter().enumerate() {
            set.sources.files.push((file.display.clone(), file.text.clone()));
            set.paths.insert(file.path.clone(), index);
            let file = read(file, index, &mut set.diagnostics);
            set.files.push(file);
        }
        set.shared_lookups();
        set
    }

    /// The tables of `lookup/*.toml`: later layers add and replace lines.
    fn shared_lookups(&mut self) {
        let mut tree = Table::new();
        for file in self.files.iter().filter(|file| file.kind == Kind::Lookup && file.whole) {
            let mut own = file.tree.clone();
            own.retain(|name, _| !ABOUT.contains(&name.as_str()));
            tree::merge(&mut tree, own, &mut self.diagnostics);
        }
        let find = |path: &str| self.paths.get(path).copied();
        let context = Context { sources: &self.sources, find: &find, disabled_too: true };
        let lookups = file::lookups(&tree, context, &mut self.diagnostics);
        self.lookups = lookups;
        self.lookup_tree = tree;
    }

    /// Lays a mapping's own lookup tables over the shared ones of the same name: a patch that changes one line of a
    /// shared table must not lose the others.
    fn complete_lookups(&mut self, tree: &mut Table) {
        let Some(Value::Table(own)) = tree.get_mut("lookup").map(|entry| &mut entry.node.value) else {
            return;
        };
        let Some(Value::Table(shared)) = self.lookup_tree.get("lookup").map(|entry| &entry.node.value) else {
            return;
        };
        for (name, entry) in own.iter_mut() {
            if let (Value::Table(own), Some(Value::Table(below))) =
                (&mut entry.node.value, shared.get(name).map(|entry| &entry.node.value))
            {
                let over = std::mem::replace(own, below.clone());
                own.extend(over);
            }
        }
    }

    fn mappings(&mut self) -> Vec<Mapping> {
        let winners = self.winners();
        self.orphan_patches();
        let mut mappings: Vec<Mapping> =
            winners.into_iter().filter_map(|index| self.mapping(index)).collect();
        self.unused_fragments();
        check::ambiguities(&mappings, &mut self.diagnostics);
        for mapping in &mut mappings {
            check::keep_used_lookups(mapping, &self.lookups);
        }
        mappings
    }

    /// The file of each mapping id: the one of the latest layer. In the order of first appearance.
    fn winners(&mut self) -> Vec<usize> {
        let mut winners: IndexMap<&str, usize> = IndexMap::new();
        for (index, file) in self.files.iter().enumerate().filter(|(_, file)| file.kind == Kind::Mapping) {
            let Some(id) = file.id.as_deref() else { continue };
            if let Some(earlier) = winners.insert(id, index)
                && self.files[earlier].layer == file.layer
            {
                let message = format!("id `{id}` is taken by {}", self.sources.files[earlier].0);
                self.diagnostics.push(Diagnostic::error(DUPLICATE_ID, &place(file, "id"), message));
            }
        }
        winners.into_values().collect()
    }

    fn mapping(&mut self, index: usize) -> Option<Mapping> {
        let mut tree = Table::new();
        self.patched.clear();
        self.lay(index, &mut tree, &mut Vec::new());
        self.complete_lookups(&mut tree);
        let file = &self.files[index];
        let whole = file.whole;
        for name in ABOUT {
            if let Some(entry) = file.tree.get(*name) {
                tree.insert((*name).to_owned(), entry.clone());
            }
        }
        let start = file.start.clone();
        if !whole {
            return None;
        }
        let find = |path: &str| self.paths.get(path).copied();
        let context = |disabled_too| Context { sources: &self.sources, find: &find, disabled_too };
        let mut faults = Vec::new();
        let everything = file::read(&tree, &start, context(true), &mut faults);
        if let Some(everything) = &everything {
            check::mapping(everything, &self.lookups, &mut faults);
            if everything.tests.is_empty() {
                let message = format!("mapping `{}` has no test", everything.id.value);
                let warning = Diagnostic::warning(NO_TEST, &everything.id.span, message);
                faults.push(warning.help("add a [[test]]".to_owned()));
            }
        }
        let effective = file::read(&tree, &start, context(false), &mut Vec::new());
        self.diagnostics.append(&mut faults);
        Some(Mapping { patched: std::mem::take(&mut self.patched), ..effective? })
    }

    /// Lays the fragments a file includes over the tree, left to right, then the file, then its patches.
    ///
    /// Always over what is there already: a `false` in a patch must meet the field it removes.
    fn lay(&mut self, index: usize, tree: &mut Table, path: &mut Vec<usize>) {
        path.push(index);
        for (name, span) in self.includes(index) {
            let Some(found) =
                self.paths.get(&name).copied().filter(|found| self.files[*found].kind != Kind::Data)
            else {
                let help = suggestion(&name, self.paths.keys().map(String::as_str))
                    .unwrap_or_else(|| "paths begin at the mappings directory".to_owned());
                let message = format!("no layer has the file `{name}`");
                self.diagnostics.push(Diagnostic::error(MISSING_FILE, &span, message).help(help));
                continue;
            };
            if path.contains(&found) {
                let round: Vec<&str> = path.iter().map(|index| self.files[*index].path.as_str()).collect();
                let message = format!("this include goes round: {} → {name}", round.join(" → "));
                self.diagnostics.push(Diagnostic::error(INCLUDE_CYCLE, &span, message));
                continue;
            }
            self.included[found] = true;
            self.lay(found, tree, path);
        }
        let mut own = self.files[index].tree.clone();
        own.retain(|name, _| !ABOUT.contains(&name.as_str()));
        tree::merge(tree, own, &mut self.diagnostics);
        self.patch(index, tree, path);
        path.pop();
    }

    fn includes(&mut self, index: usize) -> Vec<(String, Span)> {
        let Some(entry) = self.files[index].tree.get("include") else { return Vec::new() };
        let items = match &entry.node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.node),
        };
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            match &item.value {
                Value::Text(name) => names.push((name.clone(), item.span.clone())),
                other => {
                    let message = format!("expected a path, found {}", other.kind());
                    self.diagnostics.push(Diagnostic::error(BAD_VALUE, &item.span, message));
                }
            }
        }
        names
    }

    /// Lays the patches for a file over its tree, in the order of layers and names.
    fn patch(&mut self, index: usize, tree: &mut Table, path: &mut Vec<usize>) {
        if self.files[index].kind == Kind::Patch {
            return;
        }
        let Some(id) = self.files[index].id.clone() else { return };
        let base = self.files[index].tree.get("version").map(|entry| entry.node.value.clone());
        let of_this = |file: &File| file.kind == Kind::Patch && file.whole && file.id.as_deref() == Some(&id);
        let patches: Vec<usize> =
            (0..self.files.len()).filter(|index| of_this(&self.files[*index])).collect();
        for patch in patches {
            if let Some(range) = self.files[patch].tree.get("base_version") {
                let range = range.node.clone();
                self.base_version(&id, base.as_ref(), &range);
            }
            self.patched.push(patch);
            self.lay(patch, tree, path);
        }
    }

    fn base_version(&mut self, id: &str, base: Option<&Value>, range: &tree::Node) {
        let (Some(Value::Text(base)), Value::Text(wanted)) = (base, &range.value) else { return };
        let warning = match version::matches(wanted, base) {
            Some(true) => return,
            Some(false) => Diagnostic::warning(
                BASE_VERSION,
                &range.span,
                format!("this patch is written for version {wanted} of `{id}`, which is now {base}"),
            )
            .help("look at what changed, then write the new version".to_owned()),
            None => {
                Diagnostic::warning(BASE_VERSION, &range.span, format!("`{wanted}` is not a version range"))
                    .help("for example \"^1.0\"".to_owned())
            }
        };
        self.diagnostics.push(warning);
    }

    fn orphan_patches(&mut self) {
        let ids: Vec<&str> = self
            .files
            .iter()
            .filter(|file| file.kind != Kind::Patch)
            .filter_map(|file| file.id.as_deref())
            .collect();
        for file in self.files.iter().filter(|file| file.kind == Kind::Patch) {
            if let Some(id) = file.id.as_deref()
                && !ids.contains(&id)
            {
                let help = suggestion(id, ids.iter().copied()).unwrap_or_else(|| {
                    "kind = \"mapping\" makes it a file of its own instead of a patch".to_owned()
                });
                let message = format!("no mapping or fragment has the id `{id}`");
                self.diagnostics.push(Diagnostic::error(UNKNOWN_ID, &place(file, "id"), message).help(help));
            }
        }
    }

    fn unused_fragments(&mut self) {
        let replaced = self.files.iter().any(|file| file.layer == Layer::Site && file.kind == Kind::Mapping);
        for (index, file) in self.files.iter().enumerate() {
            // A later file of the same path stands in for this one.
            let current = self.paths.get(&file.path) == Some(&index);
            // One that came with the program may have lost its last user to a mapping of the site.
            let own = file.layer == Layer::Site || !replaced;
            if file.kind == Kind::Fragment && file.whole && own && current && !self.included[index] {
                let message = "no mapping includes this fragment";
                self.diagnostics.push(Diagnostic::warning(UNUSED, &place(file, "id"), message));
            }
        }
    }
}

fn read(file: &LayerFile, index: usize, diagnostics: &mut Vec<Diagnostic>) -> File {
    let start = Span { file: index, range: 0..file.text.find('\n').unwrap_or(file.text.len()) };
    let name = file.path.as_str();
    let mut opened = File {
        layer: file.layer,
        path: file.path.clone(),
        kind: Kind::Data,
        id: None,
        tree: Table::new(),
        whole: true,
        start,
    };
    if !name.ends_with(".toml") {
        return opened;
    }
    let (tree, whole) = tree::parse(&file.text, index, diagnostics);
    (opened.tree, opened.whole) = (tree, whole);
    let faults = &mut Vec::new();
    opened.kind = kind(&opened, faults);
    if opened.kind == Kind::Lookup {
        opened.id = None;
    } else {
        opened.id = id(&opened, faults);
    }
    file::check_schema(&opened.tree, &opened.start, faults);
    // A file that is not TOML has faults enough; what its missing half would have said is not known.
    if whole {
        diagnostics.append(faults);
    }
    opened
}

fn kind(file: &File, diagnostics: &mut Vec<Diagnostic>) -> Kind {
    if file.path.starts_with(LOOKUP_DIRECTORY) {
        return Kind::Lookup;
    }
    let default = match file.layer {
        Layer::Embedded | Layer::Shipped => Kind::Mapping,
        Layer::Profile | Layer::Site => Kind::Patch,
    };
    let Some(entry) = file.tree.get("kind") else { return default };
    let known = KINDS.iter().find(|(word, _)| matches!(&entry.node.value, Value::Text(text) if text == word));
    match known {
        Some((_, kind)) => *kind,
        None => {
            let written = if let Value::Text(text) = &entry.node.value { text.as_str() } else { "" };
            let help = suggestion(written, KINDS.iter().map(|(word, _)| *word))
                .unwrap_or_else(|| "one of mapping, fragment, patch".to_owned());
            let message = format!("`kind` cannot be `{written}`");
            diagnostics.push(Diagnostic::error(BAD_VALUE, &entry.node.span, message).help(help));
            default
        }
    }
}

fn id(file: &File, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let Some(entry) = file.tree.get("id") else {
        let help = match file.kind {
            Kind::Patch => "the id of the mapping this file changes",
            _ => "a stable name: metrics, logs and patches use it",
        };
        diagnostics
            .push(Diagnostic::error(MISSING_KEY, &file.start, "`id` is missing").help(help.to_owned()));
        return None;
    };
    let allowed = |next: char| next.is_ascii_alphanumeric() || matches!(next, '.' | '_' | '-');
    match &entry.node.value {
        Value::Text(id) if !id.is_empty() && id.chars().all(allowed) => Some(id.clone()),
        _ => {
            let fault =
                Diagnostic::error(BAD_VALUE, &entry.node.span, "`id` is letters, digits, `.`, `_` and `-`");
            diagnostics.push(fault);
            None
        }
    }
}

fn place(file: &File, key: &str) -> Span {
    file.tree.get(key).map_or_else(|| file.start.clone(), |entry| entry.node.span.clone())
}

const KINDS: [(&str, Kind); 3] =
    [("mapping", Kind::Mapping), ("fragment", Kind::Fragment), ("patch", Kind::Patch)];
/// What a file says about itself: not merged.
const ABOUT: &[&str] = &["schema", "kind", "id", "version", "title", "retires", "include", "base_version"];
const LOOKUP_DIRECTORY: &str = "lookup/";
