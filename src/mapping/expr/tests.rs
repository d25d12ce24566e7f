use super::*;
use crate::mapping::ast::Op;
use crate::mapping::ast::Span;

fn text(source: &str) -> Text<'_> {
    Text::new(source, "", &Span { file: 0, range: 0..source.len() })
}

fn parsed(source: &str) -> Result<Expr, String> {
    expression(&text(source)).map(|expr| expr.value).map_err(|fault| fault.message)
}

fn bare(names: &[&str]) -> Vec<Step> {
    names.iter().map(|name| Step::Name((*name).to_owned())).collect()
}

fn path_of(source: &str) -> (Root, Vec<Step>) {
    match parsed(source).unwrap().source {
        Source::Path(path) => (path.root, path.steps),
        other => panic!("{source}: {other:?}"),
    }
}

#[test]
fn a_path_starts_where_its_mark_says() {
    let check = |source, root, names: &[&str]| assert_eq!(path_of(source), (root, bare(names)), "{source}");
    check("DeviceName", Root::Bare, &["DeviceName"]);
    check("a.b.0c", Root::Bare, &["a", "b", "0c"]);
    check("\"odd key\".b", Root::Bare, &["odd key", "b"]);
    check("a.\"@odata.type\"", Root::Bare, &["a", "@odata.type"]);
    check("^time", Root::Envelope, &["time"]);
    check("^", Root::Envelope, &[]);
    check("~ ", Root::Record, &[]);
    check("~severity", Root::Record, &["severity"]);
    check("$proc.fileName", Root::Var("proc".into()), &["fileName"]);
    check("#index", Root::Counter("index".into()), &[]);
    check("@suser", Root::Finished("suser".into()), &[]);
}

#[test]
fn brackets_choose_elements() {
    let steps = |source| path_of(source).1;
    assert_eq!(steps("a[0]")[1], Step::Index(0));
    assert_eq!(steps("a[-1]")[1], Step::Index(-1));
    assert_eq!(steps("a[*].x"), [Step::Name("a".into()), Step::All, Step::Name("x".into())]);
    let Step::Filter(cond) = &steps("a[k == 'v' and n > 3].x")[1] else { panic!() };
    assert!(matches!(cond.as_ref(), Cond::And(parts) if parts.len() == 2));
    assert!(matches!(&steps("a[b[c == 'x'].d == 1]")[1], Step::Filter(_)));
}

#[test]
fn transforms_follow_in_order_with_their_arguments() {
    let expr =
        parsed("a | lower |replace('x','it''s') | nth( -2 ) | lookup(severity)| substr(1,2,)").unwrap();
    let names: Vec<&str> = expr.transforms.iter().map(|each| each.value.name.as_str()).collect();
    assert_eq!(names, ["lower", "replace", "nth", "lookup", "substr"]);
    let args = |index: usize| {
        expr.transforms[index].value.args.iter().map(|arg| arg.value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(args(1), [Arg::Text("x".into()), Arg::Text("it's".into())]);
    assert_eq!(args(2), [Arg::Number("-2".into())]);
    assert_eq!(args(3), [Arg::Word("severity".into())]);
    assert_eq!(args(4).len(), 2);
}

#[test]
fn sources_that_are_no_path() {
    assert_eq!(parsed("'a b'").unwrap().source, Source::Text("a b".into()));
    assert_eq!(parsed("-1.50").unwrap().source, Source::Number("-1.50".into()));
    assert_eq!(parsed("true").unwrap().source, Source::Text("true".into()));
}

#[test]
fn conditions_bind_not_before_and_before_or() {
    let cond = |source| condition(&text(source)).unwrap().value;
    assert!(matches!(cond("a == 1 or b == 2 and not c == 3"), Cond::Or(parts)
        if matches!(&parts[1], Cond::And(inner) if matches!(inner[1], Cond::Not(_)))));
    assert!(
        matches!(cond("(a == 1 or b == 2) and c === 'X'"), Cond::And(parts) if matches!(parts[0], Cond::Or(_)))
    );
    assert!(matches!(cond("a in ['x', 'y',]"), Cond::In { negated: false, list, .. } if list.len() == 2));
    assert!(matches!(cond("a | lower not in ['x']"), Cond::In { negated: true, .. }));
    assert!(
        matches!(cond("in_cidr(a, '10.0.0.0/8', '192.0.2.0/24')"), Cond::Call { args, .. } if args.len() == 2)
    );
    assert!(matches!(cond("not exists(a.b)"), Cond::Not(_)));
    assert!(matches!(cond("notes != 'x'"), Cond::Compare(_, Op::Ne, _)));
    assert!(matches!(cond("a <= 3"), Cond::Compare(_, Op::Le, _)));
    assert!(matches!(cond("and_b == 'x'"), Cond::Compare(..)));
}

#[test]
fn templates_are_text_and_holes() {
    let quoted = |source: &str| {
        let file = format!("'{source}'");
        let pieces = template(&Text::new(source, &file, &Span { file: 0, range: 0..file.len() })).unwrap();
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => format!("<{text}>"),
                Piece::Hole(hole) => format!("[{}]", &file[hole.span.range.clone()]),
            })
            .collect::<String>()
    };
    assert_eq!(quoted("{a}/{b | lower}"), "[a]</>[b | lower]");
    assert_eq!(quoted("x{{y}}{ z }."), "<x{y}>[z]<.>");
    assert_eq!(quoted(""), "");
}

