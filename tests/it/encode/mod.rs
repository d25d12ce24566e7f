//! What the encoders write is what a plain encoder would write, and every reader gets the values back.

mod hostile;
mod lognorm;

use cefgate::cef::{Version, Violation, parse::parse};
use cefgate::event::Format;
use cefgate::leef;
use cefgate::pipeline::Frames;
use cefgate::record::{Table, Timestamp};
use cefgate::syslog::{self, Deframer, Framer, Framing, Header, Step};
use cefgate::wire::{TimeForm, Wire};

use self::hostile::{Case, Random};
use crate::harness::pipeline::{pipeline, record};

#[test]
fn a_hundred_thousand_hostile_cef_events_are_written_as_the_standard_says_and_read_back_equal() {
    let mut random = Random::new(1);
    let mut out = Vec::new();
    for _ in 0..EVENTS {
        let case = random.case();
        out.clear();
        write_event(&mut out, Format::Cef(case.version), &case);
        let line = std::str::from_utf8(&out).expect("the encoder writes UTF-8");
        assert_eq!(line, plain_cef(&case), "{case:?}");
        let event = parse(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let header = [&event.vendor, &event.product, &event.device_version, &event.class_id, &event.name];
        assert_eq!(header.map(String::as_str), case.clean_header().each_ref().map(String::as_str), "{line}");
        assert_eq!(event.extension, case.clean_pairs(&['\n', '\r']), "{line}");
        let broken: Vec<&Violation> = event.violations.iter().filter(|found| is_of_encoding(found)).collect();
        assert!(broken.is_empty(), "{broken:?}: {line}");
    }
}

#[test]
fn hostile_leef_events_are_read_back_equal() {
    let mut random = Random::new(2);
    let mut out = Vec::new();
    for number in 0..EVENTS / 4 {
        let case = random.case();
        let delimiter = ["^", "x1F", "0x09", "~"][number % 4];
        let layout = match number % 5 {
            0 => leef::Layout::V1,
            _ => leef::Layout::V2(delimiter.parse().unwrap()),
        };
        out.clear();
        write_event(&mut out, Format::Leef(layout), &case);
        let line = std::str::from_utf8(&out).expect("the encoder writes UTF-8");
        let event = leef::parse::parse(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let between = char::from(layout.delimiter().byte());
        let mut wanted: Vec<(String, String)> = Vec::new();
        for (key, text, max) in &case.pairs {
            let text = hostile::cut(&hostile::spaced(text, &[]), *max).replace(between, " ");
            let text = text.trim_matches(' ');
            if !text.is_empty() {
                wanted.push((key.clone(), text.to_owned()));
            }
        }
        assert_eq!(event.attributes, wanted, "{line}");
        assert!(!event.violations.contains(&leef::parse::Violation::Control), "{line}");
    }
}

#[test]
fn hostile_frames_come_out_of_a_cut_up_stream_as_they_went_in() {
    let mut random = Random::new(3);
    for round in 0..200 {
        let mut framers = [Framing::Octet, Framing::Lf].map(|framing| {
            Framer::new(&syslog::Format { framing, header: Header::Rfc5424, ..syslog::Format::default() })
        });
        let (mut stream, mut wanted, mut message) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..20 {
            message.clear();
            write_event(&mut message, Format::Cef(Version::V0), &random.case());
            framers[random.below(2)].frame(&mut stream, 6, Timestamp(round), &message);
            wanted.push(String::from_utf8(message.clone()).unwrap());
        }
        let mut deframer = Deframer::new(1 << 20);
        let (mut buffer, mut seen) = (Vec::new(), Vec::new());
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + random.below(900)).min(rest.len()));
            buffer.extend_from_slice(piece);
            rest = after;
            loop {
                match deframer.next(&buffer) {
                    Step::Message { message, used, .. } => {
                        let text = std::str::from_utf8(message).unwrap();
                        seen.push(text.split_once(" - - - ").unwrap().1.to_owned());
                        buffer.drain(..used);
                    }
                    Step::More { used } => {
                        buffer.drain(..used);
                        break;
                    }
                    Step::Fault { fault, .. } => panic!("{fault}"),
                }
            }
        }
        assert_eq!(deframer.rest(&buffer), None);
        assert_eq!(seen, wanted);
    }
}

