//! A stage: one part of the method, what it does and why.

/// The parts, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Writes the world.
    World,
    /// Asks the policy as it starts.
    Before,
    /// Plays training questions with a real engine.
    Collect,
    /// Labels what was found.
    Judge,
    /// Makes the simulator.
    Simulator,
    /// Measures the simulator.
    Measure,
    /// Trains the policy.
    Train,
    /// Asks the trained policy.
    After,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Self; 8] = [
        Self::World,
        Self::Before,
        Self::Collect,
        Self::Judge,
        Self::Simulator,
        Self::Measure,
        Self::Train,
        Self::After,
    ];

    /// Its folder, and its name in records.
    pub fn folder(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Before => "before",
            Self::Collect => "collect",
            Self::Judge => "pairs",
            Self::Simulator => "simulator",
            Self::Measure => "measure",
            Self::Train => "train",
            Self::After => "after",
        }
    }

    /// What it does.
    pub fn title(self) -> &'static str {
        match self {
            Self::World => "world: invent one",
            Self::Before => "eval: ask the policy as it starts, with a real engine",
            Self::Collect => "collect: play training questions with the real engine",
            Self::Judge => "judge: which documents were useful",
            Self::Simulator => "sft: tune a simulator to write such documents",
            Self::Measure => "sim eval: measure the simulator",
            Self::Train => "train: reinforcement learning against the simulator",
            Self::After => "eval: ask the trained policy, with the real engine",
        }
    }

    /// Why it is done.
    pub fn why(self) -> &'static str {
        match self {
            Self::World => {
                "People, cities, countries, books and companies that nobody has heard of: whoever answers has read. A\n\
                 quarter of them is kept for evaluation. With it comes a base model of 982,400 weights."
            }
            Self::Before => {
                "The base model knows the format and reads well, but guesses, searches carelessly and believes what\n\
                 comes first. BM25 searches the documents of the whole world; without an engine it can only guess."
            }
            Self::Collect => {
                "A simulator has to learn what an engine answers to the policy's own queries, good and bad. Here the\n\
                 engine has only the documents about entities that are not kept for evaluation."
            }
            Self::Judge => {
                "Useful is what was found on the way to a right answer; noisy are documents without the answer that\n\
                 came beside one with it. As many of one are kept as of the other."
            }
            Self::Simulator => {
                "A copy of the base model learns to write documents for a query and a label. From here on training\n\
                 asks no engine."
            }
            Self::Measure => {
                "Told `useful`, do its documents hold the answer? Told `noisy`, do they not? On queries that it was\n\
                 not tuned on. A simulator that fails this is not trained against."
            }
            Self::Train => {
                "The policy plays, the simulator writes, the F1 of the answer is the reward. The share of noise grows,\n\
                 so that it learns to doubt and to search again. Only its own words are trained."
            }
            Self::After => {
                "The same questions as before, about entities that nothing in training was about, with the engine\n\
                 that training never asked."
            }
        }
    }
}
