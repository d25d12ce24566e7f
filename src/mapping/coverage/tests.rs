//! What counts as mapped, as ignored, and as unknown.

use std::collections::BTreeMap;

use super::{Coverage, State};
use crate::mapping::layer::{Layer, Layers, Merged};
use crate::mapping::schema::Schema;

fn merged(table: &str, body: &str) -> Merged {
    let mut layers = Layers::default();
    let text = format!(
        "schema = 1\nkind = \"mapping\"\nid = \"t\"\nversion = \"1.0.0\"\n[match]\ntable = \"{table}\"\n\
         [header]\nclass_id = {{ const = \"x\" }}\nname = {{ const = \"x\" }}\nseverity = {{ const = 1 }}\n{body}"
    );
    layers.add(Layer::Embedded, "t.toml", "mappings/t.toml", text);
    layers.merge().unwrap_or_else(|rejected| {
        panic!("{}", crate::mapping::diagnostic::render(&rejected.diagnostics, &rejected.sources, false))
    })
}

fn coverage(table: &str, body: &str) -> Coverage {
    let schema = Schema::embedded();
    let (name, of) = schema.table(table).unwrap();
    Coverage::of(schema, name, of, &merged(table, body).mappings)
}

fn state<'c>(coverage: &'c Coverage, name: &str) -> &'c State {
    &coverage.lines.iter().find(|line| line.name == name).unwrap_or_else(|| panic!("{name}")).state
}

fn mapped(by: &[&str]) -> State {
    State::Mapped(by.iter().map(|by| (*by).to_owned()).collect())
}

#[test]
fn a_column_that_a_key_a_condition_or_a_variable_in_use_reads_is_mapped() {
    let coverage = coverage(
        "DeviceProcessEvents",
        r#"
[record]
root = "properties"
[vars]
used   = "AccountSid"
unused = "AccountDomain"
[extension]
fname = { from = "FileName", when = "exists(FolderPath)" }
duid  = "$used"
msg   = { template = "{ActionType} {^tenantId} {^properties.MD5}" }
[[rule]]
when   = "AccountName == 'x'"
action = "keep"
reason = "why"
[[overlay]]
when = "exists(LogonId)"
[overlay.extension]
dpid = "ProcessId"
[ignore]
DeviceId = "no need"
FileName = "mapped all the same"
"#,
    );
    for (name, by) in [
        ("FileName", ["fname"]),
        ("FolderPath", ["decides fname"]),
        ("AccountSid", ["duid"]),
        ("ActionType", ["msg"]),
        ("MD5", ["msg"]),
        ("AccountName", ["decides rule why"]),
        ("LogonId", ["decides overlay"]),
        ("ProcessId", ["dpid"]),
    ] {
        assert_eq!(*state(&coverage, name), mapped(&by), "{name}");
    }
    assert!(matches!(state(&coverage, "DeviceId"), State::Ignored { reason, .. } if reason == "no need"));
    assert_eq!(*state(&coverage, "AccountDomain"), State::Unnamed);
    let totals = coverage.totals();
    assert_eq!((totals.properties, totals.mapped, totals.ignored, totals.unnamed), (70, 8, 1, 61));
    assert!(coverage.strangers.is_empty(), "{:?}", coverage.strangers);
}

#[test]
fn a_column_is_known_by_its_name_on_the_wire_too() {
    let coverage =
        coverage("CloudAppEvents", "[record]\nroot = \"properties\"\n[extension]\nmsg = \"ISP\"\n");
    assert_eq!(*state(&coverage, "Isp"), mapped(&["msg"]));
    assert!(coverage.strangers.is_empty());
}

