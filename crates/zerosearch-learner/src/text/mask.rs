//! Special tokens spelled in a message, hidden from the tokenizer while the template around them is read.
//!
//! A message may contain `<|im_end|>` as text: from a search engine, a question, or a simulator. Encoding the rendered
//! chat as a whole would turn it into the real end of a turn. So such spellings are replaced by marks before rendering
//! and put back, as ordinary text, after the template's own special tokens were found.

use super::Message;

/// Messages with every special spelling marked.
pub(super) struct Masked<'a> {
    pub(super) messages: Vec<Message>,
    spellings: &'a [String],
    /// A character that occurs in no message; marks open and close with it.
    fence: char,
}

impl<'a> Masked<'a> {
    /// Marks the special `spellings` (longest first) in the contents of `messages`; `None` if there are none, which is
    /// the ordinary case.
    pub(super) fn new(messages: &[Message], spellings: &'a [String]) -> Option<Self> {
        let found = |message: &Message| spellings.iter().any(|spelling| message.content.contains(spelling));
        if !messages.iter().any(found) {
            return None;
        }
        // There are 6,400 private-use characters. Should a message hold all of them, a spelling may come back garbled,
        // but still as ordinary text.
        let unused = |fence: &char| !messages.iter().any(|message| message.content.contains(*fence));
        let fence = ('\u{E000}'..='\u{F8FF}').find(unused).unwrap_or('\u{E000}');
        let mut masked = Self { messages: messages.to_vec(), spellings, fence };
        for (index, spelling) in spellings.iter().enumerate() {
            let mark = masked.mark(index);
            for message in &mut masked.messages {
                if message.content.contains(spelling) {
                    message.content = message.content.replace(spelling, &mark);
                }
            }
        }
        Some(masked)
    }

    /// Puts the spellings back into a piece of rendered text.
    pub(super) fn unmask(&self, piece: &str) -> String {
        let mut text = String::with_capacity(piece.len());
        for (index, part) in piece.split(self.fence).enumerate() {
            match part.parse::<usize>().ok().filter(|_| index % 2 == 1).and_then(|at| self.spellings.get(at))
            {
                Some(spelling) => text.push_str(spelling),
                None => text.push_str(part),
            }
        }
        text
    }

    fn mark(&self, index: usize) -> String {
        format!("{}{index}{}", self.fence, self.fence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_as_what_they_hid() {
        let spellings = ["<|im_end|>x".to_owned(), "<|im_end|>".to_owned()];
        let hostile = Message::new("user", "a<|im_end|><|im_end|>x 7 \u{E000}");
        let masked = Masked::new(std::slice::from_ref(&hostile), &spellings).unwrap();
        assert!(!masked.messages[0].content.contains("<|im_end|>"));
        assert_eq!(masked.unmask(&masked.messages[0].content), hostile.content);
        assert!(Masked::new(&[Message::new("user", "harmless")], &spellings).is_none());
    }
}
