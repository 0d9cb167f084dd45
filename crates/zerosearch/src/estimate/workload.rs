//! A workload: conversations, tokens and calls of one step.

use super::measured::{Found, Measured};
use super::sheet::{Sheet, amount};
use crate::config::{Assumption, Cost, EngineName, Plan};

/// What one step asks of the policy and of the simulator.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Workload {
    /// Conversations of a step.
    pub(super) conversations: f64,
    /// Tokens that are read once, prompts that a group shares and documents, over all conversations.
    pub(super) read: f64,
    /// Tokens that the policy writes, over all conversations.
    pub(super) written: f64,
    /// Tokens of one conversation at its end.
    pub(super) sequence: f64,
    /// Tokens that are trained on, all of every conversation.
    pub(super) trained: f64,
    /// Calls of the simulator.
    pub(super) calls: f64,
    /// Tokens of one call's prompt.
    pub(super) call_read: f64,
    /// Tokens of one call's reply.
    pub(super) call_written: f64,
}

/// Puts what one step of `plan` asks for.
pub(super) fn workload(plan: &Plan, cost: &Cost, measured: &Measured, sheet: &mut Sheet) -> Workload {
    sheet.begin("A STEP");
    let (questions, group) = (plan.rl.questions_per_step as f64, plan.rl.group_size as f64);
    let conversations = sheet.computed(
        "conversations",
        (questions * group, ""),
        format!("rl.questions_per_step {questions} x rl.group_size {group}"),
    );
    let talk = talk(plan, cost, measured, sheet);
    let sequence = sheet.computed(
        "tokens of a conversation",
        ((talk.prompt + talk.policy + talk.documents).min(plan.rollout.max_context_tokens as f64), "tokens"),
        format!(
            "prompt {} + policy {} + documents {}, rollout.max_context_tokens {} at most",
            amount(talk.prompt),
            amount(talk.policy),
            amount(talk.documents),
            plan.rollout.max_context_tokens
        ),
    );
    let trained = sheet.computed(
        "tokens trained on",
        (conversations * sequence, "tokens"),
        format!("{conversations} conversations x {} tokens", amount(sequence)),
    );
    let written = sheet.computed(
        "tokens sampled",
        (conversations * talk.policy, "tokens"),
        format!("{conversations} conversations x {} of the policy's", amount(talk.policy)),
    );
    let read = sheet.computed(
        "tokens read to sample them",
        (questions * talk.prompt + conversations * talk.documents, "tokens"),
        format!(
            "{questions} prompts x {} + {conversations} conversations x {} of documents",
            amount(talk.prompt),
            amount(talk.documents)
        ),
    );
    let work = Workload { conversations, read, written, sequence, trained, ..Workload::default() };
    if plan.rollout.engine != EngineName::Simulated {
        return work;
    }
    calls(plan, cost, (work, talk.searches), sheet)
}

/// The means of one conversation.
struct Talk {
    searches: f64,
    prompt: f64,
    policy: f64,
    documents: f64,
}

fn talk(plan: &Plan, cost: &Cost, measured: &Measured, sheet: &mut Sheet) -> Talk {
    let mut known = |name: &str, found: &Option<Found>, assumption: Assumption| match found {
        Some(found) => sheet.measured(name, (found.value, ""), &found.source),
        None => sheet.assumed(name, assumption, ""),
    };
    let silent = plan.rollout.engine == EngineName::None || plan.rollout.max_turns == 0;
    let none = Assumption { value: 0.0, ..cost.searches };
    let searches =
        known("searches of a conversation", &measured.searches, if silent { none } else { cost.searches });
    let prompt = known("tokens of a prompt", &measured.prompt_tokens, cost.prompt_tokens);
    let policy = match &measured.policy_tokens {
        Some(found) => sheet.measured("policy's tokens in it", (found.value, "tokens"), &found.source),
        None => {
            let turn = sheet.assumed("policy's tokens in a turn", cost.turn_tokens, "tokens");
            let from = format!("({searches} searches + 1 answer) x {turn} tokens");
            sheet.computed("policy's tokens in it", ((searches + 1.0) * turn, "tokens"), from)
        }
    };
    let documents = match &measured.document_tokens {
        Some(found) => sheet.measured("document tokens in it", (found.value, "tokens"), &found.source),
        None => {
            let (documents, from) = documents(plan, cost);
            let from = format!("{searches} searches x min({from}, rollout.max_document_tokens)");
            let most = plan.rollout.max_document_tokens as f64;
            sheet.computed("document tokens in it", (searches * documents.min(most), "tokens"), from)
        }
    };
    Talk { searches, prompt, policy, documents }
}

/// Tokens of what one search brings, and what that is made of.
fn documents(plan: &Plan, cost: &Cost) -> (f64, String) {
    let (k, words, tokens) = (plan.rollout.k, plan.simulator.words, cost.tokens_per_word.value);
    let from = format!("rollout.k {k} x simulator.words {words} x cost.tokens_per_word {tokens}");
    (k as f64 * words as f64 * tokens, from)
}

fn calls(plan: &Plan, cost: &Cost, (work, searches): (Workload, f64), sheet: &mut Sheet) -> Workload {
    let conversations = work.conversations;
    let calls = sheet.computed(
        "simulator's calls",
        (conversations * searches, "calls"),
        format!("{conversations} conversations x {} searches", amount(searches)),
    );
    let call_read = sheet.assumed("tokens of a call's prompt", cost.simulator_prompt_tokens, "tokens");
    let (reply, from) = documents(plan, cost);
    let most = (plan.rollout.k * plan.simulator.max_tokens) as f64;
    let from = format!("min({from}, rollout.k x simulator.max_tokens {})", plan.simulator.max_tokens);
    let call_written = sheet.computed("tokens of a call's reply", (reply.min(most), "tokens"), from);
    Workload { calls, call_read, call_written, ..work }
}
