//! Remote databases that misbehave.
