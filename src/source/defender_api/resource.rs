//! What is asked of which service: a row a resource. A new resource is a row here.

use serde::{Deserialize, Serialize};

use crate::azure::Service;

/// What a source reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Alerts of all Defender products, by Microsoft Graph.
    GraphAlerts,
    /// Incidents with their alerts, by Microsoft Graph.
    GraphIncidents,
    /// Alerts of Defender for Endpoint, by its own API. Ends on 2027-02-01.
    MdeAlerts,
    /// Incidents with their alerts, by the Defender XDR API. Ends on 2027-02-01.
    XdrIncidents,
}

/// How a resource is asked for.
#[derive(Debug)]
pub struct Row {
    /// Who answers.
    pub service: Service,
    /// The table of its records.
    pub table: &'static str,
    /// Where the list is.
    pub path: &'static str,
    /// The member that names a record.
    pub id: &'static str,
    /// The member that says when it was changed; lists are asked for by it.
    pub updated: &'static str,
    /// The order in which pages come, where the service can sort.
    pub order: Option<&'static str>,
    /// Records of one page, as many as the service gives.
    pub page_size: usize,
    /// How far `$skip` goes.
    pub most_skipped: usize,
    /// What is asked for beside the records themselves.
    pub expand: Option<&'static str>,
    /// Each of these permissions lets an application ask; the first one is the least.
    pub permissions: &'static [&'static str],
    /// Where the alerts of one incident are, behind its id.
    pub alerts: Option<&'static str>,
}

impl Resource {
    /// The table of its records.
    #[must_use]
    pub fn table(self) -> &'static str {
        self.row().table
    }

    /// How it is asked for.
    #[must_use]
    pub fn row(self) -> &'static Row {
        match self {
            Self::GraphAlerts => &GRAPH_ALERTS,
            Self::GraphIncidents => &GRAPH_INCIDENTS,
            Self::MdeAlerts => &MDE_ALERTS,
            Self::XdrIncidents => &XDR_INCIDENTS,
        }
    }
}

/// "List alerts_v2": pages of up to 1000; a larger `$top` is cut down without a word, a `$skip` above 500 refused.
static GRAPH_ALERTS: Row = Row {
    service: Service::Graph,
    table: "graph.alert",
    path: "/v1.0/security/alerts_v2",
    id: "id",
    updated: "lastUpdateDateTime",
    order: Some("lastUpdateDateTime asc"),
    page_size: 1000,
    most_skipped: 500,
    expand: None,
    permissions: &[
        "SecurityAlert.Read.All",
        "SecurityAlert.ReadWrite.All",
        "SecurityIncident.Read.All",
        "SecurityIncident.ReadWrite.All",
    ],
    alerts: None,
};

/// "List incidents": pages of up to 50. With `$expand=alerts` large incidents end in status 500 for good, so the alerts
/// of each are asked for by themselves.
static GRAPH_INCIDENTS: Row = Row {
    service: Service::Graph,
    table: "graph.incident",
    path: "/v1.0/security/incidents",
    id: "id",
    updated: "lastUpdateDateTime",
    order: Some("lastUpdateDateTime asc"),
    page_size: 50,
    most_skipped: 500,
    expand: None,
    permissions: &["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"],
    alerts: Some("/alerts"),
};

/// "List alerts": without `$expand` the evidence is an empty list; with `$top` there is no link to the next page.
static MDE_ALERTS: Row = Row {
    service: Service::Mde,
    table: "mde.alert",
    path: "/api/alerts",
    id: "id",
    updated: "lastUpdateTime",
    order: None,
    page_size: 1000,
    most_skipped: 100_000,
    expand: Some("evidence"),
    permissions: &["Alert.Read.All", "Alert.ReadWrite.All"],
    alerts: None,
};

/// "List incidents": pages of up to 100, alerts and entities inside.
static XDR_INCIDENTS: Row = Row {
    service: Service::Xdr,
    table: "xdr.incident",
    path: "/api/incidents",
    id: "incidentId",
    updated: "lastUpdateTime",
    order: None,
    page_size: 100,
    most_skipped: 100_000,
    expand: None,
    permissions: &["Incident.Read.All", "Incident.ReadWrite.All"],
    alerts: None,
};
