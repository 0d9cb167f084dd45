//! What the compiler's guards may not be asked to overlook.

use super::code::Code;

/// The only places for `unsafe`: kernels, and the mapping of files.
const UNSAFE: [&str; 2] =
    ["crates/zerosearch-local/src/kernels/", "crates/zerosearch-local/src/weights/map.rs"];

/// `unsafe` stands where it may, under a comment `SAFETY:` (or a `# Safety` section) that says why it holds.
pub(super) fn unsafe_code(path: &str, code: &Code) -> Vec<String> {
    let allowed = UNSAFE.iter().any(|place| path.starts_with(place));
    let complaint = |at: usize| {
        if !allowed {
            return Some(format!(
                "line {} is `unsafe`; that belongs into kernels/ or weights/map.rs",
                at + 1
            ));
        }
        (!reasoned(code, at)).then(|| format!("line {} is `unsafe` without a `// SAFETY:` above it", at + 1))
    };
    code.lines_with("unsafe").filter_map(complaint).collect()
}

/// Whether a reason stands above line `at`: in the comments over its statement, attributes and line breaks in it aside.
fn reasoned(code: &Code, at: usize) -> bool {
    for above in (0..at).rev() {
        let line = code.written[above].trim();
        if line.starts_with("//") {
            if line.contains("SAFETY:") || line.contains("# Safety") {
                return true;
            }
        } else if line.is_empty() || (!line.starts_with("#[") && line.ends_with([';', '{', '}', ','])) {
            return false;
        }
    }
    false
}

/// No `static` that can change: state is handed on, not looked up.
pub(super) fn mutable_state(code: &Code) -> Vec<String> {
    let changing = ["mut ", "Mutex", "RwLock", "Atomic", "Cell<"];
    let is_state = |line: &str| {
        let declared = line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        declared.strip_prefix("static ").is_some_and(|rest| changing.iter().any(|word| rest.contains(word)))
            || declared.starts_with("thread_local!")
    };
    let lines = code.bare.iter().enumerate().filter(|(_, line)| is_state(line));
    lines
        .map(|(at, _)| format!("line {} is process-wide state that changes; pass a handle", at + 1))
        .collect()
}

/// The lint about argument lists is never switched off.
pub(super) fn silenced_lints(code: &Code) -> Vec<String> {
    code.lines_with("too_many_arguments")
        .map(|at| format!("line {}: past five arguments, name the thing that they are", at + 1))
        .collect()
}

/// The crate that may hold unsafe code and therefore repeats the workspace's other lints.
const LOCAL: &str = "zerosearch-local";

/// A crate's manifest takes over the workspace's lints, or, for the local learner, repeats all but `unsafe_code`.
pub(super) fn lints(name: &str, manifest: &str, workspace: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let lints = manifest.get("lints").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    if name != LOCAL {
        let inherited = lints.get("workspace").and_then(toml::Value::as_bool) == Some(true);
        return (!inherited)
            .then(|| "it has to say `[lints] workspace = true`".to_owned())
            .into_iter()
            .collect();
    }
    let workspace: toml::Table = workspace.parse().unwrap();
    let mut wanted = workspace["workspace"]["lints"].as_table().unwrap().clone();
    wanted["rust"].as_table_mut().unwrap().remove("unsafe_code");
    (lints != wanted).then(|| "its lints differ from the workspace's".to_owned()).into_iter().collect()
}

#[test]
fn unsafe_code_in_the_wrong_place_or_without_a_reason_is_seen() {
    let kernel = "crates/zerosearch-local/src/kernels/matmul.rs";
    let good = "fn f() {\n    // SAFETY: checked above.\n    let x =\n        unsafe { g() };\n}\n/// # Safety\n/// Aligned.\n#[inline]\nunsafe fn g() {}\n";
    assert!(unsafe_code(kernel, &Code::of(good)).is_empty());
    assert_eq!(unsafe_code("crates/zerosearch/src/train.rs", &Code::of(good)).len(), 2);
    let silent = "// SAFETY: of another.\nlet y = unsafe { h() };\nlet x = unsafe { g() };\n";
    assert_eq!(
        unsafe_code(kernel, &Code::of(silent)),
        ["line 3 is `unsafe` without a `// SAFETY:` above it"]
    );
    assert!(
        unsafe_code("crates/zerosearch/src/train.rs", &Code::of("// unsafe\n#![deny(unsafe_code)]"))
            .is_empty()
    );
}

#[test]
fn global_state_is_seen() {
    assert!(
        mutable_state(&Code::of("static NAMES: [&str; 1] = [\"a\"];\nstatic T: OnceLock<u8> = x();"))
            .is_empty()
    );
    for line in [
        "static mut X: u8 = 1;",
        "pub static X: AtomicBool = a();",
        "static X: Mutex<u8> = m();",
        "thread_local! {",
    ] {
        assert_eq!(mutable_state(&Code::of(line)).len(), 1, "{line}");
    }
}

#[test]
fn silenced_lints_are_seen() {
    assert_eq!(silenced_lints(&Code::of("#[allow(clippy::too_many_arguments)]\nfn f() {}")).len(), 1);
    assert!(silenced_lints(&Code::of("// too_many_arguments stays on")).is_empty());
}

#[test]
fn manifests_without_the_lints_are_seen() {
    let workspace = "[workspace.lints.rust]\nunsafe_code = \"deny\"\nunreachable_pub = \"warn\"\n";
    assert!(lints("zerosearch", "[lints]\nworkspace = true\n", workspace).is_empty());
    assert_eq!(lints("zerosearch", "[package]\nname = \"x\"\n", workspace).len(), 1);
    assert!(lints(LOCAL, "[lints.rust]\nunreachable_pub = \"warn\"\n", workspace).is_empty());
    assert_eq!(lints(LOCAL, "[lints.rust]\nunreachable_pub = \"allow\"\n", workspace).len(), 1);
}
