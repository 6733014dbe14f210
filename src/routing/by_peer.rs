//! [`ByPeer`]: each message to the peer that it names.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::identity::Identity;
use crate::pipe::Pipe;

/// Finds peers by identity.
#[derive(Default)]
pub(crate) struct ByPeer {
    peers: HashMap<Identity, Arc<Pipe>>,
    /// The number of the last automatic identity.
    numbered: u32,
}

impl ByPeer {
    pub fn find(&self, identity: &Identity) -> Option<&Arc<Pipe>> {
        self.peers.get(identity)
    }

    /// The pipe that has `identity`, if that is not `pipe`.
    pub fn taken(&self, identity: &Identity, pipe: &Arc<Pipe>) -> Option<&Arc<Pipe>> {
        self.peers
            .get(identity)
            .filter(|holder| !Arc::ptr_eq(holder, pipe))
    }

    pub fn insert(&mut self, identity: Identity, pipe: Arc<Pipe>) {
        self.peers.insert(identity, pipe);
    }

    /// Forgets `identity` if it is still `pipe`'s.
    pub fn remove(&mut self, identity: &Identity, pipe: &Arc<Pipe>) {
        if let Entry::Occupied(entry) = self.peers.entry(identity.clone())
            && Arc::ptr_eq(entry.get(), pipe)
        {
            entry.remove();
        }
    }

    /// An identity for a peer that announced none: nobody has it, and no peer can announce it (R10).
    pub fn automatic(&mut self) -> Identity {
        loop {
            self.numbered = self.numbered.wrapping_add(1);
            let identity = Identity::automatic(self.numbered);
            if !self.peers.contains_key(&identity) {
                return identity;
            }
        }
    }
}
