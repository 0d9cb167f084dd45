//! A relation: what can be true of an entity, and how it is said and asked.

/// What an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Has a first name and a surname.
    Person,
    /// Has one name, as a country has.
    City,
    /// Has one name.
    Country,
    /// Has a title of two words.
    Book,
    /// Has a name of two words.
    Company,
}

/// What is true of entities of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// The city that a person is from.
    Hometown,
    /// The year in which a person was born.
    BirthYear,
    /// What a person does.
    Job,
    /// The country that a city lies in.
    Country,
    /// The year in which a city was founded.
    FoundingYear,
    /// The city that a country is governed from.
    Capital,
    /// Who wrote a book.
    Author,
    /// The year in which a book came out.
    PublishingYear,
    /// Who founded a company.
    Founder,
    /// The city that a company is based in.
    Seat,
}

/// What a relation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Entity(Kind),
    Job,
    Year,
}

/// Two relations, the second of which is asked of what the first leads to, and how that is asked.
pub(super) const CHAINS: [(Relation, Relation, &str); 5] = [
    (Relation::Hometown, Relation::Country, "In which country is the hometown of {}?"),
    (Relation::Author, Relation::Hometown, "What is the hometown of the author of {}?"),
    (Relation::Author, Relation::Job, "What is the job of the author of {}?"),
    (Relation::Founder, Relation::BirthYear, "In which year was the founder of {} born?"),
    (Relation::Seat, Relation::Country, "In which country is the seat of {}?"),
];

impl Relation {
    /// Every relation, those of one kind of entity beside each other.
    pub(super) const ALL: [Self; 10] = [
        Self::Hometown,
        Self::BirthYear,
        Self::Job,
        Self::Country,
        Self::FoundingYear,
        Self::Capital,
        Self::Author,
        Self::PublishingYear,
        Self::Founder,
        Self::Seat,
    ];

    /// Whom it is true of.
    pub(super) fn subject(self) -> Kind {
        match self {
            Self::Hometown | Self::BirthYear | Self::Job => Kind::Person,
            Self::Country | Self::FoundingYear => Kind::City,
            Self::Capital => Kind::Country,
            Self::Author | Self::PublishingYear => Kind::Book,
            Self::Founder | Self::Seat => Kind::Company,
        }
    }

    /// What it leads to.
    pub(super) fn object(self) -> Object {
        match self {
            Self::Hometown | Self::Capital | Self::Seat => Object::Entity(Kind::City),
            Self::Country => Object::Entity(Kind::Country),
            Self::Author | Self::Founder => Object::Entity(Kind::Person),
            Self::Job => Object::Job,
            Self::BirthYear | Self::FoundingYear | Self::PublishingYear => Object::Year,
        }
    }

    /// What it is called.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Hometown => "hometown",
            Self::BirthYear => "birth year",
            Self::Job => "job",
            Self::Country => "country",
            Self::FoundingYear => "founding year",
            Self::Capital => "capital",
            Self::Author => "author",
            Self::PublishingYear => "publishing year",
            Self::Founder => "founder",
            Self::Seat => "seat",
        }
    }

    /// How it is asked; `{}` is the entity.
    pub(super) fn questions(self) -> [&'static str; 2] {
        match self {
            Self::Hometown => ["What is the hometown of {}?", "Which city does {} come from?"],
            Self::BirthYear => ["In which year was {} born?", "When was {} born?"],
            Self::Job => ["What is the job of {}?", "What does {} work as?"],
            Self::Country => ["In which country is {}?", "Which country does {} belong to?"],
            Self::FoundingYear => ["In which year was {} founded?", "When was {} founded?"],
            Self::Capital => ["What is the capital of {}?", "Which city is the capital of {}?"],
            Self::Author => ["Who is the author of {}?", "Who wrote {}?"],
            Self::PublishingYear => ["In which year was {} published?", "When was {} published?"],
            Self::Founder => ["Who is the founder of {}?", "Who founded {}?"],
            Self::Seat => ["In which city is the seat of {}?", "Where is {} based?"],
        }
    }

    /// The two ways in which documents say it.
    pub(super) fn sentences(self, subject: &str, value: &str) -> [String; 2] {
        let noun = self.noun();
        [format!("The {noun} of {subject} is {value}."), format!("{subject} has the {noun} {value}.")]
    }
}
