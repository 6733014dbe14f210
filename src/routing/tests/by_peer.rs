use super::*;

fn name(name: &str) -> Identity {
    name.try_into().unwrap()
}

fn found(peers: &ByPeer, identity: &Identity) -> Option<PeerId> {
    peers.find(identity).map(|pipe| pipe.id)
}

// R9
#[test]
fn a_peer_is_found_by_its_name_until_it_is_gone() {
    let side = Side::new(1, ());
    let (one, two) = (side.pipe(), side.pipe());
    let mut peers = ByPeer::default();
    peers.insert(name("one"), one.clone());
    peers.insert(name("two"), two.clone());
    assert_eq!(found(&peers, &name("one")), Some(one.id));
    assert_eq!(found(&peers, &name("two")), Some(two.id));
    assert_eq!(found(&peers, &name("three")), None);
    peers.remove(&name("one"), &one);
    assert_eq!(found(&peers, &name("one")), None);
    assert_eq!(found(&peers, &name("two")), Some(two.id));
}

#[test]
fn a_name_is_taken_if_another_has_it_and_goes_with_its_last_holder_only() {
    let side = Side::new(1, ());
    let (old, new) = (side.pipe(), side.pipe());
    let mut peers = ByPeer::default();
    assert!(peers.taken(&name("peer"), &old).is_none());
    peers.insert(name("peer"), old.clone());
    assert!(peers.taken(&name("peer"), &old).is_none(), "it is its own");
    let holder = peers.taken(&name("peer"), &new).map(|pipe| pipe.id);
    assert_eq!(holder, Some(old.id));
    // Handed over: that the older connection ends later takes nothing from the newer.
    peers.insert(name("peer"), new.clone());
    peers.remove(&name("peer"), &old);
    assert_eq!(found(&peers, &name("peer")), Some(new.id));
}

// R10
#[test]
fn an_automatic_name_is_nobodys_and_cannot_be_announced() {
    let side = Side::new(1, ());
    let mut peers = ByPeer::default();
    let first = peers.automatic();
    // As if the numbers had come round.
    peers.insert(Identity::automatic(2), side.pipe());
    peers.insert(Identity::automatic(3), side.pipe());
    let second = peers.automatic();
    assert!(first.is_automatic() && second.is_automatic());
    assert_eq!(second, Identity::automatic(4));
    assert_ne!(first, second);
}
