//! One page of a list: its records as they came, byte by byte, and where the next page is.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::error::ApiError;

/// One page.
#[derive(Debug)]
pub struct Page {
    /// The records, each a piece of the answer.
    pub records: Vec<Bytes>,
    /// Where the next page is.
    pub next: Option<Url>,
    /// A part of the service did not answer: there may be more than this.
    pub is_partial: bool,
}

#[derive(Deserialize)]
struct Answer<'a> {
    // Lists say `value`; advanced hunting says `results`, its older services `Results`.
    #[serde(borrow, default, alias = "results", alias = "Results")]
    value: Option<Vec<&'a RawValue>>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

impl Page {
    /// Takes an answer apart. The next page must be on the host that was asked: the token goes nowhere else.
    pub(super) fn read(body: Vec<u8>, asked: &Url) -> Result<Self, ApiError> {
        let body = Bytes::from(body);
        let answer: Answer<'_> = serde_json::from_slice(&body).map_err(|_| ApiError::strange(&body))?;
        let Some(value) = answer.value else { return Err(ApiError::strange(&body)) };
        let records = value.iter().map(|raw| body.slice_ref(raw.get().as_bytes())).collect();
        let next = match answer.next.filter(|link| !link.trim().is_empty()) {
            None => None,
            Some(link) => {
                let next = asked.join(&link).map_err(|_| ApiError::Elsewhere(String::new()))?;
                if (next.scheme(), next.host(), next.port()) != (asked.scheme(), asked.host(), asked.port()) {
                    return Err(ApiError::Elsewhere(next.host_str().unwrap_or_default().to_owned()));
                }
                Some(next)
            }
        };
        Ok(Self { records, next, is_partial: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Page, ApiError> {
        Page::read(body.as_bytes().to_vec(), &Url::parse("https://graph.example/v1.0/x?$top=2").unwrap())
    }

    #[test]
    fn records_stay_as_they_came() {
        let page = read(r#"{"@odata.context":"c","value":[ {"a" : 1.50} ,{"b":"\u00e9"}],"@odata.nextLink":"https://graph.example/v1.0/x?$skiptoken=a%20b"}"#).unwrap();
        assert_eq!(page.records, [r#"{"a" : 1.50}"#, r#"{"b":"\u00e9"}"#]);
        assert_eq!(page.next.unwrap().as_str(), "https://graph.example/v1.0/x?$skiptoken=a%20b");
        assert!(read(r#"{"value":[]}"#).unwrap().next.is_none());
    }

    #[test]
    fn a_token_goes_to_no_other_host() {
        for link in [
            "https://evil.example/x",
            "http://graph.example/x",
            "https://graph.example:8443/x",
            "//evil.example/x",
        ] {
            let refused = read(&format!(r#"{{"value":[],"@odata.nextLink":"{link}"}}"#)).unwrap_err();
            assert!(matches!(refused, ApiError::Elsewhere(_)), "{link}: {refused}");
        }
    }

    #[test]
    fn what_is_no_list_is_named_for_what_it_is() {
        for (body, expected) in [
            ("<html>sign in</html>", "a web page"),
            (r#"{"value":[{"a":"#, "broken JSON"),
            ("{}", "other"),
            ("", "empty"),
            ("ok", "no JSON"),
        ] {
            let text = read(body).unwrap_err().to_string();
            assert!(text.contains(expected) && text.contains("proxy"), "{body}: {text}");
        }
    }
}
