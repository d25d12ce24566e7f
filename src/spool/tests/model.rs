//! Any sequence of appends, reads, commits, rewinds and crashes, against a list of what was acknowledged.

use std::fs;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        n_records: usize,
        size: usize,
    },
    /// As an append whose position goes behind the one there is.
    Extend {
        n_records: usize,
        size: usize,
    },
    Read,
    Commit,
    Rewind,
    /// Ends without closing; bytes that were never acknowledged may stand at the end.
    Crash {
        garbage: usize,
        byte: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..6, 8usize..3000).prop_map(|(n_records, size)| Step::Append { n_records, size }),
        2 => (0usize..6, 8usize..3000).prop_map(|(n_records, size)| Step::Extend { n_records, size }),
        3 => Just(Step::Read),
        2 => Just(Step::Commit),
        1 => Just(Step::Rewind),
        1 => (0usize..200, any::<u8>()).prop_map(|(garbage, byte)| Step::Crash { garbage, byte }),
    ]
}

/// What a correct spool would do.
#[derive(Default)]
struct Model {
    stored: Vec<String>,
    position: Option<String>,
    committed: usize,
    read: usize,
}

async fn run(steps: Vec<Step>) {
    let world = World::with(|config| {
        config.segment_bytes = 4 << 10;
        config.max_bytes = 64 << 20;
        config.keep = Duration::ZERO;
    });
    let mut model = Model::default();
    let mut spool = world.open();
    let mut reader = spool.reader("siem").unwrap();
    for step in steps {
        match step {
            Step::Append { n_records, size } | Step::Extend { n_records, size } => {
                let extends = matches!(step, Step::Extend { .. });
                let batch = numbered(model.stored.len(), n_records, size);
                model
                    .stored
                    .extend(batch.records.iter().map(|(_, body)| String::from_utf8(body.to_vec()).unwrap()));
                if extends {
                    model.position.get_or_insert_default().push_str(&batch.position.0);
                    intake(&spool).extend(batch).await.unwrap();
                } else {
                    model.position = Some(batch.position.0.clone());
                    intake(&spool).append(batch).await.unwrap();
                }
            }
            Step::Read if model.read < model.stored.len() => {
                let chunk = within(reader.next()).await.unwrap();
                let end = model.read + chunk.records.len();
                assert_eq!(chunk.records[0].sequence, model.read as u64 + 1);
                assert_eq!(bodies(&chunk), model.stored[model.read..end]);
                assert_eq!(chunk.end, Cursor(end as u64 + 1));
                model.read = end;
            }
            Step::Read => {}
            Step::Commit => {
                model.committed = model.read;
                reader.commit(Cursor(model.read as u64 + 1)).await.unwrap();
            }
            Step::Rewind => {
                model.read = model.committed;
                reader.rewind();
            }
            Step::Crash { garbage, byte } => {
                drop((reader, spool));
                let newest = world.segments().pop().unwrap();
                let mut bytes = fs::read(&newest).unwrap();
                bytes.resize(bytes.len() + garbage, byte);
                fs::write(&newest, bytes).unwrap();
                model.read = model.committed;
                spool = world.open();
                reader = spool.reader("siem").unwrap();
                assert_eq!(position(&intake(&spool)), model.position);
            }
        }
        assert_eq!(spool.status().next_sequence, model.stored.len() as u64 + 1);
        assert_eq!(reader.cursor(), Cursor(model.committed as u64 + 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_spool_does_what_a_list_would_do(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
