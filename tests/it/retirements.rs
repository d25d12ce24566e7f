//! A start says which mappings serve a source that Microsoft will switch off.

use crate::harness::shipped::folder;
use crate::harness::workplace::Workplace;

const OUT: &str =
    "[destination.look]\nfile.path = 'DIR/out.log'\n[destination.other]\nfile.path = 'DIR/other.log'";

#[test]
fn a_start_says_once_when_the_source_of_a_mapping_ends_and_nothing_of_one_that_stays() {
    for (table, record, ends) in [
        ("mde.alert", "not_expanded", Some("Defender for Endpoint API")),
        ("xdr.incident", "mail", Some("Defender XDR")),
        ("graph.alert", "ranking", None),
        ("graph.incident", "incident", None),
        ("DeviceProcessEvents", "created", None),
    ] {
        let body = std::fs::read_to_string(folder(table).join(format!("{record}.json"))).unwrap();
        let workplace = Workplace::new(&body, "");
        workplace.configure(&format!("follow = false\ntable = '{table}'"), OUT);
        let done = workplace.cefgate(&["run"]);
        assert_eq!(done.code, Some(0), "{table}: {}", done.error);
        assert_eq!(workplace.lines("out.log").len(), 1, "{table}: {}", done.error);
        let notices: Vec<&str> =
            done.error.lines().filter(|line| line.contains("its source ends on")).collect();
        match (ends, notices.as_slice()) {
            (None, []) => {}
            (Some(api), [notice]) => {
                let start =
                    format!("mapping {table}: its source ends on 2027-02-01: Microsoft switches the {api}");
                assert!(notice.contains(&start), "{notice}");
                assert!(notice.contains("WARN"), "{notice}");
            }
            _ => panic!("{table}: {notices:#?}"),
        }
    }
}
