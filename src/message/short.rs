//! [`Short`]: a frame that is kept inside its message.

/// At most [`INLINE`] octets.
///
/// A whole number of aligned words, the length behind the octets: a message that is moved right after it was made must not
/// wait for small stores and a wider load to be sorted out. That the length is an enumeration leaves its other values to the
/// kinds of message around it, which then need no word of their own. (Measured: such waits cost as much as the rest of receiving a
/// small message.)
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Short {
    octets: [u8; INLINE],
    len: Len,
}

/// The largest single frame that is kept inside the value.
pub(super) const INLINE: usize = 64;

impl Short {
    pub const EMPTY: Self = Self {
        octets: [0; INLINE],
        len: Len::ALL[0],
    };

    /// So many zeros; `None` if that is too many.
    #[inline]
    pub fn zeros(len: usize) -> Option<Self> {
        let len = *Len::ALL.get(len)?;
        let octets = [0; INLINE];
        Some(Self { octets, len })
    }

    /// The first `len` octets of `chunk`, which is copied whole: that needs no call and no loop. `None` if it has fewer.
    #[inline]
    pub fn head_of(chunk: &[u8; INLINE], len: usize) -> Option<Self> {
        let octets = *chunk;
        let len = *Len::ALL.get(len)?;
        Some(Self { octets, len })
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.len()]
    }

    #[inline]
    pub fn octets_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        &mut self.octets[..len]
    }

    /// The octets, and what is behind them: as for [`head_of`](Self::head_of), all of it is quicker to copy.
    #[inline]
    pub fn chunk(&self) -> &[u8; INLINE] {
        &self.octets
    }
}

macro_rules! lengths {
    ($($name:ident)+) => {
        /// A number up to [`INLINE`].
        #[derive(Clone, Copy)]
        #[repr(usize)]
        enum Len { $($name),+ }

        impl Len {
            const ALL: [Self; INLINE + 1] = [$(Self::$name),+];
        }
    };
}
lengths! {
    L0 L1 L2 L3 L4 L5 L6 L7 L8 L9 L10 L11 L12 L13 L14 L15 L16 L17 L18 L19 L20 L21 L22 L23 L24 L25 L26 L27 L28 L29 L30 L31 L32
    L33 L34 L35 L36 L37 L38 L39 L40 L41 L42 L43 L44 L45 L46 L47 L48 L49 L50 L51 L52 L53 L54 L55 L56 L57 L58 L59 L60 L61 L62
    L63 L64
}