#[test]
fn any_bytes_are_read_without_a_fault_of_the_reader() {
    let mut random = Random::new(4);
    for _ in 0..20_000 {
        let text = random.text(12);
        for line in [text.clone(), format!("CEF:0|{text}"), format!("CEF:0|a|b|c|d|e|5|{text}")] {
            let _ = parse(&line);
        }
        for line in [format!("LEEF:1.0|{text}"), format!("LEEF:2.0|a|b|c|d|{text}")] {
            let _ = leef::parse::parse(&line);
        }
        let mut deframer = Deframer::new(64);
        let mut rest = text.as_bytes();
        while let Step::Message { used, .. } | Step::Fault { used, .. } = deframer.next(rest) {
            rest = &rest[used..];
        }
    }
}

#[test]
fn times_are_written_in_a_form_every_reader_takes() {
    let mut random = Random::new(5);
    let table = Table::new("DeviceProcessEvents");
    for time in [TimeForm::EpochMs, TimeForm::TextUtc] {
        let wire = Wire {
            time: Some(time),
            header: Some(Header::None),
            framing: Some(Framing::Lf),
            ..Wire::default()
        };
        let mut pipeline = pipeline("default", wire);
        for sequence in 0..2_000 {
            let time = i64::try_from(random.below(4_000_000_000)).unwrap() + 100_000_000;
            let moment = jiff::Timestamp::from_second(time).unwrap();
            let body =
                format!(r#"{{"ActionType":"A","Timestamp":"{moment}","ProcessCreationTime":"{moment}"}}"#);
            let mut frames = Frames::default();
            pipeline.encode(&[record(sequence + 1, &table, body)], Timestamp(0), &mut frames);
            let event = parse(std::str::from_utf8(&frames.bytes).unwrap().trim_end()).unwrap();
            assert_eq!(event.violations, [], "{time}");
            assert_eq!(event.value("rt"), event.value("deviceCustomDate1"), "{time}");
        }
    }
}

/// The case through the encoder under test, pair by pair as a mapping writes them.
fn write_event(out: &mut Vec<u8>, format: Format, case: &Case) {
    let [vendor, product, version, class_id, name] = &case.header;
    format.header(out, [vendor, product, version], class_id, name, case.severity);
    let start = out.len();
    for (key, text, max) in &case.pairs {
        let from = out.len();
        if from > start {
            out.push(format.separator());
        }
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        if format.value(out, text, *max).is_empty() {
            out.truncate(from);
        }
    }
}

/// The case through an encoder that is too plain to be wrong: one text built from another, step by step.
fn plain_cef(case: &Case) -> String {
    let digit = if case.version == Version::V0 { 0 } else { 1 };
    let fields = case.clean_header().map(|field| field.replace('\\', "\\\\").replace('|', "\\|"));
    let escape = |text: String| {
        text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r")
    };
    let pairs: Vec<String> = case
        .clean_pairs(&['\n', '\r'])
        .into_iter()
        .map(|(key, text)| format!("{key}={}", escape(text)))
        .collect();
    format!("CEF:{digit}|{}|{}|{}", fields.join("|"), case.severity.min(10), pairs.join(" "))
}

/// Whether a violation is the encoder's doing: which keys stand together is up to the mapping.
fn is_of_encoding(violation: &Violation) -> bool {
    !matches!(
        violation,
        Violation::Unlabelled(_)
            | Violation::OrphanLabel(_)
            | Violation::RepeatedLabel(_)
            | Violation::ConsumerKey(_)
            | Violation::NewerKey(_)
    )
}

const EVENTS: usize = 100_000;
