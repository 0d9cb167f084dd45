//! An encoder: a model that turns a text into a vector, so that texts of like meaning lie near each other.
//!
//! | file | question it answers |
//! |---|---|
//! | `model` | which model stands in a folder, and how does a text become a vector? |
//! | `manner` | what is put before a query and a passage, and how do the vectors of tokens become one? |
//! | `families` | what do the models known by name need of that? |
//! | `bert` | what does a BERT compute? |
//! | `activation` | the functions between its matrix products |
//! | `table` | what is a static embedding? |
//! | `weights` | how are tensors read from a file? |
//! | `hub` | what if it is named by its id on the Hugging Face hub? |
//! | `error` | why can a model not be used? |

mod activation;
mod bert;
mod error;
mod families;
mod hub;
mod manner;
mod model;
mod table;
mod weights;

pub use error::EncoderError;
pub use families::Family;
pub use hub::encoder_folder;
pub use manner::{Manner, MannerChoice, Pooling};
pub use model::{Encoder, EncoderRecord, Side};

#[cfg(test)]
mod tests;
