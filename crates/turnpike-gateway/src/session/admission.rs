//! Who may come in: caps on connections that have not proven themselves, and on guessing credentials.

/// A connection's entry in the books of admission, from accept to its end.
pub(crate) struct Visitor {}

impl Visitor {
    /// It has shown good credentials: it no longer counts as a stranger.
    pub(crate) fn prove(&self) {
        unimplemented!()
    }

    /// Counts bad credentials; says whether there were too many of them lately for an answer.
    pub(crate) fn note_bad_credentials(&self, port: u16) -> bool {
        let _ = port;
        unimplemented!()
    }
}
