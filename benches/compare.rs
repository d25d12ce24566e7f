//! The whole process beside syslog-ng and rsyslog: the same file of Defender records through each, to a counting
//! TLS receiver, and what it cost in CPU seconds per million records.
//!
//! `cargo bench --bench compare -- [--records N] [--rounds N] [PROGRAM…]`; the peers come from `tests/peers`.
//! The CPU time is that of the program with all its threads, from its start until the receiver has counted every
//! record and two seconds more for what is left to confirm. Programs take turns, so that a disturbance of the
//! machine hits all of them; the least of the rounds counts.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "run by hand: prints a table, and watches processes that tell nothing by themselves"
)]

#[path = "hubs.rs"]
mod hubs;
#[path = "receiver.rs"]
mod receiver;
#[allow(dead_code)]
#[path = "records.rs"]
mod records;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cefgate::certs::Development;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, folder] = arguments.as_slice()
        && flag == "--receiver"
    {
        receiver::run(Path::new(folder));
    }
    let options = Options::read(&arguments);
    let folder = tempfile::tempdir().expect("a temporary folder");
    Development::new(&[])
        .expect("local names")
        .write(&folder.path().join("certs"))
        .expect("write certificates");
    let input = folder.path().join("records.json");
    records::write(&input, options.n_records, 1).expect("write records");
    let bytes = fs::metadata(&input).expect("the file just written").len();
    println!(
        "{} records of {} bytes, {} rounds\n",
        options.n_records,
        bytes / options.n_records,
        options.n_rounds
    );
    let mut best: Vec<Option<Cost>> = PROGRAMS.iter().map(|_| None).collect();
    for round in 1..=options.n_rounds {
        for (program, best) in PROGRAMS.iter().zip(&mut best) {
            if !options.programs.is_empty() && !options.programs.iter().any(|name| name == program.name) {
                continue;
            }
            let cost = measure(program, folder.path(), &input, options.n_records);
            eprintln!("round {round}: {:<10} {:6.2} CPU s, {:6.2} s", program.name, cost.cpu, cost.elapsed);
            if best.as_ref().is_none_or(|best| cost.cpu < best.cpu) {
                *best = Some(cost);
            }
        }
    }
    print(&best, options.n_records);
}

struct Options {
    n_records: u64,
    n_rounds: u32,
    programs: Vec<String>,
}

impl Options {
    fn read(arguments: &[String]) -> Self {
        let mut options = Self { n_records: 200_000, n_rounds: 3, programs: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut number =
                || rest.next().and_then(|text| text.parse::<u32>().ok()).expect("a number follows");
            match argument.as_str() {
                "--records" => options.n_records = number().into(),
                "--rounds" => options.n_rounds = number(),
                name => options.programs.push(name.to_owned()),
            }
        }
        options
    }
}

/// A program that does the work.
struct Program {
    name: &'static str,
    queue: &'static str,
    configuration: &'static str,
    /// How many records come in one message of a hub; from the file itself when it is 0.
    n_a_message: u32,
    /// Folder of site mappings below `benches/peers`; the shipped mappings alone when it is empty.
    mappings: &'static str,
    command: fn(&Path, &Path) -> Command,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "cefgate",
        queue: "spool, synced",
        configuration: include_str!("peers/cefgate.toml"),
        n_a_message: 0,
        mappings: "",
        command: cefgate,
    },
    Program {
        name: "cefgate-23",
        queue: "spool, synced; 23 keys",
        configuration: include_str!("peers/cefgate.toml"),
        n_a_message: 0,
        mappings: "twenty_three_keys",
        command: cefgate,
    },
    Program {
        name: "cefgate-hubs",
        queue: "spool, synced; from hubs, 50 a message",
        configuration: include_str!("peers/cefgate-hubs.toml"),
        n_a_message: 50,
        mappings: "",
        command: cefgate,
    },
    Program {
        name: "cefgate-hubs-1",
        queue: "spool, synced; from hubs, 1 a message",
        configuration: include_str!("peers/cefgate-hubs.toml"),
        n_a_message: 1,
        mappings: "",
        command: cefgate,
    },
    Program {
        name: "syslog-ng",
        queue: "reliable disk buffer",
        configuration: include_str!("peers/syslog-ng.conf"),
        n_a_message: 0,
        mappings: "",
        command: |folder, configuration| {
            let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/syslog-ng");
            let root = std::env::var_os("CEFGATE_SYSLOG_NG").map_or_else(default, PathBuf::from);
            let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
            let folders = ["usr/lib/*-linux-gnu", "lib/*-linux-gnu", "usr/lib/syslog-ng"];
            let folders =
                folders.map(|end| glob::glob(&format!("{}/{end}", root.display())).expect("a pattern"));
            let folders = folders.into_iter().flatten().filter_map(Result::ok);
            let libraries: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
            command
                .env("LD_LIBRARY_PATH", libraries.join(":"))
                .args(["-F", "--no-caps", "-f"])
                .arg(configuration);
            command.arg(format!("--module-path={}", root.join("usr/lib/syslog-ng/3.38").display()));
            for (option, name) in [("persist-file", "persist"), ("pidfile", "pid"), ("control", "control")] {
                command.arg(format!("--{option}={}", folder.join(name).display()));
            }
            command
        },
    },
    Program {
        name: "rsyslog",
        queue: "disk queue",
        configuration: include_str!("peers/rsyslog.conf"),
        n_a_message: 0,
        mappings: "",
        command: |folder, configuration| {
            let mut command = Command::new("/usr/sbin/rsyslogd");
            command.arg("-n").arg("-f").arg(configuration).arg("-i").arg(folder.join("pid"));
            command
        },
    },
];