#[test]
fn a_filter_decides_which_kinds_of_evidence_a_path_counts_for() {
    let coverage = coverage(
        "graph.alert",
        r#"
[vars]
user = '''evidence["@odata.type" == '#microsoft.graph.security.userEvidence' and contains(roles, 'attacked')] | first'''
reg  = '''evidence["@odata.type" in ['#microsoft.graph.security.registryKeyEvidence', '#microsoft.graph.security.registryValueEvidence']] | first'''
mail = '''evidence[ends_with("@odata.type", 'MessageEvidence') and not "@odata.type" == '#microsoft.graph.security.teamsMessageEvidence'] | first'''
[extension]
suser = "$user.userAccount.accountName"
filePath = { template = "{$reg.registryHive}/{$reg.registryKey}" }
cs1 = { label = "Subject", from = "$mail.subject" }
cs2 = { label = "Device", from = "evidence[0].vmMetadata | json" }
fname = "evidence[0].fileDetails | path_join('filePath', 'fileName')"
msg = "additionalData.Anything"
[ignore]
"evidence[deviceEvidence].osBuild" = "a number"
"evidence[kubernetesPodEvidence]" = "later"
"evidence[*].tags" = "labels"
comments = "free text"
"@odata.type" = "always the same"
"#,
    );
    for (name, by) in [
        ("evidence[userEvidence].userAccount.accountName", "suser"),
        ("evidence[registryKeyEvidence].registryKey", "filePath"),
        ("evidence[registryValueEvidence].registryHive", "filePath"),
        ("evidence[analyzedMessageEvidence].subject", "cs1 Subject"),
        ("evidence[deviceEvidence].vmMetadata.vmId", "cs2 Device"),
        ("evidence[fileEvidence].fileDetails.fileName", "fname"),
        ("additionalData", "msg"),
        ("evidence[*].roles", "decides suser"),
    ] {
        assert_eq!(*state(&coverage, name), mapped(&[by]), "{name}");
    }
    for name in [
        "evidence[userEvidence].userAccount.userSid",
        "evidence[registryValueEvidence].registryValue",
        "evidence[teamsMessageEvidence].subject",
        "evidence[fileEvidence].fileDetails.md5",
        "evidence[*].verdict",
        "title",
    ] {
        assert_eq!(*state(&coverage, name), State::Unnamed, "{name}");
    }
    for name in [
        "evidence[deviceEvidence].osBuild",
        "evidence[kubernetesPodEvidence].podIp.ipAddress",
        "evidence[*].tags",
        "comments.createdDateTime",
    ] {
        assert!(matches!(state(&coverage, name), State::Ignored { .. }), "{name}");
    }
    assert!(coverage.strangers.is_empty(), "{:?}", coverage.strangers);
}

#[test]
fn what_a_switched_off_fan_out_would_read_counts_by_the_name_of_its_list() {
    for enabled in ["true", "false"] {
        let coverage = coverage(
            "xdr.incident",
            &format!(
                "[extension]\nmsg = \"incidentName\"\n[fanout]\nenabled = {enabled}\neach = \"alerts\"\nas = \"alert\"\n\
                 [fanout.extension]\nact = \"alert.status\"\nfname = \"alert.entities[*].fileName | first\"\n\
                 [ignore]\n\"alerts.devices\" = \"x\"\n\"alerts.entities.url\" = \"y\"\n"
            ),
        );
        assert_eq!(*state(&coverage, "alerts.status"), mapped(&["act"]));
        assert_eq!(*state(&coverage, "alerts.entities.fileName"), mapped(&["fname"]));
        assert!(matches!(state(&coverage, "alerts.devices.osBuild"), State::Ignored { .. }));
        assert!(matches!(state(&coverage, "alerts.entities.url"), State::Ignored { .. }));
        assert_eq!(*state(&coverage, "alerts.title"), State::Unnamed);
        assert!(coverage.strangers.is_empty(), "{:?}", coverage.strangers);
    }
}

#[test]
fn names_that_no_schema_knows_are_shown_with_what_may_be_meant() {
    let coverage = coverage(
        "mde.alert",
        r#"
[vars]
file = "evidence[entityType == 'File'] | first"
[extension]
fname = "$file.fileNam"
suser = "relatedUsr.userName"
[ignore]
detectorID = "typo"
"evidence.nothing" = "typo"
"#,
    );
    let told: Vec<(&str, bool, Option<&str>)> = coverage
        .strangers
        .iter()
        .map(|stranger| (stranger.name.as_str(), stranger.ignored, stranger.help.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("evidence.fileNam", false, Some("did you mean `evidence.fileName`?")),
            ("relatedUsr.userName", false, Some("did you mean `relatedUser.userName`?")),
            ("detectorID", true, Some("did you mean `detectorId`?")),
            ("evidence.nothing", true, None),
        ]
    );
}

#[test]
fn members_of_a_record_that_nobody_knows_are_counted_by_name() {
    let coverage = coverage("mde.alert", "[extension]\nmsg = \"siteColumn\"\n[ignore]\nother = \"x\"\n");
    let record = serde_json::json!({
        "id": "1", "siteColumn": 1, "other": {"a": 1}, "brandNew": null, "@odata.etag": "x",
        "evidence": [{"fileName": "a", "hologram": 1}, {"hologram": 2}],
        "relatedUser": {"userName": "a", "planet": "b"},
    });
    let mut counts = BTreeMap::new();
    coverage.unknown_members(&record, &mut counts);
    let found: Vec<(&str, u64)> = counts.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(found, [("brandNew", 1), ("evidence.hologram", 2), ("relatedUser.planet", 1)]);
}
