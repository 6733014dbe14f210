//! Every example, run as a newcomer runs it: in processes of its own that talk to each other.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use jackstay::blocking::{PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, SubSocket};

/// A running example, and the lines that it prints. Dropped, it is killed.
struct Example {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Example {
    fn start(name: &str, args: &[&str]) -> Self {
        let path = built(name);
        let mut child = Command::new(&path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; cargo build --examples", path.display()));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = sync_channel(1_000);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            name: name.to_owned(),
            child,
            lines,
        }
    }

    /// The next line, or `None` at the end of the output.
    fn try_line(&self) -> Option<String> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(Disconnected) => None,
            Err(Timeout) => panic!("{} prints nothing", self.name),
        }
    }

    fn line(&self) -> String {
        let line = self.try_line();
        line.unwrap_or_else(|| panic!("{} ended too early", self.name))
    }

    /// Reads lines up to one that satisfies `wanted`.
    fn line_with(&self, wanted: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(wanted) {
                return line;
            }
        }
    }

    /// The endpoint that a binding example prints first.
    fn endpoint(&self) -> String {
        let line = self.line();
        let endpoint = line.strip_prefix("bound to ");
        endpoint.unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    fn types(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// What it prints up to its end, which has to be a good one.
    fn rest(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let mut rest = Vec::new();
        while let Some(line) = self.try_line() {
            rest.push(line);
        }
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}: {status}, {rest:#?}", self.name);
        rest
    }

    #[cfg(unix)]
    fn ctrl_c(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended of itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo put the example: beside the directory of this test.
fn built(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    target
        .join("examples")
        .join(name)
        .with_extension(env::consts::EXE_EXTENSION)
}

const ANY: &str = "tcp://127.0.0.1:0";
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn the_tour_ends_by_itself_and_nothing_is_lost() {
    let lines = Example::start("tour", &["--seconds", "2"]).rest();
    let verdicts = lines.iter().filter(|line| line.ends_with("nothing lost"));
    assert_eq!(verdicts.count(), 3, "{lines:#?}");
    for what in ["pipeline", "feed", "service"] {
        let sum = lines.iter().find(|line| line.starts_with(what)).unwrap();
        assert!(!sum.contains(" 0 sent"), "{sum}");
    }
}

#[cfg(unix)]
#[test]
fn the_tour_ends_on_ctrl_c_and_nothing_is_lost() {
    let tour = Example::start("tour", &["--seconds", "600"]);
    tour.line_with(" 1 ");
    tour.ctrl_c();
    let lines = tour.rest();
    let verdicts = lines.iter().filter(|line| line.ends_with("nothing lost"));
    assert_eq!(verdicts.count(), 3, "{lines:#?}");
}

#[test]
fn pipeline_with_two_workers() {
    let sink = Example::start("pipeline", &["sink", ANY, "1000"]);
    let ventilator = Example::start("pipeline", &["ventilator", ANY, "1000"]);
    let (tasks, results) = (ventilator.endpoint(), sink.endpoint());
    let worker = || Example::start("pipeline", &["worker", &tasks, &results]);
    let _workers = [worker(), worker()];
    assert_eq!(sink.rest(), ["1000 results, their sum is 333833500"]);
    assert!(ventilator.rest().is_empty());
}

#[test]
fn pub_sub_gives_each_subscriber_what_it_asked_for() {
    let publisher = Example::start("pub_sub", &["publish", ANY]);
    let at = publisher.endpoint();
    let weather = Example::start("pub_sub", &["subscribe", &at, "wind.", "rain."]);
    let all = Example::start("pub_sub", &["subscribe", &at]);
    for _ in 0..6 {
        let line = weather.line();
        let known = line.starts_with("wind.roof ") || line.starts_with("rain.roof ");
        assert!(known, "{line}");
    }
    for topic in ["temp.hall ", "temp.attic ", "wind.roof ", "rain.roof "] {
        all.line_with(topic);
    }
}

#[test]
fn req_rep_and_blocking_talk_to_themselves_and_to_each_other() {
    for (server, hour) in [("req_rep", "noon"), ("blocking", "midnight")] {
        let service = Example::start(server, &["serve", ANY]);
        let at = service.endpoint();
        for client in ["req_rep", "blocking"] {
            let asked = Example::start(client, &["ask", &at, "Paris"]).rest();
            assert_eq!(
                asked,
                [format!("{hour} in Paris")],
                "{client} asks {server}"
            );
        }
    }
}

#[test]
fn dealer_router_replies_to_each_request_of_each_client() {
    let server = Example::start("dealer_router", &["serve", ANY]);
    let at = server.endpoint();
    let ask = |name| Example::start("dealer_router", &["ask", &at, name]);
    for client in [ask("ada"), ask("bob")] {
        let mut replies = client.rest();
        replies.sort();
        let expected: Vec<_> = (0..10).map(|number| format!("{number} done")).collect();
        assert_eq!(replies, expected);
    }
    server.line_with("ada");
}

#[test]
fn load_balancer_serves_clients_that_came_before_the_workers() {
    let broker = Example::start("load_balancer", &["broker", ANY, ANY]);
    let (clients, workers) = (broker.endpoint(), broker.endpoint());
    let ask = |question| Example::start("load_balancer", &["ask", &clients, question]);
    let asked = ["Is it late", "Is it far", "Is it dear"].map(ask);
    let worker = |name| Example::start("load_balancer", &["worker", &workers, name]);
    let _workers = [worker("ada"), worker("bob")];
    for (client, question) in asked.into_iter().zip(["late", "far", "dear"]) {
        let answer = client.rest().concat();
        assert!(
            answer.ends_with(&format!(" says: Is it {question}? Yes.")),
            "{answer}"
        );
    }
}

#[test]
fn pair_carries_what_is_typed_both_ways() {
    let mut one = Example::start("pair", &["bind", ANY]);
    let mut other = Example::start("pair", &["connect", &one.endpoint()]);
    other.types("hello");
    assert_eq!(one.line(), "> hello");
    one.types("hello yourself");
    assert_eq!(other.line(), "> hello yourself");
    other.types("good bye");
    other.rest();
    assert_eq!(one.line(), "> good bye");
    one.rest();
}

#[cfg(unix)]
#[test]
fn proxies_forward_until_ctrl_c_and_tell_how_much() {
    let forwarder = Example::start("proxy", &["forwarder", ANY, ANY]);
    let (feed, reader) = (PubSocket::new(), SubSocket::new());
    feed.connect(forwarder.endpoint()).unwrap();
    reader.connect(forwarder.endpoint()).unwrap();
    reader.subscribe("temp.").unwrap();
    assert!(feed.wait_for_subscribers(1, LIMIT));
    feed.send("wind.roof").unwrap();
    feed.send("temp.hall").unwrap();
    assert_eq!(reader.recv_timeout(LIMIT).unwrap(), "temp.hall");
    forwarder.ctrl_c();
    assert_eq!(forwarder.rest(), ["1 forth, 1 back"]);

    let queue = Example::start("proxy", &["queue", ANY, ANY]);
    let (mut client, service) = (ReqSocket::new(), RepSocket::new());
    client.connect(queue.endpoint()).unwrap();
    service.connect(queue.endpoint()).unwrap();
    let server = thread::spawn(move || {
        let request = service.accept_timeout(LIMIT).unwrap();
        request.reply("yes").unwrap();
        service
    });
    assert_eq!(client.request_timeout("really?", LIMIT).unwrap(), "yes");
    server.join().unwrap();
    queue.ctrl_c();
    assert_eq!(queue.rest(), ["1 forth, 1 back"]);

    let streamer = Example::start("proxy", &["streamer", ANY, ANY]);
    let (source, worker) = (PushSocket::new(), PullSocket::new());
    source.connect(streamer.endpoint()).unwrap();
    worker.connect(streamer.endpoint()).unwrap();
    source.send("a task").unwrap();
    assert_eq!(worker.recv_timeout(LIMIT).unwrap(), "a task");
    streamer.ctrl_c();
    assert_eq!(streamer.rest(), ["1 forth, 0 back"]);
}

#[test]
fn monitor_tells_of_a_peer_that_comes_and_goes() {
    let publisher = Example::start("pub_sub", &["publish", ANY]);
    let monitor = Example::start("monitor", &[&publisher.endpoint()]);
    monitor.line_with(": connected");
    monitor.line_with(": handshake done");
    assert!(monitor.line().contains("a PUB that speaks"));
    drop(publisher);
    monitor.line_with(": disconnected: ");
    monitor.line_with(": trying again in ");
}

#[cfg(target_os = "linux")]
#[test]
fn authentication_lets_in_by_password_and_by_address() {
    let mut server = Example::start("authentication", &["serve", ANY, ANY]);
    let (by_password, by_address) = (server.endpoint(), server.endpoint());
    let ask = |args: &[&str]| Example::start("authentication", &[&["ask"], args].concat());
    let output = |args: &[&str]| {
        let mut asked = Command::new(built("authentication"));
        asked.arg("ask").args(args).output().unwrap()
    };
    assert_eq!(ask(&[&by_password, "joe", "secret"]).rest(), ["hello, joe"]);
    assert_eq!(ask(&[&by_address]).rest(), ["hello, stranger"]);
    let elsewhere = by_address.replace("tcp://", "tcp://127.0.0.2:0;");
    let guess = [&*by_password, "joe", "guess"];
    for refused in [&guess[..], &[&elsewhere], &[&by_password]] {
        let output = output(refused);
        assert!(!output.status.success(), "{refused:?}");
        assert!(output.stdout.is_empty(), "{refused:?}");
    }
    server.line_with("(user \"joe\"): handshake done");
    server.line_with("refused the peer");
    server.types("joe");
    server.line_with("shut out joe: true");
    assert!(!output(&[&by_password, "joe", "secret"]).status.success());
}

#[test]
fn last_value_skips_what_is_out_of_date() {
    let publisher = Example::start("last_value", &["publish", ANY]);
    let watcher = Example::start("last_value", &["watch", &publisher.endpoint(), "ship.2"]);
    let positions = [(); 3].map(|()| {
        let line = watcher.line();
        let position = line
            .strip_prefix("ship.2 is at ")
            .unwrap_or_else(|| panic!("{line}"));
        position.parse::<u64>().unwrap()
    });
    assert!(
        positions[0] < positions[1] && positions[1] < positions[2],
        "{positions:?}"
    );
    assert!(positions[2] - positions[0] > 10, "{positions:?}");
}

#[test]
fn wrong_arguments_bring_up_the_usage() {
    let examples = [
        "tour",
        "pipeline",
        "pub_sub",
        "req_rep",
        "dealer_router",
        "load_balancer",
        "pair",
        "proxy",
        "last_value",
        "authentication",
        "blocking",
    ];
    for name in examples {
        let output = Command::new(built(name)).arg("nonsense").output().unwrap();
        assert!(!output.status.success(), "{name}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(&format!("usage: {name}")), "{name}: {told}");
    }
    let output = Command::new(built("monitor")).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: monitor"));
}
