//! A herd: pages that all lose their gateway at once, or are all refused by one at once.
//!
//! | module | what it is |
//! |---|---|
//! | [`source`] | constants, read from the text of the program that has them |
//! | [`page`] | when a page comes again |
//! | [`gateway`] | how much of that a gateway takes at once |
//! | [`simulation`] | many pages and one gateway in virtual time |

pub mod gateway;
pub mod page;
pub mod simulation;
pub mod source;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// What pages and gateways draw.
#[derive(Debug)]
pub struct Dice {
    /// `None`: nothing is drawn, and each gets the same, the most there is.
    random: Option<SmallRng>,
}

impl Dice {
    /// The same seed, the same numbers.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { random: Some(SmallRng::seed_from_u64(seed)) }
    }

    /// As it would be without jitter.
    #[must_use]
    pub const fn fixed() -> Self {
        Self { random: None }
    }

    /// From nothing to 1.
    pub fn fraction(&mut self) -> f64 {
        self.random.as_mut().map_or(1.0, |random| random.random_range(0.0..1.0))
    }

    /// One of `range`.
    pub fn one_of(&mut self, range: RangeInclusive<u32>) -> u32 {
        let last = *range.end();
        self.random.as_mut().map_or(last, |random| random.random_range(range))
    }
}
