//! The XML of lists.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;

use super::StorageError;

/// One page of blobs.
#[derive(Debug, Default, PartialEq)]
pub struct Listing {
    /// The blobs, in the order of their names.
    pub blobs: Vec<Blob>,
    /// Folders, each with its `/`, where folders were asked for.
    pub folders: Vec<String>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// When the service answered, by its own clock, in seconds since 1970. 0 when not told.
    pub answered: i64,
}

/// What a list tells of a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob {
    /// Its name in the container.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was created, in seconds since 1970; a blob that is made anew has another. 0 when not told.
    pub created: i64,
    /// When it last changed, in seconds since 1970.
    pub modified: i64,
    /// Its version, in quotes as the service writes it.
    pub etag: String,
    /// Its metadata; names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// One page of containers.
pub struct Containers {
    /// Their names.
    pub names: Vec<String>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Reads a page of blobs.
pub fn blobs(xml: &[u8]) -> Result<Listing, StorageError> {
    let page: BlobsXml = read("list the blobs", xml)?;
    let blobs = page.blobs.blob.into_iter().map(|blob| Blob {
        name: blob.name,
        size: blob.properties.length,
        created: seconds(&blob.properties.created),
        modified: seconds(&blob.properties.modified),
        etag: quoted(blob.properties.etag),
        metadata: blob.metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
    });
    Ok(Listing {
        blobs: blobs.collect(),
        folders: page.blobs.folder.into_iter().map(|folder| folder.name).collect(),
        next: page.next.filter(|next| !next.is_empty()),
        answered: 0,
    })
}

/// Reads a page of containers.
pub fn containers(xml: &[u8]) -> Result<Containers, StorageError> {
    let page: ContainersXml = read("list the containers", xml)?;
    Ok(Containers {
        names: page.containers.container.into_iter().map(|named| named.name).collect(),
        next: page.next.filter(|next| !next.is_empty()),
    })
}

fn read<'x, T: Deserialize<'x>>(what: &'static str, xml: &'x [u8]) -> Result<T, StorageError> {
    let text = std::str::from_utf8(xml).map_err(|error| error.to_string());
    // The page of a portal that asks for a login is XML too, with nothing in it that is looked for.
    let list = |text: &'x str| match text.contains("<EnumerationResults") {
        true => {
            quick_xml::de::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())
        }
        false => Err("it comes from another service, such as a proxy's login page".to_owned()),
    };
    text.and_then(list).map_err(|reason| StorageError::Answer {
        what,
        reason: format!("the answer is not a list: {reason}"),
    })
}

/// A date of HTTP in seconds since 1970; 0 when it is none.
pub fn seconds(date: &str) -> i64 {
    rfc2822::parse(date).map_or(0, |date| Timestamp::from(&date).as_second())
}

/// Lists give a version without quotes, headers with them.
fn quoted(etag: String) -> String {
    if etag.starts_with('"') { etag } else { format!("\"{etag}\"") }
}

#[derive(Deserialize)]
struct BlobsXml {
    #[serde(rename = "Blobs", default)]
    blobs: BlobListXml,
    #[serde(rename = "NextMarker")]
    next: Option<String>,
}

#[derive(Default, Deserialize)]
struct BlobListXml {
    #[serde(rename = "Blob", default)]
    blob: Vec<BlobXml>,
    #[serde(rename = "BlobPrefix", default)]
    folder: Vec<Named>,
}

#[derive(Deserialize)]
struct BlobXml {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Properties")]
    properties: PropertiesXml,
    #[serde(rename = "Metadata", default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct PropertiesXml {
    #[serde(rename = "Creation-Time", default)]
    created: String,
    #[serde(rename = "Last-Modified", default)]
    modified: String,
    #[serde(rename = "Etag", default)]
    etag: String,
    #[serde(rename = "Content-Length", default)]
    length: u64,
}

#[derive(Deserialize)]
struct ContainersXml {
    #[serde(rename = "Containers", default)]
    containers: ContainerListXml,
    #[serde(rename = "NextMarker")]
    next: Option<String>,
}

#[derive(Default, Deserialize)]
struct ContainerListXml {
    #[serde(rename = "Container", default)]
    container: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "Name")]
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_folders_and_the_next_page_are_read_in_any_order() {
        let xml = r#"<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://a.example/" ContainerName="c">
            <Prefix>x</Prefix><Blobs>
            <BlobPrefix><Name>tenantId=1/</Name></BlobPrefix>
            <Blob><Name>a &amp; b.json</Name><Properties><Creation-Time>Wed, 04 Mar 2026 09:00:01 GMT</Creation-Time>
              <Last-Modified>Wed, 04 Mar 2026 09:10:00 GMT</Last-Modified><Etag>0x8D</Etag><Content-Length>37</Content-Length>
              <BlobType>AppendBlob</BlobType></Properties><Metadata><OwnerId>me</OwnerId></Metadata></Blob>
            <BlobPrefix><Name>tenantId=2/</Name></BlobPrefix>
            </Blobs><NextMarker>2!64</NextMarker></EnumerationResults>"#;
        let listing = blobs(xml.as_bytes()).unwrap();
        assert_eq!(listing.folders, ["tenantId=1/", "tenantId=2/"]);
        assert_eq!(listing.next.as_deref(), Some("2!64"));
        let expected = Blob {
            name: "a & b.json".into(),
            size: 37,
            created: 1_772_614_801,
            modified: 1_772_615_400,
            etag: "\"0x8D\"".into(),
            metadata: BTreeMap::from([("ownerid".into(), "me".into())]),
        };
        assert_eq!(listing.blobs, [expected]);
    }

    #[test]
    fn an_empty_list_is_a_list_and_a_page_of_a_portal_is_none() {
        let empty = r#"<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>"#;
        assert_eq!(blobs(empty.as_bytes()).unwrap(), Listing::default());
        let portal = "<html><head><title>Sign in</title></head><body></body></html>";
        let error = blobs(portal.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("a proxy's login page"), "{error}");
        assert!(containers(b"<EnumerationResults><Containers>").is_err());
        let page = r#"<EnumerationResults><Containers><Container><Name>insights-logs-x</Name></Container></Containers><NextMarker/></EnumerationResults>"#;
        assert_eq!(containers(page.as_bytes()).unwrap().names, ["insights-logs-x"]);
    }
}
