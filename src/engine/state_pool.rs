//! The engine's planning states, lent out one a statement.
//!
//! A state owns tables of a thousand functions; copying them cost more than planning a short statement did. So a state
//! is copied once and used again: what a statement puts into it (its session's variables, its snapshot, its clock) is
//! taken out when it comes back, so no snapshot outlives its statement here.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::SessionState;

/// States kept for later. Reason: about what the query threads use at a time; more are copied when needed.
const IDLE_MAX: usize = 32;

/// States that wait for a statement.
pub(super) struct StatePool {
    base: Arc<SessionState>,
    idle: Arc<Mutex<Vec<SessionState>>>,
}

impl StatePool {
    /// A pool of copies of `base`.
    pub(super) fn new(base: SessionState) -> Self {
        Self { base: Arc::new(base), idle: Arc::default() }
    }

    /// The state all others are copies of.
    pub(super) fn base(&self) -> &SessionState {
        &self.base
    }

    /// A state for one statement.
    pub(super) fn take(&self) -> PooledState {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let state = idle.unwrap_or_else(|| self.base.as_ref().clone());
        PooledState { state: Some(state), base: Arc::clone(&self.base), idle: Arc::clone(&self.idle) }
    }
}

/// A state that goes back when dropped.
pub(super) struct PooledState {
    /// Present until the drop.
    state: Option<SessionState>,
    base: Arc<SessionState>,
    idle: Arc<Mutex<Vec<SessionState>>>,
}

const PRESENT: &str = "a lent state is present until it is dropped";

impl Deref for PooledState {
    type Target = SessionState;

    fn deref(&self) -> &SessionState {
        self.state.as_ref().expect(PRESENT)
    }
}

impl DerefMut for PooledState {
    fn deref_mut(&mut self) -> &mut SessionState {
        self.state.as_mut().expect(PRESENT)
    }
}

impl Drop for PooledState {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else { return };
        *state.config_mut() = self.base.config().clone();
        *state.execution_props_mut() = self.base.execution_props().clone();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(state);
        }
    }
}