fn cefgate(_: &Path, configuration: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cefgate"));
    command.arg("run").arg("--config").arg(configuration);
    command
}

/// What one run has cost.
struct Cost {
    cpu: f64,
    elapsed: f64,
    peak_kib: u64,
}

/// Runs the program in a folder of its own until the receiver has every record.
fn measure(program: &Program, folder: &Path, input: &Path, n_records: u64) -> Cost {
    let own = folder.join(program.name);
    let _ = fs::remove_dir_all(&own);
    fs::create_dir(&own).expect("a new folder");
    std::os::unix::fs::symlink(folder.join("certs"), own.join("certs")).expect("a new link");
    let mut receiver = Running::start(
        Command::new(std::env::current_exe().expect("this program"))
            .arg("--receiver")
            .arg(folder.join("certs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    );
    let mut counts = BufReader::new(receiver.0.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let port = counts.next().expect("the receiver's port");
    let configuration = own.join("configuration");
    let mappings = match program.mappings {
        "" => own.join("none"),
        name => Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name),
    };
    let text = program.configuration.replace("{folder}", &own.display().to_string()).replace("{port}", &port);
    let text = text.replace("{mappings}", &mappings.display().to_string());
    let hubs = (program.n_a_message > 0).then(|| hubs::Hubs::start(&own, input, program.n_a_message));
    let text = text.replace("{hubs}", &hubs.as_ref().map_or(0, |hubs| hubs.port).to_string());
    fs::write(&configuration, text.replace("{input}", &input.display().to_string()))
        .expect("write configuration");
    let log = fs::File::create(own.join("output.log")).expect("a new file");
    let start = Instant::now();
    let running = Running::start(
        (program.command)(&own, &configuration)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log),
    );
    let watch = watch(running.0.id(), own.join("output.log"));
    let mut received = 0;
    while received < n_records {
        received = counts.next().and_then(|count| count.parse().ok()).expect("the receiver counts on");
    }
    let elapsed = start.elapsed().as_secs_f64();
    if let Some(hubs) = &hubs {
        // A second of one core in each second: then the stand-in is the limit.
        eprintln!(
            "{}: the stand-in's hub took {:.2} CPU s",
            program.name,
            cpu_seconds(hubs.id()) - hubs.before
        );
    }
    std::thread::sleep(Duration::from_secs(2));
    drop(watch);
    if received > n_records {
        eprintln!("{}: {} frames more than records", program.name, received - n_records);
    }
    let status = fs::read_to_string(format!("/proc/{}/status", running.0.id())).expect("it still runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line with the peak");
    let peak_kib = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    Cost { cpu: cpu_seconds(running.0.id()), elapsed, peak_kib }
}

/// Ends the benchmark with the program's own words when it ends while it is being measured.
fn watch(id: u32, log: PathBuf) -> std::sync::mpsc::Sender<()> {
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while ended.recv_timeout(Duration::from_millis(200))
            == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                eprintln!("ended before its work:\n{}", fs::read_to_string(&log).unwrap_or_default());
                std::process::exit(1);
            }
        }
    });
    sender
}

/// User and system time of a process with all its threads: fields 14 and 15 of proc_pid_stat(5).
fn cpu_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("it still runs");
    let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
    let ticks = after_name.split_ascii_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / TICKS_PER_SECOND
}

/// USER_HZ, which is 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| {
            let program = command.get_program().display();
            eprintln!("cannot start {program}: {error}; install the peers with `tests/peers`");
            std::process::exit(1);
        }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn print(best: &[Option<Cost>], n_records: u64) {
    let million = |cpu: f64| cpu / f64::from(u32::try_from(n_records).expect("below 2^32")) * 1e6;
    let first = best.first().and_then(Option::as_ref).map(|cost| cost.cpu);
    println!(
        "\n| program | queue | CPU s per million records | times cefgate's | records/s | peak memory, MiB |"
    );
    println!("|---|---|---:|---:|---:|---:|");
    for (program, cost) in PROGRAMS.iter().zip(best) {
        let Some(Cost { cpu, elapsed, peak_kib }) = cost else { continue };
        let ratio = first.map_or_else(|| "-".to_owned(), |first| format!("{:.1}", cpu / first));
        let rate = 1e6 / million(*elapsed);
        let Program { name, queue, .. } = program;
        println!("| {name} | {queue} | {:.1} | {ratio} | {rate:.0} | {} |", million(*cpu), peak_kib / 1024);
    }
}
