//! What chat templates do, feature by feature. Expected texts are by hand, from the rules of Jinja with blocks trimmed.

use super::*;

fn compile(source: &str) -> ChatTemplate {
    let named = vec![("bos_token".into(), "<s>".into()), ("eos_token".into(), "</s>".into())];
    ChatTemplate::compile(source, named).unwrap()
}

fn render(source: &str, messages: &[(&str, &str)]) -> Result<String, String> {
    let messages: Vec<Message> = messages.iter().map(|(role, text)| Message::new(*role, *text)).collect();
    compile(source).render(&messages, true)
}

/// The shape of a ChatML template with a default system prompt.
const CHATML: &str = "\
{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == \"user\") or (message.role == \"system\" and not loop.first) or (message.role == \"assistant\" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
";

#[test]
fn a_default_system_prompt_stands_in_for_a_missing_one() {
    let with_default = render(CHATML, &[("user", " Who? ")]).unwrap();
    assert_eq!(
        with_default,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Who? <|im_end|>\n<|im_start|>assistant\n"
    );
    let with_own = render(CHATML, &[("system", "S"), ("user", "U"), ("assistant", "A")]).unwrap();
    assert_eq!(
        with_own,
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n\
         <|im_start|>assistant\n"
    );
}

/// The shape of a Llama 3 template: a date, slices, trimmed contents, a beginning-of-text token of its own.
const HEADERS: &str = "\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = strftime_now(\"%d %b %Y\") if strftime_now is defined else \"never\" %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'].strip() %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = \"\" %}
{%- endif %}
{{- \"<|h|>system<|/h|>\\n\\nToday Date: \" + date_string + \"\\n\\n\" }}
{%- if tools is not none %}{{- \"tools!\" }}{%- endif %}
{{- system_message }}
{{- \"<|eot|>\" }}
{%- for message in messages %}
    {{- '<|h|>' + message['role'] + '<|/h|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|h|>assistant<|/h|>\\n\\n' }}{%- endif %}";

#[test]
fn slices_dates_and_trimming_work() {
    assert_eq!(
        render(HEADERS, &[("system", " S \n"), ("user", "\n U ")]).unwrap(),
        "<s><|h|>system<|/h|>\n\nToday Date: 26 Jul 2024\n\nS<|eot|><|h|>user<|/h|>\n\nU<|eot|>\
         <|h|>assistant<|/h|>\n\n"
    );
}

/// The shape of a Qwen3 template: a namespace that remembers the last question, thoughts cut from earlier answers.
const THINKING: &str = "\
{%- set ns = namespace(searching=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == \"user\" and message.content is string and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'assistant' and '</think>' in content and loop.index0 < ns.last %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '[' ~ message.role ~ ']' + content }}
    {%- if not loop.last %}{{ '\\n' }}{% endif %}
{%- endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}{{- 'off' }}{%- endif %}";

#[test]
fn earlier_thoughts_are_cut() {
    let chat = [
        ("user", "a"),
        ("assistant", "<think>x</think>\n\nb"),
        ("user", "c"),
        ("assistant", "<think>y</think>d"),
        ("user", "<tool>r</tool>"),
    ];
    assert_eq!(
        render(THINKING, &chat).unwrap(),
        "[user]a\n[assistant]b\n[user]c\n[assistant]<think>y</think>d\n[user]<tool>r</tool>"
    );
}

#[test]
fn a_template_may_refuse() {
    let source = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
                  {{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{{ eos_token }}{% endfor %}";
    assert_eq!(render(source, &[("user", "a"), ("assistant", "b")]).unwrap(), "a</s>b</s>");
    let refusal = render(source, &[("user", "a"), ("user", "b")]).unwrap_err();
    assert!(refusal.contains("roles must alternate"), "{refusal}");
}

#[test]
fn python_methods_that_templates_use_are_there() {
    let cases = [
        ("'a,b,c'.rsplit(',', 1)[0]", "a,b"),
        ("'a,b'.split(',') | join('+')", "a+b"),
        ("'xay'.removeprefix('x').removesuffix('y')", "a"),
        ("'k: v'.partition(': ')[2]", "v"),
        ("'a/b/c'.rpartition('/')[0]", "a/b"),
        ("'no'.rpartition('/')[2]", "no"),
        ("{'a': 1}.get('b', 2)", "2"),
        ("{'b': 1, 'a': 2}.items() | map('first') | join", "ba"),
        ("'Ab'.lower() + 'Ab'.upper() + ' c '.strip()", "abABc"),
        ("{'q': '<a>'} | tojson", "{\"q\": \"<a>\"}"),
        ("strftime_now('%-m/%d %B %y %A %H:%M %%')", "7/26 July 24 Friday 00:00 %"),
    ];
    for (expression, expected) in cases {
        let rendered = render(&format!("{{{{ {expression} }}}}"), &[]).unwrap();
        assert_eq!(rendered, expected, "{expression}");
    }
}

/// By hand: trimming a block eats the line end after it, `-` eats whitespace on its side, one line end at the end of
/// the file is dropped.
#[test]
fn whitespace_follows_the_rules_of_transformers() {
    let source =
        "{% for m in messages %}\n  {% if true %}\n{{ m.content }}\n  {%- endif %}\n{% endfor %}\nend\n";
    assert_eq!(render(source, &[("user", "a"), ("user", "b")]).unwrap(), "abend");
}

#[test]
fn generation_marks_print_nothing_and_keep_their_trimming() {
    let source =
        "{% for m in messages %}\n[{%- generation -%} {{ m.content }} {%- endgeneration %}]{% endfor %}";
    assert_eq!(render(source, &[("user", "a")]).unwrap(), "[a]");
    let trimmed = "a\n{% generation %}\nb\n{% endgeneration %}\nc";
    assert_eq!(render(trimmed, &[]).unwrap(), "a\nb\nc");
}

#[test]
fn loops_may_be_left_early() {
    let source = "{% for m in messages %}{% if m.role == 'x' %}{% continue %}{% endif %}{% if loop.index > 2 %}\
                  {% break %}{% endif %}{{ m.content }}{% endfor %}";
    assert_eq!(render(source, &[("x", "1"), ("u", "2"), ("u", "3")]).unwrap(), "2");
}

#[test]
fn a_broken_template_is_refused_when_it_is_read() {
    let problem = ChatTemplate::compile("{% for m in messages %}", vec![]).err().unwrap();
    assert!(problem.contains("the chat template cannot be read"), "{problem}");
}
