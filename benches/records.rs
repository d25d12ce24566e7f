//! Records to measure with: distinct `DeviceProcessEvents` rows in their envelope, about 3 kB each, one a line.
//!
//! The same seed gives the same bytes on every machine. One row in ten carries values that an attacker could have
//! chosen: separators of CEF, LEEF and syslog, line breaks, forged keys, text far beyond ASCII. Nothing here knows
//! what becomes of the records.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes `n` distinct records to a new file, one a line.
pub fn write(path: &Path, n: u64, seed: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut rows = Rows::new(seed);
    let mut line = String::with_capacity(4096);
    for _ in 0..n {
        line.clear();
        rows.next(&mut line);
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    out.into_inner()?.sync_all()
}

/// An endless row of records.
pub struct Rows {
    random: Random,
    number: u64,
}

impl Rows {
    /// The rows of a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), number: 0 }
    }

    /// Appends the next record to `out`, without a line end.
    pub fn next(&mut self, out: &mut String) {
        self.number += 1;
        let number = self.number;
        let random = &mut self.random;
        let device = random.below(5_000);
        let user = random.below(20_000);
        let (image, folder, description) = random.one_of(&IMAGES);
        let (parent, parent_folder, _) = random.one_of(&IMAGES);
        let ticks = random.below(10_000_000);
        let second = number % 86_400;
        let time = |second: u64| {
            format!("2026-03-04T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
        };
        let command = random.command(number, image);
        let parent_command = random.command(number, parent);
        let account = if number % 10 == 5 { "al|ice=\\\\ x" } else { "alice" };
        let fields = [
            ("time", text(&format!("{}.{ticks:07}Z", time((second + 148) % 86_400)))),
            ("tenantId", text("2f6a4c1e-93b7-4d58-8a06-5be1c7d09f34")),
            ("operationName", text("Publish")),
            ("category", text("AdvancedHunting-DeviceProcessEvents")),
            ("_TimeReceivedBySvc", text(&format!("{}.{ticks:07}Z", time((second + 90) % 86_400)))),
        ];
        out.push('{');
        object(out, &fields);
        out.push_str(",\"properties\":{");
        let properties = [
            ("Timestamp", text(&format!("{}.{ticks:07}Z", time(second)))),
            ("DeviceId", text(&random.hex(device, 40))),
            ("DeviceName", text(&format!("ws-{device:05}.ber.corp.example"))),
            ("MachineGroup", text("Workstations EMEA")),
            ("ReportId", number.to_string()),
            ("AppGuardContainerId", text("")),
            ("ActionType", text(if number % 50 == 7 { "OpenProcess" } else { "ProcessCreated" })),
            ("FileName", text(image)),
            ("FolderPath", text(&format!("{folder}\\\\{image}"))),
            ("SHA1", text(&random.hex(number, 40))),
            (
                "SHA256",
                text(&if number.is_multiple_of(3) { random.hex(number ^ 0xfade, 64) } else { String::new() }),
            ),
            ("MD5", text(&random.hex(number ^ 0xbeef, 32))),
            ("FileSize", (10_000 + random.below(9_000_000)).to_string()),
            ("ProcessVersionInfoCompanyName", text("Example Corporation")),
            ("ProcessVersionInfoProductName", text("Example® Desktop® Operating System")),
            ("ProcessVersionInfoProductVersion", text("10.0.22631.4890")),
            ("ProcessVersionInfoOriginalFileName", text(image)),
            ("ProcessVersionInfoFileDescription", text(description)),
            ("ProcessId", (4 + random.below(30_000)).to_string()),
            ("ProcessCommandLine", text(&command)),
            ("ProcessIntegrityLevel", text(random.one_of(&["Low", "Medium", "High", "System"]))),
            ("ProcessTokenElevation", text("TokenElevationTypeDefault")),
            ("ProcessCreationTime", text(&format!("{}.{:07}Z", time(second), random.below(10_000_000)))),
            ("AccountDomain", text("corp")),
            ("AccountName", text(&format!("{account}{user}"))),
            ("AccountSid", text(&format!("S-1-5-21-1004336348-1177238915-682003330-{user}"))),
            ("AccountUpn", text(&format!("alice{user}@corp.example"))),
            ("LogonId", random.below(90_000_000).to_string()),
            ("InitiatingProcessLogonId", random.below(90_000_000).to_string()),
            ("InitiatingProcessSignerType", text("OsVendor")),
            ("InitiatingProcessSignatureStatus", text("Valid")),
            ("CreatedProcessSessionId", "1".to_owned()),
            ("IsProcessRemoteSession", "false".to_owned()),
            ("ProcessRemoteSessionDeviceName", "null".to_owned()),
            ("ProcessRemoteSessionIP", "null".to_owned()),
            ("ProcessUniqueId", text(&random.below(u64::MAX >> 8).to_string())),
            (
                "AdditionalFields",
                text("{\\\"ProcessPosixProcessGroupId\\\":3212,\\\"ProcessPosixSessionId\\\":9194}"),
            ),
            ("InitiatingProcessAccountDomain", text("corp")),
            ("InitiatingProcessAccountName", text(&format!("{account}{user}"))),
            (
                "InitiatingProcessAccountSid",
                text(&format!("S-1-5-21-1004336348-1177238915-682003330-{user}")),
            ),
            ("InitiatingProcessAccountUpn", text(&format!("alice{user}@corp.example"))),
            ("InitiatingProcessAccountObjectId", text(&random.guid(user))),
            ("InitiatingProcessSHA1", text(&random.hex(number ^ 0x1111, 40))),
            ("InitiatingProcessSHA256", text(&random.hex(number ^ 0x2222, 64))),
            ("InitiatingProcessFileName", text(parent)),
            ("InitiatingProcessFileSize", (10_000 + random.below(9_000_000)).to_string()),
            ("InitiatingProcessId", (4 + random.below(30_000)).to_string()),
            ("InitiatingProcessCommandLine", text(&parent_command)),
            (
                "InitiatingProcessCreationTime",
                text(&format!("{}.{:07}Z", time(second), random.below(10_000_000))),
            ),
            ("InitiatingProcessFolderPath", text(&format!("{parent_folder}\\\\{parent}"))),
            ("InitiatingProcessParentId", (4 + random.below(30_000)).to_string()),
            ("InitiatingProcessParentFileName", text("explorer.exe")),
            ("InitiatingProcessParentCreationTime", text(&format!("{}Z", time(second)))),
            ("InitiatingProcessIntegrityLevel", text("Medium")),
        ];
        object(out, &properties);
        out.push_str("},\"Tenant\":\"DefaultTenant\"}");
    }
}

/// A JSON string of text that is escaped already.
fn text(escaped: &str) -> String {
    format!("\"{escaped}\"")
}

fn object(out: &mut String, fields: &[(&str, String)]) {
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push('"');
        out.push_str(name);
        out.push_str("\":");
        out.push_str(value);
    }
}

