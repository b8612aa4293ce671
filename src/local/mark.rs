//! Where a training step has come to.

/// Where a training step of a module has come to. Blocks are counted within the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It begins.
    Start,
    /// This block has gone forward.
    Forward(usize),
    /// The auxiliary head has gone forward and back again.
    AuxHead,
    /// The other heads have gone forward and back again.
    Heads,
    /// This block has gone backward.
    Backward(usize),
    /// The weights have moved.
    Updated,
}

/// What measures a step.
pub type Watch<'a> = &'a mut dyn FnMut(Mark);
