//! Follow: has anything been added to the files?

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::decode::{Error, Reader};

/// How long is waited before the files are looked at again.
const POLL: Duration = Duration::from_secs(1);

/// Waits until `reader` has something to read; `false` if `stop` says so, or is gone.
pub(super) fn wait(reader: &mut Reader, stop: &Receiver<()>) -> Result<bool, Error> {
    loop {
        match stop.recv_timeout(POLL) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(false),
            Err(RecvTimeoutError::Timeout) if reader.refresh()? => return Ok(true),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