/// Marsaglia's xorshift64*: good enough to vary test data, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let bound = u64::try_from(choices.len()).unwrap_or(u64::MAX);
        choices[usize::try_from(self.below(bound)).unwrap_or(0)]
    }

    /// `n` hexadecimal digits that belong to `key` alone.
    fn hex(&self, key: u64, n: usize) -> String {
        let mut random = Random(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut digits = String::with_capacity(n + 16);
        while digits.len() < n {
            digits.push_str(&format!("{:016x}", random.next()));
        }
        digits.truncate(n);
        digits
    }

    fn guid(&self, key: u64) -> String {
        let digits = self.hex(key, 32);
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
    }

    /// A command line, escaped for JSON: every tenth is hostile.
    fn command(&mut self, number: u64, image: &str) -> String {
        let tail: u64 = self.below(1 << 40);
        match number % 10 {
            5 => format!("\\\"{image}\\\" {} {tail}", self.one_of(&HOSTILE)),
            _ => format!(
                "\\\"{image}\\\" --type=renderer --lang=en-US --num-raster-threads=4 --renderer-client-id={tail} \
                 --launch-time-ticks={tail} --field-trial-handle={tail},i,262144 /prefetch:{}",
                self.below(9)
            ),
        }
    }
}

const IMAGES: [(&str, &str, &str); 6] = [
    ("cmd.exe", "C:\\\\Windows\\\\System32", "Command Processor"),
    ("powershell.exe", "C:\\\\Windows\\\\System32\\\\WindowsPowerShell\\\\v1.0", "Shell"),
    ("svchost.exe", "c:\\\\windows\\\\system32", "Host Process"),
    ("browser.exe", "c:\\\\program files (x86)\\\\example\\\\browser\\\\application", "Browser"),
    ("winword.exe", "C:\\\\Program Files\\\\Example Office\\\\root\\\\Office16", "Word Processor"),
    ("updater.exe", "C:\\\\ProgramData\\\\Example\\\\Updater\\\\1.2.3.4", "Updater"),
];

/// Escaped for JSON.
const HOSTILE: [&str; 8] = [
    "a|b=c\\\\d act=blocked src=203.0.113.1",
    "first\\r\\nCEF:0|Forged|Forged|1|1|forged|10|act=x",
    "first\\n<13>1 2026-03-04T00:00:00Z h a - - - forged",
    "LEEF:2.0|x|y|1|z|^|\\tdevTime=0\\tusrName=root",
    "\u{2028}\u{2029}\u{202e} 漢字 😀 ünïcödé",
    "nul\\u0000 tab\\t bell\\u0007 escape\\u001b[31m",
    "half \\ud800 pair \\ud83d\\ude00 last \\udc00",
    "\\\\\\\\=\\\\|==||\\\\ ends in a backslash \\\\",
];
