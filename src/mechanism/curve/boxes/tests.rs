use super::*;

/// One of the two [`BoxKey`]s, by what it does with the octets for it, under [`FIRST_KEY`].
struct Primitives {
    name: &'static str,
    seal: fn(Nonce, &mut [u8]),
    open: fn(Nonce, &mut [u8]) -> bool,
}

macro_rules! primitives {
    ($module:ident) => {{
        fn key(nonce: &Nonce) -> $module::BoxKey {
            $module::BoxKey::new(&octets(FIRST_KEY), &nonce.prefix)
        }
        Primitives {
            name: stringify!($module),
            seal: |nonce, octets| key(&nonce).seal(nonce.rest, octets),
            open: |nonce, octets| key(&nonce).open(nonce.rest, octets),
        }
    }};
}

const ALL: &[Primitives] = &[
    primitives!(portable),
    #[cfg(feature = "curve-simd")]
    primitives!(simd),
];

fn octets<const N: usize>(hex: &str) -> [u8; N] {
    let hex = hex.as_bytes();
    assert_eq!(hex.len(), 2 * N);
    std::array::from_fn(|at| {
        let digits = std::str::from_utf8(&hex[2 * at..2 * at + 2]).unwrap();
        u8::from_str_radix(digits, 16).unwrap()
    })
}

fn nonce() -> Nonce {
    let nonce: [u8; 24] = octets("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
    let (prefix, number) = nonce.split_first_chunk().unwrap();
    Nonce::short(prefix, u64::from_be_bytes(number.try_into().unwrap()))
}

/// Some text behind an empty head.
fn text(len: usize) -> Vec<u8> {
    let text = (0..len).map(|n| (n * 31 + n / 256) as u8);
    [0; HEAD].into_iter().chain(text).collect()
}

/// All over several blocks, and about where many blocks are made at a time.
fn lengths() -> impl Iterator<Item = usize> {
    let many = [512, 1024, 1536, 2048, 4096, 16 << 10, 256 << 10];
    let about = |len: usize| {
        [
            len - 33,
            len - 32,
            len - 31,
            len - 1,
            len,
            len + 1,
            len + 32,
        ]
    };
    (0..=300)
        .chain(many.into_iter().flat_map(about))
        .chain([(1 << 20) + 7])
}

#[test]
fn the_box_of_nacl() {
    let (text, sealed): ([u8; 131], [u8; TAG + 131]) = (octets(TEXT), octets(SEALED));
    let key = SharedKey::between(&octets(ALICE), &octets(BOB)).unwrap();
    assert_eq!(*key.0, octets(FIRST_KEY));
    assert_eq!(key.seal(&nonce(), &[&text]), sealed);
    assert_eq!(key.seal(&nonce(), &[&text[..40], &[], &text[40..]]), sealed);
    assert_eq!(**key.open(&nonce(), &sealed).unwrap(), text);
    for Primitives { name, seal, open } in ALL {
        let mut octets = [&[0; HEAD], &text[..]].concat();
        seal(nonce(), &mut octets);
        assert_eq!(octets[HEAD - TAG..], sealed, "{name}");
        assert!(open(nonce(), &mut octets), "{name}");
        assert_eq!(octets[HEAD..], text, "{name}");
    }
}

#[test]
fn boxes_of_every_length_are_alike_and_open() {
    let mut tags = vec![[0; TAG]; ALL.len()];
    for len in lengths() {
        let plain = text(len);
        let mut reference = plain.clone();
        (ALL[0].seal)(nonce(), &mut reference);
        for (Primitives { name, seal, open }, tags) in ALL.iter().zip(&mut tags) {
            let mut octets = plain.clone();
            seal(nonce(), &mut octets);
            let (tag, sealed) = octets[HEAD - TAG..].split_first_chunk::<TAG>().unwrap();
            assert_eq!(tag, &reference[HEAD - TAG..HEAD], "{name} {len}");
            assert!(sealed == &reference[HEAD..], "{name} {len}");
            tags.iter_mut().zip(tag).for_each(|(all, tag)| *all ^= tag);
            assert!(open(nonce(), &mut octets), "{name} {len}");
            assert!(octets[HEAD..] == plain[HEAD..], "{name} {len}");
        }
    }
    // And are what libsodium makes of them, since a tag is of all octets.
    for (Primitives { name, .. }, tags) in ALL.iter().zip(tags) {
        assert_eq!(tags, octets(TAGS), "{name}");
    }
}

// C9
#[test]
fn what_was_changed_is_refused_and_left_as_it_is() {
    for Primitives { name, seal, open } in ALL {
        for len in [0, 1, 31, 32, 33, 64, 100, 1025] {
            let mut sealed = text(len);
            seal(nonce(), &mut sealed);
            for at in HEAD - TAG..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << (at % 8);
                let before = changed.clone();
                assert!(!open(nonce(), &mut changed), "{name}: {at} of {len}");
                assert_eq!(changed[HEAD..], before[HEAD..], "{name}: {at} of {len}");
            }
            for end in HEAD..sealed.len() {
                let mut cut = sealed[..end].to_vec();
                assert!(!open(nonce(), &mut cut), "{name}: {end} of {len}");
            }
            let mut longer = [&sealed[..], &[0]].concat();
            assert!(!open(nonce(), &mut longer), "{name}: {len}");
            let other = Nonce::short(&nonce().prefix, 1);
            assert!(!open(other, &mut sealed.clone()), "{name}: {len}");
            let other = Nonce::short(&[0; 16], u64::from_be_bytes(nonce().rest));
            assert!(!open(other, &mut sealed.clone()), "{name}: {len}");
            assert!(open(nonce(), &mut sealed), "{name}: {len}");
        }
    }
}

#[test]
fn what_has_no_room_for_a_tag_is_refused() {
    for Primitives { name, seal, open } in ALL {
        for len in 0..HEAD {
            let mut octets = vec![7; len];
            seal(nonce(), &mut octets);
            assert!(!open(nonce(), &mut octets), "{name}: {len}");
            assert_eq!(octets, vec![7; len], "{name}");
        }
    }
    for len in 0..TAG {
        let key = SharedKey::own(&octets(FIRST_KEY));
        assert!(key.open(&nonce(), &vec![7; len]).is_none(), "{len}");
    }
}

// From the tests of NaCl: box.c, its two keys and the key that they share.
const ALICE: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
const BOB: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
const FIRST_KEY: &str = "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389";
const TEXT: &str = concat!(
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc",
    "e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31",
    "0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde",
    "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864",
    "5e0705",
);
const SEALED: &str = concat!(
    "f3ffc7703f9400e52a7dfb4b3d3305d9",
    "8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a",
    "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738",
    "b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da",
    "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74",
    "e355a5",
);

/// The tags that libsodium 1.0.22 makes for [`text`] of each of [`lengths`], added up bit by bit.
const TAGS: &str = "3f41835d944001eb1d70cafcdb6f4598";
