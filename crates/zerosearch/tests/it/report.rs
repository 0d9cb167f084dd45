//! `zerosearch report`: a page of run folders, whatever is in them.

mod browser;
mod folders;

use crate::program::{Desk, SHORT, questions, recipe};
use folders::{HOSTILE, evaluation, run, steps};

#[test]
fn a_page_of_a_real_run_holds_tables_curves_and_conversations_and_fetches_nothing() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(3, SHORT));
    desk.succeed(&["train", "recipe.toml"]);
    let told = desk.succeed(&["report", "runs/recipe", "--out", "pages/page.html", "--plots", "plots"]);
    // 3 steps of 16 conversations; of each step the best, the worst and two drawn, less where these are the same.
    assert!(told.starts_with("pages/page.html: ") && told.contains(" of 48 conversations, "), "{told}");
    let page = desk.read("pages/page.html");
    for part in [
        "What was run",
        "<caption><span>Time and tokens by stage</span></caption>",
        "aria-label=\"Reward (mean of the step) by step\"",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    assert!(page.contains("\"author\":\"policy\"") && page.contains("\"logprobs\":[-"));
    let attributes =
        page.split(['<', ' ']).filter(|word| word.starts_with("src=") || word.starts_with("href="));
    for attribute in attributes {
        assert!(attribute.starts_with("href=\"#") || attribute == "href=\"data:,\">\n", "{attribute}");
    }
    desk.succeed(&["report", "runs/recipe", "--out", "again.html"]);
    assert_eq!(page, desk.read("again.html"), "the same folder gives the same page");
    assert!(desk.read("plots/reward.svg").starts_with("<svg xmlns="));
    let picture = std::fs::read(desk.path("plots/reward.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 5000, "{} bytes", picture.len());
}

#[test]
fn what_models_and_engines_wrote_stays_text() {
    let desk = Desk::new();
    run(&desk, "hostile", 2);
    evaluation(&desk, "before", 0.0);
    desk.succeed(&["report", "hostile", "before", "--out", "page.html", "--plots", "plots"]);
    let page = desk.read("page.html").to_lowercase();
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    assert!(!page.contains("<img") && !page.contains(&HOSTILE.to_lowercase()));
    assert!(page.contains(r"\u003c/script>"), "the words are there");
}

#[test]
fn evaluations_are_compared_question_by_question() {
    let desk = Desk::new();
    evaluation(&desk, "before", 0.0);
    evaluation(&desk, "after", 1.0);
    desk.succeed(&["report", "before", "after", "--out", "page.html"]);
    let page = desk.read("page.html");
    assert!(
        page.contains("<td class=\"number\">+1.000 (+1.000 to +1.000)</td>"),
        "every answer became right"
    );
    // Two searches in each evaluation.
    assert!(page.contains("<td>together</td><td class=\"number\">4</td>"));
    desk.succeed(&["report", "before", "--out", "priced.html", "--price-per-1000-searches", "250"]);
    assert!(desk.read("priced.html").contains("<td class=\"number\">2</td><td class=\"number\">0.50</td>"));
}

#[test]
fn runs_lie_over_each_other_under_names_that_tell_them_apart() {
    let desk = Desk::new();
    run(&desk, "one/tiny", 8);
    run(&desk, "two/tiny", 8);
    desk.succeed(&["report", "one/tiny", "two/tiny", "--out", "page.html", "--plots", "plots"]);
    let picture = desk.read("plots/reward.svg");
    assert!(picture.contains(">one/tiny</text>") && picture.contains(">two/tiny</text>"), "{picture}");
    assert!(picture.contains("shaded: noise, up to 8 %"));
}

#[test]
fn little_is_shown_as_it_is() {
    let desk = Desk::new();
    run(&desk, "empty", 0);
    let told = desk.succeed(&["report", "empty", "--out", "empty.html"]);
    assert!(told.starts_with("note: empty: no step is recorded yet"), "{told}");
    assert!(desk.read("empty.html").contains("no step is recorded yet"));
    run(&desk, "single", 1);
    desk.succeed(&["report", "single", "--out", "single.html"]);
    assert!(desk.read("single.html").contains("<circle"), "one step is a dot");
    run(&desk, "torn", 2);
    desk.write("torn/metrics.jsonl", format!("{}{{\"step\":3,\"rewa", steps(2)));
    desk.succeed(&["report", "torn", "--out", "torn.html"]);
    assert!(desk.read("torn.html").contains("<td>2 of 40</td>"));
    run(&desk, "nulls", 2);
    desk.write(
        "nulls/metrics.jsonl",
        "{\"step\":1,\"reward/mean\":null}\n{\"step\":2,\"reward/mean\":null}\n",
    );
    desk.succeed(&["report", "nulls", "--out", "nulls.html"]);
    assert!(!desk.read("nulls.html").contains("Reward (mean"));
    evaluation(&desk, "left", 1.0);
    std::fs::remove_file(desk.path("left/summary.json")).unwrap();
    let told = desk.succeed(&["report", "left", "--out", "left.html"]);
    assert!(told.starts_with("note: left: the evaluation was left before its end"), "{told}");
}

#[test]
fn what_cannot_be_reported_is_refused_and_leaves_no_page() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("else")).unwrap();
    let refused = |folder: &str| desk.fail(&["report", folder, "--out", "page.html"]);
    assert!(refused("gone").contains("error: there is no folder gone\nhint: "));
    assert!(refused("else").contains("else is not the folder of a run or of an evaluation\nhint: "));
    run(&desk, "later", 1);
    desk.write("later/run.json", desk.read("later/run.json").replace("\"version\":1", "\"version\":2"));
    assert!(refused("later").contains("run.json is of form 2, this program reads form 1\nhint: "));
    run(&desk, "broken", 1);
    desk.write("broken/metrics.jsonl", "{\"step\":1}\nwhat?\n{\"step\":3}\n");
    assert!(refused("broken").contains("metrics.jsonl, line 2, is not what it should be"));
    assert!(!desk.path("page.html").exists());
    let output = desk.run(&["report", "broken", "--out", "broken/run.json"]);
    assert!(crate::program::stderr(&output).contains("name a file that ends in .html"));
}
