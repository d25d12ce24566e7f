//! What can be changed at which service, and the words each takes: tables to read and to extend.
//!
//! The services spell the same thing differently, and their own pages disagree here and there; where they do, both
//! words stand here and the service has the last one.

use crate::azure::Service;

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// An alert.
    Alert,
    /// An incident.
    Incident,
}

impl Object {
    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Incident => "incident",
        }
    }

    /// The services it can be changed at, the usual one first.
    #[must_use]
    pub fn apis(self) -> &'static [&'static str] {
        match self {
            Self::Alert => &["graph", "mde"],
            Self::Incident => &["graph", "xdr"],
        }
    }
}

/// How one object is changed at one service.
#[derive(Debug)]
pub struct Row {
    /// What.
    pub object: Object,
    /// The service, as it is written on the command line.
    pub api: &'static str,
    /// Who answers.
    pub service: Service,
    /// Where the objects are.
    pub path: &'static str,
    /// The table of such records, as sources name it.
    pub table: &'static str,
    /// The member of an answer that says when the object was changed.
    pub updated: &'static str,
    /// The application permission it takes.
    pub permission: &'static str,
    /// The words of `status`.
    pub statuses: &'static [&'static str],
    /// The words of `classification`, each with the words of `determination` that belong to it.
    pub classifications: &'static [(&'static str, &'static [&'static str])],
    /// The member for tags, where there is one.
    pub tags: Option<&'static str>,
    /// How a comment gets there.
    pub comment: Comment,
    /// Where one change is sent for many, where that is possible.
    pub batch: Option<&'static str>,
}

/// How a comment gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comment {
    /// As a member beside the others.
    Member,
    /// By a request of its own.
    Posted,
}

/// The row of an object and a service.
#[must_use]
pub fn row(object: Object, api: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.object == object && row.api == api)
}

/// The word of a list that is meant: case, `_`, `-` and blanks do not count.
#[must_use]
pub fn same<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let bare = |text: &str| -> String {
        text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let wanted = bare(word);
    words.into_iter().find(|word| bare(word) == wanted)
}

/// The permission that adds, lists and removes indicators: of this application's own, or of all.
pub const INDICATOR_PERMISSION: &str = "Ti.ReadWrite (its own indicators) or Ti.ReadWrite.All (all)";

/// Graph, schema v1.0: `alertClassification`, `alertDetermination`.
const GRAPH_CLASSIFICATIONS: &[(&str, &[&str])] = &[
    (
        "truePositive",
        &[
            "multiStagedAttack",
            "maliciousUserActivity",
            "compromisedAccount",
            "malware",
            "phishing",
            "unwantedSoftware",
            "other",
        ],
    ),
    (
        "informationalExpectedActivity",
        &["securityTesting", "lineOfBusinessApplication", "confirmedActivity", "other"],
    ),
    ("falsePositive", &["notMalicious", "notEnoughDataToValidate", "other"]),
    ("unknown", &["unknown"]),
];

const ROWS: &[Row] = &[
    // "Update alert", "alert: Create comment".
    Row {
        object: Object::Alert,
        api: "graph",
        service: Service::Graph,
        path: "/v1.0/security/alerts_v2",
        table: "graph.alert",
        updated: "lastUpdateDateTime",
        permission: "SecurityAlert.ReadWrite.All",
        statuses: &["new", "inProgress", "resolved"],
        classifications: GRAPH_CLASSIFICATIONS,
        tags: None,
        comment: Comment::Posted,
        batch: None,
    },
    // "Update incident".
    Row {
        object: Object::Incident,
        api: "graph",
        service: Service::Graph,
        path: "/v1.0/security/incidents",
        table: "graph.incident",
        updated: "lastUpdateDateTime",
        permission: "SecurityIncident.ReadWrite.All",
        statuses: &["active", "inProgress", "awaitingAction", "resolved", "redirected"],
        classifications: GRAPH_CLASSIFICATIONS,
        tags: Some("customTags"),
        comment: Comment::Posted,
        batch: None,
    },
    // "Update alert", "Batch update alerts". The members begin with a lower-case letter, whatever the table of the
    // first page prints. ConfirmedActivity, NotMalicious: that page; the others: the resource's page.
    Row {
        object: Object::Alert,
        api: "mde",
        service: Service::Mde,
        path: "/api/alerts",
        table: "mde.alert",
        updated: "lastUpdateTime",
        permission: "Alert.ReadWrite.All",
        statuses: &["New", "InProgress", "Resolved"],
        classifications: &[
            (
                "TruePositive",
                &[
                    "MultiStagedAttack",
                    "MaliciousUserActivity",
                    "CompromisedUser",
                    "Malware",
                    "Phishing",
                    "UnwantedSoftware",
                    "Other",
                ],
            ),
            (
                "InformationalExpectedActivity",
                &[
                    "SecurityTesting",
                    "LineOfBusinessApplication",
                    "ConfirmedUserActivity",
                    "ConfirmedActivity",
                    "Other",
                ],
            ),
            ("FalsePositive", &["Clean", "NotMalicious", "InsufficientData", "Other"]),
        ],
        tags: None,
        comment: Comment::Member,
        batch: Some("/api/alerts/batchUpdate"),
    },
    // "Update incidents API".
    Row {
        object: Object::Incident,
        api: "xdr",
        service: Service::Xdr,
        path: "/api/incidents",
        table: "xdr.incident",
        updated: "lastUpdateTime",
        permission: "Incident.ReadWrite.All",
        statuses: &["Active", "InProgress", "Resolved", "Redirected"],
        classifications: &[
            (
                "TruePositive",
                &[
                    "MultiStagedAttack",
                    "MaliciousUserActivity",
                    "CompromisedAccount",
                    "Malware",
                    "Phishing",
                    "UnwantedSoftware",
                    "Other",
                ],
            ),
            (
                "InformationalExpectedActivity",
                &["SecurityTesting", "LineOfBusinessApplication", "ConfirmedActivity", "Other"],
            ),
            ("FalsePositive", &["Clean", "NoEnoughDataToValidate", "Other"]),
        ],
        tags: Some("tags"),
        comment: Comment::Member,
        batch: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_has_a_row_at_each_of_its_services_and_no_word_means_two() {
        let objects = [Object::Alert, Object::Incident];
        let rows: Vec<&Row> = objects
            .iter()
            .flat_map(|object| object.apis().iter().map(|api| row(*object, api).unwrap()))
            .collect();
        assert_eq!(rows.len(), ROWS.len());
        for row in rows {
            let determinations = row.classifications.iter().map(|(_, words)| *words);
            for words in [row.statuses].into_iter().chain(determinations) {
                for word in words {
                    assert_eq!(same(word, words.iter().copied()), Some(*word));
                }
            }
        }
    }

    #[test]
    fn case_and_separators_do_not_count() {
        for word in ["inProgress", "InProgress", "in_progress", "in-progress", "in progress"] {
            assert_eq!(same(word, ["new", "inProgress"]), Some("inProgress"), "{word}");
        }
        assert_eq!(same("progress", ["new", "inProgress"]), None);
    }
}
