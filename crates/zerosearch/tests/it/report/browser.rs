//! The page in a real browser: Debian's chromium, without a screen.

use std::io::Write;
use std::process::Command;

use super::folders::{evaluation, run};
use crate::program::Desk;

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What a browser made of a page, and what it complained about.
struct Seen {
    dom: String,
    console: Vec<String>,
}

/// A browser of this machine. Without one the test is passed over, and says so.
fn browser(test: &str) -> Option<&'static str> {
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|it| it.status.success());
    let found = NAMES.into_iter().find(runs);
    if found.is_none() {
        // Not a macro: what these print is kept back.
        let _ = writeln!(std::io::stderr(), "SKIPPED, for want of a chromium: {test}");
    }
    found
}

/// Opens a page of the desk, `address` from its name on.
fn open(desk: &Desk, browser: &str, address: &str) -> Seen {
    let profile = format!("--user-data-dir={}", desk.path("profile").display());
    let page = format!("file://{}", desk.path(address).display());
    let quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
    let output = Command::new(browser)
        .args(quiet)
        .args([&profile, "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", &page])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let console = told.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Seen { dom: String::from_utf8_lossy(&output.stdout).into_owned(), console }
}

fn desk_with_a_page() -> Desk {
    let desk = Desk::new();
    run(&desk, "tiny", 8);
    evaluation(&desk, "before", 0.0);
    evaluation(&desk, "after", 1.0);
    desk.succeed(&["report", "tiny", "before", "after", "--out", "page.html"]);
    desk
}

#[test]
fn the_page_works_in_a_browser_and_runs_nothing_of_what_it_quotes() {
    let Some(browser) = browser("the page in a browser") else { return };
    let desk = desk_with_a_page();
    let seen = open(&desk, browser, "page.html");
    assert_eq!(seen.console, Vec::<String>::new());
    assert!(seen.dom.contains("<title>tiny, before, after · zerosearch report</title>"));
    assert!(seen.dom.matches("<table").count() >= 5 && seen.dom.contains("<polyline"));
    // Before and after are beside each other from the start: two questions, each 0 and then 1.
    assert_eq!(seen.dom.matches("<article").count(), 2);
    assert_eq!(seen.dom.matches("0 → 1").count(), 2);
    assert!(seen.dom.contains("told: noisy") && seen.dom.contains("mask 0, not trained"));
    assert!(!seen.dom.contains(">Touch a token"), "log-probabilities are shown on demand");
}

#[test]
fn the_address_filters_conversations_and_shows_log_probabilities() {
    let Some(browser) = browser("filters in the address") else { return };
    let desk = desk_with_a_page();
    let seen = open(&desk, browser, "page.html#read?show=2&low=0.5&from=3&until=6&logprobs=1&at=1");
    assert_eq!(seen.console, Vec::<String>::new());
    assert!(seen.dom.contains("4 of the 16 that are here; 16 were played"), "steps 3 to 6, reward 1");
    assert_eq!(seen.dom.matches("<article").count(), 1);
    assert!(seen.dom.contains("tiny, training, step 4</h3>") && seen.dom.contains("mask 1, in the loss"));
    assert!(seen.dom.contains("rewards of its group: 0, 1; this is number 2"));
    // exp(-4.75) is 0.00865: of the least likely kind.
    assert!(
        seen.dom.contains("<span class=\"token p4\" title=\"-4.75 (p 0.00865)\">3 </span>"),
        "{}",
        seen.dom
    );
}

#[test]
fn clicks_open_conversations_and_complaints_of_the_console_are_seen() {
    let Some(browser) = browser("clicks") else { return };
    let desk = desk_with_a_page();
    let clicks = "<script>document.querySelectorAll('#list button')[1].click(); \
        document.querySelector('[name=logprobs]').click(); document.querySelector('.token').click(); console.error('seen');</script>";
    let policy = desk
        .read("page.html")
        .lines()
        .find(|line| line.contains("Content-Security-Policy"))
        .unwrap()
        .to_owned();
    desk.write(
        "clicked.html",
        desk.read("page.html").replace(&policy, "").replace("</body>", &format!("{clicks}</body>")),
    );
    let seen = open(&desk, browser, "clicked.html");
    assert_eq!(seen.console.len(), 1, "{:?}", seen.console);
    assert!(seen.dom.contains("token 1, \"2 \": log-probability -0.25 (p 0.779)"));
    assert_eq!(seen.dom.matches("class=\"open\"").count(), 1);
}