#[test]
fn what_cannot_be_read_is_said_at_its_place() {
    let check = |source: &str, cond: bool, expected: &str| {
        let file = format!("\"{source}\"");
        let text = Text::new(source, &file, &Span { file: 0, range: 0..file.len() });
        let fault = if cond { condition(&text).unwrap_err() } else { expression(&text).unwrap_err() };
        let shown = format!("{} @{}", fault.message, &file[fault.span.range.clone()]);
        assert_eq!(shown, expected, "{source}: {:?}", fault.help);
    };
    check("Defender alert", false, "unexpected `alert` after the expression @alert");
    check("", false, "expected a path, found the end @");
    check("a |", false, "expected a transform, found the end @");
    check("a | 'x'", false, "expected a transform, found `'` @'");
    check("a | before('.'", false, "`)` is missing @(");
    check("a | before('.", false, "this text has no end @'");
    check("a || b", false, "`||` is not an operator @||");
    check("a..b", false, "expected a name after `.`, found `.` @.");
    check("7zip", false, "a name begins with a letter @7zip");
    check("lower(a)", false, "`lower` cannot be called here @lower");
    check("a[b == 'x'", false, "`]` is missing @[");
    check("a = 'x'", true, "`=` is not an operator @=");
    check("a == 'x' && b == 'y'", true, "unexpected `&` after the condition @&&");
    check("IsActive", true, "expected a comparison, found the end @");
    check("exists()", true, "`exists` needs what it asks about @exists");
    check("a in 'x'", true, "expected `[` after `in` @'");
    check("!exists(a)", true, "`!` is not an operator @!");
    check("a == 'x' and", true, "expected a path, found the end @");
}

#[test]
fn depth_is_bounded() {
    for open in ["(", "not ", "a["] {
        let source = open.repeat(100_000);
        let fault = condition(&text(&source)).unwrap_err();
        assert_eq!(fault.message, "more than 32 levels of brackets", "{open}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(source in "[a-z$^~#@.|()\\[\\]{}'\", =<>!*0-9\\\\é-]{0,60}") {
        let file = format!("\"{source}\"");
        let text = Text::new(&source, &file, &Span { file: 0, range: 0..file.len() });
        for span in [expression(&text).map(|ok| ok.span).unwrap_or_else(|fault| fault.span),
                     condition(&text).map(|ok| ok.span).unwrap_or_else(|fault| fault.span)] {
            proptest::prop_assert!(span.range.start <= span.range.end && span.range.end <= file.len());
        }
        let _ = template(&text);
    }
}
